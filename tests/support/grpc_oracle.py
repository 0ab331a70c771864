"""The resolver on grpc.aio: what the listener of our own is held against. The same chain behind it, and nothing else of ours.

Messages are made by protobuf, statuses and metadata are sent by grpcio, health and reflection are the stock ones.
"""

import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from proto.convert import answer_result, parse_message, refusal_failure
from proto.errors import Reason, Refusal
from proto.limits import MAX_FILTERS, MAX_MESSAGE_BYTES, MAX_RESOLVE_BATCH
from proto.metrics import Metrics
from proto.model.answer import Answer, Refused
from proto.model.change import parse_cursor
from proto.model.query import Query
from proto.v1 import model_pb2, resolver_pb2
from proto.wire.grpc.metadata import CallHead, check_metadata, compose_trailers, parse_bearer, parse_head
from resolver.chain.step import Resolve

_SERVICE: Final = "biaojie.v1.Resolver"
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_MAX_METADATA: Final = 65_536
_UNBOUNDED: Final = 64 * 1024 * 1024
_ANSWERS_BYTES: Final = 4 * 1024 * 1024 - MAX_RESOLVE_BATCH * 256

_Context = aio.ServicerContext[bytes, bytes]
_Method = Callable[[bytes, CallHead], Awaitable[Message]]

log = logging.getLogger(__name__)


class Oracle:
    """A `resolver.listeners.listener.Listener`."""

    protocol = "grpc"

    def __init__(self, resolve: Resolve, metrics: Metrics) -> None:
        self._resolve = resolve
        self._metrics = metrics
        self._server: aio.Server | None = None
        self._health: Any = None

    async def open(self, host: str, port: int) -> int:
        server = aio.server(
            options=(
                ("grpc.max_metadata_size", _MAX_METADATA),
                ("grpc.absolute_max_metadata_size", _MAX_METADATA),
                ("grpc.max_receive_message_length", _UNBOUNDED),
            )
        )
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Resolve": self._handler(self._resolve_one),
            "BatchResolve": self._handler(self._resolve_batch),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
        self._health = health.aio.HealthServicer()
        for name in ("", _SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        server.add_generic_rpc_handlers((_Everything(self._handler(_refuse_unknown)),))
        bound = server.add_insecure_port(f"{host}:{port}")
        await server.start()
        self._server = server
        return bound

    async def close(self, grace_s: float) -> None:
        server, self._server = self._server, None
        if server is not None:
            await self._health.enter_graceful_shutdown()
            await server.stop(min(grace_s, 1))

    def _handler(self, method: _Method) -> "grpc.RpcMethodHandler[Any, Any]":
        async def behave(raw: bytes, context: _Context) -> bytes:
            metadata = context.invocation_metadata() or ()
            head = parse_head(metadata, lambda: secrets.token_hex(16))
            try:
                check_metadata(metadata)
                reply = await method(raw, head)
            except Refusal as refusal:
                self._count(refusal)
                reply = refusal_failure(refusal)
            except Exception:
                log.exception("a call failed")
                reply = refusal_failure(Refusal(Reason.INTERNAL, "the node failed; its log says why"))
            if isinstance(reply, model_pb2.Failure):
                await context.abort(_CODES[reply.code], reply.detail, compose_trailers(head.request_id, reply))
            context.set_trailing_metadata(compose_trailers(head.request_id))
            return reply.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(behave)

    async def _resolve_one(self, raw: bytes, head: CallHead) -> Message:
        request = parse_message(resolver_pb2.ResolveRequest, raw, MAX_MESSAGE_BYTES)
        query = _query(request, request.identifier, head)
        return answer_result(await self._ask(query), query.explain or ())

    async def _resolve_batch(self, raw: bytes, head: CallHead) -> Message:
        request = parse_message(resolver_pb2.BatchResolveRequest, raw, _UNBOUNDED)
        if len(request.identifiers) > MAX_RESOLVE_BATCH:
            why = f"{len(request.identifiers)} identifiers; the limit is {MAX_RESOLVE_BATCH}"
            raise Refusal(Reason.BATCH_TOO_LARGE, why, "identifiers")
        reply, room = resolver_pb2.BatchResolveResponse(), _ANSWERS_BYTES
        for place, identifier in enumerate(request.identifiers):
            query = _query(request, identifier, head)
            answer = await self._ask(query)
            if isinstance(answer, Refused) and answer.refusal.field == "authorization":
                return refusal_failure(answer.refusal)
            message = answer_result(answer, query.explain or ())
            kind = resolver_pb2.ResolveResult
            result = kind(failure=message) if isinstance(message, model_pb2.Failure) else kind(answer=message)
            if result.ByteSize() > room:
                why = "this answer is full: ask for it again"
                full = Refusal(Reason.MESSAGE_TOO_LARGE, why, f"identifiers[{place}]", place)
                self._count(full)
                result = kind(failure=refusal_failure(full))
            else:
                room -= result.ByteSize()
            reply.results.append(result)
        return reply

    async def _ask(self, query: Query) -> Answer:
        result = self._resolve(query)
        return await result if inspect.isawaitable(result) else result

    def _count(self, refusal: Refusal) -> None:
        self._metrics.refused.labels(refusal.reason).inc()


class _Everything(grpc.GenericRpcHandler):
    """Serves every path."""

    def __init__(self, handler: "grpc.RpcMethodHandler[Any, Any]") -> None:
        self._handler = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        return self._handler


async def _refuse_unknown(_raw: bytes, _head: CallHead) -> Message:
    raise Refusal(Reason.UNSUPPORTED_OPERATION, "there is no such method here")


def _query(request: resolver_pb2.ResolveRequest | resolver_pb2.BatchResolveRequest, identifier: str, head: CallHead) -> Query:
    indexes, types = tuple(request.indexes), tuple(request.types)
    if len(indexes) + len(types) > MAX_FILTERS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"more than {MAX_FILTERS} filters", "indexes" if indexes else "types")
    return Query(
        identifier,
        "grpc",
        indexes,
        types,
        parse_bearer(head.authorization),
        wants_private=request.wants_private,
        after=parse_cursor(request.after) if request.after else None,
        request_id=head.request_id,
        explain=[] if request.explain else None,
    )
