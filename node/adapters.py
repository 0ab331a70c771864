"""The adapters: what others' systems are told, and what theirs tell, wired. One process, started only if there are any.

They reach the node by its registry's REST as any other would, each with the key of an account, and keep nothing: cursors,
bookmarks, dead letters and filings are in the store. So the process may die at any moment, and costs the node nothing.
"""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from adapters.city import registry_client as feed_client
from adapters.city.feeds import Feeds
from adapters.registry_api import NotTaken, RegistryApi
from adapters.section import ProfileMistakes
from adapters.sources import registry_client as source_client
from adapters.sources.core.profile import Profile
from adapters.sources.sources import Sources
from adapters.upstream.epp import registry_client as filing_client
from adapters.upstream.epp.filings import Filings
from adapters.work import Surroundings, Work
from node.cli.place import in_url, reachable
from node.control import Assignment
from node.feeds import load_profiles
from node.filing import FilingMistakes, make_place
from node.folder import FEEDS_TOKEN_FILE, FILINGS_TOKEN_FILE
from node.metrics import build_metrics
from node.part import Announce, RefusesToStart, run_part
from node.source_profiles import load_sources
from node.systems import SystemWork, load_systems

log = logging.getLogger(__name__)

# An account that was closed may be opened again, a fault that nobody thought of may pass; others go on meanwhile.
SHUT_OUT_S: Final = 10.0

# Whoever registers or resolves comes first; feeds and filings take what is left, and catch up.
NICENESS: Final = 10

# A page of changes is some ten thousand objects, none of them in a cycle: looked through once in a while, not every page many
# times, which was a fifth of what a change costs here.
COLLECT_EVERY: Final = 100_000


class Adapters:
    """The adapters' process (a `node.part.Part`)."""

    def __init__(self, assignment: Assignment, announce: Announce) -> None:
        self._assignment = assignment
        self._announce = announce
        self._metrics = build_metrics()
        self._works: dict[str, Work] = {}
        self._ready: set[str] = set()
        self._shut_out: dict[str, str] = {}
        self._stops = AsyncExitStack()

    async def run(self) -> None:
        makers: Mapping[str, Callable[[], Awaitable[Mapping[str, Work]]]] = {
            "feeds": self._make_feeds,
            "sources": self._make_sources,
            "filing": self._make_filings,
            "systems": self._make_systems,
        }
        try:
            for section in self._assignment.config.adapters:
                self._works |= await makers[section]()
        except (ProfileMistakes, FilingMistakes) as mistakes:
            raise RefusesToStart(str(mistakes)) from None
        except OSError as error:
            raise RefusesToStart(f"the key of an account cannot be read: {error}") from None
        tasks = [asyncio.create_task(self._keep(name, work), name=name) for name, work in self._works.items()]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self, grace_s: float) -> None:  # noqa: ARG002 # nothing waits: what is not committed is told again
        await self._stops.aclose()

    def describe(self) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for work in self._works.values():
            found |= work.describe()
        return found | self._shut_out

    async def _keep(self, name: str, work: Work) -> None:
        """Let one adapter work, whatever becomes of the others. Raises `RefusesToStart` once none is let work."""
        while True:
            try:
                await work.run()
            except NotTaken as not_taken:
                self._shut_out[name] = f"the registry does not let the account of {name} work: {not_taken}"
                log.error("%s", self._shut_out[name])
            except Exception:
                log.exception("an adapter broke down", extra={"adapter": name})
                await asyncio.sleep(SHUT_OUT_S)
                continue
            if self._shut_out.keys() == self._works.keys():
                raise RefusesToStart("; ".join(self._shut_out.values()))
            await asyncio.sleep(SHUT_OUT_S)
            self._shut_out.pop(name, None)

    async def _make_feeds(self) -> Mapping[str, Work]:
        profiles = load_profiles(self._assignment.config, os.environ)
        client = feed_client.RegistryClient(self._url, self._token(FEEDS_TOKEN_FILE))
        await self._stops.enter_async_context(client)
        feeds = Feeds(profiles, client, self._metrics, self._announce_for("feeds"), metrics_url=self._metrics_url)
        self._stops.push_async_callback(feeds.close)
        return {"feeds": feeds}

    async def _make_sources(self) -> Mapping[str, Work]:
        profiles = load_sources(self._assignment.config, os.environ)

        def make_client(profile: Profile) -> source_client.RegistryClient:
            return source_client.RegistryClient(self._url, profile.token)

        sources = Sources(profiles, make_client, self._metrics, self._announce_for("sources"))
        self._stops.push_async_callback(sources.close)
        return {"sources": sources}

    async def _make_filings(self) -> Mapping[str, Work]:
        config = self._assignment.config
        place = make_place(config)
        client = filing_client.RegistryClient(self._url, self._token(FILINGS_TOKEN_FILE))
        await self._stops.enter_async_context(client)
        announce = self._announce_for("filing")
        filings = Filings(config.filing.home, place, client, self._metrics, announce, poll_s=config.filing.poll_s)
        self._stops.push_async_callback(filings.close)
        return {"filing": filings}

    async def _make_systems(self) -> Mapping[str, Work]:
        works: dict[str, Work] = {}
        for system in load_systems(self._assignment.config, os.environ):
            name = f"system {system.name}"
            registry = await self._stops.enter_async_context(RegistryApi(self._url, system.token))
            around = Surroundings(system.name, registry, self._metrics, self._announce_for(name))
            works[name] = SystemWork(system, around)
        return works

    @property
    def _url(self) -> str:
        host = in_url(reachable(self._assignment.config.registry.host))
        return f"http://{host}:{self._assignment.ports['registry.http_port']}"

    @property
    def _metrics_url(self) -> str:
        port = self._assignment.ports["node.metrics_port"]
        host = in_url(reachable(self._assignment.config.node.host))
        return f"http://{host}:{port}/metrics" if port is not None else ""

    def _token(self, name: str) -> str:
        return Path(self._assignment.config.node.data / name).read_text(encoding="ascii").strip()

    def _announce_for(self, name: str) -> Callable[[bool], None]:
        def announce(is_ready: bool) -> None:
            (self._ready.add if is_ready else self._ready.discard)(name)
            self._announce(self._ready | self._shut_out.keys() >= self._works.keys())

        return announce


if __name__ == "__main__":
    os.nice(NICENESS)
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    sys.exit(run_part(Adapters))
