"""Physical lines of a file with the byte offsets at which they end. No I/O: bytes are fed in pieces of any size.

Splitting at the byte 0x0A is right in both encodings that tables come in: neither UTF-8 nor GB 18030 uses it (or the
bytes of `"`, `,` and carriage return) within a longer character.
"""

from collections import deque
from typing import Final, NamedTuple

# The largest record (256,000 bytes) with every byte written as a six-character JSON escape fits.
MAX_ROW_BYTES: Final = 2 * 1024 * 1024


class Line(NamedTuple):
    """One line without its line feed; `end` is the offset in the file after it. `data` None: longer than the limit."""

    end: int
    data: bytes | None


class Lines:
    """The lines of a file from `offset` on, in order; what was fed and not taken is at most one piece and one line."""

    def __init__(self, offset: int = 0, limit: int = MAX_ROW_BYTES) -> None:
        self.finished = False
        self._limit = limit
        self._ready: deque[Line] = deque()
        self._rest = b""
        self._rest_at = offset
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Add the next piece of the file."""
        *whole, rest = (self._rest + data).split(b"\n")
        end = self._rest_at
        for line in whole:
            end += len(line) + 1
            self._ready.append(Line(end, None if self._skipping or len(line) > self._limit else line))
            self._skipping = False
        if self._skipping or len(rest) > self._limit:
            self._skipping, end, rest = True, end + len(rest), b""
        self._rest, self._rest_at = rest, end

    def elide(self, count: int) -> None:
        """Count bytes as fed that belong to a line which is longer than the limit already; none of them is a line feed."""
        self._rest_at += count

    def finish(self) -> None:
        """There is no more: what is left without a line feed is a line, too."""
        end = self._rest_at + len(self._rest)
        if self._rest or self._skipping:
            self._ready.append(Line(end, None if self._skipping else self._rest))
        self._rest, self._rest_at, self._skipping, self.finished = b"", end, False, True

    def peek(self, ahead: int = 0) -> Line | None:
        """The line `ahead` places after the next one; None if it is not there (yet, unless `finished`)."""
        return self._ready[ahead] if ahead < len(self._ready) else None

    def take(self, count: int = 1) -> None:
        """Leave the next `count` lines behind."""
        for _ in range(count):
            self._ready.popleft()

    @property
    def is_drained(self) -> bool:
        """Whether everything that was fed has been taken, in whole lines."""
        return not (self._ready or self._rest or self._skipping)
