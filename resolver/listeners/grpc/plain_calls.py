"""The commonest call, answered in one piece: `Resolve` of one identifier, nothing said beside it, kept or found plainly.

From the data of its stream to the frames of its answer. Whatever is asked otherwise, will be kept because it was asked before,
or is not found plainly goes the general way (`lookups`): the answer is the same byte for byte.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from proto import compiled
from proto.packed_messages import compose_public_response
from proto.request_id import RequestIds
from proto.wire.grpc.message import PREFIX_BYTES, compose_message
from proto.wire.grpc.resolution import plain_identifier
from proto.wire.grpc.response import HEAD, answer_with, compose_tail
from proto.wire.http2.frames import HEAD_BYTES, NUMBER, compose_headers
from proto.wire.http2.response import Response, with_tail
from resolver.listeners.grpc.limits import MAX_KEPT_QUESTION_BYTES

KEY: Final = b"gR"
"""What keys of the answer cache begin with: whose it is, and of which method; the message follows."""


class Way(NamedTuple):
    """What such calls are answered with; the same for all connections of a listener."""

    get: Callable[[bytes], Response | None]
    """The answer that is kept under a key (`Shelf.get`)."""
    has_seen: Callable[[bytes], bool]
    note: Callable[[bytes], None]
    look_up: Callable[[str], bytes | None]
    """A plain look-up (`PlainLookups.look_up`)."""
    absent: bytes
    """The block that ends the answer if nothing is registered, up to the request id: that is all of it."""
    ids: RequestIds
    now_s: Callable[[], int]


class Answered(NamedTuple):
    """All frames of an answer, how long its data is in them, and the id of the request."""

    frames: bytes
    data_bytes: int
    request_id: str

    def response(self) -> Response:
        """The same for whom there is no room yet."""
        if not self.data_bytes:
            tail = compose_tail(self.request_id)
            return Response(b"", b"", self.frames[HEAD_BYTES : -len(tail)], len(tail))
        message = self.frames[_DATA_AT + PREFIX_BYTES : _DATA_AT + self.data_bytes]
        return answer_with(message)


# Behind the heads of two frames and the block that begins an answer.
_DATA_AT: Final = 2 * HEAD_BYTES + len(HEAD)


def answer_absent(stream: int, key: bytes, way: Way) -> Answered:
    """The answer to a call for what is not there."""
    way.note(key)
    request_id = way.ids.new()
    return Answered(compose_headers(stream, way.absent + compose_tail(request_id), ends=True), 0, request_id)


def answer_kept(stream: int, kept: Response, way: Way) -> Answered:
    """The answer to a call whose answer is kept."""
    request_id, number = way.ids.new(), NUMBER.pack(stream)
    tail = compose_tail(request_id)
    if not kept.data_bytes:
        return Answered(compose_headers(stream, kept.trailers + tail, ends=True), 0, request_id)
    first, second, third, last = kept.parts if len(tail) == kept.tail_bytes else with_tail(kept, tail).parts
    parts = (first, number, second, number, third, number, last, tail)
    return Answered(b"".join(parts), kept.data_bytes, request_id)


@compiled.preferred
def answer_call(stream: int, data: bytes, way: Way) -> Answered | None:
    """The answer to a call of `Resolve` with all of its data; None: it goes the general way, and nothing was counted."""
    message = data[PREFIX_BYTES:]
    size = len(message)
    if size > MAX_KEPT_QUESTION_BYTES or data[:PREFIX_BYTES] != compose_message(message)[:PREFIX_BYTES]:
        return None
    identifier, key = plain_identifier(message), KEY + message
    if identifier is None:
        return None
    kept = way.get(key)
    if kept is not None:
        return answer_kept(stream, kept, way)
    if way.has_seen(key):
        return None
    raw = way.look_up(identifier)
    if raw is None:
        return None
    if not raw:
        return answer_absent(stream, key, way)
    response = answer_with(compose_public_response(raw, identifier, way.now_s()))
    way.note(key)
    request_id, number = way.ids.new(), NUMBER.pack(stream)
    first, second, third, last = response.parts
    parts = (first, number, second, number, third, number, last, compose_tail(request_id))
    return Answered(b"".join(parts), response.data_bytes, request_id)
