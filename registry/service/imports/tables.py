"""A table of either format, opened at the row boundary at which reading is to go on. No I/O."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from proto.errors import Reason, Refusal
from registry.service.imports.csv_rows import CsvRows
from registry.service.imports.encoding import Encoding, mark_bytes, other_kind
from registry.service.imports.header import MAX_HEADER_BYTES, Header, read_header
from registry.service.imports.lines import Lines
from registry.service.imports.ndjson import NdjsonRows
from registry.service.imports.rows import TableRow
from registry.service.plan import Draft

# What `open_table` must be given of a file's beginning.
BEGINNING_BYTES: Final = MAX_HEADER_BYTES + 1


class TableFormat(StrEnum):
    """What tables are written in. The value is its name in jobs."""

    CSV = "csv"
    NDJSON = "ndjson"


_EXTENSIONS: Final = {"csv": TableFormat.CSV, "ndjson": TableFormat.NDJSON, "jsonl": TableFormat.NDJSON}


def format_of(file_name: str) -> TableFormat:
    """The format that a file's extension names. Raises `Refusal(UNSUPPORTED_CONTENT_TYPE)`."""
    extension = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    if extension in _EXTENSIONS:
        return _EXTENSIONS[extension]
    if extension in ("xlsx", "xls", "et"):
        why = f"workbooks (.{extension}) are not read yet: save the sheet as CSV"
    else:
        why = f"the file's name must end in one of {', '.join(f'.{each}' for each in _EXTENSIONS)}"
    raise Refusal(Reason.UNSUPPORTED_CONTENT_TYPE, why, "file_name")


def guess_format(beginning: bytes) -> TableFormat:
    """The format of a file whose name nobody gave: rows of JSON begin with a brace, the columns' names never do."""
    text = beginning[mark_bytes(beginning) :].lstrip()
    return TableFormat.NDJSON if text.startswith(b"{") else TableFormat.CSV


class Rows(Protocol):
    """What a format does: lines to rows."""

    def next_row(self, lines: Lines) -> TableRow | None: ...
    def field_name(self, draft: Draft, path: str, /) -> str: ...


class Table:
    """Rows of a table from `offset` on: feed the bytes that stand there, take the rows."""

    def __init__(self, rows: Rows, offset: int) -> None:
        self.offset = offset
        self.field_name = rows.field_name
        self._rows = rows
        self._lines = Lines(offset)

    def feed(self, data: bytes) -> None:
        """Add the next bytes of the file."""
        self._lines.feed(data)

    def elide(self, count: int) -> None:
        """The next `count` bytes of the file belong to a line that is too long already: they need not be fed."""
        self._lines.elide(count)

    def finish(self) -> None:
        """There are no more bytes."""
        self._lines.finish()

    @property
    def is_drained(self) -> bool:
        """Whether everything that was fed has been taken: no row is begun."""
        return self._lines.is_drained

    def next_row(self) -> TableRow | None:
        """The next row; None if bytes must be fed first or, after `finish`, if there is none. `offset` is then after it."""
        row = self._rows.next_row(self._lines)
        if row is not None:
            self.offset = row.end
        return row


@dataclass(frozen=True, slots=True)
class TableFrame:
    """What all rows of a table share, wherever reading begins. `header` is a CSV's; `first` is the offset of the first row."""

    form: TableFormat
    encoding: Encoding
    template: str
    header: Header | None
    first: int


def read_frame(form: TableFormat, encoding: Encoding, beginning: bytes, template: str = "") -> TableFrame:
    """The frame of a table; `beginning` is the first `BEGINNING_BYTES` of its file, or all of it.

    Raises `Refusal(INVALID_ARGUMENT, field="header")`.
    """
    if form is TableFormat.CSV:
        header, first = read_header(beginning, encoding)
        return TableFrame(form, encoding, template, header, first)
    if why := other_kind(beginning):
        raise Refusal(Reason.INVALID_ARGUMENT, f"the file cannot be used: {why}", "header")
    return TableFrame(form, encoding, template, None, mark_bytes(beginning))


def open_rows(frame: TableFrame, offset: int) -> Table:
    """The table at `offset` (0: its first row; otherwise the `end` of one of its rows), to be fed from `table.offset` on."""
    if frame.header is not None:
        return Table(CsvRows(frame.header, frame.encoding, frame.template), offset or frame.first)
    return Table(NdjsonRows(frame.encoding, frame.template), offset or frame.first)


def open_table(form: TableFormat, encoding: Encoding, beginning: bytes, offset: int = 0, template: str = "") -> Table:
    """`open_rows` of `read_frame`, for who reads a table once."""
    return open_rows(read_frame(form, encoding, beginning, template), offset)
