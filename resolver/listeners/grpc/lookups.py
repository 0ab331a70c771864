"""The methods of the resolver: messages to queries, answers to messages or failures. No sockets.

A single question is answered in the turn in which it was read, unless it has to wait for a position. Asked by anybody, its
answer may lie in the answer cache, found by the bytes of the question before they are even parsed.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final

from proto.convert import answer_result, parse_message, refusal_failure
from proto.errors import Reason, Refusal
from proto.limits import MAX_FILTERS, MAX_MESSAGE_BYTES, MAX_RESOLVE_BATCH
from proto.metrics import Counter
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from proto.model.change import parse_cursor
from proto.model.query import Query
from proto.packed_messages import compose_public_response, compose_public_result
from proto.v1 import model_pb2, resolver_pb2
from proto.wire.grpc.metadata import CallHead, parse_bearer
from proto.wire.grpc.resolution import VARINTS, compose_resolution, plain_identifier
from proto.wire.grpc.response import answer_with, fail_with
from proto.wire.http2.response import Response
from resolver.answer_cache import Shelf
from resolver.chain.access import CREDENTIAL_FIELD
from resolver.chain.plain import PlainLookups, is_plain
from resolver.chain.step import Resolve, Result, abandon
from resolver.chain.together import ResolveMany, one_by_one
from resolver.listeners.grpc.limits import BATCH_SLICE, MAX_ANSWERS_BYTES, MAX_BATCH_BYTES, MAX_BATCHES, MAX_KEPT_QUESTION_BYTES

SERVICE: Final = resolver_pb2.DESCRIPTOR.services_by_name["Resolver"].full_name
PROTOCOL: Final = "grpc"

# The first byte of a key says whose it is, the second of which method; the rest is the message.
_KEY: Final = b"gR"

# What is wrong with the call and not with one of its identifiers ends a batch, at once: the next item would wait as long.
# (A wrong key does so too; that one record's values need a key does not.)
CALL_REASONS: Final = frozenset((Reason.NOT_READY, Reason.OVERLOADED, Reason.QUOTA_EXCEEDED, Reason.INTERNAL))

# The commonest first: what a result is that need not be waited for.
_ANSWERS: Final = (Found, NotFound, ValuesNotFound, Suspended, Retired, Referral, Refused)

# Keys of protobuf in the message of a batch: a result, and in it an answer or a failure.
_RESULT, _ANSWER, _FAILURE = b"\x0a", b"\x0a", b"\x12"


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

    def resolve(self, head: CallHead, raw: bytes, request_id: str, peer: str) -> Response | Awaitable[Response]:
        """`Resolve`. Raises `Refusal`."""
        key = b""
        if not head.authorization and len(raw) <= MAX_KEPT_QUESTION_BYTES:
            key = _KEY + raw
            kept = self._kept.get(key)
            if kept is not None:
                return kept
        identifier = plain_identifier(raw) if key else None
        if identifier is not None:
            response = self._resolve_plainly(identifier, key)
            if response is not None:
                return response
            query = Query(identifier, PROTOCOL, request_id=request_id, peer=peer)
        else:
            request = parse_message(resolver_pb2.ResolveRequest, raw, MAX_MESSAGE_BYTES)
            (query,) = _queries(request, (request.identifier,), head, request_id, peer)
        query.reads = []
        answer = self._resolve(query)
        if not isinstance(answer, _ANSWERS):
            return self._answer_later(query, answer)
        response = _render(query, answer)
        if key:
            self._kept.keep(key, query, answer, response, response.size)
        return response

    def _resolve_plainly(self, identifier: str, key: bytes) -> Response | None:
        """What a record answers to a question for nothing but its identifier; None: the chain is to be asked.

        What has been asked for before is made by the chain, which knows what a reply that is to be kept rests on.
        """
        plain = self._plain
        if plain is None or self._kept.has_seen(key):
            return None
        record = plain.find(identifier)
        if record is None:
            return None
        self._kept.note(key)
        return answer_with(compose_public_response(record, identifier, plain.now_s()))

    async def batch(self, head: CallHead, raw: bytes, request_id: str, peer: str) -> Response:
        """`BatchResolve`. Raises `Refusal`."""
        request = parse_message(resolver_pb2.BatchResolveRequest, raw, MAX_BATCH_BYTES)
        if len(request.identifiers) > MAX_RESOLVE_BATCH:
            why = f"{len(request.identifiers)} identifiers; the limit is {MAX_RESOLVE_BATCH}"
            raise Refusal(Reason.BATCH_TOO_LARGE, why, "identifiers")
        queries = _queries(request, request.identifiers, head, request_id, peer)
        # It is with its first that a batch waits for a position, and it takes no turn from others meanwhile; nor does one with
        # a wrong key. For all others no answer is to lie here until their turn comes.
        asks_first = queries and (queries[0].after is not None or queries[0].credential)
        first = await self._ask(queries[0]) if asks_first else None
        if isinstance(first, Refused) and _ends_call(first.refusal):
            return fail_with(refusal_failure(first.refusal, queries[0].explain or ()))
        async with self._batches:
            return await self._answer_batch(queries, first)

    async def _answer_batch(self, queries: Sequence[Query], first: Answer | None) -> Response:
        """The results of a batch, in order; `first` is the first one's answer if it was asked for already."""
        results: list[bytes] = []
        room = MAX_ANSWERS_BYTES
        for start in range(0, len(queries), BATCH_SLICE):
            if start:
                await asyncio.sleep(0)
            part = queries[start : start + BATCH_SLICE]
            looked_up = self._look_up(part) if first is None or start else [first, *self._look_up(part[1:])]
            for place, (query, found) in enumerate(zip(part, looked_up, strict=True), start):
                answer = await found if inspect.isawaitable(found) else found
                if isinstance(answer, Refused) and _ends_call(answer.refusal):
                    abandon(looked_up)
                    return fail_with(refusal_failure(answer.refusal, query.explain or ()))
                result = answer if isinstance(answer, bytes) else _result(answer, query)
                if len(result) > room:
                    result = self._no_room(place)
                else:
                    room -= len(result)
                results += (_RESULT, VARINTS[len(result)], result)
        return answer_with(b"".join(results))

    def _look_up(self, queries: Sequence[Query]) -> list[bytes | Result]:
        """What each comes to: a result as it is sent, or an answer, now or later."""
        plain = self._plain
        if plain is None or not queries or not is_plain(queries[0]):
            return [*self._resolve_many(queries)]
        records = plain.find_many([query.identifier for query in queries], queries[0].wants_private)
        others = iter(self._resolve_many([query for query, record in zip(queries, records, strict=True) if record is None]))
        now_s = plain.now_s()
        return [
            next(others) if record is None else compose_public_result(record, query.identifier, now_s)
            for query, record in zip(queries, records, strict=True)
        ]

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


def _queries(
    request: resolver_pb2.ResolveRequest | resolver_pb2.BatchResolveRequest,
    identifiers: Iterable[str],
    head: CallHead,
    request_id: str,
    peer: str,
) -> list[Query]:
    """One query for each identifier. Raises `Refusal`: UNAUTHENTICATED, INVALID_ARGUMENT."""
    credential = parse_bearer(head.authorization)
    indexes, types = tuple(request.indexes), tuple(request.types)
    if len(indexes) + len(types) > MAX_FILTERS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"more than {MAX_FILTERS} filters", "indexes" if indexes else "types")
    after = parse_cursor(request.after) if request.after else None
    explains, wants_private = request.explain, request.wants_private
    is_recursive = request.recursive if request.HasField("recursive") else None
    max_age_s = request.max_age_s if request.HasField("max_age_s") else None
    return [
        Query(
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
        for identifier in identifiers
    ]


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
