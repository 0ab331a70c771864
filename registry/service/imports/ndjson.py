"""Rows of newline-delimited JSON: each line is the body of a registration with its `identifier`. No I/O.

What a read says of a record besides may stand there and is ignored, so that what was read can be imported. But a record that
was read as suspended or retired is refused: it would come out as an active one.
"""

import json
from typing import Any, Final

from proto.errors import Reason, Refusal
from proto.handle_json import Members, parse_values
from proto.handle_json.members import open_members
from proto.limits import MAX_ALIASES
from registry.service.imports.encoding import Encoding
from registry.service.imports.lines import MAX_ROW_BYTES, Lines
from registry.service.imports.rows import SHOWN_IDENTIFIER_CHARS, TableRow, unreadable
from registry.service.plan import Draft, refused

_MEMBERS: Final = frozenset({"identifier", "values", "template", "aliases"})
_READ_ONLY: Final = frozenset({"state", "version", "registrant", "created", "changed"})
_ACTIVE: Final = "active"

# Of values that bring no timestamp; the plan gives them theirs.
_NO_TIMESTAMP: Final = 0


class NdjsonRows:
    """Makes rows of lines; one per pass over a file."""

    def __init__(self, encoding: Encoding, template: str = "") -> None:
        self._encoding = encoding
        self._template = template

    def next_row(self, lines: Lines) -> TableRow | None:
        """The next row, taken from `lines`; None if more bytes are needed or, if the lines are finished, there is none."""
        while (line := lines.peek()) is not None:
            lines.take()
            if line.data is None:
                return unreadable(line.end, Reason.BATCH_TOO_LARGE, f"the row is longer than {MAX_ROW_BYTES} bytes")
            if line.data.strip():
                return self._row(line.data, line.end)
        return None

    def field_name(self, _: Draft, path: str) -> str:
        """What the table calls the part of a draft that a refusal names: the same path."""
        return path

    def _row(self, data: bytes, end: int) -> TableRow:
        try:
            document = json.loads(data.decode(self._encoding))
        except UnicodeDecodeError:
            return unreadable(end, Reason.INVALID_ENCODING, f"the row is not text in {self._encoding}", "row")
        except (ValueError, RecursionError) as error:
            return unreadable(end, Reason.INVALID_ARGUMENT, f"the row is not a JSON document: {error}", "row")
        try:
            return TableRow(end, self._draft(open_members(document, "", Reason.INVALID_ARGUMENT)))
        except Refusal as refusal:
            return TableRow(end, refused(_shown(document), refusal))

    def _draft(self, members: Members) -> Draft:
        members.allow(_MEMBERS | _READ_ONLY)
        if members.document.get("state", _ACTIVE) != _ACTIVE:
            raise members.refuse("state", "only what is active is registered by an import")
        identifier = members.text("identifier")
        template = members.text("template", "") or self._template
        aliases = tuple(_text(each, f"aliases[{place}]") for place, each in enumerate(members.items("aliases", MAX_ALIASES)))
        return Draft(identifier, parse_values(members.document.get("values"), "values", _NO_TIMESTAMP), template, aliases)


def _text(item: Any, field: str) -> str:
    return Members({field: item}, "", Reason.INVALID_ARGUMENT).text(field)


def _shown(document: Any) -> str:
    """The identifier of a document that is no draft, as far as it has one that can be written down."""
    found = document.get("identifier", "") if isinstance(document, dict) else ""
    return found.encode(errors="replace").decode()[:SHOWN_IDENTIFIER_CHARS] if isinstance(found, str) else ""
