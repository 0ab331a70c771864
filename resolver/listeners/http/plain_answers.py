"""Answers to plain requests, as the bytes that go out: from the answer cache, by a plain look-up, or from the chain.

What is asked, how it is answered and how that looks is decided by the same functions for every request (`lookups`,
`reply`); here is only what makes the common case cheap. A kept reply is its head up to the value of the request's id, and its
body: the rest of the head is the request's own (id, trace, date, whether the connection stays). HEAD and 304 are made of the
same entry.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from proto.errors import Reason, Refusal
from proto.model.answer import ANSWERS, Answer, NotFound
from proto.request_id import REQUEST_ID, RequestIds
from proto.wire.http import head
from proto.wire.http.plain import METHODS, Block, Blocks, parse_line, parse_name
from proto.wire.http.target import parse_target
from resolver.answer_cache import Shelf
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.listeners.http.api import Slots
from resolver.listeners.http.lookups import Asked, Lookup
from resolver.listeners.http.public_replies import KEY, Way
from resolver.listeners.http.questions import PLAIN, Layout
from resolver.listeners.http.reply import Rendered, matches_tag, refuse, split_reply

log = logging.getLogger(__name__)

_CONTENT_TYPE: Final = b"Content-Type: "
_NAME_OF_ID: Final = f"{head.REQUEST_ID}: ".encode()
_NOT_MODIFIED: Final = f"HTTP/1.1 {HTTPStatus.NOT_MODIFIED:d} {HTTPStatus.NOT_MODIFIED.phrase}\r\n".encode()
_END: Final = b"\r\n\r\n"
_CLOSE: Final = b"\r\nConnection: close\r\n\r\n"

_FAILED: Final = "a request failed"
_FAULT: Final = Refusal(Reason.INTERNAL, "the node failed to answer; its log says why")


class PlainAnswers:
    """Answers what is below the paths of `lookups`. `slots` bound the answers that are waited for."""

    def __init__(
        self,
        lookups: tuple[Lookup, ...],
        resolve: Resolve,
        shelf: Shelf[Rendered],
        slots: Slots,
        ids: RequestIds,
        count: Callable[[Refusal], None],
        plain: PlainLookups | None = None,
    ) -> None:
        self.routes: Final = tuple(each.path.encode() for each in lookups)
        self._lookups = tuple((each.path, each) for each in lookups)
        self._render_public = tuple(each.render_public for each in lookups)
        self._resolve = resolve
        self._get = shelf.get
        self._keep = shelf.keep
        self._shelf = shelf
        self._plain = plain
        self._now_s = plain.now_s if plain is not None else lambda: int(time.time())
        self._slots = slots
        self._ids = ids
        self._count = count
        self._second = 0
        self._date = b""
        self.blocks: Final = Blocks()
        self.way: Final = self._make_way(shelf, plain) if plain is not None else None
        """How common requests are answered, if they are; `way_here` those of addresses that others are not asked for."""
        self.way_here: Final = self._make_way(shelf, plain.here) if plain is not None else None

    def serves(self, peer: str) -> bool:
        """Whether others are asked for an address, so that it may have copies."""
        return self._plain is None or self._plain.serves(peer)

    def answer(self, line: bytes, block: Block, peer: str) -> bytes | Coroutine[None, None, bytes] | None:
        """The whole reply to a request from `peer` with this request line and header block, at once or to be waited for.

        None: it is not plain, or what it asks cannot be read.
        """
        get, other = METHODS
        if line.startswith(get):
            is_head, key = False, KEY + line[len(get) :]
        elif line.startswith(other):
            is_head, key = True, KEY + line[len(other) :]
        else:
            return None
        rendered = self._get(key)
        if rendered is not None:
            return self._compose(rendered, block.request_id or self._ids.new(), is_head, block)
        return self._ask(key, line, is_head, block, peer)

    def _make_way(self, shelf: Shelf[Rendered], plain: PlainLookups) -> Way:
        return Way(
            self.routes,
            self._render_public,
            self.blocks.silent,
            shelf.get,
            shelf.get_turn,
            plain.look_up,
            plain.look_up_turn,
            self._render_found,
            shelf.admits,
            shelf.admits_each,
            self._ids,
            self._dated,
        )

    def _ask(
        self, key: bytes, line: bytes, is_head: bool, block: Block, peer: str
    ) -> bytes | Coroutine[None, None, bytes] | None:
        request_id = block.request_id or self._ids.new()
        if self._plain is not None:
            named = parse_name(line, self.routes)
            rendered = self._look_up(self._plain.looked_up_for(peer), key, *named) if named is not None else None
            if rendered is not None:
                return self._compose(rendered, request_id, is_head, block)
        raw = parse_line(line)
        if raw is None:
            return None
        for path, each in self._lookups:
            if raw.startswith(path):
                lookup = each
                break
        else:
            return None
        target = parse_target(raw)
        REQUEST_ID.set(request_id)
        try:
            asked = lookup.parse(target.path[len(lookup.path) :], target, "", request_id)
        except Refusal:
            return None
        query = asked.query
        query.reads = []
        query.peer = peer
        result = self._resolve(query)
        if not isinstance(result, ANSWERS):
            return self._wait(lookup, asked, result, request_id, is_head, block)
        rendered = self._render(lookup, result, asked.layout, query.explain)
        self._keep(key, query, result, rendered, len(rendered.head) + len(rendered.body))
        return self._compose(rendered, request_id, is_head, block)

    def _look_up(self, plain: PlainLookups, key: bytes, place: int, identifier: str) -> Rendered | None:
        """What a record answers to a question for nothing but its identifier; None: the chain is to be asked."""
        raw = plain.look_up(identifier)
        if raw is None:
            return None
        return self._render_found(place, raw, identifier, key if self._shelf.admits(key) else b"")

    def _render_found(self, place: int, raw: bytes, identifier: str, key: bytes) -> Rendered:
        """What was looked up plainly, as what is asked for below one of the routes; kept under its key, if there is one."""
        try:
            if raw:
                rendered = self._render_public[place](raw, identifier, self._now_s())
            else:
                rendered = split_reply(self._lookups[place][1].render(NotFound(identifier), PLAIN, None, False))
            if key and self._plain is not None:
                size = len(rendered.head) + len(rendered.body)
                self._plain.keep(self._shelf, key, identifier, raw, rendered, size)
        except Exception:
            log.exception(_FAILED, extra={"identifier": identifier})
            return self._refuse(_FAULT)
        return rendered

    async def _wait(
        self, lookup: Lookup, asked: Asked, result: Awaitable[Answer], request_id: str, is_head: bool, block: Block
    ) -> bytes:
        try:
            with self._slots.take():
                rendered = self._render(lookup, await result, asked.layout, asked.query.explain)
        except Refusal as refusal:
            rendered = self._refuse(refusal)
        except Exception:
            log.exception(_FAILED, extra={"identifier": asked.query.identifier})
            rendered = self._refuse(_FAULT)
        return self._compose(rendered, request_id, is_head, block)

    def _render(self, lookup: Lookup, answer: Answer, layout: Layout, explanation: Sequence[str] | None) -> Rendered:
        try:
            return split_reply(lookup.render(answer, layout, explanation, False))
        except Exception:
            log.exception(_FAILED, extra={"identifier": answer.asked})
            return self._refuse(_FAULT)

    def _refuse(self, refusal: Refusal) -> Rendered:
        self._count(refusal)
        return split_reply(refuse(refusal))

    def _compose(self, rendered: Rendered, request_id: str, is_head: bool, block: Block) -> bytes:
        begin, tag, body = rendered
        if block.if_none_match and tag and matches_tag(tag, block.if_none_match):
            begin = _NOT_MODIFIED + begin[begin.index(b"\n") + 1 : begin.index(_CONTENT_TYPE)] + _NAME_OF_ID
            body = b""
        elif is_head:
            body = b""
        if block.traceparent:
            request_id = f"{request_id}\r\n{head.TRACEPARENT}: {block.traceparent}"
        return b"".join((begin, request_id.encode(), self._dated(), _END if block.is_kept else _CLOSE, body))

    def _dated(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, f"\r\nDate: {formatdate(second, usegmt=True)}".encode()
        return self._date
