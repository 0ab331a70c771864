"""The first row of a CSV: what each column is, and back: the columns that a record's values need. No I/O.

    identifier                 the full identifier; exactly one column
    INDEX:TYPE[;NAME=VALUE]*   a value; an empty cell is no value
    template, aliases          of the record; aliases are parted by line feeds within the cell

Attributes say what a value has beside its data, where it is not the default: `audience=private`, `ttl=3600` (seconds),
`permissions=1100`, `format=base64` (the cells hold bytes). So a table can hold all that a record holds but references,
times until which a value lives, and values without data.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import DEFAULT_TTL_S, MAX_VALUES
from proto.model.value import DEFAULT_PERMISSIONS, PUBLIC, Value, check_value, derive_permissions
from registry.service.imports.cells import CellScanner, Scan
from registry.service.imports.encoding import Encoding, mark_bytes, other_kind
from registry.service.imports.lines import Lines

IDENTIFIER: Final = "identifier"
TEMPLATE: Final = "template"
ALIASES: Final = "aliases"

# A column for every value a record may have, and those that are none; nobody's table has more.
MAX_COLUMNS: Final = MAX_VALUES + 3
# Names of columns are short; what is longer is no header but a file without line ends.
MAX_HEADER_BYTES: Final = 256 * 1024
# So many mistakes are named at once; a file of another kind has thousands.
MAX_MISTAKES: Final = 10
_SHOWN_CHARS: Final = 60
_PERMISSION_BITS: Final = 4


_FORMATS: Final = ("string", "base64")


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """A column of values: everything of the value but its data. `heading` is how the table calls it."""

    heading: str
    index: int
    type: str
    audience: str = PUBLIC
    ttl: int = DEFAULT_TTL_S
    permissions: int = DEFAULT_PERMISSIONS
    is_binary: bool = False
    """Whether the cells hold base64 and not the text itself."""

    def value(self, cell: str) -> Value:
        """The value in a cell that is not empty. Raises `Refusal(INVALID_VALUE)`."""
        data = self._decode(cell) if self.is_binary else cell.encode()
        return Value(self.index, self.type, data, self.ttl, False, 0, self.permissions, (), self.audience)

    def _decode(self, cell: str) -> bytes:
        try:
            return base64.b64decode(cell, validate=True)
        except (binascii.Error, ValueError):
            raise Refusal(Reason.INVALID_VALUE, "it is not base64", self.heading) from None


@dataclass(frozen=True, slots=True)
class Header:
    """What the cells of a row are: places of the named columns (None: there is none) and the columns of values by place."""

    width: int
    identifier: int
    values: tuple[tuple[int, ValueColumn], ...]
    template: int | None = None
    aliases: int | None = None


def read_header(beginning: bytes, encoding: Encoding) -> tuple[Header, int]:
    """The header of a file that begins like this (more than `MAX_HEADER_BYTES`, or all of it), and where the rows begin.

    Raises `Refusal(INVALID_ARGUMENT, field="header")` that names every mistake.
    """
    if why := other_kind(beginning):
        raise _mistaken(why)
    scanner, state = CellScanner(), Scan.OPEN
    end = mark_bytes(beginning)
    lines = Lines(end)
    lines.feed(beginning[end:])
    lines.finish()
    while state is Scan.OPEN:
        line = lines.peek()
        if line is None or line.data is None or line.end > MAX_HEADER_BYTES:
            raise _mistaken("the first row does not end; it must name the columns" if line or end else "the file is empty")
        state, end = scanner.feed(line.data), line.end
        lines.take()
    if state is Scan.BROKEN:
        raise _mistaken("something follows a closing quote")
    try:
        names = [cell.decode(encoding) for cell in scanner.cells]
    except UnicodeDecodeError:
        raise _mistaken(f"it is not text in {encoding}") from None
    return parse_header(names), end


def parse_header(names: Sequence[str]) -> Header:
    """The columns behind their names. Raises `Refusal(INVALID_ARGUMENT, field="header")` that names every mistake."""
    places: dict[str, int] = {}
    values: list[tuple[int, ValueColumn]] = []
    mistakes: list[str] = []
    if len(names) > MAX_COLUMNS:
        raise _mistaken(f"{len(names)} columns; a table has at most {MAX_COLUMNS}")
    for place, name in enumerate(map(str.strip, names)):
        try:
            if name in (IDENTIFIER, TEMPLATE, ALIASES):
                if name in places:
                    mistakes.append(f"column '{name}' stands twice")
                places[name] = place
            else:
                values.append((place, parse_column(name)))
        except Refusal as refusal:
            mistakes.append(f"column {place + 1} '{_shown(name)}': {refusal.detail}")
    headings = [column.heading for _, column in values]
    mistakes += [f"column '{_shown(name)}' stands twice" for name in {each for each in headings if headings.count(each) > 1}]
    if IDENTIFIER not in places:
        mistakes.insert(0, "there is no column 'identifier'")
    if mistakes:
        more = [f"and {len(mistakes) - MAX_MISTAKES} more"] if len(mistakes) > MAX_MISTAKES else []
        raise _mistaken("; ".join([*mistakes[:MAX_MISTAKES], *more]))
    return Header(len(names), places[IDENTIFIER], tuple(values), places.get(TEMPLATE), places.get(ALIASES))


def parse_column(name: str) -> ValueColumn:
    """The column of values called `INDEX:TYPE[;NAME=VALUE]*`. Raises `Refusal(INVALID_ARGUMENT)`."""
    core, *attributes = name.split(";")
    number, colon, kind = core.partition(":")
    if not colon or not number.isascii() or not number.isdecimal():
        raise _refusal("expected 'identifier', INDEX:TYPE, 'template' or 'aliases'")
    given: dict[str, str] = {}
    for attribute in attributes:
        key, _, text = attribute.partition("=")
        if key in given or key not in ("audience", "ttl", "permissions", "format"):
            raise _refusal(f"'{_shown(attribute)}' is not an attribute (audience, ttl, permissions, format) or stands twice")
        given[key] = text
    column = ValueColumn(
        name,
        int(number),
        kind,
        audience := given.get("audience", PUBLIC),
        _ttl(given.get("ttl")),
        derive_permissions(_permissions(given.get("permissions")), audience),
        _is_binary(given.get("format", "string")),
    )
    try:
        check_value(Value(column.index, kind, b"", column.ttl, permissions=column.permissions, audience=audience), "")
    except Refusal as refusal:
        raise _refusal(refusal.detail) from None
    return column


def column_for(value: Value, binary: bool) -> ValueColumn | None:
    """The column that a value goes into (`binary`: as base64); None if no column can hold all of it."""
    if value.references or value.ttl_absolute or not value.data or ";" in value.type:
        return None
    usual = derive_permissions(DEFAULT_PERMISSIONS, value.audience)
    attributes = [f"audience={value.audience}"] if value.audience != PUBLIC else []
    attributes += [f"ttl={value.ttl}"] if value.ttl != DEFAULT_TTL_S else []
    attributes += [f"permissions={value.permissions:04b}"] if value.permissions != usual else []
    attributes += ["format=base64"] if binary else []
    return parse_column(";".join([f"{value.index}:{value.type}", *attributes]))


def _ttl(text: str | None) -> int:
    if text is None:
        return DEFAULT_TTL_S
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(2**32)):
        raise _refusal("ttl is a number of seconds")
    return int(text)


def _permissions(text: str | None) -> int:
    if text is None:
        return DEFAULT_PERMISSIONS
    if len(text) != _PERMISSION_BITS or not set(text) <= {"0", "1"}:
        raise _refusal("permissions are four digits 0 or 1: admin read, admin write, public read, public write")
    return int(text, 2)


def _is_binary(text: str) -> bool:
    if text not in _FORMATS:
        raise _refusal(f"format is one of {', '.join(_FORMATS)}")
    return text == "base64"


def _shown(text: str) -> str:
    """A name as it can stand in a message."""
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return printable if len(printable) <= _SHOWN_CHARS else f"{printable[:_SHOWN_CHARS]}…"


def _refusal(why: str) -> Refusal:
    return Refusal(Reason.INVALID_ARGUMENT, why, "header")


def _mistaken(why: str) -> Refusal:
    return Refusal(Reason.INVALID_ARGUMENT, f"the header cannot be used: {why}", "header")
