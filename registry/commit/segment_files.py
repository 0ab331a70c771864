"""Segments as files, for who writes them: which there are, and how far one is whole.

Cheap checks only: lengths, checksums, and that each frame stands where its file's name says. A start must look through the
newest segment in a blink; `registry.commit.verify` looks at everything, and `resolver.view.segments` follows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proto.model.change import Position
from proto.places import parse_segment_name
from proto.stream import Damaged, Frame, Link, parse_link, split_frame

# A segment is closed by the change that takes it to this size, so it is never longer than this and one change. Small
# enough to be read at once; ten million identifiers fill some two hundred.
SEGMENT_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment file; `first` is the position of its first change, from its name."""

    first: Position
    path: Path


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a segment is whole: up to the offset `end` of `size` bytes, after the change `last` (None: not even one)."""

    end: int
    size: int
    last: Link | None


def list_segments(folder: Path) -> list[Segment]:
    """The segments in `folder`, in order."""
    found = [(parse_segment_name(path.name), path) for path in folder.iterdir()]
    return sorted((Segment(first, path) for first, path in found if first is not None), key=lambda segment: segment.first)


def measure_segment(segment: Segment) -> Extent:
    """Look through one segment."""
    data = segment.path.read_bytes()
    count = end = 0
    newest: Frame | None = None
    while (frame := _frame(data, end)) is not None:
        newest, end, count = frame, frame.end, count + 1
    last = parse_link(newest.header) if newest else None
    if last is not None and last.position != (segment.first.epoch, segment.first.sequence + count - 1):
        return Extent(0, len(data), None)
    return Extent(end, len(data), last)


def last_link(folder: Path) -> Link | None:
    """The place of the last whole change in the segments of `folder`; None if there is none."""
    for segment in reversed(list_segments(folder)):
        last = measure_segment(segment).last
        if last is not None:
            return last
    return None


def _frame(data: bytes, offset: int) -> Frame | None:
    try:
        return split_frame(data, offset)
    except Damaged:
        return None
