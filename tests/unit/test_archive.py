"""The changes after a position, from the segments: pages, cursors of other histories, damage, and what a page may cost."""

from pathlib import Path

import pytest

from proto.errors import Reason, Refusal
from proto.model.change import START, Position
from proto.ports import Stream
from resolver.view.archive import ANSWER_BYTES, READ_BYTES, Archive
from resolver.view.segments import MARK_BYTES, WINDOW_BYTES, SegmentFile
from tests.support.frames import Chain, append, write_segment


def sequences(stream: Stream, after: Position, limit: int = 1_000) -> list[int]:
    return [change.position.sequence for change in stream.read(after, limit)]


def three_segments(folder: Path) -> Chain:
    """Changes 1 to 30 in three files."""
    chain = Chain()
    for first in (1, 11, 21):
        write_segment(folder, Position(1, first), b"".join(chain.add() for _ in range(10)))
    return chain


def test_pages_follow_one_another_over_all_segments(tmp_path: Path) -> None:
    chain = three_segments(tmp_path)
    archive = Archive(tmp_path)
    assert archive.head() == Position(1, 30)
    for limit in (1, 7, 10, 1_000):
        found, position = [], START
        while changes := archive.read(position, limit):
            assert len(changes) <= limit
            found += changes
            position = changes[-1].position
        assert [change.position.sequence for change in found] == list(range(1, 31))
        assert [change.chain for change in found] == [chain.chains[sequence] for sequence in range(1, 31)]
        assert position == archive.head()
    assert archive.read(START, 0) == []


def test_an_empty_stream_has_nothing_before_or_after(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "stream")
    assert archive.head() == START
    assert archive.read(START, 10) == []
    assert archive.read(Position(1, 0), 10) == []
    with pytest.raises(Refusal) as refused:
        archive.read(Position(1, 3), 10)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    chain = Chain()
    path = write_segment(tmp_path / "stream", Position(1, 1), b"")
    assert archive.head() == START
    append(path, chain.add())
    assert archive.head() == Position(1, 1)
    assert sequences(archive, Position(1, 0)) == [1]


def test_new_changes_are_seen_and_half_ones_are_not(tmp_path: Path) -> None:
    chain = three_segments(tmp_path)
    archive = Archive(tmp_path)
    frame, path = chain.add(), sorted(tmp_path.iterdir())[-1]
    for place in range(len(frame)):
        assert archive.head() == Position(1, 30)
        assert archive.read(Position(1, 30), 10) == []
        append(path, frame[place : place + 1])
    assert sequences(archive, Position(1, 30)) == [31]
    assert archive.head() == Position(1, 31)


@pytest.mark.parametrize("after", [Position(1, 31), Position(1, 1_000_000), Position(3, 12)])
def test_a_position_of_another_history_is_refused(tmp_path: Path, after: Position) -> None:
    three_segments(tmp_path)
    with pytest.raises(Refusal) as refused:
        Archive(tmp_path).read(after, 10)
    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_ARGUMENT, "after")


def test_after_a_promotion_only_what_came_before_it_is_common(tmp_path: Path) -> None:
    chain = Chain()
    common = b"".join(chain.add() for _ in range(5))
    abandoned = chain.fork()
    write_segment(tmp_path, Position(1, 1), common + abandoned.add() + abandoned.add())
    archive = Archive(tmp_path)
    assert archive.head() == Position(1, 7)
    write_segment(tmp_path, Position(2, 6), chain.add(epoch=2) + chain.add() + chain.add())
    fresh = Archive(tmp_path)
    assert fresh.head() == Position(2, 8)
    assert [change.position for change in fresh.read(Position(1, 4), 10)] == [(1, 5), (2, 6), (2, 7), (2, 8)]
    assert sequences(fresh, Position(1, 5)) == sequences(fresh, Position(2, 5)) == [6, 7, 8]
    for after in (Position(1, 6), Position(1, 7)):
        with pytest.raises(Refusal, match="another history"):
            fresh.read(after, 10)


def test_what_is_no_longer_kept_is_refused_by_name(tmp_path: Path) -> None:
    three_segments(tmp_path)
    min(tmp_path.iterdir()).unlink()
    archive = Archive(tmp_path)
    assert sequences(archive, Position(1, 10)) == list(range(11, 31))
    with pytest.raises(Refusal, match="no longer kept"):
        archive.read(Position(1, 9), 10)


def test_damage_ends_a_page_and_is_named_when_nothing_comes_before_it(tmp_path: Path) -> None:
    chain = three_segments(tmp_path)
    path = sorted(tmp_path.iterdir())[1]
    broken = bytearray(path.read_bytes())
    broken[sum(map(len, chain.frames[10:14])) + 40] ^= 1
    path.write_bytes(broken)
    archive = Archive(tmp_path)
    assert sequences(archive, Position(1, 8)) == [9, 10, 11, 12, 13, 14]
    with pytest.raises(Refusal) as refused:
        archive.read(Position(1, 14), 10)
    assert refused.value.reason is Reason.STORE_FAILED
    path.write_bytes(b"".join(chain.frames[10:20]))
    assert sequences(archive, Position(1, 14)) == list(range(15, 31))


def test_a_missing_file_in_the_middle_is_damage(tmp_path: Path) -> None:
    three_segments(tmp_path)
    sorted(tmp_path.iterdir())[1].unlink()
    archive = Archive(tmp_path)
    assert sequences(archive, START) == list(range(1, 11))
    with pytest.raises(Refusal) as refused:
        archive.read(Position(1, 10), 10)
    assert refused.value.reason is Reason.STORE_FAILED


def test_a_page_of_large_changes_is_short_but_never_empty(tmp_path: Path) -> None:
    chain = Chain()
    write_segment(tmp_path, Position(1, 1), b"".join(chain.add(size=ANSWER_BYTES * 2 // 5) for _ in range(6)))
    archive = Archive(tmp_path)
    assert sequences(archive, START) == [1, 2]
    assert sequences(archive, Position(1, 2)) == [3, 4]


def test_a_page_costs_what_it_returns_once_the_file_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    write_segment(tmp_path, Position(1, 1), b"".join(chain.add(size=1_000) for _ in range(5_000)))
    archive = Archive(tmp_path)
    assert archive.head() == Position(1, 5_000)
    costs: list[int] = []
    read = SegmentFile.read

    def counted(file: SegmentFile, offset: int, size: int) -> bytes:
        data = read(file, offset, size)
        costs.append(len(data))
        return data

    monkeypatch.setattr(SegmentFile, "read", counted)
    for sequence in (4_990, 17, 2_500, 4_999):
        costs.clear()
        assert sequences(archive, Position(1, sequence), 1) == [sequence + 1]
        assert sum(costs) <= MARK_BYTES + WINDOW_BYTES + READ_BYTES
    costs.clear()
    assert archive.read(Position(1, 5_000), 100) == []
    assert archive.head() == Position(1, 5_000)
    assert sum(costs) == 0
