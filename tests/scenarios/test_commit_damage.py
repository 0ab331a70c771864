"""What disks do to the files of a killed node: what can be mended is, and what was acknowledged is never dropped quietly."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from proto.model.change import Position
from proto.places import CHECKPOINTS, RUN, STORE, STREAM
from registry.commit.primary import WRITER_LOCK, Primary
from registry.commit.segment_files import list_segments
from registry.commit.space import BALLAST
from registry.store.port import Unusable
from tests.support.commits import findings, register, running_primary

pytestmark = [pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
CHANGES = 400


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a writer that was killed after some hundred changes, all acknowledged and all in RocksDB's log.

    Nothing else is in it: behind the last acknowledged change there is nothing that may be lost.
    """
    data = tmp_path_factory.mktemp("killed") / "data"
    command = [sys.executable, "-m", "tests.support.busy_writer", str(data), "1", str(CHANGES), "calm", "stay"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout is not None
        for _ in range(CHANGES + 1):  # and "ready"
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    return data


@pytest.fixture
def data(killed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(killed, tmp_path / "data", ignore=shutil.ignore_patterns(BALLAST, RUN)))


def start(data: Path) -> Primary:
    return Primary.open(data, SystemClock(), build_metrics(CollectorRegistry()))


def files(data: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.name != WRITER_LOCK}


def log_of(data: Path) -> Path:
    """RocksDB's write-ahead log with the most in it."""
    return max((data / STORE).glob("*.log"), key=lambda path: path.stat().st_size)


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))


def flip_in_the_middle(data: Path) -> None:
    flip(log_of(data), log_of(data).stat().st_size // 2)


def flip_at_the_beginning(data: Path) -> None:
    flip(log_of(data), 20)


def flip_in_the_last_acknowledged(data: Path) -> None:
    flip(log_of(data), log_of(data).stat().st_size - 2_000)


def cut_in_the_middle(data: Path) -> None:
    os.truncate(log_of(data), log_of(data).stat().st_size // 2)


def zero_the_end(data: Path) -> None:
    size = log_of(data).stat().st_size
    os.truncate(log_of(data), size - 20_000)
    os.truncate(log_of(data), size)


def lose_the_log(data: Path) -> None:
    log_of(data).unlink()


def lose_the_store(data: Path) -> None:
    shutil.rmtree(data / STORE)


DAMAGES = [
    flip_in_the_middle,
    flip_at_the_beginning,
    flip_in_the_last_acknowledged,
    cut_in_the_middle,
    zero_the_end,
    lose_the_log,
    lose_the_store,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_store_that_lost_acknowledged_changes_does_not_start(data: Path, damage: Callable[[Path], None]) -> None:
    damage(data)
    before = files(data)
    for _ in range(2):
        with pytest.raises(Unusable, match=r"lost changes: it can be recovered up to change \d+, but changes up to \d+ were"):
            start(data)
    assert files(data) == before
    if (data / STORE / "CURRENT").exists():
        assert findings(data)


def test_a_checkpoint_ahead_of_the_store_is_noticed_without_segments(data: Path) -> None:
    async def stop_well() -> None:
        async with running_primary(data):
            pass

    asyncio.run(stop_well())
    shutil.rmtree(data / STORE)
    shutil.rmtree(data / STREAM)
    with pytest.raises(Unusable, match="ahead of the store"):
        start(data)


@pytest.mark.parametrize("rest", [b"", bytes(4_000), os.urandom(4_000)], ids=["nothing", "zeros", "garbage"])
def test_what_nobody_was_told_of_may_be_torn(data: Path, rest: bytes) -> None:
    with log_of(data).open("ab") as log:
        log.write(rest)
    asyncio.run(goes_on(data))


@pytest.mark.parametrize("rest", [b"", bytes(4_000), os.urandom(4_000)], ids=["nothing", "zeros", "garbage"])
@pytest.mark.parametrize("lost", [1, 777, 100_000])
def test_a_torn_end_of_the_segments_is_mended(data: Path, lost: int, rest: bytes) -> None:
    good = {segment.path: segment.path.read_bytes() for segment in list_segments(data / STREAM)}
    newest = max(good)
    newest.write_bytes(good[newest][:-lost] + rest)
    asyncio.run(goes_on(data))
    for path, content in good.items():
        assert path.read_bytes()[: len(content)] == content


def test_lost_checkpoints_are_made_again(data: Path) -> None:
    shutil.rmtree(data / CHECKPOINTS)
    asyncio.run(goes_on(data))


async def goes_on(data: Path) -> None:
    """Start, write, stop: everything holds."""
    async with running_primary(data) as primary:
        head = primary.head.position
        committed = await primary.committer.commit(register("after"))
        assert committed.position == Position(head.epoch, head.sequence + 1)
    assert findings(data) == []


async def test_a_second_process_is_refused_at_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running_primary(data) as primary:
        command = [sys.executable, "-m", "tests.support.busy_writer", str(data), "1", "1"]
        second = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
        _, said = await asyncio.wait_for(second.communicate(), 30)
        assert second.returncode
        assert b"Unusable: another process writes in" in said
        await primary.committer.commit(register("a"))
    async with running_primary(data) as primary:
        assert primary.head.position == Position(1, 1)
