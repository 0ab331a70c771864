"""Watching the node for one feed: look, store what there is to say, wait.

What is said goes into the store and from there to the system, by the feed as everything does. So whether the system is there
has no part in this: an alarm that comes and goes while it is away is told when it is back. What a look came to is stored before
the next look, in the face of whatever happens to the registry: so nothing that was seen is forgotten.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from random import random
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from adapters.answer_body import read_up_to
from adapters.city.brain.mapping import Watch
from adapters.city.core.indicators import Indicators, Said
from adapters.city.core.profile import Profile
from adapters.city.registry_client import RegistryClient
from adapters.registry_api import NotTaken, Unreachable
from proto.metrics import CATALOGUE
from proto.model.change import START

log = logging.getLogger(__name__)

# The node's own metrics; a delegated prefix is a line.
MAX_METRICS_BYTES: Final = 16 * 1024 * 1024
METRICS_TIMEOUT_S: Final = 10.0

# What is stored at once, in one change: hundreds of alarms are raised together if the network of a city is cut.
STORED_AT_ONCE: Final = 200

# What breaks down for a reason nobody thought of is begun again, but not at once.
BROKEN_S: Final = 5.0

_DOWN: Final = CATALOGUE["delegate_down"].name


class Observer:
    """Watches for the feed of `profile`. `metrics_url` is where the node's metrics are; empty: other nodes are not watched."""

    def __init__(self, profile: Profile, indicators: Indicators, client: RegistryClient, metrics_url: str) -> None:
        self._profile = profile
        self._indicators = indicators
        self._client = client
        self._metrics_url = metrics_url
        self._failures = 0
        self.hindrance = ""
        """Why nothing is seen or stored at the moment, for people; empty if all is well."""

    async def run(self) -> None:
        """Look and store until cancelled, whatever comes up: one feed's trouble is not another's."""
        while True:
            try:
                await self._observe()
            except NotTaken as not_taken:
                self.hindrance = str(not_taken)
                log.error("indicators cannot be stored", extra={"feed": self._profile.name, "why": str(not_taken)})
            except Exception:
                self.hindrance = "internal error; its trace is in the log"
                log.exception("indicators broke down", extra={"feed": self._profile.name})
            await asyncio.sleep(BROKEN_S)

    async def _observe(self) -> None:
        """Raises `NotTaken`."""
        stored = await self._stored()
        watch, is_first = Watch(self._indicators, stored), not stored
        while True:
            try:
                statistics = await self._client.statistics(self._indicators.days)
                down = await self._nodes_down()
            except Unreachable as unreachable:
                await self._back_off(str(unreachable))
                continue
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                await self._back_off(f"the node's metrics cannot be read: {error or type(error).__name__}")
                continue
            if is_first:
                await self._begin_at(statistics["position"])
                is_first = False
            await self._store(watch.look(statistics, down, asyncio.get_running_loop().time()))
            watch.settle()
            self._failures, self.hindrance = 0, ""
            await asyncio.sleep(self._indicators.every_s)

    async def _stored(self) -> Sequence[Said]:
        while True:
            try:
                return await self._client.notices(self._profile.name)
            except Unreachable as unreachable:
                await self._back_off(str(unreachable))

    async def _begin_at(self, position: str) -> None:
        """Before the first notice there is nothing in the stream for a feed that has not moved: it need not read that."""
        try:
            feed = await self._client.feed(self._profile.name)
            if feed.cursor == START.to_cursor():
                await self._client.progress(feed, position, 0, (), ())
        except (Unreachable, NotTaken) as failure:
            # It is paused, or somebody moves it at this moment: then it reads what there is, and finds nothing.
            log.info("a feed of indicators begins with the stream", extra={"feed": self._profile.name, "why": str(failure)})

    async def _store(self, said: Sequence[Said]) -> None:
        """Store what a look came to. Raises `NotTaken`."""
        for place in range(0, len(said), STORED_AT_ONCE):
            while True:
                try:
                    await self._client.store_notices(self._profile.name, said[place : place + STORED_AT_ONCE])
                except Unreachable as unreachable:
                    await self._back_off(str(unreachable))
                else:
                    break

    async def _back_off(self, why: str) -> None:
        self._failures += 1
        if self._failures == 1:
            log.warning("indicators are not stored", extra={"feed": self._profile.name, "why": why})
        delay_s = self._profile.retry.delay_s(self._failures, None, random())  # noqa: S311 # jitter
        self.hindrance = f"{why}; attempt {self._failures + 1} after {delay_s:.1f} s"
        await asyncio.sleep(delay_s)

    async def _nodes_down(self) -> Mapping[str, bool]:
        """By delegated prefix, whether its node does not answer."""
        if not self._metrics_url:
            return {}
        timeout = aiohttp.ClientTimeout(total=METRICS_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(trust_env=False, timeout=timeout) as session,
            session.get(self._metrics_url) as answer,
        ):
            raw = await read_up_to(answer, MAX_METRICS_BYTES)
        if raw is None:
            raise ValueError(f"they are more than {MAX_METRICS_BYTES} bytes")
        lines = "\n".join(line for line in raw.decode().splitlines() if line.startswith(_DOWN))
        samples = [sample for family in text_string_to_metric_families(f"{lines}\n") for sample in family.samples]
        return {sample.labels["prefix"]: sample.value > 0 for sample in samples if sample.labels.get("prefix")}
