"""Where a table is cut: pieces of about as many rows as one commit takes, found without reading the rows. Blocks, or is pure.

Whoever plans a piece says where its last whole row ends; until then every cut is a guess, and may be one because the next
piece is only planned ahead. A line feed behind an even number of quotes is nearly always the end of a row; where it is not,
what was planned behind it is planned again from the right place.
"""

import os
from dataclasses import dataclass
from typing import Final

from registry.service.imports.lines import MAX_ROW_BYTES
from registry.service.imports.tables import Table

# Bytes of one piece, unless a single row is longer: what makes a change of at most 4 MiB, and what waits in memory for each
# piece that is planned ahead.
PIECE_BYTES: Final = 1024 * 1024

# What is read to find the first cut; later ones go by the length of the piece before.
_FIRST_READ_BYTES: Final = 64 * 1024

# Scanning on in a line that is too long: no more than this is in memory.
_SCAN_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a table from `offset` on.

    They end at a line feed, or with the file (`is_last`). Of a line longer than any row may be only the beginning is in
    `data`: `elided` counts the bytes that are left out, its line feed included.
    """

    offset: int
    data: bytes
    is_last: bool
    elided: int = 0

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + len(self.data) + self.elided

    def feed(self, table: Table) -> None:
        """Give all of it to a table that was opened at `offset`."""
        table.feed(self.data)
        if self.elided:
            table.elide(self.elided if self.is_last else self.elided - 1)
            table.feed(b"" if self.is_last else b"\n")
        if self.is_last:
            table.finish()


class Cutter:
    """Cuts the pieces of one file. Blocks: belongs into a thread."""

    def __init__(self, file: int, counts_quotes: bool) -> None:
        """`counts_quotes`: a row may hold line feeds between quotes."""
        self._file = file
        self._counts_quotes = counts_quotes
        self._expected = _FIRST_READ_BYTES

    def cut(self, offset: int, rows: int, least: int = 0) -> Piece | None:
        """The piece at `offset` of at most about `rows` rows, and of `least` bytes at least; None at the end of the file."""
        data = b""
        while True:
            more = os.pread(self._file, max(self._expected, least - len(data)), offset + len(data))
            data += more
            if not more:
                return Piece(offset, data, True) if data else None
            end = self._line_end(data, rows, least)
            if end:
                self._expected = end + end // 4
                is_last = end == len(data) and not os.pread(self._file, 1, offset + end)
                return Piece(offset, data[:end], is_last)
            if len(data) - (data.rfind(b"\n") + 1) > MAX_ROW_BYTES:
                return self._elide(offset, data)

    def _line_end(self, data: bytes, rows: int, least: int) -> int:
        """Where to cut; 0 if more is to be read first."""
        if least:
            return data.find(b"\n", least - 1) + 1
        end = 0
        for _ in range(rows):
            found = data.find(b"\n", end, PIECE_BYTES) + 1
            if not found:
                break
            end = found
        else:
            return self._before_open_quote(data, end)
        if len(data) < PIECE_BYTES:
            return 0
        return self._before_open_quote(data, end) if end else data.find(b"\n") + 1

    def _before_open_quote(self, data: bytes, end: int) -> int:
        """`end`, or the nearest line end before it that no quoted cell seems to hold."""
        if not self._counts_quotes or data.count(b'"', 0, end) % 2 == 0:
            return end
        at, quotes = end, 1
        while quotes % 2 and at:
            before = data.rfind(b"\n", 0, at - 1) + 1
            quotes += data.count(b'"', before, at)
            at = before
        return at or end

    def _elide(self, offset: int, data: bytes) -> Piece:
        """The piece that ends with the line that `data` ends in, however long that is."""
        at = offset + len(data)
        while block := os.pread(self._file, _SCAN_BYTES, at):
            found = block.find(b"\n") + 1
            at += found or len(block)
            if found:
                break
        is_last = not os.pread(self._file, 1, at)
        return Piece(offset, data, is_last, at - offset - len(data))
