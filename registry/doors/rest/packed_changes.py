"""Changes as JSON, as their follower may see them, straight from the stream's bytes.

A page is mostly records whose values are text: unpacking them into objects, making these dictionaries and writing those out
costs many times what their bytes do. So what is compiled reads the rows of a change where they stand; how far each is open is
still the policy's word (`Sights`), and rows of other tables, and all that is rare, go the long way, which is the one here.
"""

from typing import Final, NamedTuple

from proto import compiled
from proto.handle_json import compose_string
from proto.model.change import Change
from registry.doors.rest.documents import render_ms, row_document
from registry.doors.rest.reply import compose_json
from registry.policy.sight import Sights
from registry.service.changes import holder_of, see_rows

_WHO: Final = ("actor", "request_id", "traceparent")


class RenderedChange(NamedTuple):
    """The document of a change, and the registrant of each of its rows (`registry.service.changes.holder_of`)."""

    document: bytes
    holders: list[str]

    @property
    def row_count(self) -> int:
        return len(self.holders)


@compiled.preferred
def render_rows(payload: bytes, sights: Sights, below: str) -> tuple[bytes, list[str], bool]:
    """The documents of the rows that are open, with commas between them, the registrant of each, and whether all are whole.

    Raises `proto.stream.Damaged` if the bytes are no rows.
    """
    rows, is_whole = see_rows(payload, sights.caller, below)
    return b",".join([compose_json(row_document(row)) for row in rows]), [holder_of(row) for row in rows], is_whole


@compiled.preferred
def render_change(change: Change, sights: Sights, below: str) -> RenderedChange | None:
    """The document of a change with the rows that the caller may see, None without any.

    Who commanded it is left out where that is not open.
    """
    rows, holders, is_whole = render_rows(change.payload, sights, below)
    if not holders:
        return None
    epoch, sequence = change.position
    head = (
        f'{{"position":"{change.position.to_cursor()}","epoch":{epoch},"sequence":{sequence},'
        f'"time":"{render_ms(change.time_ms)}","rows":['
    )
    return RenderedChange(b"".join((head.encode(), rows, b"]", _who(change) if is_whole else b"", b"}")), holders)


def _who(change: Change) -> bytes:
    named = [(name, getattr(change, name)) for name in _WHO]
    return "".join([f',"{name}":{compose_string(said)}' for name, said in named if said]).encode(errors="replace")
