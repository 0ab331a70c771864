"""Cells of one CSV record (RFC 4180), read line by line at the level of bytes. No I/O.

A quote opens a quoted cell only at the cell's beginning; elsewhere in an unquoted cell it is an ordinary character, as
spreadsheets read it. In a quoted cell two quotes are one, and a line feed belongs to the cell.
"""

from enum import Enum, auto


class Scan(Enum):
    """How a record stands after a line."""

    WHOLE = auto()
    OPEN = auto()
    """A quoted cell goes on in the next line."""
    BROKEN = auto()
    """Something follows a closing quote: no rule says what that means."""


class CellScanner:
    """Takes the lines of one record until it is whole; `cells` are then its cells, still encoded."""

    def __init__(self) -> None:
        self.cells: list[bytes] = []
        self._open: list[bytes] = []
        self._is_open = False

    def feed(self, line: bytes) -> Scan:
        """Take the next line, without its line feed."""
        at = 0
        while True:
            if not self._is_open and line[at : at + 1] != b'"':
                comma = line.find(b",", at)
                if comma < 0:
                    self.cells.append(line[at:].removesuffix(b"\r"))
                    return Scan.WHOLE
                self.cells.append(line[at:comma])
                at = comma + 1
                continue
            at = self._quoted(line, at if self._is_open else at + 1)
            if self._is_open:
                return Scan.OPEN
            if line[at:] in (b"", b"\r"):
                return Scan.WHOLE
            if line[at : at + 1] != b",":
                return Scan.BROKEN
            at += 1

    def _quoted(self, line: bytes, at: int) -> int:
        """Read on in a quoted cell from `at`; returns where it was closed, if it was."""
        start, self._is_open = at, True
        while (quote := line.find(b'"', at)) >= 0:
            if line[quote + 1 : quote + 2] != b'"':
                self._open.append(line[start:quote])
                self.cells.append(b"".join(self._open).replace(b'""', b'"'))
                self._open, self._is_open = [], False
                return quote + 1
            at = quote + 2
        self._open += (line[start:], b"\n")
        return len(line)
