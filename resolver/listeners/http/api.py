"""What is served: each route's request becomes a reply. No sockets; `exchange` brings requests here and replies out."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol

from proto.errors import Reason, Refusal
from proto.model.answer import Answer, NotFound, Refused
from proto.model.query import Query
from proto.wire.http.accept import is_preferred
from proto.wire.http.target import Target
from resolver.chain.access import CREDENTIAL_FIELD
from resolver.chain.plain import PlainLookups, is_plain, takes_copy
from resolver.chain.step import Resolve, Result, abandon
from resolver.chain.together import ResolveMany, one_by_one
from resolver.listeners.http.documents import resolve_reply, resolve_text
from resolver.listeners.http.limits import BATCH_SLICE, BUSY_RETRY_S, MAX_BATCHES, MAX_REQUESTS, PIECE_BYTES
from resolver.listeners.http.lookups import LOOKUPS, Lookup
from resolver.listeners.http.openapi import DOCUMENT
from resolver.listeners.http.public_replies import render_resolution
from resolver.listeners.http.questions import parse_batch, parse_bearer
from resolver.listeners.http.reply import JSON, NDJSON, Reply, compose_json, encode

RESOLVE_BATCH: Final = "/api/v1/resolve"
READ: Final = ("GET", "HEAD")

# What is wrong with the request, and not with one of its identifiers.
_WHOLE_REQUEST: Final = frozenset((Reason.NOT_READY, Reason.OVERLOADED, Reason.QUOTA_EXCEEDED))

_LINES: Final = NDJSON.partition(";")[0]
_DOCUMENT: Final = JSON.partition(";")[0]

_OPENAPI: Final = compose_json(DOCUMENT)


class Readiness(Protocol):
    """Whether the node can answer now."""

    @property
    def is_ready(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request, taken apart as far as every route needs it. `rest` is the path after the route, still encoded."""

    rest: str
    target: Target
    headers: Mapping[str, str]
    accept: str
    """All Accept fields, as one."""
    request_id: str
    peer: str
    read_body: Callable[[], Awaitable[bytes]]
    count: Callable[[Refusal], None]
    """Counts a refusal that never reached the chain."""

    @property
    def is_authorised(self) -> bool:
        return "Authorization" in self.headers


Serve = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """A path, or with `takes_rest` everything below it, and what serves each method there."""

    path: str
    takes_rest: bool
    methods: Mapping[str, Serve]
    slots: "Slots"


class Slots:
    """How many requests of a kind may be worked on at once, from their body to the end of their answer."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Raises `Refusal(OVERLOADED)` if there are none left."""
        if self._taken >= self._limit:
            why = f"{self._limit} requests of this kind are being answered"
            raise Refusal(Reason.OVERLOADED, why, retry_after_s=BUSY_RETRY_S)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Api:
    """Serves every route of this listener by asking `resolve`, but for what `plain` answers of a batch."""

    def __init__(
        self,
        resolve: Resolve,
        readiness: Readiness,
        resolve_many: ResolveMany | None = None,
        plain: PlainLookups | None = None,
    ) -> None:
        self._resolve = resolve
        self._resolve_together = resolve_many or one_by_one(resolve)
        self._plain = plain
        self._readiness = readiness
        single, batches = Slots(MAX_REQUESTS), Slots(MAX_BATCHES)
        self.single: Final = single
        self.routes: Final = (
            *(Route(each.path, True, dict.fromkeys(READ, partial(self._look_up, each)), single) for each in LOOKUPS),
            Route(RESOLVE_BATCH, False, {"POST": self._resolve_many}, batches),
            Route("/healthz", False, dict.fromkeys(READ, self._health), single),
            Route("/readyz", False, dict.fromkeys(READ, self._ready), single),
            Route("/openapi.json", False, dict.fromkeys(READ, self._openapi), single),
        )

    async def _look_up(self, lookup: Lookup, call: Call) -> Reply:
        try:
            asked = lookup.parse(call.rest, call.target, parse_bearer(call.headers), call.request_id)
        except Refusal as refusal:
            call.count(refusal)
            return lookup.refuse(call.rest, call.target, refusal, call.is_authorised)
        asked.query.peer = call.peer
        return lookup.render(await self._ask(asked.query), asked.layout, asked.query.explain, call.is_authorised)

    async def _resolve_many(self, call: Call) -> Reply:
        queries = parse_batch(await call.read_body(), parse_bearer(call.headers), call.request_id)
        for query in queries:
            query.peer = call.peer
        first: bytes | Answer | None = None
        if queries:
            (first,) = self._look_up_plainly(queries[:1])
            first = await self._ask(queries[0]) if first is None else first
        if isinstance(first, Refused) and _ends_batch(first.refusal):
            return resolve_reply(first, None, call.is_authorised)
        results = self._results(queries, first)
        headers = {"Cache-Control": "no-store"}
        if is_preferred(call.accept, _LINES, _DOCUMENT):
            return Reply(HTTPStatus.OK, content_type=NDJSON, headers=headers, chunks=_as_lines(results))
        return Reply(HTTPStatus.OK, headers=headers, chunks=_as_document(results))

    async def _health(self, _call: Call) -> Reply:
        return _state(True, "alive")

    async def _ready(self, _call: Call) -> Reply:
        return _state(self._readiness.is_ready, "ready")

    async def _openapi(self, _call: Call) -> Reply:
        return Reply(HTTPStatus.OK, _OPENAPI, headers={"Cache-Control": "no-cache"})

    async def _results(self, queries: Sequence[Query], first: bytes | Answer | None) -> AsyncIterator[list[bytes]]:
        """The documents of a batch, in order, as many at a time as are there; `first` is what the first one came to."""
        for start in range(0, len(queries), BATCH_SLICE):
            if start:
                await asyncio.sleep(0)
            part = queries[start : start + BATCH_SLICE]
            found = self._look_up_together(part) if first is None or start else [first, *self._look_up_together(part[1:])]
            ready: list[bytes] = []
            try:
                for query, result in zip(part, found, strict=True):
                    if ready and (inspect.isawaitable(result) or sum(map(len, ready)) > PIECE_BYTES):
                        yield ready
                        ready = []
                    if isinstance(result, bytes):
                        ready.append(self._document(result, query.identifier))
                    else:
                        answer = await result if inspect.isawaitable(result) else result
                        ready.append(encode(resolve_text(answer, query.explain)))
                yield ready
            finally:
                abandon(found)

    def _look_up_together(self, queries: Sequence[Query]) -> list[bytes | Result]:
        """What each of a batch comes to: the record of a plain look-up, or what the chain gives."""
        records = self._look_up_plainly(queries)
        others = [query for query, raw in zip(queries, records, strict=True) if raw is None]
        results = iter(self._resolve_together(others) if others else ())
        return [next(results) if raw is None else raw for raw in records]

    def _look_up_plainly(self, queries: Sequence[Query]) -> Sequence[bytes | None]:
        """As `PlainLookups.look_up_many`. What is asked for beside the identifier is the same of all."""
        if self._plain is None or not queries or not is_plain(queries[0]):
            return [None] * len(queries)
        first, plain = queries[0], self._plain.looked_up_for(queries[0].peer)
        return plain.look_up_many([query.identifier for query in queries], first.wants_private, takes_copy(first))

    def _document(self, raw: bytes, identifier: str) -> bytes:
        """What a plain look-up came to."""
        if raw and self._plain is not None:
            return render_resolution(raw, identifier, self._plain.now_s()).body
        return encode(resolve_text(NotFound(identifier), None))

    async def _ask(self, query: Query) -> Answer:
        result = self._resolve(query)
        return await result if inspect.isawaitable(result) else result


def _ends_batch(refusal: Refusal) -> bool:
    """Whether every further identifier would meet the same refusal: the node's own, or that of the token."""
    return refusal.reason in _WHOLE_REQUEST or refusal.field == CREDENTIAL_FIELD


async def _as_lines(results: AsyncIterator[list[bytes]]) -> AsyncIterator[bytes]:
    async for documents in results:
        yield b"".join([document + b"\n" for document in documents])


async def _as_document(results: AsyncIterator[list[bytes]]) -> AsyncIterator[bytes]:
    before = b'{"results":['
    async for documents in results:
        yield before + b",".join(documents)
        before = b","
    yield b"]}" if before == b"," else before + b"]}"


def _state(is_so: bool, state: str) -> Reply:
    document = {"status": state if is_so else f"not {state}"}
    status = HTTPStatus.OK if is_so else HTTPStatus.SERVICE_UNAVAILABLE
    return Reply(status, compose_json(document), headers={"Cache-Control": "no-store"})
