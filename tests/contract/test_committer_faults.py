"""The committer when its store, its segments or its readers fail: what is acknowledged, what is refused, that it goes on."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from proto.errors import Reason, Refusal
from proto.model.change import Position
from proto.places import RUN
from proto.wake import Signal
from registry.commit import checkpoints, wake_server, writer
from registry.commit.primary import Primary
from registry.store.rocksdb import RocksdbStore
from tests.support.commits import findings, hold_prefix, register, running_primary
from tests.support.wake_reader import WakeReader

NO_SPACE = "IO error: No space left on device: While appending to file: 000004.log"
BROKEN = "IO error: Input/output error"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def primary(data: Path) -> AsyncIterator[Primary]:
    async with running_primary(data) as opened:
        await opened.committer.commit(hold_prefix())
        yield opened


@contextmanager
def failing(method: str, fault: Callable[[Callable[[], Any]], Any]) -> Iterator[None]:
    """Make a method of every store go through `fault`, which gets the real call."""
    real = getattr(RocksdbStore, method)
    setattr(RocksdbStore, method, lambda store, *arguments: fault(lambda: real(store, *arguments)))
    try:
        yield
    finally:
        setattr(RocksdbStore, method, real)


def before(message: str) -> Callable[[Callable[[], Any]], Any]:
    """Fail before anything is done."""

    def fault(_real: Callable[[], Any]) -> Any:
        raise OSError(message)

    return fault


def after(message: str) -> Callable[[Callable[[], Any]], Any]:
    """Fail when all is done: whoever asked cannot know."""

    def fault(real: Callable[[], Any]) -> Any:
        real()
        raise OSError(message)

    return fault


@pytest.mark.parametrize(("message", "reason"), [(NO_SPACE, Reason.STORAGE_FULL), (BROKEN, Reason.STORE_FAILED)])
async def test_a_write_that_failed_is_refused_by_name(primary: Primary, message: str, reason: Reason) -> None:
    head = primary.head
    with failing("_write", before(message)), pytest.raises(Refusal) as refused:
        await primary.committer.commit(register("a"))
    assert refused.value.reason is reason
    assert primary.head == head
    assert (await primary.committer.commit(register("a"))).position == Position(1, 2)


async def test_a_write_that_came_true_although_it_failed_is_acknowledged(primary: Primary, data: Path) -> None:
    with failing("_write", after(BROKEN)):
        many = await asyncio.gather(*(primary.committer.commit(register(f"a-{number}")) for number in range(10)))
    assert sorted(done.position.sequence for done in many) == list(range(2, 12))
    await primary.close()
    assert findings(data) == []


async def test_a_conflict_in_a_group_that_failed_stays_a_conflict_if_the_group_came_true(primary: Primary) -> None:
    with failing("_write", after(BROKEN)):
        results = await asyncio.gather(
            *(primary.committer.commit(register("a", account=name)) for name in "xyz"), return_exceptions=True
        )
    assert sorted(type(result).__name__ for result in results) == ["Committed", "Conflict", "Conflict"]


async def test_a_store_that_cannot_be_opened_again_refuses_until_it_can(
    primary: Primary, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_SETTLE_WAIT_S", 0.1)
    monkeypatch.setattr(writer, "_REOPEN_EVERY_S", 0.02)
    with failing("_write", after(BROKEN)), failing("_open_again", before(BROKEN)):
        for suffix in ("a", "b"):
            with pytest.raises(Refusal) as refused:
                await primary.committer.commit(register(suffix, key="k"))
            assert refused.value.reason is Reason.STORE_FAILED
        with pytest.raises(Refusal) as refused:
            await primary.committer.recall("acme", "k", b"b" * 32)
        assert refused.value.reason is Reason.STORE_FAILED
    # The first of the two had come true, and its sender finds out by asking again.
    again = await primary.committer.commit(register("a", key="k"))
    assert (again.replayed, again.position) == (True, Position(1, 2))
    await primary.close()
    assert findings(data) == []


async def test_what_the_segments_could_not_take_is_acknowledged_and_made_up_for(
    primary: Primary, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert (await primary.committer.commit(register("a"))).position == Position(1, 2)
    with pytest.raises(Refusal) as refused:
        await primary.committer.commit(register("b"))
    assert refused.value.reason is Reason.STORAGE_FULL
    monkeypatch.undo()
    assert (await primary.committer.commit(register("b"))).position == Position(1, 3)
    await primary.close()
    assert findings(data) == []


async def test_a_checkpoint_that_fails_stops_nobody(primary: Primary, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "OVERLAY_ENTRIES", 1)
    with failing("checkpoint", before(BROKEN)):
        for number in range(5):
            await primary.committer.commit(register(f"a-{number}"))
    await primary.close()
    assert findings(data) == []


async def test_a_writer_that_dies_leaves_nobody_waiting_and_says_so(data: Path) -> None:
    primary = Primary.open(data, SystemClock(), build_metrics(CollectorRegistry()))
    await primary.start()

    def die(_real: Callable[[], Any]) -> Any:
        raise SystemExit

    with failing("apply", die):
        ends = await asyncio.gather(
            *(primary.committer.commit(register(f"a-{number}")) for number in range(5)), return_exceptions=True
        )
    assert all(isinstance(end, Refusal) and end.reason in {Reason.STORE_FAILED, Reason.NOT_READY} for end in ends), ends
    with pytest.raises(SystemExit):
        await asyncio.wait_for(asyncio.shield(primary.failure), 10)
    await primary.close()


async def test_commits_wait_for_a_reader_whose_overlay_grows_too_large(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "OVERLAY_ENTRIES", 5)
    monkeypatch.setattr(checkpoints, "MAX_OVERLAY_ENTRIES", 20)
    monkeypatch.setattr(wake_server, "VISIBILITY_WAIT_S", 0.001)
    async with running_primary(data) as primary:
        reader = await WakeReader.connect(data / RUN)
        await reader.get_ready(0)

        async def write() -> None:
            for number in range(200):
                await primary.committer.commit(register(f"a-{number}"))

        writing = asyncio.create_task(write())
        switch = await reader.hear_switch()
        await asyncio.sleep(0.3)
        held_at = primary.head.position.sequence
        assert held_at < 40, "commits go on although a reader cannot follow"
        while not writing.done():
            reader.say(Signal.APPLIED, primary.head.position.sequence)
            reader.say(Signal.SWITCHED, switch.position.sequence)
            hearing = asyncio.create_task(reader.hear_switch())
            await asyncio.wait({hearing, writing}, return_when=asyncio.FIRST_COMPLETED)
            switch = hearing.result() if hearing.done() else switch
            hearing.cancel()
        assert primary.head.position.sequence == 200
        reader.close()


async def test_a_reader_that_never_moves_is_given_up(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "OVERLAY_ENTRIES", 5)
    monkeypatch.setattr(checkpoints, "MAX_OVERLAY_ENTRIES", 20)
    monkeypatch.setattr(wake_server, "STUCK_S", 0.2)
    monkeypatch.setattr(wake_server, "_LOOK_EVERY_S", 0.05)
    async with running_primary(data) as primary:
        reader = await WakeReader.connect(data / RUN)
        await reader.get_ready(0)
        await asyncio.gather(*(primary.committer.commit(register(f"a-{number}")) for number in range(100)))
        for number in range(100, 150):
            await primary.committer.commit(register(f"a-{number}"))
        assert await reader.is_hung_up_on()
        reader.close()
