"""Replies with all that is public of a record, as the bytes that go out, straight from the packed record.

Nearly every answer over HTTP is one of these. They are the replies of `documents` for `Found`; compiled they are written from
the record's bytes without an answer, a value, a text or a reply in between.

A *run* is what nearly every connection brings: requests for one identifier each, with a header block that has been read before
and says nothing but that the connection stays. They are answered in one piece, one after the other, with what is kept or what a
plain look-up finds, up to the first that is not of this kind, or that is now asked for again and is to be kept from here on, or
that a plain look-up does not settle: `plain_answers` knows what to do about that one.
"""

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from proto import compiled
from proto.model.answer import Found
from proto.packing import PackedRecord, least_ttl_s
from proto.wire.http.plain import parse_name
from resolver.listeners.http.documents import handle_reply, resolve_reply
from resolver.listeners.http.limits import MAX_TURN, MAX_TURN_BYTES
from resolver.listeners.http.questions import PLAIN
from resolver.listeners.http.reply import Rendered, split_reply

KEY: Final = b"h"
"""What keys of the answer cache begin with; the target and the version of the request line follow."""

_METHOD: Final = b"GET "
_LINE_END: Final = b"\r\n"
_HEAD_END: Final = b"\r\n\r\n"


class Way(NamedTuple):
    """What runs are answered with; the same for all connections of a listener."""

    routes: tuple[bytes, ...]
    """The paths that requests are below."""
    renders: tuple[Callable[[bytes, str, int], Rendered], ...]
    """By route, how a record looks (`render_handle`, `render_resolution`)."""
    silent: Collection[bytes]
    """Header blocks that say nothing but that the connection stays."""
    get: Callable[[bytes], Rendered | None]
    """The reply that is kept under a key (`Shelf.get`)."""
    look_up: Callable[[str], bytes | None]
    """A plain look-up (`PlainLookups.look_up`)."""
    render: Callable[[int, bytes, str], Rendered]
    """What came of it, as it looks below one of `routes`, by its place; never raises."""
    has_seen: Callable[[bytes], bool]
    note: Callable[[bytes], None]
    new_id: Callable[[], str]
    date: Callable[[], bytes]
    """The field Date of now, with the line end before it."""


@compiled.preferred
def answer_run(data: bytes, begin: int, way: Way, replies: list[bytes]) -> int:
    """Answer the run of requests that begins at `begin`, as far as one turn goes; where in `data` the next request begins."""
    size = sum(map(len, replies))
    while len(replies) < MAX_TURN and size <= MAX_TURN_BYTES:
        line_end, end = data.find(_LINE_END, begin), data.find(_HEAD_END, begin)
        if end < 0 or data[line_end + len(_LINE_END) : end + len(_HEAD_END)] not in way.silent:
            break
        line = data[begin:line_end]
        if not line.startswith(_METHOD):
            break
        key = KEY + line[len(_METHOD) :]
        rendered = way.get(key)
        if rendered is None:
            named = parse_name(line, way.routes)
            if named is None or way.has_seen(key):
                break
            place, identifier = named
            raw = way.look_up(identifier)
            if raw is None:
                break
            rendered = way.render(place, raw, identifier)
            way.note(key)
        reply = b"".join((rendered.head, way.new_id().encode(), way.date(), _HEAD_END, rendered.body))
        replies.append(reply)
        size += len(reply)
        begin = end + len(_HEAD_END)
    return begin


@compiled.preferred
def render_handle(raw: bytes, asked: str, now_s: int) -> Rendered:
    """The Handle JSON API's reply with the public values of a packed active record; `asked` is the spelling."""
    return split_reply(handle_reply(_found(raw, asked, now_s), PLAIN, False))


@compiled.preferred
def render_resolution(raw: bytes, asked: str, now_s: int) -> Rendered:
    """Our own API's."""
    return split_reply(resolve_reply(_found(raw, asked, now_s), None, False))


def _found(raw: bytes, asked: str, now_s: int) -> Found:
    record = PackedRecord(raw)
    values, _ = record.select()
    ttl_s = least_ttl_s(values, now_s, 0)
    return Found(
        asked, record.identifier, record.version, record.aliases, record.template, record.registrant, ttl_s, values=values
    )  # fmt: skip
