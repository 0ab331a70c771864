"""A row of a table, whatever the table's format."""

from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from registry.service.plan import Draft, RowOutcome, refused

# What is shown of an identifier in a row that could not be read: enough to find it again.
SHOWN_IDENTIFIER_CHARS: Final = 256


class TableRow(NamedTuple):
    """One row: what it asks for, or why it could not be read. `end` is the offset in the file at which the next begins."""

    end: int
    item: Draft | RowOutcome


def unreadable(end: int, reason: Reason, detail: str, field: str = "", identifier: str = "") -> TableRow:
    """A row that cannot be made into a draft."""
    return TableRow(end, refused(identifier[:SHOWN_IDENTIFIER_CHARS], Refusal(reason, detail, field)))
