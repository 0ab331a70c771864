"""The methods of the resolver: messages to queries, answers to messages or failures. No sockets.

A single question is answered in the turn in which it was read, unless it has to wait for a position. Asked by anybody, its
answer may lie in the answer cache, found by the bytes of the question before they are even parsed.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from proto.convert import answer_result, parse_message, refusal_failure
from proto.errors import Reason, Refusal
from proto.limits import MAX_FILTERS, MAX_MESSAGE_BYTES, MAX_RESOLVE_BATCH
from proto.metrics import Counter
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from proto.model.change import parse_cursor
from proto.model.query import Query
from proto.packed_messages import compose_public_response, compose_public_results, join_results
from proto.request_id import RequestIds
from proto.v1 import model_pb2, resolver_pb2
from proto.wire.grpc.metadata import CallHead, parse_bearer
from proto.wire.grpc.resolution import VARINTS, compose_resolution, plain_identifier
from proto.wire.grpc.response import answer_with, fail_with
from proto.wire.http2.response import Response
from resolver.answer_cache import Shelf
from resolver.chain.access import CREDENTIAL_FIELD
from resolver.chain.plain import PlainLookups, is_plain, takes_copy
from resolver.chain.step import Resolve, Result, abandon
from resolver.chain.together import ResolveMany, one_by_one
from resolver.listeners.grpc.limits import BATCH_SLICE, MAX_ANSWERS_BYTES, MAX_BATCH_BYTES, MAX_BATCHES, MAX_KEPT_QUESTION_BYTES
from resolver.listeners.grpc.plain_calls import KEY, Way, Ways

SERVICE: Final = resolver_pb2.DESCRIPTOR.services_by_name["Resolver"].full_name
RESOLVE: Final = f"/{SERVICE}/Resolve"
PROTOCOL: Final = "grpc"

# What is wrong with the call and not with one of its identifiers ends a batch, at once: the next item would wait as long.
# (A wrong key does so too; that one record's values need a key does not.)
CALL_REASONS: Final = frozenset((Reason.NOT_READY, Reason.OVERLOADED, Reason.QUOTA_EXCEEDED, Reason.INTERNAL))

# The commonest first: what a result is that need not be waited for.
_ANSWERS: Final = (Found, NotFound, ValuesNotFound, Suspended, Retired, Referral, Refused)

# Keys of protobuf in a result: an answer or a failure.
_ANSWER, _FAILURE = b"\x0a", b"\x12"


_Asked = tuple[Query, Result]
_Read = Callable[[Sequence[str]], list[bytes | None]]


class Lookups:
    """`resolve` is the chain; what never reaches it is refused to the caller (`Refusal`), or counted here within a batch."""

    def __init__(
        self,
        resolve: Resolve,
        refused: Counter,
        kept: Shelf[Response],
        resolve_many: ResolveMany | None = None,
        plain: PlainLookups | None = None,
    ) -> None:
        self._resolve = resolve
        self._resolve_many = resolve_many or one_by_one(resolve)
        self._plain = plain
        self._refused = refused
        self._kept = kept
        self._batches = asyncio.Semaphore(MAX_BATCHES)
        self._answered_now = 0  # batches, in this turn of the event loop

    def ways(self, ids: RequestIds) -> Ways | None:
        """How the commonest calls of `resolve` are answered in one piece; None if there is no such way."""
        plain = self._plain
        return Ways(plain.serves, self._way(plain, ids), self._way(plain.here, ids)) if plain is not None else None

    def _way(self, plain: PlainLookups, ids: RequestIds) -> Way:
        kept = self._kept

        def keep(key: bytes, identifier: str, raw: bytes, response: Response) -> None:
            plain.keep(kept, key, identifier, raw, response, response.size)

        return Way(
            kept.get, kept.get_turn, plain.look_up, plain.look_up_turn, kept.admits, kept.admits_each, keep, _ABSENT,
            ids, plain.now_s,
        )  # fmt: skip

    def resolve(self, head: CallHead, raw: bytes, request_id: str, peer: str) -> Response | Awaitable[Response]:
        """`Resolve`. Raises `Refusal`."""
        key = b""
        if not head.authorization and len(raw) <= MAX_KEPT_QUESTION_BYTES:
            key = KEY + raw
            kept = self._kept.get(key)
            if kept is not None:
                return kept
        identifier = plain_identifier(raw) if key else None
        if identifier is not None:
            response = self._resolve_plainly(identifier, key, peer)
            if response is not None:
                return response
            query = Query(identifier, PROTOCOL, request_id=request_id, peer=peer)
        else:
            request = parse_message(resolver_pb2.ResolveRequest, raw, MAX_MESSAGE_BYTES)
            query = _asker(request, head, request_id, peer)(request.identifier)
        query.reads = []
        answer = self._resolve(query)
        if not isinstance(answer, _ANSWERS):
            return self._answer_later(query, answer)
        response = _render(query, answer)
        if key:
            self._kept.keep(key, query, answer, response, response.size)
        return response

    def _resolve_plainly(self, identifier: str, key: bytes, peer: str) -> Response | None:
        """What a record answers to a question for nothing but its identifier; None: the chain is to be asked."""
        plain = self._plain.looked_up_for(peer) if self._plain is not None else None
        raw = plain.look_up(identifier) if plain is not None else None
        if plain is None or raw is None:
            return None
        response = answer_with(compose_public_response(raw, identifier, plain.now_s())) if raw else _ABSENT
        plain.offer(self._kept, key, identifier, raw, response, response.size)
        return response

    def batch(self, head: CallHead, raw: bytes, request_id: str, peer: str) -> Response | Awaitable[Response]:
        """`BatchResolve`, at once if it is short and all it takes is there. Raises `Refusal`."""
        request = parse_message(resolver_pb2.BatchResolveRequest, raw, MAX_BATCH_BYTES)
        identifiers = request.identifiers[:]
        if len(identifiers) > MAX_RESOLVE_BATCH:
            why = f"{len(identifiers)} identifiers; the limit is {MAX_RESOLVE_BATCH}"
            raise Refusal(Reason.BATCH_TOO_LARGE, why, "identifiers")
        ask = _asker(request, head, request_id, peer)
        first = ask(identifiers[0]) if identifiers else None
        if self._plain is None or first is None or not is_plain(first):
            return self._answer_behind(identifiers, ask, first)
        plain = self._plain.looked_up_for(peer)
        read = partial(plain.look_up_many, wants_private=first.wants_private, takes_copy=takes_copy(first))
        records: list[bytes | None] | None = None
        if len(identifiers) <= BATCH_SLICE and self._may_answer_now():
            records = read(identifiers)
            whole = compose_public_results(records, identifiers, self._plain.now_s(), _ABSENT_RESULT)
            if whole is not None and len(whole) <= MAX_ANSWERS_BYTES:
                return answer_with(whole)
        return self._answer_in_turn(identifiers, ask, [], read, records)

    def _may_answer_now(self) -> bool:
        """Whether another batch may be worked on in this turn of the event loop: as many as if each were a task of its own.

        So of those whose records are read and that have to wait for more there are at most that many.
        """
        if self._batches.locked() or self._answered_now >= MAX_BATCHES:
            return False
        if not self._answered_now:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._answered_now += 1
        return True

    def _begin_turn(self) -> None:
        self._answered_now = 0

    async def _answer_behind(self, identifiers: Sequence[str], ask: Callable[[str], Query], first: Query | None) -> Response:
        """The answer to a batch that may have to wait for its `first`."""
        # It is with its first that a batch waits for a position, and it takes no turn from others meanwhile; nor does one with
        # a wrong key. For all others no answer is to lie here until their turn comes.
        known: list[_Asked] = []
        if first is not None and (first.after is not None or first.credential):
            answer = await self._ask(first)
            if isinstance(answer, Refused) and _ends_call(answer.refusal):
                return fail_with(refusal_failure(answer.refusal, first.explain or ()))
            known = [(first, answer)]
        return await self._answer_in_turn(identifiers, ask, known)

    async def _answer_in_turn(
        self,
        identifiers: Sequence[str],
        ask: Callable[[str], Query],
        known: list[_Asked],
        read: _Read | None = None,
        records: list[bytes | None] | None = None,
    ) -> Response:
        async with self._batches:
            return await self._answer_batch(identifiers, ask, known, read, records)

    async def _answer_batch(
        self,
        identifiers: Sequence[str],
        ask: Callable[[str], Query],
        known: list[_Asked],
        read: _Read | None,
        records: list[bytes | None] | None,
    ) -> Response:
        """The results of a batch, in order; `known` is what the first came to already, `records` what is read for them."""
        results: list[bytes] = []
        room = MAX_ANSWERS_BYTES
        for start in range(0, len(identifiers), BATCH_SLICE):
            if start:
                await asyncio.sleep(0)
            part = identifiers[start : start + BATCH_SLICE]
            if read is not None:
                looked_up = self._complete(part, records or read(part), ask, room)
                records = None
            elif start or not known:
                looked_up = self._ask_all(part, ask)
            else:
                looked_up = [*known, *self._ask_all(part[1:], ask)]
            if isinstance(looked_up, bytes):
                results.append(looked_up)
                room -= len(looked_up)
                continue
            for place, found in enumerate(looked_up, start):
                if isinstance(found, bytes):
                    result = found
                else:
                    query, result_of = found
                    answer = await result_of if inspect.isawaitable(result_of) else result_of
                    if isinstance(answer, Refused) and _ends_call(answer.refusal):
                        abandon([each[1] for each in looked_up if not isinstance(each, bytes)])
                        return fail_with(refusal_failure(answer.refusal, query.explain or ()))
                    result = join_results([_result(answer, query)])
                if len(result) > room:
                    result = join_results([self._no_room(place)])
                else:
                    room -= len(result)
                results.append(result)
        return answer_with(results[0] if len(results) == 1 else b"".join(results))

    def _complete(
        self, identifiers: Sequence[str], records: Sequence[bytes | None], ask: Callable[[str], Query], room: int
    ) -> bytes | list[bytes | _Asked]:
        """What they come to: all of it as it is sent, or for each so much, or an answer, now or later, beside its question."""
        now_s = self._plain.now_s() if self._plain is not None else 0
        whole = compose_public_results(records, identifiers, now_s, _ABSENT_RESULT)
        if whole is not None and len(whole) <= room:
            return whole
        asked = [name for name, raw in zip(identifiers, records, strict=True) if raw is None]
        others = iter(self._ask_all(asked, ask) if asked else ())
        return [
            next(others) if raw is None else compose_public_results((raw,), (name,), now_s, _ABSENT_RESULT) or b""
            for raw, name in zip(records, identifiers, strict=True)
        ]

    def _ask_all(self, identifiers: Sequence[str], ask: Callable[[str], Query]) -> list[bytes | _Asked]:
        """What the chain comes to for each."""
        queries = [*map(ask, identifiers)]
        return [*zip(queries, self._resolve_many(queries), strict=True)]

    def _no_room(self, place: int) -> bytes:
        refusal = Refusal(Reason.MESSAGE_TOO_LARGE, "this answer is full: ask for it again", f"identifiers[{place}]", place)
        self._refused.labels(refusal.reason).inc()
        return _failed(refusal_failure(refusal))

    async def _ask(self, query: Query) -> Answer:
        """The chain never raises, and counts what it refuses."""
        result = self._resolve(query)
        return await result if inspect.isawaitable(result) else result

    async def _answer_later(self, query: Query, answer: Awaitable[Answer]) -> Response:
        return _render(query, await answer)


def _asker(
    request: resolver_pb2.ResolveRequest | resolver_pb2.BatchResolveRequest, head: CallHead, request_id: str, peer: str
) -> Callable[[str], Query]:
    """What makes a query of an identifier. Raises `Refusal`: UNAUTHENTICATED, INVALID_ARGUMENT."""
    credential = parse_bearer(head.authorization)
    indexes, types = tuple(request.indexes), tuple(request.types)
    if len(indexes) + len(types) > MAX_FILTERS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"more than {MAX_FILTERS} filters", "indexes" if indexes else "types")
    after = parse_cursor(request.after) if request.after else None
    explains, wants_private = request.explain, request.wants_private
    is_recursive = request.recursive if request.HasField("recursive") else None
    max_age_s = request.max_age_s if request.HasField("max_age_s") else None

    def ask(identifier: str) -> Query:
        return Query(
            identifier,
            PROTOCOL,
            indexes,
            types,
            credential,
            wants_private=wants_private,
            after=after,
            request_id=request_id,
            explain=[] if explains else None,
            peer=peer,
            is_recursive=is_recursive,
            max_age_s=max_age_s,
        )

    return ask


def _render(query: Query, answer: Answer) -> Response:
    explanation = query.explain or ()
    if isinstance(answer, Found | ValuesNotFound):
        return answer_with(compose_resolution(answer, explanation))
    return _ABSENT if type(answer) is NotFound and not explanation else _render_failure(answer, explanation)


def _render_failure(answer: Answer, explanation: Sequence[str]) -> Response:
    message = answer_result(answer, explanation)
    return fail_with(message) if isinstance(message, model_pb2.Failure) else answer_with(message.SerializeToString())


# Of identifiers that are not there all that is said is the same, and there are no end of them.
_ABSENT: Final = _render_failure(NotFound(""), ())


def _result(answer: Answer, query: Query) -> bytes:
    """What one identifier of a batch came to (`biaojie.v1.ResolveResult`)."""
    explanation = query.explain or ()
    if isinstance(answer, Found | ValuesNotFound):
        resolution = compose_resolution(answer, explanation)
        return _ANSWER + VARINTS[len(resolution)] + resolution
    message = answer_result(answer, explanation)
    if isinstance(message, model_pb2.Failure):
        return _failed(message)
    return resolver_pb2.ResolveResult(answer=message).SerializeToString()


def _failed(failure: model_pb2.Failure) -> bytes:
    message = failure.SerializeToString()
    return _FAILURE + VARINTS[len(message)] + message


def _ends_call(refusal: Refusal) -> bool:
    return refusal.reason in CALL_REASONS or refusal.field == CREDENTIAL_FIELD


_ABSENT_RESULT: Final = _result(NotFound(""), Query("", PROTOCOL))
