"""The adapter to the gate (`adapters.work.Adapter`)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from adapters.registry_api import Unreachable
from adapters.section import Section
from adapters.work import Reveal, Surroundings

from .client import GateAway, talk
from .mapping import orders

KEYS: Final = ("host", "port", "every_s")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the gate is, and how often it is looked at (seconds)."""

    host: str
    port: int
    every_s: float


def read(section: Section, reveal: Reveal) -> Settings:  # a gate has no secrets
    return Settings(section.text("host"), int(section.number("port", 0, 1, 65_535)), section.number("every_s", 60, 0.01, 3_600))


def make(settings: Settings, around: Surroundings) -> "GateWork":
    return GateWork(settings, around)


class GateWork:
    """Makes what the gate knows what the node has, again and again."""

    def __init__(self, settings: Settings, around: Surroundings) -> None:
        self._settings = settings
        self._around = around
        self._standing = "starting"

    async def run(self) -> None:
        while True:
            try:
                await self._look()
                self._standing = "the gate knows what it should"
                self._around.announce(True)
            except (GateAway, Unreachable) as away:
                self._standing = str(away)
                self._around.announce(False)
            await asyncio.sleep(self._settings.every_s)

    async def close(self) -> None:
        """Nothing is held between two looks."""

    def describe(self) -> Mapping[str, Any]:
        return {"standing": self._standing}

    async def _look(self) -> None:
        document = await self._around.registry.ask("GET", "/api/v1/prefixes?limit=1000")
        known = await talk(self._settings.host, self._settings.port, "LIST")
        for line in orders(known.split(), document["prefixes"]):
            await talk(self._settings.host, self._settings.port, line)
