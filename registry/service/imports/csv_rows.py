"""Rows of a CSV: lines to drafts. No I/O.

A row that is broken in itself (a quote that is never closed, bytes of no character, too long) costs itself alone: it is
refused as its first line, and reading goes on with the next line.
"""

import csv
import re
from typing import Final

from proto.errors import Reason, Refusal
from registry.service.imports.cells import CellScanner, Scan
from registry.service.imports.encoding import Encoding
from registry.service.imports.header import Header
from registry.service.imports.lines import MAX_ROW_BYTES, Line, Lines
from registry.service.imports.rows import TableRow, unreadable
from registry.service.plan import Draft, refused

_VALUE_PATH: Final = re.compile(r"values\[(\d+)\](.*)")


class CsvRows:
    """Makes rows of lines; one per pass over a file."""

    def __init__(self, header: Header, encoding: Encoding, template: str = "") -> None:
        self._header = header
        self._encoding = encoding
        self._template = template

    def next_row(self, lines: Lines) -> TableRow | None:
        """The next row, taken from `lines`; None if more bytes are needed or, if the lines are finished, there is none."""
        while (line := lines.peek()) is not None:
            if line.data is None:
                lines.take()
                return unreadable(line.end, Reason.BATCH_TOO_LARGE, f"the row is longer than {MAX_ROW_BYTES} bytes")
            if b'"' in line.data:
                return self._quoted(lines, line, line.data)
            lines.take()
            if row := self._plain(line.data, line.end):
                return row
        return None

    def field_name(self, draft: Draft, path: str) -> str:
        """What the table calls the part of a draft that a refusal names (`values[2].data`): its column."""
        found = _VALUE_PATH.fullmatch(path)
        if found is None or int(found[1]) >= len(draft.values):
            return path
        value = draft.values[int(found[1])]
        named = (
            column.heading for _, column in self._header.values if (column.index, column.type) == (value.index, value.type)
        )
        return next(named, path)

    def _plain(self, data: bytes, end: int) -> TableRow | None:
        """A row without quotes; None for a line that holds nothing but commas."""
        try:
            text = data.decode(self._encoding)
        except UnicodeDecodeError:
            return self._wrongly_encoded(data, end)
        cells = text.removesuffix("\r").split(",")
        if not any(cells):
            return None
        return self._row(cells, end)

    def _quoted(self, lines: Lines, first: Line, data: bytes) -> TableRow | None:
        """A row with quotes. Nearly all are whole in one line and well-formed: those the standard library reads faster."""
        try:
            cells = split_quoted(data.decode(self._encoding))
        except UnicodeDecodeError:
            cells = None
        if cells is None:
            return self._scanned(lines, first)
        lines.take()
        return self._row(cells, first.end)

    def _scanned(self, lines: Lines, first: Line) -> TableRow | None:
        """A row whose quotes, or whose characters, need a closer look."""
        scanner, state, size, count = CellScanner(), Scan.OPEN, 0, 0
        end = first.end
        while state is Scan.OPEN:
            line = lines.peek(count)
            if line is None and not lines.finished:
                return None
            if line is None or line.data is None or size + len(line.data) > MAX_ROW_BYTES:
                return self._refuse_line(lines, first, "a quoted cell is not closed")
            state, end = scanner.feed(line.data), line.end
            size += len(line.data) + 1
            count += 1
        if state is Scan.BROKEN:
            return self._refuse_line(lines, first, "something follows a closing quote (a quote in a quoted cell is doubled)")
        lines.take(count)
        try:
            cells = [cell.decode(self._encoding) for cell in scanner.cells]
        except UnicodeDecodeError:
            return self._wrongly_encoded(b",".join(scanner.cells), end)
        return self._row(cells, end)

    def _row(self, cells: list[str], end: int) -> TableRow:
        header = self._header
        if len(cells) != header.width:
            why = f"the row has {len(cells)} cells; the header names {header.width} columns"
            return unreadable(end, Reason.INVALID_ARGUMENT, why, "row", _cell(cells, header.identifier))
        identifier = cells[header.identifier]
        try:
            values = tuple([column.value(cells[place]) for place, column in header.values if cells[place]])
        except Refusal as refusal:
            return TableRow(end, refused(identifier, refusal))
        if header.template is None and header.aliases is None:
            return TableRow(end, Draft(identifier, values, self._template))
        template = (cells[header.template] if header.template is not None else "") or self._template
        aliases = cells[header.aliases].split("\n") if header.aliases is not None and cells[header.aliases] else []
        return TableRow(end, Draft(identifier, values, template, tuple(alias.removesuffix("\r") for alias in aliases)))

    def _refuse_line(self, lines: Lines, first: Line, why: str) -> TableRow:
        lines.take()
        return unreadable(first.end, Reason.INVALID_ARGUMENT, why, "row", self._guess_identifier(first.data or b""))

    def _wrongly_encoded(self, data: bytes, end: int) -> TableRow:
        identifier = self._guess_identifier(data)
        return unreadable(end, Reason.INVALID_ENCODING, f"the row is not text in {self._encoding}", "row", identifier)

    def _guess_identifier(self, data: bytes) -> str:
        cells = data.decode(self._encoding, errors="replace").split(",", self._header.identifier + 1)
        return _cell(cells, self._header.identifier)


def split_quoted(line: str) -> list[str] | None:
    """The cells of a line with quotes, by the standard library; None if it needs a closer look.

    A carriage return that does not end the line does: the library takes it for the end of a record.
    """
    text = line.removesuffix("\r")
    if "\r" in text:
        return None
    try:
        return next(csv.reader((text,), strict=True))
    except csv.Error:
        return None


def _cell(cells: list[str], place: int) -> str:
    return cells[place].strip('"\r') if place < len(cells) else ""
