"""Replies with all that is public of a record, or of a copy, as the bytes that go out, straight from the packed record.

Nearly every answer over HTTP is one of these. They are the replies of `documents` for `Found`; compiled they are written from
the record's bytes without an answer, a value, a text or a reply in between.

A *common* request asks for one identifier, with a header block that has been read before and says nothing but that the
connection stays. Nearly all are, and nearly always a connection brings one alone: those of all connections are answered
together at the end of a turn of the event loop (`answer_turn`). A *run* is several of one connection: they are answered one
after the other, up to the first that is not common, or that a plain look-up does not settle (`answer_run`). Both answer with
what is kept, or with what a plain look-up finds, which is kept from then on if it was asked for before; `plain_answers` knows
what to do about all others.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from proto import compiled
from proto.packed_answer import found_in
from proto.request_id import RequestIds, compose_id
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
    """What common requests are answered with; the same for all connections of a listener."""

    routes: tuple[bytes, ...]
    """The paths that requests are below."""
    renders: tuple[Callable[[bytes, str, int], Rendered], ...]
    """By route, how a record looks (`render_handle`, `render_resolution`)."""
    silent: Collection[bytes]
    """Header blocks that say nothing but that the connection stays."""
    get: Callable[[bytes], Rendered | None]
    get_turn: Callable[[Sequence[bytes]], list[Rendered | None]]
    """The replies that are kept under keys (`Shelf.get`, `Shelf.get_turn`)."""
    look_up: Callable[[str], bytes | None]
    look_up_turn: Callable[[Sequence[tuple[str, bool, bool]]], list[bytes | None]]
    """Plain look-ups (`PlainLookups.look_up`, `PlainLookups.look_up_turn`)."""
    render: Callable[[int, bytes, str, bytes], Rendered]
    """What came of one, as it looks below one of `routes`, by its place; kept under a key, if there is one. Never raises."""
    admits: Callable[[bytes], bool]
    admits_each: Callable[[Sequence[bytes]], list[bool]]
    ids: RequestIds
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
            if named is None:
                break
            place, identifier = named
            raw = way.look_up(identifier)
            if raw is None:
                break
            rendered = way.render(place, raw, identifier, key if way.admits(key) else b"")
        reply = _join(rendered, *way.ids.reserve(1), way.date())
        replies.append(reply)
        size += len(reply)
        begin = end + len(_HEAD_END)
    return begin


@compiled.preferred
def answer_turn(reads: list[bytes], way: Way) -> list[bytes | None]:
    """The replies to what connections brought, in order: each is a common request and nothing else, or gets None.

    Of what gets None nothing was counted.
    """
    replies: list[bytes | None] = [None] * len(reads)
    own, first = way.ids.reserve(len(reads))
    date = way.date()
    common = [(place, line) for place, line in enumerate(map(_common_line, reads, [way.silent] * len(reads))) if line]
    keys = [KEY + line[len(_METHOD) :] for _, line in common]
    asked: list[tuple[int, bytes, int, str]] = []
    for (place, line), key, kept in zip(common, keys, way.get_turn(keys), strict=True):
        if kept is not None:
            replies[place] = _join(kept, own, first + place, date)
        elif (named := parse_name(line, way.routes)) is not None:
            asked.append((place, key, *named))
    found = way.look_up_turn([(identifier, False, True) for *_, identifier in asked]) if asked else []
    settled = [(*each, raw) for each, raw in zip(asked, found, strict=True) if raw is not None]
    admitted = way.admits_each([key for _, key, *_ in settled]) if settled else []
    for (place, key, route, identifier, raw), is_admitted in zip(settled, admitted, strict=True):
        replies[place] = _join(way.render(route, raw, identifier, key if is_admitted else b""), own, first + place, date)
    return replies


def _common_line(data: bytes, silent: Collection[bytes]) -> bytes:
    """The request line of what is nothing but one common request; empty for everything else."""
    line_end, end = data.find(_LINE_END), data.find(_HEAD_END)
    if end < 0 or end + len(_HEAD_END) != len(data) or data[line_end + len(_LINE_END) :] not in silent:
        return b""
    return data[:line_end] if data.startswith(_METHOD) else b""


def _join(rendered: Rendered, own: str, number: int, date: bytes) -> bytes:
    """The whole reply around what was rendered, under an id of our own."""
    return b"".join((rendered.head, compose_id(own, number).encode(), date, _HEAD_END, rendered.body))


@compiled.preferred
def render_handle(raw: bytes, asked: str, now_s: int) -> Rendered:
    """The Handle JSON API's reply with the public values of a packed active record; `asked` is the spelling."""
    return split_reply(handle_reply(found_in(raw, asked, now_s), PLAIN, False))


@compiled.preferred
def render_resolution(raw: bytes, asked: str, now_s: int) -> Rendered:
    """Our own API's."""
    return split_reply(resolve_reply(found_in(raw, asked, now_s), None, False))
