"""Import jobs that break off: lost outcomes, restarts, others' writes. Every row once, and a result that says so."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proto.errors import Reason, Refusal
from proto.model.change import Row, Table
from proto.model.job import Job, JobState
from proto.model.prefix import PrefixState
from proto.model.record import Record, State
from proto.packing import pack_record, version_of
from proto.ports import Command
from registry.commit.transaction import prepare
from registry.service.context import Context
from registry.service.imports import runner as runner_module
from tests.support.imports import PREFIX, Desk, products, until
from tests.support.world import HOLDER, OPERATOR, World


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await Desk(await World().furnish(), tmp_path).open()
    yield desk
    await desk.jobs.close()


def counts(job: Job) -> tuple[int, int, int, int]:
    return (job.created, job.replaced, job.unchanged, job.refused)


class Failures:
    """Makes every so many commits fail, before or after they are done."""

    def __init__(self, desk: Desk, every: int, error: BaseException, *, after: bool) -> None:
        commit, left = desk.committer.straight, every

        async def failing(command: Command) -> Any:
            nonlocal left
            left -= 1
            if left:
                return await commit(command)
            left = every
            if after:
                # The view does not show it yet: nobody knows.
                desk.world.view.freeze()
                await commit(command)
            raise error

        desk.committer.through = failing


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "FIRST_RETRY_S", 0.001)
    monkeypatch.setattr(runner_module, "LAST_RETRY_S", 0.002)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.service.imports.lookahead.CHUNK_ROWS", 10)


def lines_once(desk: Desk, job: Job, rows: int) -> bool:
    result = desk.result(job)
    return [int(line["row"]) for line in result] == list(range(1, rows + 1)) and {line["outcome"] for line in result} == {
        "created"
    }


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("every", [3, 4, 7])
@pytest.mark.usefixtures("impatient", "small_chunks")
async def test_commits_whose_outcome_nobody_learns_leave_every_row_once(desk: Desk, every: int, after: bool) -> None:
    job = await desk.submit(products(95))
    Failures(desk, every, Refusal(Reason.STORE_FAILED, "the disk is gone"), after=after)
    job = await desk.finish(job)
    assert (job.state, job.rows, counts(job)) == (JobState.FINISHED, 95, (95, 0, 0, 0))
    assert lines_once(desk, job, 95)
    assert desk.jobs.hindrance(job) == ""


@pytest.mark.usefixtures("impatient", "small_chunks")
async def test_the_result_says_what_was_committed_even_if_it_would_be_decided_otherwise_now(desk: Desk) -> None:
    world = desk.world
    commit = desk.committer.straight

    async def commit_and_fail(command: Command) -> Any:
        if desk.look(job).rows < 20:
            return await commit(command)
        # The prefix is suspended between plan and commit, and nobody learns that the commit went through.
        desk.committer.through = commit
        await world.registry.move_prefix(Context(OPERATOR, "r"), PREFIX, PrefixState.SUSPENDED)
        world.view.freeze()
        await commit(command)
        raise Refusal(Reason.STORE_FAILED)

    job = await desk.submit(products(50))
    desk.committer.through = commit_and_fail
    job = await desk.finish(job)
    assert counts(job) == (30, 0, 0, 20)
    assert [line["outcome"] for line in desk.result(job)] == ["created"] * 30 + ["refused"] * 20


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.usefixtures("small_chunks")
async def test_a_restart_goes_on_with_the_next_row(desk: Desk, after: bool) -> None:
    job = await desk.submit(products(95))
    kills = 0
    while desk.look(job).state is not JobState.FINISHED:
        Failures(desk, 3, asyncio.CancelledError(), after=after)
        async with asyncio.timeout(10):
            await until(lambda: not desk.jobs._runner.load)  # the process has ended
        desk.committer.through = desk.committer.straight
        await desk.jobs.close()
        if desk.look(job).state is not JobState.FINISHED:
            with desk.jobs.result_path(job).open("ab") as result:
                result.write(b"9999,written,created,,and never counted\n")
            kills += 1
        await desk.restart()
    assert kills > 2
    job = desk.look(job)
    assert counts(job) == (95, 0, 0, 0)
    assert lines_once(desk, job, 95)
    assert desk.jobs.result_path(job).stat().st_size == job.result_bytes
    versions = {version_of(desk.world.view.record(f"{PREFIX}/t-{number}") or b"") for number in range(1, 96)}
    assert versions == {1}


@pytest.mark.usefixtures("impatient", "small_chunks")
async def test_others_writes_to_the_same_rows_are_seen_and_planned_again(desk: Desk) -> None:
    world = desk.world
    image = pack_record(Record(f"{PREFIX}/T-5", 1, State.ACTIVE, (), HOLDER, 1, 1))
    others = prepare(Command("other", "r", [Row(Table.RECORD, f"{PREFIX}/t-5", image, 1)]), 1).transaction

    def intervene() -> None:
        is_chunk = desk.look(job).state is JobState.RUNNING
        if is_chunk:
            world.committer.before_commit = None
            world.store.apply([others], 1)

    job = await desk.submit(products(30))
    world.committer.before_commit = intervene
    job = await desk.finish(job)
    assert counts(job) == (29, 1, 0, 0)
    assert [line["row"] for line in desk.result(job) if line["outcome"] == "replaced"] == ["5"]
