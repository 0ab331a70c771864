"""Imports planned in processes of their own: the same rows, the same result; and what becomes of them when a process dies."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from proto.model.job import JobState
from proto.ports import RecordReader
from registry.service.imports import planners as planners_module
from registry.service.imports import planning as planning_module
from registry.service.imports.chunks import Chunk, ChunkTask
from registry.service.imports.planners import MODULE, PlannerPool
from registry.service.imports.planning import PlanningProcess
from tests.support.imports import LIMIT_S, PREFIX, Desk, products, table, until
from tests.support.node import is_alive
from tests.support.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BY_ORDER = "tests.support.planning_by_order"
ROWS = 6_000


def commands_of_children() -> list[bytes]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]


async def begun(pool: PlannerPool, count: int) -> None:
    """Wait until so many processes take tasks."""
    async with asyncio.timeout(LIMIT_S):
        await until(lambda: len(pool.pids) == count)


@dataclass
class Office:
    """A desk whose chunks are planned by a pool."""

    desk: Desk
    pool: PlannerPool


class OpenOffice(Protocol):
    async def __call__(self, processes: int, module: str = MODULE, folder: str = "office") -> Office: ...


@pytest.fixture
async def open_office(tmp_path: Path) -> AsyncIterator[OpenOffice]:
    async with AsyncExitStack() as closing:

        async def begin(processes: int, module: str = MODULE, folder: str = "office") -> Office:
            world = await World().furnish()
            pool = PlannerPool(world.view, processes, module)
            closing.push_async_callback(pool.close)
            if processes:
                pool.start()
                await begun(pool, processes)
            desk = await Desk(world, tmp_path / folder, planner=pool).open()
            closing.push_async_callback(lambda: desk.jobs.close())
            return Office(desk, pool)

        yield begin


def mixed() -> bytes:
    """Rows of every outcome: created, replaced, unchanged, refused; dependent ones near and far; over several lines."""
    rows = []
    for number in range(1, ROWS):
        match number % 50:
            case 7:
                rows.append(f"{PREFIX}/T-{number - 7},https://example.cn/{number},again")
            case 8:
                rows.append(f"{PREFIX}/T-{max(number - 1_300, 1)},https://example.cn/{number},far")
            case 11:
                same = max(number - 1_030, 31)
                rows.append(f"{PREFIX}/T-{same},https://example.cn/{same},变压器 {same}")
            case 9:
                rows.append(f"{PREFIX}/T-{number},https://example.cn/{number}")
            case 10:
                rows.append(f'{PREFIX}/T-{number},u,"two\nlines, and ""quotes"""')
            case _:
                rows.append(f"{PREFIX}/T-{number},https://example.cn/{number},变压器 {number}")
    return table(*rows)


async def test_what_several_processes_plan_is_what_one_plans(open_office: OpenOffice) -> None:
    results, records = [], []
    for processes in (0, 3):
        office = await open_office(processes, folder=f"office-{processes}")
        jobs = [await office.desk.run(mixed()), await office.desk.run(products(ROWS // 2))]
        assert {job.state for job in jobs} == {JobState.FINISHED}
        results.append([office.desk.jobs.result_path(job).read_bytes() for job in jobs])
        records.append(office.desk.world.view.scan(PREFIX, "", 2 * ROWS))
    assert results[0] == results[1]
    assert records[0] == records[1]
    assert {line["outcome"] for line in office.desk.result(jobs[0])} == {"created", "replaced", "unchanged", "refused"}


async def test_aliases_and_their_prefixes_are_asked_for(open_office: OpenOffice) -> None:
    bodies = [
        {"identifier": f"{PREFIX}/T-{n}", "values": [], "aliases": [f"{PREFIX}/A-{n}", f"{PREFIX}/B-{n}"]} for n in range(3_000)
    ]
    data = "\n".join(map(json.dumps, bodies)).encode()
    office = await open_office(2)
    job = await office.desk.run(data, "rows.ndjson")
    assert (job.state, job.created, job.refused) == (JobState.FINISHED, 3_000, 0)
    assert all(office.desk.world.view.records([f"{PREFIX}/a-2999", f"{PREFIX}/b-0"]))
    again = await office.desk.run(data.replace(b"/T-", b"/U-"), "rows.ndjson")
    assert (again.created, again.refused) == (0, 3_000)


async def test_a_process_that_is_killed_costs_nothing(
    open_office: OpenOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANNING_ORDER", f"2500:end:{tmp_path / 'once'}")
    office = await open_office(2, BY_ORDER)
    job = await office.desk.run(products(ROWS))
    assert (tmp_path / "once").exists()
    assert (job.state, job.created) == (JobState.FINISHED, ROWS)
    assert [int(line["row"]) for line in office.desk.result(job)] == list(range(1, ROWS + 1))


async def test_idle_processes_that_are_killed_are_noticed(open_office: OpenOffice) -> None:
    office = await open_office(4)
    for pid in office.pool.pids:
        os.kill(pid, signal.SIGKILL)
    job = await office.desk.run(products(ROWS))
    assert (job.state, job.created) == (JobState.FINISHED, ROWS)


async def test_a_process_that_is_stuck_is_ended_and_costs_nothing(
    open_office: OpenOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    once, plan = tmp_path / "once", PlanningProcess.plan
    ended: list[int] = []

    async def plan_in_time(process: PlanningProcess, task: ChunkTask, reader: RecordReader) -> Chunk:
        """Only the first attempt at the chunk that sticks has little time: on a busy machine any other may need more."""
        limit_s = float(LIMIT_S)
        if b"/T-2500," in task.piece.data and ended:
            once.touch()
        elif b"/T-2500," in task.piece.data:
            limit_s = 1.0
            ended.append(process.pid or 0)
        monkeypatch.setattr(planning_module, "TASK_LIMIT_S", limit_s)
        return await plan(process, task, reader)

    monkeypatch.setattr(PlanningProcess, "plan", plan_in_time)
    monkeypatch.setenv("PLANNING_ORDER", f"2500:stick:{once}")
    office = await open_office(2, BY_ORDER)
    job = await office.desk.run(products(ROWS))
    assert (job.state, job.created) == (JobState.FINISHED, ROWS)
    assert [int(line["row"]) for line in office.desk.result(job)] == list(range(1, ROWS + 1))
    assert "a chunk is planned again" in caplog.text
    assert not is_alive(ended[0])


async def test_who_stops_the_whole_node_does_not_end_a_process_before_its_registry(open_office: OpenOffice) -> None:
    office = await open_office(2)
    before = set(office.pool.pids)
    for pid in before:
        os.kill(pid, signal.SIGTERM)
    job = await office.desk.run(products(ROWS))
    assert (job.state, job.created) == (JobState.FINISHED, ROWS)
    assert set(office.pool.pids) == before


@pytest.mark.parametrize("turns", [*range(12), 100])
async def test_processes_that_are_being_started_end_with_their_pool(turns: int) -> None:
    world = await World().furnish()
    pool = PlannerPool(world.view, 2)
    pool.start()
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_S):
        await pool.close()
    assert not any(MODULE.encode() in command for command in commands_of_children())


async def test_a_chunk_that_ends_every_process_fails_its_job_by_name(
    open_office: OpenOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANNING_ORDER", "2500:end")
    office = await open_office(2, BY_ORDER)
    job = await office.desk.run(products(ROWS))
    assert (job.state, job.created, job.rows) == (JobState.FAILED, 2_000, 2_000)
    assert "ended 3 planning processes" in job.message
    assert len(office.desk.result(job)) == 2_000
    assert len(office.desk.world.view.scan(PREFIX, "", ROWS)) == 2_000
    monkeypatch.setenv("PLANNING_ORDER", "0:end")
    again = await office.desk.run(products(ROWS), resume=True)
    assert (again.id, again.state, again.created) == (job.id, JobState.FINISHED, ROWS)


async def test_a_mistake_of_the_program_fails_the_job_by_name_and_commits_no_half(
    open_office: OpenOffice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PLANNING_ORDER", "2500:break")
    office = await open_office(2, BY_ORDER)
    job = await office.desk.run(products(ROWS))
    assert (job.state, job.created, job.rows) == (JobState.FAILED, 2_000, 2_000)
    assert "internal error" in job.message
    assert "ZeroDivisionError: by order" in caplog.text
    assert len(office.desk.world.view.scan(PREFIX, "", ROWS)) == len(office.desk.result(job)) == 2_000


async def test_without_a_process_chunks_are_planned_here(open_office: OpenOffice, caplog: pytest.LogCaptureFixture) -> None:
    office = await open_office(0)
    office.desk.planner = office.pool = PlannerPool(office.desk.world.view, 2, "no.such.module")
    await office.desk.jobs.close()
    await office.desk.restart()
    job = await office.desk.run(products(ROWS))
    assert (job.state, job.created) == (JobState.FINISHED, ROWS)
    async with asyncio.timeout(LIMIT_S):
        await until(lambda: not office.pool._processes)
    assert "planned in the registry's own" in caplog.text
    await office.pool.close()


async def test_processes_end_when_there_is_nothing_to_plan(open_office: OpenOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planners_module, "IDLE_S", 0.01)
    office = await open_office(2)
    before = office.pool.pids
    await office.desk.run(products(ROWS))
    async with asyncio.timeout(LIMIT_S):
        await until(lambda: not office.pool._processes)
    assert not any(map(is_alive, before))
    assert (await office.desk.run(products(ROWS))).unchanged == ROWS


async def test_a_job_that_is_given_up_leaves_its_processes_fit(
    open_office: OpenOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    monkeypatch.setenv("PLANNING_ORDER", f"2500:dwell:{go}")
    office = await open_office(2, BY_ORDER)
    job = await office.desk.submit(products(ROWS))
    async with asyncio.timeout(LIMIT_S):
        await until(lambda: office.desk.look(job).rows == 2_000)
    await office.desk.jobs.close()
    before = set(office.pool.pids)
    go.touch()
    await office.desk.restart()
    assert (await office.desk.finish(job)).created == ROWS
    assert set(office.pool.pids) == before


# A registry that has processes, one of them at work, and says which.
REGISTRY = """
import asyncio, sys
from pathlib import Path
from tests.scenarios.test_planning_processes import BY_ORDER, Desk, PlannerPool, World, begun, products, until

async def work():
    world = await World().furnish()
    pool = PlannerPool(world.view, 2, BY_ORDER)
    pool.start()
    await begun(pool, 2)
    desk = await Desk(world, Path(sys.argv[1]), planner=pool).open()
    job = await desk.submit(products(6_000))
    await until(lambda: desk.look(job).rows == 2_000)
    print(*pool.pids, flush=True)
    await asyncio.Event().wait()

asyncio.run(work())
"""


def test_processes_end_with_a_registry_that_is_killed(tmp_path: Path) -> None:
    environ = os.environ | {"PLANNING_ORDER": "2500:stick"}
    command = [sys.executable, "-c", REGISTRY, str(tmp_path / "office")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as registry:
        assert registry.stdout is not None
        children = [int(pid) for pid in registry.stdout.readline().split()]
        assert len(children) == 2
        registry.kill()
    deadline_s = time.monotonic() + LIMIT_S
    while any(map(is_alive, children)):
        assert time.monotonic() < deadline_s, "they outlive their registry"
        time.sleep(0.01)


def test_a_process_has_neither_store_nor_network_libraries() -> None:
    """It is small, and cannot touch what is not its business."""
    code = f"import sys, {MODULE}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"rocksdict", "aiohttp", "grpc", "uvloop", "prometheus_client", "resolver", "node"})
    assert not [
        name for name in done.stdout.split() if name.startswith(("registry.commit", "registry.store", "registry.doors"))
    ]
