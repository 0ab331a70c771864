"""The frame that every call passes: who asks, its message, what it comes to, and the status with which it ends.

Messages pass the library as bytes and are parsed here, because it would report one that is no protobuf, or text that is no
UTF-8, as an unexplained failure of the node. Every method is declared with a stream of requests and reads them itself: only so
is a call noticed whose message the transport refused, or whose client vanished half-way.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from proto import request_id
from proto.convert import parse_message, refusal_failure
from proto.errors import Reason, Refusal
from proto.limits import DEADLINE_SLACK_S, MAX_CHANGE_BYTES
from proto.metrics import Metrics
from proto.model.account import Caller
from proto.v1 import model_pb2
from proto.wire.grpc.held import SMALL_MESSAGE_BYTES, Held
from proto.wire.grpc.metadata import (
    AUTHORIZATION,
    REQUEST_ID,
    CallHead,
    check_metadata,
    compose_trailers,
    parse_bearer,
    parse_head,
)
from registry.service.context import Context, check_idempotency_key, digest_request
from registry.service.registry import Registry

# What one change can hold bounds what one message can ask for.
MAX_REQUEST_BYTES: Final = MAX_CHANGE_BYTES

# Calls in progress, followers included: each holds a message or a page of changes.
MAX_CALLS: Final = 256
OVERLOAD_RETRY_S: Final = 1.0

# Streams may wait long for their clients: one account must not take all calls.
MAX_STREAMS_PER_ACCOUNT: Final = 32

# From a call's headers to its whole message: both come in one flight but from the slowest of lines.
MESSAGE_WAIT_S: Final = 10.0

# Between two messages of a client's stream; one that prepares its next chunk for longer opens a new call.
STREAM_IDLE_S: Final = 300.0

# How long the transport takes at most to say that it was it that ended a call without a message, or a stream.
CUT_WAIT_S: Final = 0.1
STREAM_CUT_WAIT_S: Final = 0.005

# As many as a W3C trace id.
REQUEST_ID_BYTES: Final = 16

Transport = aio.ServicerContext[bytes, bytes]
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_Done = TypeVar("_Done")
_Request = TypeVar("_Request", bound=Message)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unary:
    """A method with one request: its message, how that is read (pure), and what is done with what was read."""

    request: type[Message]
    read: Callable[[Any], Any]
    run: Callable[[Context, Any], Awaitable[Message]]


class Call:
    """A call in progress."""

    def __init__(self, path: str, head: CallHead, transport: Transport, frame: "Calls") -> None:
        self.path = path
        self.head = head
        self.transport = transport
        self._frame = frame

    def caller(self) -> Caller:
        """Who asks, as of now. Raises `Refusal(UNAUTHENTICATED)`."""
        return self._frame.registry.authenticate(parse_bearer(self.head.authorization))

    def context(self, request: Message, default_key: str) -> Context:
        """The context of one request of this call. Raises `Refusal(INVALID_IDEMPOTENCY_KEY)`."""
        named: str = getattr(request, "idempotency_key", "")
        key = named or default_key
        if not key:
            return Context(self.caller(), self.head.request_id, self.head.traceparent)
        bare = type(request)()
        bare.CopyFrom(request)
        if named:
            bare.ClearField("idempotency_key")
        return self.keyed_context(check_idempotency_key(key), bare.SerializeToString(deterministic=True))

    def keyed_context(self, key: str, body: bytes) -> Context:
        """The context of a request under an idempotency key."""
        digest = digest_request(self.path.encode(), body) if key else b""
        return Context(self.caller(), self.head.request_id, self.head.traceparent, key, digest)

    async def read(self) -> bytes:
        """The one message of the call. Raises `Refusal`: TIMEOUT, MALFORMED_MESSAGE."""
        try:
            async with asyncio.timeout(MESSAGE_WAIT_S):
                raw = await self.transport.read()
            if isinstance(raw, bytes):
                return self._frame.hold(raw, self.transport)
            await asyncio.sleep(CUT_WAIT_S)
        except TimeoutError:
            raise Refusal(Reason.TIMEOUT, f"no message came within {MESSAGE_WAIT_S:g} seconds") from None
        except asyncio.CancelledError:
            self._frame.count_cut(self.transport)
            raise
        raise Refusal(Reason.MALFORMED_MESSAGE, "the call ended without a message")

    async def read_next(self) -> bytes | None:
        """The next message of the client's stream, None at its end. Raises `Refusal`: TIMEOUT, NOT_READY (draining)."""
        raw = await self._frame.unless_draining(self.transport.read(), STREAM_IDLE_S)
        if isinstance(raw, bytes):
            return raw
        try:
            await asyncio.sleep(STREAM_CUT_WAIT_S)
        except asyncio.CancelledError:
            self._frame.count_cut(self.transport)
            raise
        return None

    async def write(self, message: Message) -> None:
        """Send a message of a stream; waits while the client does not read."""
        await self.transport.write(message.SerializeToString())

    async def offer(self, message: Message) -> None:
        """Send what can be asked for again: the same, but a client that does not read holds up no drain."""
        try:
            await self._frame.unless_draining(self.transport.write(message.SerializeToString()))
        except Refusal:
            # The library cannot end a call whose last message is still unread: it ends with the server.
            raise asyncio.CancelledError from None


class Calls:
    """Makes handlers of methods. Refusals are counted here."""

    def __init__(self, registry: Registry, metrics: Metrics) -> None:
        self.registry = registry
        self._metrics = metrics
        self._draining = asyncio.Event()
        self._count = 0
        self._held = Held()
        self._streams: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls, end streams at their next pause, and wait at most `grace_s` for what is in progress."""
        self._draining.set()
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("calls are cut off", extra={"calls": self._count})

    def serve_unary(self, path: str, method: Unary) -> "grpc.RpcMethodHandler[Any, Any]":
        """The handler of a method with one request and one reply."""

        async def work(call: Call) -> Message:
            return await self._run(call, method)

        async def behave(_requests: object, transport: Transport) -> bytes:
            return await self._frame(path, transport, work)

        return grpc.stream_unary_rpc_method_handler(behave)

    def serve_stream(self, path: str, run: Callable[[Call], Awaitable[None]]) -> "grpc.RpcMethodHandler[Any, Any]":
        """The handler of a method that answers with a stream; it reads and writes by itself."""

        async def work(call: Call) -> None:
            account = self._enter_stream(call)
            try:
                await call.transport.send_initial_metadata(((REQUEST_ID, call.head.request_id),))
                await run(call)
            finally:
                self._streams[account] -= 1

        async def behave(_requests: object, transport: Transport) -> None:
            await self._frame(path, transport, work)

        return grpc.stream_stream_rpc_method_handler(behave)

    def serve_unknown(self) -> "grpc.RpcMethodHandler[Any, Any]":
        """The handler of every path that is no method."""

        async def work(_call: Call) -> None:
            raise Refusal(Reason.UNSUPPORTED_OPERATION, "there is no such method here")

        async def behave(_requests: object, transport: Transport) -> None:
            await self._frame("", transport, work)

        return grpc.stream_stream_rpc_method_handler(behave)

    def count(self, reason: Reason, times: int = 1) -> None:
        """Count what was refused."""
        self._metrics.refused.labels(reason).inc(times)

    async def unless_draining(self, awaited: Awaitable[_Done], timeout_s: float | None = None) -> _Done:
        """What is awaited. Raises `Refusal`: NOT_READY if the node drains before it is there, TIMEOUT after `timeout_s`."""
        doing, draining = asyncio.ensure_future(awaited), asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait((doing, draining), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
        finally:
            draining.cancel()
            doing.cancel()
        if self._draining.is_set():
            raise _going_down()
        raise Refusal(Reason.TIMEOUT, f"nothing came for {timeout_s:g} seconds")

    def count_cut(self, transport: Transport) -> None:
        """Count a call that ended before its client's messages did.

        A message too long for the transport, of which it has told the client, and a cut connection look alike.
        """
        if not _is_late(transport):
            self.count(Reason.MALFORMED_MESSAGE)

    def hold(self, message: bytes, transport: Transport) -> bytes:
        """Account for a message until its call is over. Raises `Refusal(OVERLOADED)`."""
        if len(message) > SMALL_MESSAGE_BYTES:
            connection, size = transport.peer(), len(message)
            self._held.put(connection, size)

            # The context is no longer to be touched when this is called.
            def settle(_context: object) -> None:
                self._held.give_back(connection, size)

            transport.add_done_callback(settle)  # type: ignore[arg-type]  # the stubs want a class that nobody can import
        return message

    def _enter_stream(self, call: Call) -> str:
        """The account that a stream is counted for. Raises `Refusal`: UNAUTHENTICATED, OVERLOADED."""
        caller = call.caller()
        if caller.is_anonymous:
            raise Refusal(Reason.UNAUTHENTICATED, "a stream needs an API key", AUTHORIZATION)
        if self._streams[caller.account] >= MAX_STREAMS_PER_ACCOUNT:
            why = f"{MAX_STREAMS_PER_ACCOUNT} streams of this account are open"
            raise Refusal(Reason.OVERLOADED, why, retry_after_s=OVERLOAD_RETRY_S)
        self._streams[caller.account] += 1
        return caller.account

    async def _run(self, call: Call, method: Unary) -> Message:
        call.caller()
        raw = await call.read()
        key = call.head.idempotency_key
        try:
            request = parse_message(method.request, raw, MAX_REQUEST_BYTES)
        except Refusal as refusal:
            await self.registry.refuse(call.keyed_context(check_idempotency_key(key) if key else "", raw), refusal)
        context = call.context(request, key)
        try:
            asked = method.read(request)
        except Refusal as refusal:
            await self.registry.refuse(context, refusal)
        return await method.run(context, asked)

    async def _frame(self, path: str, transport: Transport, work: Callable[[Call], Awaitable[Message | None]]) -> bytes:
        """The reply's bytes; none of a stream, which has sent its own."""
        metadata = transport.invocation_metadata() or ()
        head = parse_head(metadata, _new_request_id)
        request_id.REQUEST_ID.set(head.request_id)
        failure: model_pb2.Failure
        self._count += 1
        self._idle.clear()
        try:
            if self._draining.is_set():
                raise _going_down()
            check_metadata(metadata)
            if self._count > MAX_CALLS:
                raise Refusal(Reason.OVERLOADED, f"{MAX_CALLS} calls are in progress", retry_after_s=OVERLOAD_RETRY_S)
            reply = await work(Call(path, head, transport, self))
            raw = self.hold(reply.SerializeToString(), transport) if reply is not None else b""
        except Refusal as refusal:
            self.count(refusal.reason)
            failure = refusal_failure(refusal)
        except asyncio.CancelledError:
            if _is_late(transport):
                self.count(Reason.TIMEOUT)
            raise
        except Exception:
            logger.exception("a call failed", extra={"path": path})
            self.count(Reason.INTERNAL)
            failure = refusal_failure(Refusal(Reason.INTERNAL, "the node failed; its log says why"))
        else:
            transport.set_trailing_metadata(compose_trailers(head.request_id))
            return raw
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()
        return await transport.abort(_CODES[failure.code], failure.detail, compose_trailers(head.request_id, failure))


def _is_late(transport: Transport) -> bool:
    """Whether a call that has ended did so because of its deadline: its client's, which is a little before ours."""
    left = transport.time_remaining()
    return left is not None and left <= DEADLINE_SLACK_S


def _going_down() -> Refusal:
    return Refusal(Reason.NOT_READY, "the node is going down: go on with a new call", retry_after_s=OVERLOAD_RETRY_S)


def _new_request_id() -> str:
    return secrets.token_hex(REQUEST_ID_BYTES)
