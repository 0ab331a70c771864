"""Import jobs over a registry in memory: a desk in a temporary folder, tables to hand in, results to read."""

import asyncio
import csv
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.model.account import Account, Caller, Role
from proto.model.change import Row, Table
from proto.model.job import Job, JobState
from proto.packing import PackedRecord
from proto.ports import Command, Committed, Committer
from proto.tables import pack_account, unpack_job
from registry.service.context import Context
from registry.service.imports.jobs import ImportJobs, ImportRequest
from registry.service.imports.planners import ChunkPlanner
from tests.support.reader import NOW_MS
from tests.support.world import HOLDER, World, holder

PREFIX = "88.118.1001"
ENDED = (JobState.FINISHED, JobState.FAILED)

# Far beyond what a job of these tests needs, also in processes that are nice on a machine that is busy.
LIMIT_S = 240


def table(*rows: str, header: str = "identifier,1:URL,2:TITLE") -> bytes:
    """A CSV in UTF-8."""
    return "".join(f"{row}\n" for row in (header, *rows)).encode()


def products(count: int, title: str = "变压器") -> bytes:
    """A table of distinct products."""
    return table(*(f"{PREFIX}/T-{number},https://example.cn/{number},{title} {number}" for number in range(1, count + 1)))


async def pieces(data: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something is so."""
    while not condition():  # noqa: ASYNC110  # what is waited for is in a store, which tells nobody
        await asyncio.sleep(0.001)


class GatedCommitter:
    """A `proto.ports.Committer` before another one: tests put something of their own in its way (`through`)."""

    def __init__(self, committer: Committer) -> None:
        self.straight = committer.commit
        self.through = committer.commit
        self.recall = committer.recall

    async def commit(self, command: Command) -> Committed:
        return await self.through(command)


@dataclass
class Desk:
    """A world with a desk for imports; `restart` makes a new desk over the same store and folder, as a new process does."""

    world: World
    data: Path
    scrape: CollectorRegistry = field(default_factory=CollectorRegistry)
    jobs: ImportJobs = field(init=False)
    planner: ChunkPlanner | None = None

    def __post_init__(self) -> None:
        self.committer = GatedCommitter(self.world.committer)

    async def open(self, *, accounts: bool = True) -> "Desk":
        self.metrics = build_metrics(self.scrape)
        if accounts:
            await self.put_account("holder", Role.REGISTRANT, HOLDER)
            await self.put_account("operator", Role.OPERATOR)
        await self.restart()
        return self

    async def restart(self) -> None:
        self.jobs = ImportJobs(self.world.registry.executor, self.committer, self.metrics, self.data, self.planner)
        await self.jobs.start()

    async def put_account(self, name: str, role: Role, registrant: str = "", enabled: bool = True, version: int = 1) -> None:
        account = Account(name, role, registrant, b"digest", (), enabled, version, NOW_MS, NOW_MS)
        row = Row(Table.ACCOUNT, name, pack_account(account), version, version - 1)
        await self.world.committer.commit(Command("set-up", "set-up", [row]))

    async def submit(self, data: bytes, file_name: str = "rows.csv", caller: Caller | None = None, **options: Any) -> Job:
        request = replace(ImportRequest(PREFIX, file_name), **options)
        return await self.jobs.submit(Context(caller or holder(), "request-7"), request, pieces(data))

    def look(self, job: Job) -> Job:
        image = self.world.view.image(Table.JOB, job.id)
        assert image is not None
        return unpack_job(image)

    async def finish(self, job: Job) -> Job:
        """The job at its end."""
        async with asyncio.timeout(LIMIT_S):
            await until(lambda: self.look(job).state in ENDED)
        return self.look(job)

    async def run(self, data: bytes, file_name: str = "rows.csv", caller: Caller | None = None, **options: Any) -> Job:
        return await self.finish(await self.submit(data, file_name, caller, **options))

    def result(self, job: Job) -> list[dict[str, str]]:
        """The counted lines of a job's result."""
        text = self.jobs.result_path(job).read_bytes()[: job.result_bytes].decode()
        return list(csv.DictReader(text.splitlines(keepends=True)))

    def stored(self, identifier: str) -> list[str]:
        """The data of an identifier's values."""
        packed = self.world.view.record(identifier.lower())
        if packed is None:
            return []
        return [value.data.decode() for value in PackedRecord(packed).unpack().values]
