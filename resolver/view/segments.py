"""The segment files: which of them count, and where in one of them a change begins (`proto.places` says how they are called).

The *line* is the one history that the segments tell: of two segments that claim a sequence, the one of the higher epoch
counts, so a segment ends where the next one of the line begins, whatever else is in the file. Sequences have no gaps and a
segment says in its name where it begins; so the place of a change is found by stepping over frames, and every quarter of
a megabyte is remembered, so that the steps are few.

Only `Damaged` and `Fenced` are raised; files that come, grow, are cut and grow again, or go away are the normal case.
"""

import os
import time
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from proto.model.change import Position
from proto.places import parse_segment_name, segment_name
from proto.stream import FRAME_HEAD_BYTES, MAX_HEADER_BYTES, Damaged, Link, parse_link, split_header

# A walk over frames reads this much at once: many small frames, or the head of a large one.
WINDOW_BYTES: Final = 64 * 1024

# The distance of remembered places in a file: 256 marks in a segment of 64 MiB, and never a walk over more than this.
MARK_BYTES: Final = 256 * 1024

# Files kept open with their marks: the one that grows, those that a checkpoint may still lie in, and a slow reader's.
MAX_OPEN_FILES: Final = 8

# A folder's time stamp is too coarse to tell two changes within a tick of the kernel apart: look again after this long.
RELIST_S: Final = 1.0


class Fenced(Exception):
    """A position belongs to another history than the one in the segments: a restore or a promotion left it behind."""


class Segment(NamedTuple):
    """A file of the line; `end` is the sequence after its last change, None while it may grow."""

    first: Position
    end: int | None
    path: Path


class SegmentFile:
    """One open segment, and where changes begin in it."""

    def __init__(self, segment: Segment) -> None:
        """Raises `FileNotFoundError`."""
        self.path = segment.path
        self._fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        self._first = segment.first.sequence
        self._sequences = [self._first]
        self._offsets = [0]
        self._known = (self._first, 0)
        # Where the last reader has come to: it goes on there, and one change is read after the other.
        self._noted = self._known

    def close(self) -> None:
        os.close(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer at the end of the file."""
        return os.pread(self._fd, size, offset)

    def is_current(self) -> bool:
        """Whether this file is still the one under its name."""
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        return named.st_ino == os.fstat(self._fd).st_ino

    def note(self, sequence: int, offset: int) -> None:
        """Remember that the change `sequence` begins at `offset`, if that is worth it."""
        if offset >= self._offsets[-1] + MARK_BYTES:
            self._sequences.append(sequence)
            self._offsets.append(offset)
        self._noted = (sequence, offset)
        if sequence > self._known[0]:
            self._known = self._noted

    def offset_of(self, sequence: int) -> int | None:
        """Where the change `sequence` begins, or will begin if all before it are there; None if they are not.

        Raises `Damaged` if a frame on the way is.
        """
        if sequence < self._first:
            return None
        self._forget_what_was_cut()
        if sequence >= self._known[0]:
            at, offset = self._walk(*self._known, sequence)
        else:
            mark = bisect_right(self._sequences, sequence) - 1
            near = (self._sequences[mark], self._offsets[mark])
            if near[0] <= self._noted[0] <= sequence:
                near = self._noted
            at, offset = self._walk(*near, sequence)
        return offset if at == sequence else None

    def end(self) -> int:
        """The sequence after the last whole change. Raises `Damaged` as `offset_of` does."""
        self._forget_what_was_cut()
        return self._walk(*self._known, None)[0]

    def known_end(self) -> int:
        """The sequence after the last change that has been seen whole."""
        return self._known[0]

    def link_at(self, sequence: int) -> tuple[Link, int] | None:
        """The place of a change and the offset after its frame; None if it is not there yet. Raises `Damaged`."""
        end, offset = self.offset_of(sequence + 1), self.offset_of(sequence)
        if end is None or offset is None:
            return None
        found = split_header(self.read(offset, FRAME_HEAD_BYTES + MAX_HEADER_BYTES))
        if found is None:
            return None
        link = parse_link(found[0])
        if link.position.sequence != sequence:
            raise Damaged(f"{self.path.name} holds {link.position} where {sequence} belongs")
        return link, end

    def _walk(self, sequence: int, offset: int, until: int | None) -> tuple[int, int]:
        """Step over whole frames from a known place until `until`; the place reached."""
        size = os.fstat(self._fd).st_size
        window, base = b"", offset
        while until is None or sequence < until:
            found = split_header(window, offset - base)
            if found is None:
                window, base = self.read(offset, WINDOW_BYTES), offset
                found = split_header(window)
            if found is None or base + found[1] > size:
                break
            sequence, offset = sequence + 1, base + found[1]
            self.note(sequence, offset)
        return sequence, offset

    def _forget_what_was_cut(self) -> None:
        """After a crash the writer cuts a torn tail off, and may have cut more than was torn."""
        size = os.fstat(self._fd).st_size
        if self._known[1] > size:
            kept = bisect_right(self._offsets, size)
            del self._sequences[kept:], self._offsets[kept:]
            self._known = (self._sequences[-1], self._offsets[-1])
            self._noted = self._known


class Line:
    """The segments of a folder that count, in order, and those of them that are open."""

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._monotonic = monotonic
        self._stamp = -1
        self._listed_s = 0.0
        self._files: dict[Path, SegmentFile] = {}
        self.segments: list[Segment] = []

    def close(self) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def list_again(self) -> bool:
        """List the folder; whether the line is another one now."""
        self._stamp = -1
        return self.refresh()

    def refresh(self, expected: Position | None = None) -> bool:
        """List the folder if it may have changed; whether the line is another one now.

        A segment that begins at `expected` is seen at once, any other new one within `RELIST_S`.
        """
        try:
            stamp = os.stat(self._folder).st_mtime_ns
        except FileNotFoundError:
            return self._become([])
        now_s = self._monotonic()
        is_same = stamp == self._stamp and now_s - self._listed_s < RELIST_S
        if is_same and not (expected and (self._folder / segment_name(expected)).exists()):
            return False
        self._stamp, self._listed_s = stamp, now_s
        return self._become(_line_of(self._folder))

    def holding(self, sequence: int) -> Segment | None:
        """The segment in which a sequence lies or, past the last change, would lie; None if it is before all of them."""
        place = bisect_right(self.segments, sequence, key=lambda segment: segment.first.sequence) - 1
        return self.segments[place] if place >= 0 else None

    def file(self, segment: Segment) -> SegmentFile:
        """The open file of a segment. Raises `Damaged` if it has gone."""
        file = self._files.pop(segment.path, None)
        if file is not None and not file.is_current():
            file.close()
            file = None
        if file is None:
            try:
                file = SegmentFile(segment)
            except FileNotFoundError:
                raise Damaged(f"{segment.path.name} has gone") from None
        self._files[segment.path] = file
        while len(self._files) > MAX_OPEN_FILES:
            self._files.pop(next(iter(self._files))).close()
        return file

    def forget(self, segment: Segment) -> None:
        """Close the file of a segment, and forget what was known of it."""
        file = self._files.pop(segment.path, None)
        if file is not None:
            file.close()

    def _become(self, segments: list[Segment]) -> bool:
        if segments == self.segments:
            return False
        self.segments = segments
        return True


def _line_of(folder: Path) -> list[Segment]:
    """The line that the file names tell, first to last."""
    firsts = sorted((first, name) for name in os.listdir(folder) if (first := parse_segment_name(name)) is not None)
    line: list[Segment] = []
    fence: int | None = None
    for first, name in reversed(firsts):
        if fence is None or first.sequence < fence:
            line.append(Segment(first, fence, folder / name))
            fence = first.sequence
    line.reverse()
    return line
