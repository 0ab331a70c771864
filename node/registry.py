"""The registry: everything that writes, wired. One per node; it may die at any time, and the workers answer meanwhile.

It is ready once the store is settled, its own view shows it, the first start is done (homed prefixes, operator's account,
sample), unfinished jobs go on and the doors are open; they stay closed until workers that outlived an earlier registry can
have found this one, because a write is acknowledged only when every ready worker shows it. The writer's thread and the
event loop share the process.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, NoReturn, Protocol

from aiohttp import web

from node.clock import SystemClock
from node.control import Assignment
from node.folder import FEEDS_TOKEN_FILE, FILINGS_TOKEN_FILE, TOKEN_FILE
from node.metrics import build_metrics
from node.part import Announce, RefusesToStart, run_part
from node.sealing import seal_keys
from proto.errors import Refusal
from proto.metrics import Gauge
from proto.model.day import start_of
from proto.places import STREAM
from proto.wake import GATHER_S
from registry.commit.believed_clock import BelievedClock
from registry.commit.primary import Primary
from registry.doors.grpc.door import GrpcDoor
from registry.doors.rest.door import RestDoor
from registry.doors.rest.export import ExportResource
from registry.doors.rest.jobs import JobResource
from registry.doors.rest.pages import PagesBeside
from registry.service.bootstrap import FEEDS_ACCOUNT, FILINGS_ACCOUNT, OPERATOR_ACCOUNT, bootstrap
from registry.service.imports.jobs import ImportJobs
from registry.service.imports.planners import PlannerPool, default_processes
from registry.service.registry import Registry
from registry.service.sample.load import load_sample
from registry.service.sealing import Seals
from registry.store.port import Unusable
from resolver.listeners.http.connection import ConnectionServer
from resolver.listeners.http.limits import HttpLimits
from resolver.view.archive import Archive
from resolver.view.view import View

# The writer's thread and the loop hand the interpreter to each other: with Python's 5 ms either waits ten times as long as a
# sync of the disk takes.
SWITCH_INTERVAL_S: Final = 0.0005

# The accounts of adapters that have one for all they do, by the section that asks for the adapter, and the files of their keys.
_LOGINS: Final = {"feeds": (FEEDS_ACCOUNT, FEEDS_TOKEN_FILE), "filing": (FILINGS_ACCOUNT, FILINGS_TOKEN_FILE)}

# Of the time to drain: requests in flight. The rest is for the committer's queue and its last checkpoint.
DOORS_SHARE: Final = 0.5


HandleRequest = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Door(Protocol):
    """What all doors have in common."""

    async def open(self, host: str, port: int) -> int: ...
    async def close(self, grace_s: float) -> None: ...


class RegistryPart:
    """The registry's process (a `node.part.Part`)."""

    def __init__(self, assignment: Assignment, announce: Announce) -> None:
        self._assignment = assignment
        self._announce = announce
        self._metrics = build_metrics()
        day = assignment.config.node.clock_not_before
        self._clock = BelievedClock(SystemClock(), start_of(day) if day else 0, self._metrics.clock_doubt_seconds)
        self._data = assignment.config.node.data
        self._view = View(self._data, self._clock, self._metrics, self._readiness_changed)
        self._doors: list[Door] = []
        self._stops = AsyncExitStack()
        self._is_up = False

    async def run(self) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        try:
            # Blocks the loop, which has nothing else to do yet.
            primary = Primary.open(self._data, self._clock, self._metrics)
        except Unusable as unusable:
            raise RefusesToStart(str(unusable)) from None
        self._stops.push_async_callback(primary.close)
        if primary.head.position.sequence:
            self._clock.carry_on_from(primary.head.time_ms)
        await primary.start()
        serving = asyncio.create_task(self._serve(primary))
        try:
            await asyncio.wait((primary.failure, serving), return_when=asyncio.FIRST_COMPLETED)
            for ended in (serving, primary.failure):
                if ended.done():
                    ended.result()
        finally:
            serving.cancel()
            await asyncio.wait((serving,))

    async def stop(self, grace_s: float) -> None:
        await asyncio.gather(*(door.close(grace_s * DOORS_SHARE) for door in self._doors))
        await self._stops.aclose()

    def describe(self) -> Mapping[str, Any]:
        doubt = self._clock.look()
        told = {"position": list(self._view.position)} if self._view.is_ready else {}
        return told | ({"clock": doubt} if doubt else {})

    async def _serve(self, primary: Primary) -> None:
        gathering = asyncio.create_task(asyncio.sleep(GATHER_S))
        self._stops.push_async_callback(self._view.close)
        await self._view.open()
        archive = Archive(self._data / STREAM)
        self._stops.callback(archive.close)
        key, former = seal_keys(self._assignment.config)
        registry = Registry(
            self._view, primary.committer, archive, self._clock, data=self._data,
            counting=self._metrics.counts_lag_changes, seals=Seals(key, former) if key else None,
        )  # fmt: skip
        primary.committer.witness = registry.figures.records.see
        self._stops.callback(registry.figures.close)
        self._stops.push_async_callback(registry.access.close)
        await self._first_start(registry)
        await registry.papers.tidy()
        processes = self._assignment.config.registry.import_processes
        planners = PlannerPool(self._view, default_processes(len(os.sched_getaffinity(0))) if processes is None else processes)
        self._stops.push_async_callback(planners.close)
        jobs = ImportJobs(registry.executor, primary.committer, self._metrics, self._data, planners)
        self._stops.push_async_callback(jobs.close)
        await jobs.start()
        counting = asyncio.create_task(registry.figures.run())
        self._stops.push_async_callback(_cancel, counting)
        if registry.readings is not None:
            taking = asyncio.create_task(registry.readings.run())
            self._stops.push_async_callback(_cancel, taking)
        await gathering
        await self._open_doors(registry, jobs)
        # What is there now stays: full collections then look only at what came since, a tenth of the objects.
        gc.collect()
        gc.freeze()
        self._is_up = True
        self._announce(self._view.is_ready)
        await self._view.wait_failed()

    async def _first_start(self, registry: Registry) -> None:
        try:
            config = self._assignment.config
            logins = ((OPERATOR_ACCOUNT, TOKEN_FILE), *(_LOGINS[name] for name in config.adapters if name in _LOGINS))
            files = {account: self._data / file for account, file in logins}
            await bootstrap(registry.executor, config.node.homed, files)
        except (ValueError, OSError) as error:
            raise RefusesToStart(str(error)) from None
        if self._assignment.sample:
            await load_sample(registry)

    async def _open_doors(self, registry: Registry, jobs: ImportJobs) -> None:
        grpc_door = GrpcDoor(registry, self._metrics)
        grpc_door.set_ready(True)
        resources = (JobResource(jobs), ExportResource(registry))
        pages = PagesBeside(self._data / STREAM)
        self._stops.push_async_callback(pages.close)
        rest_door = RestDoor(registry, self._view, self._metrics, make_http_server, resources, pages=pages)
        doors: tuple[tuple[Door, str], ...] = ((rest_door, "registry.http_port"), (grpc_door, "registry.grpc_port"))
        for door, key in doors:
            port = self._assignment.ports[key]
            if port is not None:
                await door.open(self._assignment.config.registry.host, port)
                self._doors.append(door)

    def _readiness_changed(self, is_ready: bool) -> None:
        if self._is_up:
            self._announce(is_ready)


async def _cancel(work: "asyncio.Task[NoReturn]") -> None:
    work.cancel()
    await asyncio.wait((work,))


def make_http_server(handle: HandleRequest, gauge: Gauge, count: Callable[[Refusal], None]) -> ConnectionServer:
    """The HTTP server behind the REST door: connections and their limits are the same matter on every port of the node."""
    return ConnectionServer(handle, HttpLimits(), gauge, count)


if __name__ == "__main__":
    sys.exit(run_part(RegistryPart))
