"""The changes for whoever asks from a position on: `proto.ports.Stream` over the segments.

Nothing is kept but open files with a mark per quarter of a megabyte: an answer is found by stepping over at most that much
and costs the bytes it returns; a long poll that has nothing to get costs three system calls.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proto.errors import Reason, Refusal
from proto.model.change import START, Change, Position
from proto.stream import Damaged, check_linked, parse_change, split_header
from resolver.view.segments import Line, Segment

# One answer: two of the largest changes. Fewer changes than asked for are no sign of the end.
ANSWER_BYTES: Final = 8 * 1024 * 1024

# Read at once; a larger change is read whole.
READ_BYTES: Final = 256 * 1024


class Archive:
    """Reads the segments in `folder` (`DATA/stream`)."""

    def __init__(self, folder: Path) -> None:
        self._line = Line(folder)

    def close(self) -> None:
        """Close the files."""
        self._line.close()

    def read(self, after: Position, limit: int) -> list[Change]:
        """Up to `limit` changes after a position, in order; fewer if they are large, at least one if there is one.

        Raises `Refusal`: INVALID_ARGUMENT if the position is of another history or older than what is kept, STORE_FAILED if
        the next change is damaged.
        """
        self._line.refresh()
        changes: list[Change] = []
        size = 0
        try:
            self._check(after)
            for change in self._after(after):
                if len(changes) >= limit or (changes and size + len(change.payload) > ANSWER_BYTES):
                    break
                changes.append(change)
                size += len(change.payload)
        except Damaged as damage:
            self._line.close()  # the next attempt believes only what is in the files then
            if not changes:
                raise Refusal(Reason.STORE_FAILED, f"the stream is damaged: {damage}") from None
        return changes

    def head(self) -> Position:
        """The last change that can be read; `START` if there is none."""
        self._line.refresh()
        for segment in reversed(self._line.segments):
            try:
                end = segment.end if segment.end is not None else self._line.file(segment).end()
            except Damaged:
                end = self._line.file(segment).known_end()
            if end > segment.first.sequence:
                return Position(segment.first.epoch, end - 1)
        return START

    def _check(self, after: Position) -> None:
        """Raise `Refusal` unless the line goes on from `after`."""
        segments = self._line.segments
        segment = self._line.holding(after.sequence)
        if segment is None:
            if after.sequence == 0 and not segments:
                return
            if not segments:
                raise _foreign()
            if segments[0].first.sequence > after.sequence + 1:
                raise Refusal(Reason.INVALID_ARGUMENT, "the changes after this position are no longer kept", "after")
            return
        is_past_end = segment.end is None and after.sequence >= self._line.file(segment).end()
        if is_past_end or segment.first.epoch > after.epoch:
            raise _foreign()

    def _after(self, position: Position) -> Iterator[Change]:
        """Every change after `position`, over all segments that follow."""
        previous: Change | None = None
        sequence = position.sequence + 1
        while (segment := self._line.holding(sequence)) is not None:
            for change in self._within(segment, sequence):
                if previous is not None:
                    check_linked(change, previous.position, previous.chain)
                elif change.position.epoch < position.epoch:
                    raise _foreign()
                previous, sequence = change, sequence + 1
                yield change
            if segment.end is None:
                return
            if sequence < segment.end:
                raise Damaged(f"{segment.path.name} ends before {segment.end}")

    def _within(self, segment: Segment, sequence: int) -> Iterator[Change]:
        """The changes of one segment from `sequence` on."""
        file = self._line.file(segment)
        offset = file.offset_of(sequence)
        buffer, base = b"", offset or 0
        while offset is not None and sequence != segment.end:
            found = parse_change(buffer, offset - base)
            if found is None:
                buffer, base = file.read(offset, READ_BYTES), offset
                if len(buffer) == READ_BYTES and (head := split_header(buffer)) is not None and head[1] > READ_BYTES:
                    buffer = file.read(offset, head[1])
                found = parse_change(buffer)
            if found is None:
                return
            change, end = found
            if change.position != Position(segment.first.epoch, sequence):
                raise Damaged(f"{segment.path.name} holds {change.position} where {sequence} belongs")
            sequence, offset = sequence + 1, base + end
            file.note(sequence, offset)
            yield change


def _foreign() -> Refusal:
    return Refusal(Reason.INVALID_ARGUMENT, "the position is of another history than this node's", "after")
