"""A full disk: writes are refused by name, reads go on, and writes go on when room has been made, without a restart."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from proto.errors import Reason, Refusal
from proto.ports import Committed
from registry.commit.primary import Primary
from registry.commit.space import SpaceGuard
from resolver.view.view import View
from tests.support.commits import PREFIX, batch, findings, hold_prefix, register, running_primary
from tests.support.history import record_row
from tests.support.machine import small_disk

pytestmark = [pytest.mark.slow]

DISK_MEGABYTES = 96
SENDERS = 16


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", DISK_MEGABYTES) as mounted:
        yield mounted


class Filler:
    """A file of somebody else that takes up what room there is."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._path = disk / "filler"

    def fill(self, leave: int) -> None:
        """Leave so many bytes free."""
        usage = os.statvfs(self._disk)
        taken = self._path.stat().st_size if self._path.exists() else 0
        with self._path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, taken + usage.f_bavail * usage.f_frsize - leave)

    def clear(self) -> None:
        self._path.unlink()


def is_full(refusal: BaseException) -> bool:
    return isinstance(refusal, Refusal) and refusal.reason is Reason.STORAGE_FULL


async def test_below_the_floor_writes_are_refused_and_reads_go_on(disk: Path) -> None:
    data, filler = disk / "data", Filler(disk)
    async with running_primary(data) as primary:
        await primary.committer.commit(hold_prefix())
        written = await primary.committer.commit(register("a"))
        view = View(data, SystemClock(), build_metrics(CollectorRegistry()))
        await view.open()
        filler.fill(leave=4 * 1024 * 1024)
        for _ in range(3):
            with pytest.raises(Refusal) as refused:
                await primary.committer.commit(register("b"))
            assert refused.value.reason is Reason.STORAGE_FULL
            assert refused.value.retry_after_s
            assert view.record(f"{PREFIX}/a") is not None
            assert view.position == written.position
        filler.clear()
        await primary.committer.commit(register("b"))
        assert view.record(f"{PREFIX}/b") is not None
        await view.close()
    assert findings(data) == []


async def write_until_refused(primary: Primary, sender: int, acknowledged: set[str]) -> BaseException:
    """Commit batches until one is not acknowledged; why it was not."""
    for number in range(10_000):
        names = [f"{PREFIX}/{sender}-{len(acknowledged)}-{number}-{row}" for row in range(20)]
        try:
            await primary.committer.commit(batch([record_row(name, 1, size=2_000) for name in names], f"account-{sender}"))
        except Refusal as refusal:
            return refusal
        acknowledged.update(names)
    raise AssertionError("the disk does not fill up")


@pytest.mark.parametrize("leave", [0, 50_000, 300_000, 1_000_000, 3_000_000])
async def test_a_disk_that_is_full_to_the_last_byte_loses_nothing(
    disk: Path, monkeypatch: pytest.MonkeyPatch, leave: int
) -> None:
    # The floor keeps a node from getting here; somebody else's file that grows between look and write does not ask it.
    data, filler, acknowledged = disk / "data", Filler(disk), set[str]()
    async with running_primary(data) as primary:
        await primary.committer.commit(hold_prefix())
        monkeypatch.setattr(SpaceGuard, "admits", lambda _self, _size: True)
        for attempt in range(3):
            filler.fill(leave)
            ends = await asyncio.gather(*(write_until_refused(primary, sender, acknowledged) for sender in range(SENDERS)))
            assert all(is_full(end) for end in ends), ends
            filler.clear()
            committed = await until_committed(primary, f"again-{attempt}")
            assert committed.position == primary.head.position
        monkeypatch.undo()
        view = View(data, SystemClock(), build_metrics(CollectorRegistry()))
        await view.open()
        assert await view.reach(primary.head.position, 30)
        names = sorted(acknowledged)
        assert all(view.records(names))
        await view.close()
    assert findings(data) == []


async def until_committed(primary: Primary, name: str) -> Committed:
    """Room has been made: the next write, or the one after a retry that it asks for, goes through."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await primary.committer.commit(register(name))
            except Refusal as refusal:
                if refusal.reason is not Reason.STORAGE_FULL:
                    raise
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("leave", [0, 1024 * 1024])
async def test_a_start_on_a_full_disk_reads_and_refuses(disk: Path, leave: int) -> None:
    data, filler = disk / "data", Filler(disk)
    async with running_primary(data) as primary:
        await primary.committer.commit(hold_prefix())
        await primary.committer.commit(register("a"))
    filler.fill(leave)
    async with running_primary(data) as primary:
        with pytest.raises(Refusal) as refused:
            await primary.committer.commit(register("b"))
        assert refused.value.reason is Reason.STORAGE_FULL
        filler.clear()
        await primary.committer.commit(register("b"))
    assert findings(data) == []
