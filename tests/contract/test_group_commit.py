"""Whatever door a command came through: what waits while a group is being made durable becomes durable by one sync."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from proto.v1.registry_pb2 import RegisterRequest
from proto.v1.registry_pb2_grpc import RegistryStub
from registry.commit.queues import FairQueues
from registry.commit.writer import Queued
from registry.doors.grpc.door import GrpcDoor
from registry.doors.rest.jobs import JobResource
from registry.service.imports.chunks import CHUNK_ROWS
from registry.service.imports.jobs import ImportJobs
from tests.support.control_plane import ACME, ControlPlane
from tests.support.grpc_calls import bearer
from tests.support.grpc_door import HOST, draft
from tests.support.imports import products, until
from tests.support.rest import RestNode

DEADLINE_S = 60
IMPORT = f"/api/v1/jobs/import?prefix={ACME}&file_name=rows.csv"
VALUES = {"values": [{"index": 1, "type": "URL", "data": "x"}]}


@dataclass
class Doors:
    """A whole registry with all its doors open."""

    plane: ControlPlane
    rest: RestNode
    grpc: Any

    def syncs(self) -> float:
        return self.plane.scrape.get_sample_value("biaojie_commit_groups_total") or 0.0


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with AsyncExitStack() as closing:
        plane = await closing.enter_async_context(ControlPlane(tmp_path))
        jobs = ImportJobs(plane.registry.executor, plane.committer, plane.metrics, tmp_path)
        await jobs.start()
        closing.push_async_callback(jobs.close)
        rest = await closing.enter_async_context(RestNode(plane.registry, None, None, JobResource(jobs)))
        rest.tokens = {"acme": plane.acme}
        door = GrpcDoor(plane.registry, plane.metrics)
        port = await door.open(HOST, 0)
        closing.push_async_callback(door.close, 0)
        door.set_ready(True)
        channel = await closing.enter_async_context(aio.insecure_channel(f"{HOST}:{port}"))
        yield Doors(plane, rest, RegistryStub(channel))


@dataclass
class Watch:
    """Sees what comes into the queues and what is taken out as a group; the first chunk of an import is held until `go`."""

    arrived: set[str] = field(default_factory=set)
    groups: list[set[str]] = field(default_factory=list)
    is_holding: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, doors: Doors) -> Iterator[Watch]:
    watch, put, take = Watch(), FairQueues.put, FairQueues.take

    def watched_put(queues: FairQueues[Queued], account: str, item: Queued, size: int) -> None:
        put(queues, account, item, size)
        if watch.is_holding.is_set():
            watch.arrived |= kinds([item])

    def watched_take(queues: FairQueues[Queued], *limits: Any) -> list[Queued]:
        taken: list[Queued] = take(queues, *limits)
        watch.groups.append(kinds(taken))
        if "import" in watch.groups[-1] and not watch.is_holding.is_set():
            watch.is_holding.set()
            assert watch.go.wait(DEADLINE_S)
        return taken

    monkeypatch.setattr(FairQueues, "put", watched_put)
    monkeypatch.setattr(FairQueues, "take", watched_take)
    yield watch
    watch.go.set()


def kinds(commands: Iterable[Queued]) -> set[str]:
    return {"import" if len(each.command.rows) > CHUNK_ROWS else each.command.request_id for each in commands}


async def test_commands_of_all_doors_share_one_sync(doors: Doors, watch: Watch) -> None:
    taken = await doors.rest("PUT", f"/api/v1/identifiers/{ACME}/FIRST", VALUES, by="acme")
    assert taken.status == 201
    job = await doors.rest("POST", IMPORT, data=products(3 * CHUNK_ROWS), by="acme", Content_Type="text/csv")
    async with asyncio.timeout(DEADLINE_S):
        await until(watch.is_holding.is_set)
        before = doors.syncs()
        over_rest = asyncio.create_task(
            doors.rest("PUT", f"/api/v1/identifiers/{ACME}/R", VALUES, by="acme", X_Request_Id="over-rest")
        )
        metadata = (*bearer(doors.plane.acme), ("x-request-id", "over-grpc"))
        over_grpc = doors.grpc.Register(RegisterRequest(draft=draft("G")), metadata=metadata)
        await until(lambda: watch.arrived >= {"import", "over-rest", "over-grpc"})
        assert not over_rest.done()
        assert not over_grpc.done()
        watch.go.set()
        assert (await over_rest).status == 201
        assert (await over_grpc).version == 1
        await until(lambda: doors.plane.view.record(f"{ACME}/t-{3 * CHUNK_ROWS}") is not None)
    assert {"import", "over-rest", "over-grpc"} in watch.groups
    # The chunk that was held, what waited meanwhile, the last chunk, and the end of the job.
    assert doors.syncs() - before <= 4
    assert job.status == 202
