"""The segment writer: the same changes make the same files, and whatever a crash leaves is made whole from the store's log."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proto.model.change import START, Head, Position, Row, Table
from proto.stream import NO_CHAIN, compose_payload
from proto.tables import frame_image
from registry.commit.segment_files import last_link, list_segments
from registry.commit.segments import SegmentWriter
from registry.store.memory import MemoryStore
from registry.store.port import Applied, Entry, Store, Transaction, Unusable

SEGMENT_BYTES = 2_000


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(Head("node-1", Position(1, 0), 0, NO_CHAIN))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "stream"


def commit(store: Store, count: int, size: int = 100) -> list[tuple[Position, bytes]]:
    """So many changes of some hundred bytes; their positions and frames."""
    frames = []
    for _ in range(count):
        name = f"88.118/{store.head().position.sequence}"
        entry = Entry("acme", "r", "", 1, compose_payload([Row(Table.RECORD, name, frame_image(1, bytes(size)), 1)]))
        [result] = store.apply([Transaction(entry=entry)], 1_000)
        assert isinstance(result, Applied)
        frames.append((result.position, result.frame))
    return frames


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def written(folder: Path, store: Store) -> dict[str, bytes]:
    """What the files are after a start and a stop."""
    SegmentWriter(folder, store, SEGMENT_BYTES).close()
    return files(folder)


def whole(folder: Path, store: Store) -> dict[str, bytes]:
    """What they should be: written from the log in one go, elsewhere."""
    return written(folder.with_name("whole"), store)


def wait_for_seal(writer: SegmentWriter, position: Position) -> None:
    deadline = time.monotonic() + 30
    while writer.sealed < position:
        assert time.monotonic() < deadline, "the segment is not sealed"
        time.sleep(0.005)


def test_frames_lie_one_after_the_other_in_files_called_after_their_first(folder: Path, store: MemoryStore) -> None:
    writer = SegmentWriter(folder, store, SEGMENT_BYTES)
    frames = commit(store, 20)
    writer.append(frames)
    writer.close()
    assert writer.last == Position(1, 20)
    assert b"".join(files(folder).values()) == b"".join(frame for _, frame in frames)
    firsts = [segment.first.sequence for segment in list_segments(folder)]
    assert firsts[0] == 1
    assert len(firsts) > 2
    for segment in list_segments(folder)[:-1]:
        size = segment.path.stat().st_size
        assert SEGMENT_BYTES <= size < SEGMENT_BYTES + len(frames[0][1]) + 50


@pytest.mark.parametrize("group", [1, 3, 7, 20])
def test_files_do_not_depend_on_how_changes_were_grouped(folder: Path, store: MemoryStore, group: int) -> None:
    writer = SegmentWriter(folder, store, SEGMENT_BYTES)
    frames = commit(store, 20)
    for start in range(0, 20, group):
        writer.append(frames[start : start + group])
    writer.close()
    assert files(folder) == whole(folder, store)


def test_a_start_goes_on_where_the_last_one_stopped(folder: Path, store: MemoryStore) -> None:
    for _ in range(5):
        writer = SegmentWriter(folder, store, SEGMENT_BYTES)
        writer.append(commit(store, 4))
        writer.close()
    assert files(folder) == whole(folder, store)


def test_what_was_never_appended_is_taken_from_the_log(folder: Path, store: MemoryStore) -> None:
    commit(store, 20)
    writer = SegmentWriter(folder, store, SEGMENT_BYTES)
    assert writer.last == Position(1, 20)
    writer.close()


def cuts(good: dict[str, bytes]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Every way to lose the end of the newest two segments, with zeros or garbage left behind or not."""
    names = sorted(good)
    for lost in range(2):
        name = names[-1 - lost]
        for cut in range(0, len(good[name]), 97):
            for rest in (b"", bytes(50), os.urandom(50)):
                torn = {kept: good[kept] for kept in names[: len(names) - lost]}
                torn[name] = good[name][:cut] + rest
                yield f"{name} cut at {cut}, {rest.hex()[:8]}", torn


def test_a_torn_tail_is_written_again_byte_for_byte(folder: Path, store: MemoryStore) -> None:
    commit(store, 20)
    good = whole(folder, store)
    folder.mkdir()
    for what, torn in cuts(good):
        for path in folder.iterdir():
            path.unlink()
        for name, data in torn.items():
            (folder / name).write_bytes(data)
        assert written(folder, store) == good, what


def test_a_flipped_bit_in_what_the_log_still_has_is_mended(folder: Path, store: MemoryStore) -> None:
    commit(store, 20)
    good = written(folder, store)
    for name in good:
        for place in range(0, len(good[name]), 211):
            broken = bytearray(good[name])
            broken[place] ^= 1
            (folder / name).write_bytes(broken)
            assert written(folder, store) == good


def test_later_files_do_not_survive_a_gap(folder: Path, store: MemoryStore) -> None:
    commit(store, 20)
    good = written(folder, store)
    (folder / sorted(good)[1]).unlink()
    assert written(folder, store) == good


def test_only_sealed_segments_may_leave_the_log_and_then_cannot_be_mended(folder: Path, store: MemoryStore) -> None:
    writer = SegmentWriter(folder, store, SEGMENT_BYTES)
    assert writer.sealed == START
    writer.append(commit(store, 20))
    segments = list_segments(folder)
    sealed = Position(1, segments[-1].first.sequence - 1)
    wait_for_seal(writer, sealed)
    store.trim_log(writer.sealed)
    writer.close()
    good = files(folder)
    assert written(folder, store) == good
    (folder / segments[-1].path.name).write_bytes(b"")
    assert written(folder, store) == good
    (folder / segments[-1].path.name).unlink()
    assert written(folder, store) == good
    os.truncate(folder / segments[-2].path.name, 500)
    (folder / segments[-1].path.name).unlink()
    with pytest.raises(Unusable, match=r"damaged at byte|begins at"):
        written(folder, store)


def test_missing_segments_are_noticed(folder: Path, store: MemoryStore) -> None:
    writer = SegmentWriter(folder, store, SEGMENT_BYTES)
    writer.append(commit(store, 20))
    store.trim_log(Position(1, 8))
    writer.close()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(Unusable, match="missing"):
        written(folder, store)


def test_segments_ahead_of_the_store_are_refused_and_left_alone(folder: Path, store: MemoryStore) -> None:
    commit(store, 10)
    good = written(folder, store)
    behind = MemoryStore(Head("node-1", Position(1, 0), 0, NO_CHAIN))
    commit(behind, 9)
    with pytest.raises(Unusable, match="lost changes"):
        written(folder, behind)
    assert files(folder) == good


def test_segments_of_another_history_are_refused(folder: Path, store: MemoryStore) -> None:
    commit(store, 10)
    good = written(folder, store)
    for count in (10, 12):
        other = MemoryStore(Head("node-2", Position(1, 0), 0, NO_CHAIN))
        commit(other, count)
        with pytest.raises(Unusable, match="another history"):
            written(folder, other)
        assert files(folder) == good


def test_what_could_not_be_written_is_caught_up(folder: Path, store: MemoryStore) -> None:
    writer = SegmentWriter(folder, store, SEGMENT_BYTES)
    writer.append(commit(store, 3))
    real, budget = os.pwrite, [150]

    def full(fd: int, data: bytes, offset: int) -> int:
        if not budget[0]:
            raise OSError(28, "No space left on device")
        room, budget[0] = budget[0], 0
        return real(fd, bytes(data[:room]), offset)

    os.pwrite = full  # type: ignore[assignment]  # a disk that is full after 150 more bytes
    try:
        with pytest.raises(OSError, match="No space"):
            writer.append(commit(store, 2))
    finally:
        os.pwrite = real
    assert writer.last == Position(1, 3)
    commit(store, 3)
    writer.catch_up(store)
    assert writer.last == Position(1, 8)
    writer.close()
    assert files(folder) == whole(folder, store)


def test_the_last_change_is_found_past_empty_and_broken_files(folder: Path, store: MemoryStore) -> None:
    commit(store, 20)
    good = written(folder, store)
    newest = sorted(good)[-1]
    (folder / newest).write_bytes(b"\0" * 100)
    last = last_link(folder)
    assert last is not None
    assert last.position.sequence == list_segments(folder)[-1].first.sequence - 1
    for path in folder.iterdir():
        path.write_bytes(b"")
    assert last_link(folder) is None
