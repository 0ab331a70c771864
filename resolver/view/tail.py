"""Follows the segments from a position on, change by change, and notices when it may not go on.

Half a frame at the end means wait. A segment is left for the next one only when the next one exists and every change before
it has been read. Each change must chain to the one before; the first must chain to what the reader starts from.
"""

from pathlib import Path
from typing import Final, NamedTuple

from proto.model.change import Position
from proto.stream import Damaged, Frame, Link, check_linked, parse_link, split_frame, split_header
from resolver.view.segments import Fenced, Line, Segment, SegmentFile

# Read at once: some hundred small changes; a larger change is read whole.
READ_BYTES: Final = 256 * 1024


class Entry(NamedTuple):
    """A change as the view needs it."""

    link: Link
    payload: bytes


class Tail:
    """The changes after `position`, whose chain hash is `chain`."""

    def __init__(self, folder: Path, position: Position, chain: bytes) -> None:
        self._line = Line(folder)
        self.position = position
        self._chain = chain
        self._segment: Segment | None = None
        self._file: SegmentFile | None = None
        self._buffer = b""
        self._base = 0
        self._at = 0

    def close(self) -> None:
        self._file, self._buffer = None, b""
        self._line.close()

    @property
    def is_last(self) -> bool:
        """Whether no later segment is known: what is missing here may still come."""
        return self._segment is None or self._segment.end is None

    def next(self) -> Entry | None:
        """The next change; None if it is not there yet.

        Raises `Damaged` if it cannot be had from these files (as they are now: a torn tail is repaired one day) and
        `Fenced` if the history is another one. Both leave the position where it is, and asking again is allowed.
        """
        try:
            while True:
                if self._file is None and not self._attach():
                    return None
                frame = self._frame()
                if frame is not None:
                    return self._take(frame)
                if not self._move_on():
                    return None
        except Damaged as damage:
            self._file, self._buffer = None, b""
            where = self._segment.path.name if self._segment is not None else "the stream"
            raise Damaged(f"{where} cannot be read on after change {self.position.sequence}: {damage}") from None

    def chain_at(self, position: Position) -> bytes | None:
        """The chain hash of the change at a position up to this one; None if the segments do not have it.

        Raises `Damaged`.
        """
        if position.sequence == self.position.sequence:
            return self._chain
        segment = self._line.holding(position.sequence)
        if segment is None or segment.first.epoch > position.epoch:
            return None
        found = self._line.file(segment).link_at(position.sequence)
        if self._segment is not None and self._file is not None:
            self._line.file(self._segment)  # the last used are the last to be closed: never the one that is being read
        return found[0].chain if found is not None else None

    def _attach(self) -> bool:
        """Find the place after `position`; whether it is there."""
        self._line.list_again()
        sequence = self.position.sequence
        segment = self._line.holding(sequence)
        if segment is None:
            return self._attach_before_all()
        if segment.first.epoch > self.position.epoch:
            raise Fenced(f"{self.position} is not in epoch {segment.first.epoch}")
        file = self._line.file(segment)
        try:
            found = file.link_at(sequence)
        except Damaged:
            self._line.forget(segment)
            raise
        if found is None:
            if segment.end is not None:
                raise Damaged(f"{segment.path.name} ends before {sequence}")
            self._segment = segment
            return False
        link, offset = found
        if link.chain != self._chain:
            raise Fenced(f"the change at {link.position} is another one than the one at {self.position}")
        self._begin(segment, file, offset)
        return True

    def _attach_before_all(self) -> bool:
        if not self._line.segments:
            self._segment = None
            return False
        first = self._line.segments[0]
        if first.first.sequence > self.position.sequence + 1:
            raise Damaged(f"the changes between {self.position} and {first.first} are missing")
        if first.first.epoch < self.position.epoch:
            raise Fenced(f"{self.position} is ahead of epoch {first.first.epoch}")
        self._begin(first, self._line.file(first), 0)
        return True

    def _begin(self, segment: Segment, file: SegmentFile, offset: int) -> None:
        self._segment, self._file = segment, file
        self._buffer, self._base, self._at = b"", offset, 0

    def _frame(self) -> Frame | None:
        """The next frame of this segment, if it is all there."""
        if self._segment is None or self._file is None or self.position.sequence + 1 == self._segment.end:
            return None
        frame = split_frame(self._buffer, self._at)
        if frame is not None:
            return frame
        start = self._base + self._at
        data = self._file.read(start, READ_BYTES)
        frame = split_frame(data)
        if frame is None and len(data) == READ_BYTES and (head := split_header(data)) is not None:
            data = self._file.read(start, head[1])
            frame = split_frame(data)
        self._buffer, self._base, self._at = data if frame is not None else b"", start, 0
        return frame

    def _take(self, frame: Frame) -> Entry:
        link = parse_link(frame.header)
        check_linked(link, self.position, self._chain)
        self.position, self._chain = link.position, link.chain
        self._at = frame.end
        if self._file is not None:
            self._file.note(link.position.sequence + 1, self._base + frame.end)
        return Entry(link, frame.payload)

    def _move_on(self) -> bool:
        """Nothing whole follows in this file. Whether to look again, in this file or in the next."""
        segment, file = self._segment, self._file
        if segment is None or file is None:
            return True
        if segment.end is None:
            following = self.position._replace(sequence=self.position.sequence + 1)
            if not self._line.refresh(following) and file.is_current():
                return False
            self._file = None
            return True
        if self.position.sequence + 1 < segment.end:
            raise Damaged(f"{segment.path.name} ends after {self.position.sequence}, and the next begins at {segment.end}")
        successor = self._line.holding(segment.end)
        if successor is None or successor.first.sequence != segment.end:
            self._file = None
            return True
        self._begin(successor, self._line.file(successor), 0)
        return True
