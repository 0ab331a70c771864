"""All sources of a node: each is run when its time has come, or when somebody asks for it; one run at a time.

A source is looked at every few seconds in the registry, where a run is asked for. One that is not read whole and was stopped by
its brake waits for that: what stopped it lies behind its bookmark and does not go away by itself. One that is read whole is
planned anew each time, and goes on by itself once its listing is well again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from adapters.registry_api import NotTaken, Unreachable
from adapters.sources.core.profile import Profile
from adapters.sources.readers.order import make_reader
from adapters.sources.readers.reader import Reader
from adapters.sources.registry_client import RegistryClient, StoredSource
from adapters.sources.run import Run, RunResult, Stale
from proto.metrics import Metrics

log = logging.getLogger(__name__)

# How soon a request for a run is noticed.
LOOK_S: Final = 1.0

# A source that failed is read again before its time, but not at once; an account that is shut out may be opened again.
FAILED_S: Final = 60.0
SHUT_OUT_S: Final = 10.0

# A plan holds up to a hundred megabytes.
RUNS_AT_ONCE: Final = 1

MakeClient = Callable[[Profile], RegistryClient]


class Source:
    """One source: its profile, its reader, and the client of its account."""

    def __init__(
        self, profile: Profile, reader: Reader, client: RegistryClient, metrics: Metrics, turn: asyncio.Semaphore
    ) -> None:
        self.profile = profile
        self.standing = "starting"
        self._reader = reader
        self._client = client
        self._metrics = metrics
        self._turn = turn
        self._now = asyncio.get_running_loop().time
        self._due = self._now()

    async def look(self) -> None:
        """See whether it is to be run, and run it. Raises `NotTaken`, `Unreachable`."""
        stored = await self._client.source(self.profile.name) or await self._client.create(self.profile.name)
        self._measure(stored)
        waits = stored.state == "stopped" and not self.profile.place.is_whole
        if stored.is_requested or (self._now() >= self._due and not waits):
            async with self._turn:
                # Whatever it waited for may have taken long: the run begins with how things are now.
                stored = await self._client.source(self.profile.name) or stored
                await self._run(stored)

    async def close(self) -> None:
        """Let go of the reader and the client."""
        await self._reader.close()
        await self._client.__aexit__()

    async def open(self) -> None:
        """Open the client."""
        await self._client.__aenter__()

    async def _run(self, stored: StoredSource) -> None:
        name = self.profile.name
        self.standing = "running"
        try:
            result = await Run(self.profile, self._reader, self._client, stored, over_brake=stored.over_brake).run()
        except Stale:
            log.info("a source begins anew", extra={"source": name})
            return
        except Unreachable:
            self._due = self._now() + min(FAILED_S, self.profile.every_s)
            raise
        self._due = self._now() + (min(FAILED_S, self.profile.every_s) if result.state == "failed" else self.profile.every_s)
        self._count(result)
        facts = {"source": name, "state": result.state, "why": result.message, "counts": dict(result.counts)}
        log.log(logging.DEBUG if result.is_idle else logging.INFO, "a source ran", extra=facts)
        after = await self._client.source(name)
        if after is not None:
            self._measure(after)

    def _count(self, result: RunResult) -> None:
        self._metrics.source_runs.labels(self.profile.name, result.state).inc()
        for outcome, count in result.counts.items():
            if count and outcome != "rows":
                self._metrics.source_rows.labels(self.profile.name, outcome).inc(count)

    def _measure(self, stored: StoredSource) -> None:
        self._metrics.source_stopped.labels(self.profile.name).set(stored.state == "stopped")
        since = stored.done or stored.created
        self._metrics.source_done_timestamp_seconds.labels(self.profile.name).set(since.timestamp())
        self.standing = f"{stored.state}{f': {stored.message}' if stored.message else ''}"


class Sources:
    """The sources of some profiles, each with a client of its own. `announce` is told once each was looked at."""

    def __init__(
        self,
        profiles: Sequence[Profile],
        make_client: MakeClient,
        metrics: Metrics,
        announce: Callable[[bool], None],
        *,
        look_s: float = LOOK_S,
    ) -> None:
        turn = asyncio.Semaphore(RUNS_AT_ONCE)
        self._look_s = look_s
        self._announce = announce
        self._sources = [
            Source(profile, make_reader(profile.place), make_client(profile), metrics, turn) for profile in profiles
        ]
        self._looked_at: set[str] = set()

    async def run(self) -> None:
        """Run sources until cancelled. What goes wrong with one is not another's trouble."""
        for source in self._sources:
            await source.open()
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(self._keep(source), name=f"source {source.profile.name}")

    async def close(self) -> None:
        """End. What was applied and not yet reported is found unchanged by the next run."""
        await asyncio.gather(*(source.close() for source in self._sources))

    def describe(self) -> Mapping[str, Any]:
        """How each source stands, by its name; a feed may have the same."""
        return {f"source {source.profile.name}": source.standing for source in self._sources}

    def _note_looked_at(self, name: str) -> None:
        if name not in self._looked_at:
            self._looked_at.add(name)
            if len(self._looked_at) == len(self._sources):
                self._announce(True)

    async def _keep(self, source: Source) -> None:
        name = source.profile.name
        is_away = False
        while True:
            wait_s = self._look_s
            try:
                await source.look()
                is_away = False
            except Unreachable as unreachable:
                if not is_away:
                    log.warning("the registry cannot be reached", extra={"source": name, "why": str(unreachable)})
                is_away = True
            except NotTaken as not_taken:
                source.standing = f"the registry does not let its account work: {not_taken}"
                log.error("a source cannot run", extra={"source": name, "why": str(not_taken)})
                wait_s = SHUT_OUT_S
            except Exception:
                source.standing = "internal error; its trace is in the log"
                log.exception("a source broke down", extra={"source": name})
                wait_s = SHUT_OUT_S
            if not is_away:
                self._note_looked_at(name)
            await asyncio.sleep(wait_s)
