"""Following segments: half frames, torn tails, the next file, gaps, damage, other histories."""

import itertools
import os
import time
from pathlib import Path

import pytest

from proto.model.change import Position
from proto.places import segment_name
from proto.stream import Damaged
from resolver.view.segments import MARK_BYTES, Fenced, Line, SegmentFile
from resolver.view.tail import READ_BYTES, Tail
from tests.support.frames import Chain, append, write_segment

START = Position(1, 0)


def sequences(tail: Tail) -> list[int]:
    """Everything that is there now."""
    return [entry.link.position.sequence for entry in iter(tail.next, None)]


def tail_from(folder: Path, chain: Chain, sequence: int, epoch: int = 1) -> Tail:
    return Tail(folder, Position(epoch, sequence), chain.chains.get(sequence, bytes(32)))


def test_everything_after_a_position_comes_in_order(tmp_path: Path) -> None:
    chain = Chain()
    write_segment(tmp_path, Position(1, 1), b"".join(chain.add() for _ in range(10)))
    for sequence in range(11):
        tail = tail_from(tmp_path, chain, sequence)
        assert sequences(tail) == list(range(sequence + 1, 11))
        assert tail.position == Position(1, 10)
        assert sequences(tail) == []
        tail.close()


def test_half_a_frame_is_waited_for_wherever_it_is_cut(tmp_path: Path) -> None:
    chain = Chain()
    first, second = chain.add(), chain.add()
    path = write_segment(tmp_path, Position(1, 1), b"")
    tail = Tail(tmp_path, START, bytes(32))
    assert tail.next() is None
    for cut in range(len(second)):
        path.write_bytes(first + second[:cut])
        fresh = tail_from(tmp_path, chain, 0)
        assert sequences(fresh) == [1], cut
        append(path, second[cut:])
        assert sequences(fresh) == [2], cut
        fresh.close()
    tail.close()


def test_a_frame_that_comes_byte_by_byte_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    chain = Chain()
    frame = chain.add()
    path = write_segment(tmp_path, Position(1, 1), b"")
    tail = Tail(tmp_path, START, bytes(32))
    for place in range(len(frame)):
        assert tail.next() is None
        append(path, frame[place : place + 1])
    assert sequences(tail) == [1]


def test_a_change_larger_than_one_read_comes_whole(tmp_path: Path) -> None:
    chain = Chain()
    large = [chain.add(), chain.add(size=READ_BYTES), chain.add(), chain.add(rows=3, size=READ_BYTES), chain.add()]
    path = write_segment(tmp_path, Position(1, 1), b"".join(large)[:-1])
    tail = Tail(tmp_path, START, bytes(32))
    assert sequences(tail) == [1, 2, 3, 4]
    append(path, large[-1][-1:])
    assert sequences(tail) == [5]


def test_the_next_segment_is_read_after_the_last_change_of_this_one(tmp_path: Path) -> None:
    chain = Chain()
    write_segment(tmp_path, Position(1, 1), chain.add() + chain.add())
    tail = Tail(tmp_path, START, bytes(32))
    assert sequences(tail) == [1, 2]
    following = write_segment(tmp_path, Position(1, 3), b"")
    assert sequences(tail) == []
    append(following, chain.add())
    assert sequences(tail) == [3]
    write_segment(tmp_path, Position(1, 4), chain.add())
    assert sequences(tail) == [4]
    assert tail.is_last


def test_a_reader_may_begin_at_the_end_of_any_segment(tmp_path: Path) -> None:
    chain = Chain()
    for first in (1, 4, 7):
        write_segment(tmp_path, Position(1, first), b"".join(chain.add() for _ in range(3)))
    for sequence in range(10):
        assert sequences(tail_from(tmp_path, chain, sequence)) == list(range(sequence + 1, 10))


def test_a_tail_that_is_cut_and_written_again_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    chain = Chain()
    frames = [chain.add() for _ in range(6)]
    path = write_segment(tmp_path, Position(1, 1), b"".join(frames[:4]) + frames[4][:30])
    tail = Tail(tmp_path, START, bytes(32))
    assert sequences(tail) == [1, 2, 3, 4]
    os.truncate(path, len(b"".join(frames[:2])))
    assert sequences(tail) == []
    append(path, b"".join(frames[2:5]))
    assert sequences(tail) == [5]
    append(path, frames[5])
    assert sequences(tail) == [6]


def test_a_tail_of_garbage_is_damage_until_it_is_repaired(tmp_path: Path) -> None:
    chain = Chain()
    frames = [chain.add() for _ in range(4)]
    whole = b"".join(frames[:2])
    path = write_segment(tmp_path, Position(1, 1), whole + bytes(500))
    tail = Tail(tmp_path, START, bytes(32))
    assert tail.next() is not None
    assert tail.next() is not None
    for _ in range(2):
        with pytest.raises(Damaged):
            tail.next()
    assert (tail.position, tail.is_last) == (Position(1, 2), True)
    os.truncate(path, len(whole))
    append(path, frames[2])
    assert sequences(tail) == [3]
    append(path, frames[3])
    assert sequences(tail) == [4]


def test_a_segment_that_goes_and_comes_again_is_read_on(tmp_path: Path) -> None:
    chain = Chain()
    frames = [chain.add() for _ in range(6)]
    write_segment(tmp_path, Position(1, 1), b"".join(frames[:2]))
    second = write_segment(tmp_path, Position(1, 3), frames[2] + frames[3])
    tail = Tail(tmp_path, START, bytes(32))
    assert sequences(tail) == [1, 2, 3, 4]
    second.unlink()
    assert sequences(tail) == []
    write_segment(tmp_path, Position(1, 3), b"".join(frames[2:5]))
    assert sequences(tail) == [5]
    append(second, frames[5])
    assert sequences(tail) == [6]


def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    chain = Chain()
    tail = Tail(tmp_path / "stream", START, bytes(32))
    assert tail.next() is None
    write_segment(tmp_path / "stream", Position(1, 1), chain.add())
    assert sequences(tail) == [1]


def test_changes_that_come_later_than_the_checkpoint_are_waited_for(tmp_path: Path) -> None:
    chain = Chain()
    frames = [chain.add() for _ in range(4)]
    path = write_segment(tmp_path, Position(1, 1), frames[0])
    tail = tail_from(tmp_path, chain, 3)
    for frame in frames[1:3]:
        assert tail.next() is None
        append(path, frame)
    assert tail.next() is None
    append(path, frames[3])
    assert sequences(tail) == [4]


def test_a_missing_segment_is_damage_and_not_the_end(tmp_path: Path) -> None:
    chain = Chain()
    frames = [chain.add() for _ in range(6)]
    write_segment(tmp_path, Position(1, 1), frames[0] + frames[1])
    write_segment(tmp_path, Position(1, 5), frames[4] + frames[5])
    tail = Tail(tmp_path, START, bytes(32))
    assert tail.next() is not None
    assert tail.next() is not None
    with pytest.raises(Damaged, match="next begins at 5"):
        tail.next()
    assert not tail.is_last
    with pytest.raises(Damaged, match="ends before 3"):
        tail_from(tmp_path, chain, 3).next()
    write_segment(tmp_path, Position(1, 3), frames[2] + frames[3])
    assert sequences(tail) == [3, 4, 5, 6]


def test_changes_that_are_no_longer_kept_are_damage(tmp_path: Path) -> None:
    chain = Chain()
    frames = [chain.add() for _ in range(4)]
    write_segment(tmp_path, Position(1, 3), frames[2] + frames[3])
    with pytest.raises(Damaged, match="missing"):
        tail_from(tmp_path, chain, 1).next()
    assert sequences(tail_from(tmp_path, chain, 2)) == [3, 4]


def test_a_changed_byte_in_any_place_shows_nothing_wrong(tmp_path: Path) -> None:
    chain = Chain()
    frames = [chain.add() for _ in range(3)]
    whole, start = b"".join(frames), len(frames[0])
    for place in range(start, start + len(frames[1])):
        broken = bytearray(whole)
        broken[place] ^= 0x10
        write_segment(tmp_path, Position(1, 1), bytes(broken))
        tail = Tail(tmp_path, START, bytes(32))
        first = tail.next()
        assert first is not None
        try:
            assert tail.next() is None, "a length that has grown is half a frame"
        except Damaged:
            assert tail.position == Position(1, 1)
        tail.close()


def test_a_change_of_another_history_is_never_shown(tmp_path: Path) -> None:
    chain = Chain()
    frames = [chain.add() for _ in range(3)]
    write_segment(tmp_path, Position(1, 1), b"".join(frames))
    with pytest.raises(Fenced):
        Tail(tmp_path, Position(1, 2), b"x" * 32).next()
    with pytest.raises(Damaged, match="chain"):
        Tail(tmp_path, START, b"x" * 32).next()


def test_a_higher_epoch_goes_on_where_it_was_promoted(tmp_path: Path) -> None:
    chain = Chain()
    first = b"".join(chain.add() for _ in range(3))
    abandoned = chain.fork()
    write_segment(tmp_path, Position(1, 1), first + abandoned.add() + abandoned.add())
    write_segment(tmp_path, Position(2, 4), chain.add(epoch=2) + chain.add())
    tail = Tail(tmp_path, START, bytes(32))
    assert sequences(tail) == [1, 2, 3, 4, 5]
    assert tail.position == Position(2, 5)
    for sequence in (4, 5):
        with pytest.raises(Fenced):
            Tail(tmp_path, Position(1, sequence), abandoned.chains[sequence]).next()
    assert sequences(Tail(tmp_path, Position(2, 3), chain.chains[3])) == [4, 5], (
        "a checkpoint of the new epoch, before its first change"
    )


def test_a_reader_past_the_promotion_notices(tmp_path: Path) -> None:
    chain = Chain()
    first = b"".join(chain.add() for _ in range(3))
    abandoned = chain.fork()
    write_segment(tmp_path, Position(1, 1), first + abandoned.add())
    tail = Tail(tmp_path, START, bytes(32))
    assert sequences(tail) == [1, 2, 3, 4]
    write_segment(tmp_path, Position(2, 4), chain.add(epoch=2))
    deadline = time.monotonic() + 10
    with pytest.raises(Fenced):  # noqa: PT012 - a folder's time stamp may hide a new file for RELIST_S
        while time.monotonic() < deadline:
            assert tail.next() is None


def test_the_chain_hash_of_any_change_behind_is_found(tmp_path: Path) -> None:
    chain = Chain()
    for first in (1, 31, 61):
        write_segment(tmp_path, Position(1, first), b"".join(chain.add(size=MARK_BYTES // 4) for _ in range(30)))
    tail = Tail(tmp_path, START, bytes(32))
    assert len(sequences(tail)) == 90
    for sequence in range(1, 91):
        assert tail.chain_at(Position(1, sequence)) == chain.chains[sequence]
    assert tail.chain_at(Position(1, 91)) is None
    assert tail.next() is None
    assert Tail(tmp_path, Position(1, 90), chain.chains[90]).next() is None


def test_offsets_are_found_from_any_mark(tmp_path: Path) -> None:
    chain = Chain()
    path = write_segment(tmp_path, Position(1, 1), b"".join(chain.add(size=MARK_BYTES // 3) for _ in range(40)))
    offsets = list(itertools.accumulate(map(len, chain.frames), initial=0))
    line = Line(tmp_path)
    line.refresh()
    file = line.file(line.segments[0])
    for order in (range(1, 42), range(41, 0, -1), (20, 3, 41, 1, 7)):
        assert [file.offset_of(sequence) for sequence in order] == [offsets[sequence - 1] for sequence in order]
    assert file.offset_of(0) is None
    assert file.offset_of(42) is None
    assert file.end() == 41
    os.truncate(path, offsets[20] + 5)
    assert file.end() == 21
    assert file.offset_of(22) is None
    assert file.offset_of(21) == offsets[20]
    line.close()


def test_no_more_files_are_kept_open_than_the_limit(tmp_path: Path) -> None:
    chain = Chain()
    for first in range(1, 61):
        write_segment(tmp_path, Position(1, first), chain.add())
    tail = Tail(tmp_path, START, bytes(32))
    assert len(sequences(tail)) == 60
    for sequence in range(1, 61):
        assert tail.chain_at(Position(1, sequence)) == chain.chains[sequence]
    own = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")]
    assert sum(str(tmp_path) in name for name in own) <= 8
    append(tmp_path / segment_name(Position(1, 60)), chain.add())
    assert sequences(tail) == [61]
    tail.close()


def test_a_gone_segment_is_named(tmp_path: Path) -> None:
    chain = Chain()
    path = write_segment(tmp_path, Position(1, 1), chain.add())
    line = Line(tmp_path)
    line.refresh()
    path.unlink()
    with pytest.raises(Damaged, match="gone"):
        line.file(line.segments[0])
    with pytest.raises(FileNotFoundError):
        SegmentFile(line.segments[0])
