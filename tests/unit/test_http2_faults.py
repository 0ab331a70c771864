"""HTTP/2 as a server speaks it: what breaks the protocol, what is malformed, what is too much."""

from collections.abc import Callable

import pytest

from proto.wire.http2.codes import ConnectionFault, ErrorCode
from proto.wire.http2.events import Rejected, Request, Reset
from proto.wire.http2.limits import (
    MAX_CONTINUATIONS,
    MAX_FRAME_BYTES,
    Http2Limits,
)
from tests.support.http2 import (
    ACK,
    BEGIN,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    call_fields,
    compose_frame,
    compose_headers,
    compose_number,
    compose_request,
    compose_settings,
)
from tests.support.http2_core import Core, told

BLOCK = compose_headers(call_fields())


def open_stream(stream: int = 1) -> bytes:
    return compose_frame(HEADERS, END_HEADERS, stream, BLOCK)


FAULTS = [
    ("no preface", b"GET / HTTP/1.1\r\n\r\n", ErrorCode.PROTOCOL_ERROR),
    ("no settings", PREFACE + compose_frame(PING, 0, 0, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    ("an acknowledgement first", PREFACE + compose_frame(SETTINGS, ACK, 0, b""), ErrorCode.PROTOCOL_ERROR),
    ("a frame that is too large", BEGIN + compose_frame(DATA, 0, 1, bytes(MAX_FRAME_BYTES + 1)), ErrorCode.FRAME_SIZE_ERROR),
    ("the head of one", BEGIN + b"\xff\xff\xff\0\0\0\0\0\1", ErrorCode.FRAME_SIZE_ERROR),
    ("data on no stream", BEGIN + compose_frame(DATA, 0, 0, b""), ErrorCode.PROTOCOL_ERROR),
    ("data on an idle stream", BEGIN + compose_frame(DATA, 0, 1, b""), ErrorCode.PROTOCOL_ERROR),
    ("data behind the end", BEGIN + compose_request(1) + compose_frame(DATA, 0, 1, b""), ErrorCode.STREAM_CLOSED),
    ("too much padding", BEGIN + open_stream() + compose_frame(DATA, PADDED, 1, b"\x04abc"), ErrorCode.PROTOCOL_ERROR),
    ("padding of nothing", BEGIN + open_stream() + compose_frame(DATA, PADDED, 1, b""), ErrorCode.PROTOCOL_ERROR),
    ("headers on no stream", BEGIN + compose_frame(HEADERS, END_HEADERS, 0, BLOCK), ErrorCode.PROTOCOL_ERROR),
    ("headers on an even stream", BEGIN + compose_frame(HEADERS, END_HEADERS, 2, BLOCK), ErrorCode.PROTOCOL_ERROR),
    ("an older stream", BEGIN + open_stream(5) + open_stream(3), ErrorCode.STREAM_CLOSED),
    ("headers behind the end", BEGIN + compose_request(1) + open_stream(1), ErrorCode.STREAM_CLOSED),
    ("half a priority", BEGIN + compose_frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, b"\0\0\0"), ErrorCode.FRAME_SIZE_ERROR),
    ("a block that is interrupted", BEGIN + compose_frame(HEADERS, 0, 1, BLOCK) + compose_frame(PING, 0, 0, bytes(8)),
     ErrorCode.PROTOCOL_ERROR),
    ("a block that goes on elsewhere", BEGIN + compose_frame(HEADERS, 0, 1, BLOCK) + compose_frame(CONTINUATION, 4, 3, b""),
     ErrorCode.PROTOCOL_ERROR),
    ("a continuation of nothing", BEGIN + compose_frame(CONTINUATION, END_HEADERS, 1, BLOCK), ErrorCode.PROTOCOL_ERROR),
    ("a block that is none", BEGIN + compose_frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\xff"),
     ErrorCode.COMPRESSION_ERROR),
    ("a block that is cut", BEGIN + compose_frame(HEADERS, END_HEADERS, 1, BLOCK[:-3]), ErrorCode.COMPRESSION_ERROR),
    ("a place of no table", BEGIN + compose_frame(HEADERS, END_HEADERS, 1, b"\xbe"), ErrorCode.COMPRESSION_ERROR),
    ("a priority of no stream", BEGIN + compose_frame(PRIORITY, 0, 0, bytes(5)), ErrorCode.PROTOCOL_ERROR),
    ("a short priority", BEGIN + compose_frame(PRIORITY, 0, 1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR),
    ("a reset of no stream", BEGIN + compose_number(RST_STREAM, 0, 8), ErrorCode.PROTOCOL_ERROR),
    ("a reset of an idle stream", BEGIN + compose_number(RST_STREAM, 1, 8), ErrorCode.PROTOCOL_ERROR),
    ("a short reset", BEGIN + open_stream() + compose_frame(RST_STREAM, 0, 1, b"\0"), ErrorCode.FRAME_SIZE_ERROR),
    ("settings of a stream", BEGIN + compose_frame(SETTINGS, 0, 1, b""), ErrorCode.PROTOCOL_ERROR),
    ("settings of an odd size", BEGIN + compose_frame(SETTINGS, 0, 0, b"\0"), ErrorCode.FRAME_SIZE_ERROR),
    ("an acknowledgement with settings", BEGIN + compose_frame(SETTINGS, ACK, 0, bytes(6)), ErrorCode.FRAME_SIZE_ERROR),
    ("push of a third kind", BEGIN + compose_settings((2, 2)), ErrorCode.PROTOCOL_ERROR),
    ("windows above 2^31 - 1", BEGIN + compose_settings((4, 1 << 31)), ErrorCode.FLOW_CONTROL_ERROR),
    ("frames below the least size", BEGIN + compose_settings((5, 16_383)), ErrorCode.PROTOCOL_ERROR),
    ("frames above the greatest size", BEGIN + compose_settings((5, 1 << 24)), ErrorCode.PROTOCOL_ERROR),
    ("a window that grows too wide", BEGIN + open_stream() + compose_number(WINDOW_UPDATE, 1, (1 << 31) - 65_536)
     + compose_settings((4, 65_537)), ErrorCode.FLOW_CONTROL_ERROR),
    ("many settings at once", BEGIN + compose_settings(*[(0x99, 0)] * 33), ErrorCode.ENHANCE_YOUR_CALM),
    ("a promise", BEGIN + compose_frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + BLOCK), ErrorCode.PROTOCOL_ERROR),
    ("a ping on a stream", BEGIN + compose_frame(PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    ("a short ping", BEGIN + compose_frame(PING, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    ("a farewell on a stream", BEGIN + compose_frame(GOAWAY, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    ("a short farewell", BEGIN + compose_frame(GOAWAY, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    ("an increment of nothing", BEGIN + compose_number(WINDOW_UPDATE, 0, 0), ErrorCode.PROTOCOL_ERROR),
    ("a short increment", BEGIN + compose_frame(WINDOW_UPDATE, 0, 0, b"\0"), ErrorCode.FRAME_SIZE_ERROR),
    ("a connection's window too wide", BEGIN + compose_number(WINDOW_UPDATE, 0, (1 << 31) - 1), ErrorCode.FLOW_CONTROL_ERROR),
    ("room for an idle stream", BEGIN + compose_number(WINDOW_UPDATE, 1, 1), ErrorCode.PROTOCOL_ERROR),
    ("a header list without end", BEGIN + compose_frame(HEADERS, END_HEADERS, 1, compose_headers(
        {"x": "y" * 4_000}).replace(b"\x00", b"\x40", 1) + b"\xbe" * 100), ErrorCode.ENHANCE_YOUR_CALM),
    ("a block of too many frames", BEGIN + compose_frame(HEADERS, 0, 1, b"") + compose_frame(CONTINUATION, 0, 1, b"")
     * (MAX_CONTINUATIONS + 1), ErrorCode.ENHANCE_YOUR_CALM),
    ("a block of too many bytes", BEGIN + compose_frame(HEADERS, 0, 1, bytes(MAX_FRAME_BYTES))
     + compose_frame(CONTINUATION, 0, 1, bytes(MAX_FRAME_BYTES)) * 8, ErrorCode.ENHANCE_YOUR_CALM),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "code"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
@pytest.mark.parametrize("piece", [None, 7])
def test_who_breaks_the_protocol_is_told_and_cut_off(raw: bytes, code: ErrorCode, piece: int | None) -> None:
    core = Core()
    with pytest.raises(ConnectionFault) as failed:
        core.say(raw, piece)
    assert failed.value.code is code
    farewell = core.hear()[-1]
    assert (farewell.kind, farewell.number) == (GOAWAY, code)
    assert farewell.payload[8:].decode() == failed.value.why


MALFORMED = [
    ("a field in capitals", {"X-Name": "v"}),
    ("a name that is none", {"x name": "v"}),
    ("a field of a connection", {"connection": "close"}),
    ("chunks", {"transfer-encoding": "chunked"}),
    ("another te", {"te": "gzip"}),
    ("a line break in a value", {"x-name": "a\r\nb"}),
    ("a blank at the edge of a value", {"x-name": " v"}),
    ("a pseudo-header field behind others", {":authority": "late"}),
    ("an unknown pseudo-header field", {":protocol": "x"}),
    ("a length that is none", {"content-length": "x"}),
    ("a length that is negative", {"content-length": "-1"}),
]


@pytest.mark.parametrize("fields", [case[1] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_request_ends_its_stream_alone(fields: dict[str, str]) -> None:
    core = Core()
    block = compose_headers([*[pair for pair in call_fields().items() if pair[0] not in fields], *fields.items()])
    (event,) = core.say(BEGIN + compose_frame(HEADERS, END_HEADERS, 1, block) + compose_frame(DATA, END_STREAM, 1, b"late"))
    assert isinstance(event, Rejected)
    assert event[:2] == (1, ErrorCode.PROTOCOL_ERROR)
    assert core.hear()[-1] == (RST_STREAM, 0, 1, b"\0\0\0\x01")
    assert told(core.say(compose_request(3))) == {3: (b"/a", b"", True)}


@pytest.mark.parametrize("missing", [":method", ":scheme", ":path"])
def test_a_request_has_all_that_makes_one(missing: str) -> None:
    core = Core()
    fields = {name: value for name, value in call_fields().items() if name != missing}
    (event,) = core.say(BEGIN + compose_frame(HEADERS, END_HEADERS | END_STREAM, 1, compose_headers(fields)))
    assert isinstance(event, Rejected)


@pytest.mark.parametrize(
    ("length", "data", "is_right"), [("3", b"abc", True), ("0", b"", True), ("4", b"abc", False), ("2", b"abc", False)]
)
@pytest.mark.parametrize("piece", [None, 1])
def test_a_body_is_as_long_as_was_told(length: str, data: bytes, is_right: bool, piece: int | None) -> None:
    events = Core().say(BEGIN + compose_request(1, data, content_length=length), piece)
    assert isinstance(events[-1], Rejected) is not is_right


def test_a_body_that_was_told_and_does_not_come_is_no_request() -> None:
    block = compose_headers(call_fields(content_length="3"))
    (event,) = Core().say(BEGIN + compose_frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    assert isinstance(event, Rejected)


def test_trailers_end_a_request_and_are_no_place_for_pseudo_headers() -> None:
    for trailers, flags in (({":path": "/b"}, END_HEADERS | END_STREAM), ({"x-a": "b"}, END_HEADERS)):
        core = Core()
        core.say(BEGIN + open_stream())
        (event,) = core.say(compose_frame(HEADERS, flags, 1, compose_headers(trailers)))
        assert isinstance(event, Rejected)


def test_a_reset_is_told_and_what_waited_is_forgotten() -> None:
    core = Core()
    core.say(BEGIN + compose_settings((4, 0)) + compose_request(1))
    core.answer(1, b"never")
    core.hear()
    assert core.say(compose_number(RST_STREAM, 1, 8)) == [Reset(1, 8)]
    core.say(compose_number(WINDOW_UPDATE, 1, 100))
    assert core.hear() == []


def test_an_answer_before_the_end_of_a_request_stops_it() -> None:
    core = Core()
    core.say(BEGIN + open_stream())
    core.hear()
    core.answer(1, b"")
    headers, reset = core.hear()
    assert (headers.kind, reset) == (HEADERS, (RST_STREAM, 0, 1, bytes(4)))
    assert core.say(compose_frame(DATA, 0, 1, b"late") + compose_frame(HEADERS, 5, 1, BLOCK)) == []


def test_more_streams_than_were_promised_are_refused() -> None:
    core = Core(Http2Limits(max_streams=2))
    events = core.say(BEGIN + open_stream(1) + open_stream(3) + open_stream(5))
    assert isinstance(events[2], Rejected)
    assert events[2][:2] == (5, ErrorCode.REFUSED_STREAM)
    core.connection.reset(1, ErrorCode.CANCEL)
    assert isinstance(core.say(open_stream(7))[0], Request)


def test_streams_that_are_held_count_as_open() -> None:
    core = Core(Http2Limits(max_streams=1))
    core.connection.feed(BEGIN + compose_request(1) + compose_request(3))
    assert core.connection.next_event() is not None
    assert core.connection.hold(1)
    rejected = core.connection.next_event()
    assert isinstance(rejected, Rejected)
    assert rejected[:2] == (3, ErrorCode.REFUSED_STREAM)


def test_data_behind_the_end_of_a_stream_that_is_held_breaks_the_protocol() -> None:
    core = Core()
    core.connection.feed(BEGIN + compose_request(1) + compose_frame(DATA, 0, 1, b"more"))
    assert core.connection.next_event() is not None
    assert core.connection.hold(1)
    with pytest.raises(ConnectionFault) as raised:
        core.connection.next_event()
    assert raised.value.code is ErrorCode.STREAM_CLOSED


FLOODS = [
    ("pings", "max_pings", lambda n: compose_frame(PING, 0, 0, bytes(8))),
    ("acknowledged pings", "max_pings", lambda n: compose_frame(PING, ACK, 0, bytes(8))),
    ("settings", "max_settings", lambda n: compose_settings()),
    ("priorities", "max_idle_frames", lambda n: compose_frame(PRIORITY, 0, 1, bytes(5))),
    ("frames of no type", "max_idle_frames", lambda n: compose_frame(0x99, 0, 1, b"")),
    ("empty data", "max_idle_frames", lambda n: (open_stream() if n == 0 else b"") + compose_frame(DATA, 0, 1, b"")),
    ("resets", "max_resets", lambda n: open_stream(2 * n + 1) + compose_number(RST_STREAM, 2 * n + 1, 8)),
    ("requests that are none", "max_resets",
     lambda n: compose_frame(HEADERS, 5, 2 * n + 1, compose_headers({":method": "GET"}))),
    ("increments", "max_window_updates", lambda n: compose_number(WINDOW_UPDATE, 0, 1)),
    ("increments of nothing", "max_resets", lambda n: open_stream(2 * n + 1) + compose_number(WINDOW_UPDATE, 2 * n + 1, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "one"), [case[1:] for case in FLOODS], ids=[case[0] for case in FLOODS])
def test_a_flood_ends_the_connection_and_what_comes_with_time_does_not(limit: str, one: Callable[[int], bytes]) -> None:
    limits = Http2Limits(**{limit: 10})
    patient = Core(limits)
    patient.say(BEGIN)
    for number in range(30):
        patient.connection.renew()
        patient.say(one(number))
    core = Core(limits)
    with pytest.raises(ConnectionFault) as failed:
        core.say(BEGIN + b"".join(one(number) for number in range(20)))
    assert failed.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_who_gives_room_for_each_answer_twice_is_never_too_many() -> None:
    core = Core(Http2Limits(max_window_updates=10))
    core.say(BEGIN)
    for number in range(1, 801, 2):
        core.say(compose_request(number))
        core.answer(number, b"ok")
    for number in range(1, 801, 2):
        core.say(compose_number(WINDOW_UPDATE, 0, 2) + compose_number(WINDOW_UPDATE, number, 2))
    assert [frame.kind for frame in core.hear()].count(DATA) == 400
