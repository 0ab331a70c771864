"""The resolver over gRPC (`biaojie.v1.Resolver`): messages to queries, answers to messages or failures; sockets only.

`proto.convert` knows the messages, `proto.wire.grpc` statuses and metadata. Messages pass the library as bytes and are parsed
here, because it would report one that is no protobuf, or text that is no UTF-8, as an unexplained failure of the node.
For the same reason every method is declared with a stream of requests and reads its one message itself: only so is a call
noticed whose message the transport refused, or whose client vanished half-way.
"""

import asyncio
import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import Message
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from proto import request_id
from proto.convert import answer_result, parse_message, refusal_failure
from proto.errors import Reason, Refusal
from proto.limits import MAX_FILTERS, MAX_IDENTIFIER_BYTES, MAX_MESSAGE_BYTES, MAX_RESOLVE_BATCH
from proto.metrics import Metrics
from proto.model.answer import Answer, Refused
from proto.model.change import parse_cursor
from proto.model.query import Query
from proto.v1 import model_pb2, resolver_pb2
from proto.wire.grpc.held import SMALL_MESSAGE_BYTES, Held
from proto.wire.grpc.metadata import (
    TRANSPORT_METADATA_BYTES,
    CallHead,
    check_metadata,
    compose_trailers,
    parse_bearer,
    parse_head,
)
from resolver.chain.access import CREDENTIAL_FIELD
from resolver.chain.step import Resolve

SERVICE: Final = resolver_pb2.DESCRIPTOR.services_by_name["Resolver"].full_name

# A batch of the longest identifiers, with a few bytes about each and room for filters.
MAX_BATCH_BYTES: Final = MAX_RESOLVE_BATCH * (MAX_IDENTIFIER_BYTES + 8) + MAX_MESSAGE_BYTES

# The transport's own limit lies above ours, so that what is a little too long is refused with our reason; gRPC's default.
TRANSPORT_MESSAGE_BYTES: Final = 4 * 1024 * 1024

# What a stock client accepts as one message is 4 MiB. Answers that do not fit fail by name, for which room is kept.
MAX_ANSWERS_BYTES: Final = 4 * 1024 * 1024 - MAX_RESOLVE_BATCH * 256

# Batches that are worked on at once, each with up to 4 MiB of answers; they cost time alone, so the others wait their turn.
MAX_BATCHES: Final = 8

# A batch yields to other calls after so many look-ups: about a millisecond of work.
BATCH_SLICE: Final = 32

# What is wrong with the call and not with one of its identifiers ends a batch, at once: the next item would wait as long.
# (A wrong key does so too; that one record's values need a key does not.)
CALL_REASONS: Final = frozenset((Reason.NOT_READY, Reason.OVERLOADED, Reason.QUOTA_EXCEEDED, Reason.INTERNAL))

# Calls being worked on in one process: each holds one message; past this a client is told to slow down.
MAX_CALLS: Final = 512
OVERLOAD_RETRY_S: Final = 1.0

# Streams of one connection; a client that multiplexes more opens a second connection, maybe to another worker.
MAX_STREAMS: Final = 128

# From a call's headers to its whole message: both come in one flight but from the slowest of lines.
MESSAGE_WAIT_S: Final = 10.0

# A connection is ended politely after so long, and what it has not taken by then is dropped: the library cannot end a single
# call whose client does not read. Clients connect anew, maybe to another worker.
CONNECTION_MS: Final = 600_000
CONNECTION_GRACE_MS: Final = 30_000

# How long the transport takes at most to say that it was it that ended a call without a message.
CUT_WAIT_S: Final = 0.1

# A silent connection is probed, so that those of vanished clients end.
KEEPALIVE_MS: Final = 60_000
KEEPALIVE_WAIT_MS: Final = 20_000

# As many as a W3C trace id.
REQUEST_ID_BYTES: Final = 16

_OPTIONS: Final = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", TRANSPORT_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.max_metadata_size", TRANSPORT_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", TRANSPORT_METADATA_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_WAIT_MS),
    ("grpc.max_connection_age_ms", CONNECTION_MS),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS),
)
_WATCHABLE: Final = ("", SERVICE)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

_Context = aio.ServicerContext[bytes, bytes]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Method = Callable[[bytes, CallHead], Awaitable[Message]]

logger = logging.getLogger(__name__)


class GrpcListener:
    """A `resolver.listeners.listener.Listener` on grpc.aio. `resolve` is the chain; what never reaches it is counted here."""

    protocol = "grpc"

    def __init__(self, resolve: Resolve, metrics: Metrics) -> None:
        self._resolve = resolve
        self._metrics = metrics
        self._methods: dict[str, _Method] = {
            f"/{SERVICE}/Resolve": self._resolve_one,
            f"/{SERVICE}/BatchResolve": self._resolve_batch,
        }
        self._server: aio.Server | None = None
        self._health = _Health()
        self._calls = 0
        self._held = Held()
        self._batches = asyncio.Semaphore(MAX_BATCHES)

    async def open(self, host: str, port: int) -> int:
        """Bind and serve. Raises `OSError` if the address cannot be had."""
        server = aio.server(options=_OPTIONS)
        self._health = _Health()
        server.add_generic_rpc_handlers((_Paths({path: self._handler(method) for path, method in self._methods.items()}),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        server.add_generic_rpc_handlers((_Paths({}, self._handler(_refuse_unknown)),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {address}: {error}") from error
        await server.start()
        self._server = server
        return bound

    async def close(self, grace_s: float) -> None:
        """Stop accepting at once, finish what is in flight for at most `grace_s`; watchers of the health are let go."""
        server, self._server = self._server, None
        if server is not None:
            self._health.end()
            # Once only: a second `stop` beside this one would touch what this one has freed.
            await server.stop(grace_s)

    def _handler(self, method: _Method) -> _Handler:
        async def behave(_requests: object, context: _Context) -> bytes:
            return await self._serve(method, context)

        return grpc.stream_unary_rpc_method_handler(behave)

    async def _serve(self, method: _Method, context: _Context) -> bytes:
        """One call from its headers to its status."""
        metadata = context.invocation_metadata() or ()
        head = parse_head(metadata, _new_request_id)
        request_id.REQUEST_ID.set(head.request_id)
        self._calls += 1
        try:
            check_metadata(metadata)
            if self._calls > MAX_CALLS:
                raise Refusal(Reason.OVERLOADED, f"{MAX_CALLS} calls are being answered", retry_after_s=OVERLOAD_RETRY_S)
            reply = await method(self._hold(await self._read(context), context), head)
            if not isinstance(reply, model_pb2.Failure):
                raw = self._hold(reply.SerializeToString(), context)
                context.set_trailing_metadata(compose_trailers(head.request_id))
                return raw
        except Refusal as refusal:
            self._count(refusal)
            reply = refusal_failure(refusal)
        except asyncio.CancelledError:
            if _is_late(context):
                self._metrics.refused.labels(Reason.TIMEOUT).inc()
            raise
        except Exception:
            logger.exception("a call failed")
            self._metrics.refused.labels(Reason.INTERNAL).inc()
            reply = refusal_failure(Refusal(Reason.INTERNAL, "the node failed; its log says why"))
        finally:
            self._calls -= 1
        return await context.abort(_CODES[reply.code], reply.detail, compose_trailers(head.request_id, reply))

    def _hold(self, message: bytes, context: _Context) -> bytes:
        """Account for a message until its call is over. Raises `Refusal(OVERLOADED)`."""
        if len(message) > SMALL_MESSAGE_BYTES:
            connection, size = context.peer(), len(message)
            self._held.put(connection, size)

            # The context is no longer to be touched when this is called.
            def settle(_context: object) -> None:
                self._held.give_back(connection, size)

            context.add_done_callback(settle)  # type: ignore[arg-type]  # the stubs want a class that nobody can import
        return message

    async def _read(self, context: _Context) -> bytes:
        try:
            async with asyncio.timeout(MESSAGE_WAIT_S):
                request = await context.read()
            if isinstance(request, bytes):
                return request
            await asyncio.sleep(CUT_WAIT_S)
        except TimeoutError:
            raise Refusal(Reason.TIMEOUT, f"no message came within {MESSAGE_WAIT_S:g} seconds") from None
        except asyncio.CancelledError:
            if not _is_late(context):
                # Too long for the transport, which has told the client so, or cut off: it does not say which.
                self._metrics.refused.labels(Reason.MALFORMED_MESSAGE).inc()
            raise
        raise Refusal(Reason.MALFORMED_MESSAGE, "the call ended without a message")

    async def _resolve_one(self, raw: bytes, head: CallHead) -> Message:
        request = parse_message(resolver_pb2.ResolveRequest, raw, MAX_MESSAGE_BYTES)
        (query,) = _queries(request, (request.identifier,), head)
        return answer_result(await self._ask(query), query.explain or ())

    async def _resolve_batch(self, raw: bytes, head: CallHead) -> Message:
        request = parse_message(resolver_pb2.BatchResolveRequest, raw, MAX_BATCH_BYTES)
        if len(request.identifiers) > MAX_RESOLVE_BATCH:
            raise Refusal(
                Reason.BATCH_TOO_LARGE,
                f"{len(request.identifiers)} identifiers; the limit is {MAX_RESOLVE_BATCH}",
                "identifiers",
            )
        queries = _queries(request, request.identifiers, head)
        # It is with its first that a batch waits for a position, and it takes no turn from others meanwhile.
        first = await self._ask(queries[0]) if queries else None
        async with self._batches:
            return await self._answer_batch(queries, first)

    async def _answer_batch(self, queries: Sequence[Query], first: Answer | None) -> Message:
        """The results of a batch, in order; `first` is the first one's answer."""
        reply = resolver_pb2.BatchResolveResponse()
        room = MAX_ANSWERS_BYTES
        for place, query in enumerate(queries):
            if place and place % BATCH_SLICE == 0:
                await asyncio.sleep(0)
            answer = first if place == 0 and first is not None else await self._ask(query)
            if isinstance(answer, Refused) and _ends_call(answer.refusal):
                return refusal_failure(answer.refusal, query.explain or ())
            result = _result(answer_result(answer, query.explain or ()))
            size = result.ByteSize()
            if size > room:
                result = self._no_room(place)
            else:
                room -= size
            reply.results.append(result)
        return reply

    def _no_room(self, place: int) -> resolver_pb2.ResolveResult:
        refusal = Refusal(Reason.MESSAGE_TOO_LARGE, "this answer is full: ask for it again", f"identifiers[{place}]", place)
        self._count(refusal)
        return _result(refusal_failure(refusal))

    async def _ask(self, query: Query) -> Answer:
        """The chain never raises, and counts what it refuses."""
        result = self._resolve(query)
        return await result if inspect.isawaitable(result) else result

    def _count(self, refusal: Refusal) -> None:
        self._metrics.refused.labels(refusal.reason).inc()


class _Paths(grpc.GenericRpcHandler):
    """Who serves which path: `handlers` by path, and whoever serves all `other` ones."""

    def __init__(self, handlers: dict[str, _Handler], other: "_Handler | None" = None) -> None:
        self._handlers = handlers
        self._other = other

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "_Handler | None":
        return self._handlers.get(handler_call_details.method, self._other)


class _Health(health_pb2_grpc.HealthServicer):
    """grpc.health.v1 of a listener, which is open only while it can answer. The stock one would hold up a drain:
    it does not let its watchers go."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()

    def end(self) -> None:
        self._ended.set()

    async def Check(  # noqa: N802 # the contract's name
        self, request: health_pb2.HealthCheckRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in _WATCHABLE:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service here")
        return self._response()

    async def Watch(  # noqa: N802 # the contract's name
        self, request: health_pb2.HealthCheckRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> None:
        if request.service in _WATCHABLE:
            await context.write(self._response())
        else:
            await context.write(health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN))
        await self._ended.wait()
        await context.write(self._response())

    def _response(self) -> health_pb2.HealthCheckResponse:
        kind = health_pb2.HealthCheckResponse
        return kind(status=kind.NOT_SERVING if self._ended.is_set() else kind.SERVING)


def _is_late(context: _Context) -> bool:
    """Whether the call's deadline has passed."""
    left = context.time_remaining()
    return left is not None and left <= 0


async def _refuse_unknown(_raw: bytes, _head: CallHead) -> Message:
    raise Refusal(Reason.UNSUPPORTED_OPERATION, "there is no such method here")


def _queries(
    request: resolver_pb2.ResolveRequest | resolver_pb2.BatchResolveRequest, identifiers: Iterable[str], head: CallHead
) -> list[Query]:
    """One query for each identifier. Raises `Refusal`: UNAUTHENTICATED, INVALID_ARGUMENT."""
    credential = parse_bearer(head.authorization)
    indexes, types = tuple(request.indexes), tuple(request.types)
    if len(indexes) + len(types) > MAX_FILTERS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"more than {MAX_FILTERS} filters", "indexes" if indexes else "types")
    after = parse_cursor(request.after) if request.after else None
    return [
        Query(
            identifier,
            GrpcListener.protocol,
            indexes,
            types,
            credential,
            wants_private=request.wants_private,
            after=after,
            request_id=head.request_id,
            explain=[] if request.explain else None,
        )
        for identifier in identifiers
    ]


def _result(message: resolver_pb2.ResolveResponse | model_pb2.Failure) -> resolver_pb2.ResolveResult:
    if isinstance(message, model_pb2.Failure):
        return resolver_pb2.ResolveResult(failure=message)
    return resolver_pb2.ResolveResult(answer=message)


def _ends_call(refusal: Refusal) -> bool:
    return refusal.reason in CALL_REASONS or refusal.field == CREDENTIAL_FIELD


def _new_request_id() -> str:
    return secrets.token_hex(REQUEST_ID_BYTES)
