"""The methods that are served, and what becomes of a call that is refused: what all connections of a listener share."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from proto import request_id as current
from proto.convert import refusal_failure
from proto.errors import Reason, Refusal
from proto.metrics import Counter
from proto.request_id import RequestIds
from proto.wire.grpc.call import Call
from proto.wire.grpc.held import Held
from proto.wire.grpc.message import parse_only_message
from proto.wire.grpc.metadata import CallHead
from proto.wire.grpc.response import fail_with
from proto.wire.http2.codes import ErrorCode
from proto.wire.http2.response import Response
from resolver.listeners.grpc.limits import OVERLOAD_RETRY_S, GrpcLimits
from resolver.listeners.grpc.plain_calls import Ways
from resolver.listeners.grpc.streaming import Conversation, Speaker

logger = logging.getLogger(__name__)

# Why HTTP/2 itself ends a stream or a connection, as it is counted; everything else breaks the protocol.
FAULT_REASONS: Final = {
    ErrorCode.REFUSED_STREAM: Reason.OVERLOADED,
    ErrorCode.ENHANCE_YOUR_CALM: Reason.QUOTA_EXCEEDED,
    ErrorCode.FRAME_SIZE_ERROR: Reason.MESSAGE_TOO_LARGE,
}

FAILED: Final = "a call failed"
_FAULT: Final = Refusal(Reason.INTERNAL, "the node failed; its log says why")
_LATE: Final = Refusal(Reason.TIMEOUT, "the call's deadline has passed")
_UNKNOWN: Final = Refusal(Reason.UNSUPPORTED_OPERATION, "there is no such method here")

Answer = Response | Awaitable[Response]


@dataclass(frozen=True, slots=True)
class Unary:
    """A method with one message in and one out, which may be there at once. It raises `Refusal`, or anything.

    `answer` gets the call's head, its message, its name, and the address that it comes from.
    """

    answer: Callable[[CallHead, bytes, str, str], Answer]
    max_message_bytes: int


class Calls:
    """`unary` and `streaming` are the methods by path; `ways` is how the commonest calls of `Resolve` are answered."""

    def __init__(
        self,
        unary: dict[str, Unary],
        streaming: dict[str, Callable[[Conversation], Speaker]],
        ids: RequestIds,
        refused: Counter,
        limits: GrpcLimits,
        ways: Ways | None = None,
    ) -> None:
        self.ways = ways
        self.unary = unary
        self.streaming = streaming
        self.limits = limits
        self.ids = ids
        self.held = Held(limits.max_held_bytes_per_connection, limits.max_held_bytes)
        self.open_calls = 0
        """Calls that wait for their message or their answer."""
        self._refused = refused

    def answer(self, method: Unary, call: Call, data: bytes, request_id: str, peer: str) -> Answer:
        """What a call that was read whole comes to. Raises nothing, and neither does what it returns."""
        if call.refusal is not None:
            return self.refuse(call.refusal, call.status)
        if call.timeout_s is not None and call.timeout_s <= 0:
            return self.refuse(_LATE)
        try:
            message = parse_only_message(data, call.encoding, method.max_message_bytes)
            answer = method.answer(call.head, message, request_id, peer)
        except Refusal as refusal:
            return self.refuse(refusal)
        except Exception:
            logger.exception(FAILED, extra={"request_id": request_id})
            return self.refuse(_FAULT)
        return answer if isinstance(answer, Response) else self._later(answer, request_id)

    def refuse(self, refusal: Refusal, status: HTTPStatus = HTTPStatus.OK) -> Response:
        """The answer to what is refused, counted."""
        self.count(refusal.reason)
        return fail_with(refusal_failure(refusal), status)

    def refuse_late(self) -> Response:
        """The answer to a call whose deadline has passed: its client no longer waits, but may still listen."""
        return self.refuse(_LATE)

    def refuse_unknown(self) -> Response:
        return self.refuse(_UNKNOWN)

    def refuse_more(self) -> Response | None:
        """The answer to a call that is one too many to wait; None if it is not."""
        limit = self.limits.max_calls
        if self.open_calls < limit:
            return None
        return self.refuse(Refusal(Reason.OVERLOADED, f"{limit} calls are being answered", retry_after_s=OVERLOAD_RETRY_S))

    def count(self, reason: Reason) -> None:
        self._refused.labels(reason).inc()

    async def _later(self, answer: Awaitable[Response], request_id: str) -> Response:
        current.REQUEST_ID.set(request_id)
        try:
            return await answer
        except Refusal as refusal:
            return self.refuse(refusal)
        except Exception:
            logger.exception(FAILED, extra={"request_id": request_id})
            return self.refuse(_FAULT)
