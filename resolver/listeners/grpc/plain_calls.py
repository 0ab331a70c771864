"""The commonest calls, answered in one piece: `Resolve` of one identifier, nothing said beside it, kept or found plainly.

From the data of their streams to the frames of their answers. Of several that one read brings each step is done for all before
the next (`answer_calls`): a look-up that stands alone between other work finds the processor's caches filled with everything
else. Whatever is asked otherwise, or is not found plainly, goes the general way (`lookups`): the answer is the same byte for
byte.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from proto import compiled
from proto.packed_messages import compose_public_response
from proto.request_id import RequestIds, compose_id
from proto.wire.grpc.message import PREFIX_BYTES, compose_message
from proto.wire.grpc.resolution import plain_identifier
from proto.wire.grpc.response import HEAD, answer_with, compose_tail
from proto.wire.http2.frames import HEAD_BYTES, NUMBER, compose_headers
from proto.wire.http2.response import Response, with_tail

KEY: Final = b"gR"
"""What keys of the answer cache begin with: whose it is, and of which method; the message follows."""

MAX_PLAIN_BYTES: Final = PREFIX_BYTES + 2 + 0x7F
"""The longest data of a call that can be one of these."""


class Way(NamedTuple):
    """What such calls are answered with; the same for all connections of a listener."""

    get: Callable[[bytes], Response | None]
    get_turn: Callable[[Sequence[bytes]], list[Response | None]]
    """The answers that are kept under keys (`Shelf.get`, `Shelf.get_turn`)."""
    look_up: Callable[[str], bytes | None]
    look_up_turn: Callable[[Sequence[tuple[str, bool, bool]]], list[bytes | None]]
    """Plain look-ups (`PlainLookups.look_up`, `PlainLookups.look_up_turn`)."""
    admits: Callable[[bytes], bool]
    admits_each: Callable[[Sequence[bytes]], list[bool]]
    keep: Callable[[bytes, str, bytes, Response], None]
    """Keep an answer: its key, the identifier, its record, and the answer."""
    absent: Response
    """The answer if nothing is registered."""
    ids: RequestIds
    now_s: Callable[[], int]


class Ways(NamedTuple):
    """How the calls of all connections of a listener are answered."""

    serves: Callable[[str], bool]
    """Whether others are asked for an address, so that it may have copies."""
    way: Way
    way_here: Way
    """That of addresses that others are not asked for."""

    def of(self, peer: str) -> Way:
        return self.way if self.serves(peer) else self.way_here


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


def frame_answer(stream: int, response: Response, request_id: str) -> Answered:
    """An answer under the id of a request."""
    tail, number = compose_tail(request_id), NUMBER.pack(stream)
    if not response.data_bytes:
        return Answered(compose_headers(stream, response.trailers + tail, ends=True), 0, request_id)
    first, second, third, last = response.parts if len(tail) == response.tail_bytes else with_tail(response, tail).parts
    parts = (first, number, second, number, third, number, last, tail)
    return Answered(b"".join(parts), response.data_bytes, request_id)


@compiled.preferred
def answer_call(stream: int, body: bytes, way: Way) -> Answered | None:
    """The answer to a call of `Resolve` with all of its data; None: it goes the general way, and nothing was counted."""
    name = _asked_for(body)
    if name is None:
        return None
    key = KEY + body[PREFIX_BYTES:]
    response = way.get(key)
    if response is None:
        raw = way.look_up(name)
        if raw is None:
            return None
        response = _respond(raw, name, key, way, way.admits(key))
    return frame_answer(stream, response, way.ids.new())


@compiled.preferred
def answer_calls(streams: list[int], bodies: list[bytes], way: Way) -> list[Answered | None]:
    """As `answer_call` for each, in order."""
    answers: list[Answered | None] = [None] * len(streams)
    own, first = way.ids.reserve(len(streams))
    asked = [(place, name) for place, name in enumerate(map(_asked_for, bodies)) if name is not None]
    keys = [KEY + bodies[place][PREFIX_BYTES:] for place, _ in asked]
    missed: list[tuple[int, str, bytes]] = []
    for (place, name), key, kept in zip(asked, keys, way.get_turn(keys), strict=True):
        if kept is None:
            missed.append((place, name, key))
        else:
            answers[place] = frame_answer(streams[place], kept, compose_id(own, first + place))
    found = way.look_up_turn([(name, False, True) for _, name, _ in missed]) if missed else []
    settled = [(*each, raw) for each, raw in zip(missed, found, strict=True) if raw is not None]
    admitted = way.admits_each([key for _, _, key, _ in settled]) if settled else []
    for (place, name, key, raw), is_admitted in zip(settled, admitted, strict=True):
        response = _respond(raw, name, key, way, is_admitted)
        answers[place] = frame_answer(streams[place], response, compose_id(own, first + place))
    return answers


def _respond(raw: bytes, name: str, key: bytes, way: Way, is_admitted: bool) -> Response:
    """The answer with what is public of a record, or with none; kept if it was asked for before."""
    response = answer_with(compose_public_response(raw, name, way.now_s())) if raw else way.absent
    if is_admitted:
        way.keep(key, name, raw, response)
    return response


def _asked_for(body: bytes) -> str | None:
    """The identifier, if that is all of a call's data; None of any other."""
    if len(body) > MAX_PLAIN_BYTES or body[:PREFIX_BYTES] != compose_message(body[PREFIX_BYTES:])[:PREFIX_BYTES]:
        return None
    return plain_identifier(body[PREFIX_BYTES:])
