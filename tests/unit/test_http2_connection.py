"""HTTP/2 as a server speaks it: conversations, whole and split at every byte; flow control; turns; leaving."""

import pytest
from hpack import Encoder

from proto.wire.http2.codes import ConnectionFault, ErrorCode
from proto.wire.http2.events import Data, Request, Reset, Sent
from proto.wire.http2.limits import (
    CONNECTION_WINDOW_BYTES,
    MAX_FRAME_BYTES,
    STREAM_WINDOW_BYTES,
    Http2Limits,
)
from proto.wire.http2.response import Response
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
    PRIORITY,
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
from tests.support.http2_core import TAIL, Core, told

BLOCK = compose_headers(call_fields())
WIDE = compose_settings((4, 1 << 30)) + compose_number(WINDOW_UPDATE, 0, 1 << 30)


def indexed(*calls: dict[str, str]) -> list[bytes]:
    """Header blocks as a stock client compresses them, one after the other."""
    encoder = Encoder()
    return [encoder.encode(list(fields.items())) for fields in calls]


def open_stream(stream: int = 1) -> bytes:
    return compose_frame(HEADERS, END_HEADERS, stream, BLOCK)


CONVERSATION = (
    BEGIN
    + compose_request(1, b"one", "/first")
    + compose_frame(PING, 0, 0, b"12345678")
    + compose_frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 3, b"\x04" + bytes(5) + BLOCK + bytes(4))
    + compose_frame(DATA, PADDED, 3, b"\x02two" + bytes(2))
    + compose_frame(PRIORITY, 0, 9, bytes(5))
    + compose_frame(0x77, 0xFF, 3, b"of an extension")
    + compose_frame(DATA, END_STREAM, 3, b" three")
    + compose_frame(HEADERS, 0, 5, BLOCK[:7])
    + compose_frame(CONTINUATION, 0, 5, BLOCK[7:20])
    + compose_frame(CONTINUATION, END_HEADERS, 5, BLOCK[20:])
    + compose_frame(DATA, 0, 5, b"four")
    + compose_frame(HEADERS, END_HEADERS | END_STREAM, 5, compose_headers({"x-trailer": "t"}))
    + compose_frame(HEADERS, END_HEADERS | END_STREAM, 7, BLOCK)
)
ASKED = {
    1: (b"/first", b"one", True), 3: (b"/a", b"two three", True), 5: (b"/a", b"four", True), 7: (b"/a", b"", True),
}  # fmt: skip


@pytest.mark.parametrize("piece", [None, 1, 2, 9, 100])
def test_a_conversation_means_the_same_in_pieces_of_any_size(piece: int | None) -> None:
    core = Core()
    assert told(core.say(CONVERSATION, piece)) == ASKED
    frames = core.hear()
    assert [frame.kind for frame in frames] == [SETTINGS, WINDOW_UPDATE, SETTINGS, PING]
    assert (frames[2].flags, frames[3].flags, frames[3].payload) == (ACK, ACK, b"12345678")


def test_a_conversation_means_the_same_split_at_every_byte() -> None:
    for cut in range(1, len(CONVERSATION)):
        core = Core()
        assert told([*core.say(CONVERSATION[:cut]), *core.say(CONVERSATION[cut:])]) == ASKED, cut


def test_a_request_in_one_piece_is_one_event_and_one_answer() -> None:
    core = Core()
    (event,) = core.say(BEGIN + compose_request(1, b"x"))
    assert isinstance(event, Request)
    assert (event.stream, event.data, event.ends) == (1, b"x", True)
    core.hear()
    core.answer(1, b"answer")
    headers, data, trailers = core.hear()
    assert headers == (HEADERS, END_HEADERS, 1, b"\x88")
    assert data == (DATA, 0, 1, b"answer")
    assert trailers == (HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x01t" + TAIL)
    assert core.connection.open_streams == 0


def test_an_answer_without_data_is_one_block() -> None:
    core = Core()
    core.say(BEGIN + compose_request(1))
    core.hear()
    core.answer(1, b"")
    assert core.hear() == [(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x01t" + TAIL)]


def test_a_tail_of_another_length_is_put_in_all_the_same() -> None:
    core = Core()
    core.say(BEGIN + compose_request(1))
    core.hear()
    core.connection.respond(1, Response(b"\x88", b"d", b"t", 4), b"another tail")
    assert core.hear()[-1].payload == b"tanother tail"


def held(core: Core, raw: bytes) -> None:
    """Hold every request that comes."""
    core.connection.feed(raw)
    core.connection.begin_turn()
    while (event := core.connection.next_event()) is not None:
        assert core.connection.hold(event.stream)


def test_who_is_held_is_answered_in_any_order() -> None:
    core = Core()
    held(core, BEGIN + b"".join(compose_request(stream, b"x") for stream in (1, 3, 5)))
    assert core.connection.open_streams == 3
    core.hear()
    for stream in (5, 1):
        core.answer(stream, b"answer")
    assert core.connection.respond_at_once(3, compose_frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x88"), 0)
    assert [(frame.kind, frame.stream) for frame in core.hear()] == [
        *((kind, stream) for stream in (5, 1) for kind in (HEADERS, DATA, HEADERS)), (HEADERS, 3)
    ]  # fmt: skip
    assert core.connection.open_streams == 0
    assert not core.connection.respond_at_once(3, b"again", 0)


def test_who_is_held_may_be_given_up_and_given_room() -> None:
    core = Core()
    held(core, BEGIN + compose_settings((4, 2)) + compose_request(1) + compose_request(3))
    assert core.say(compose_number(RST_STREAM, 1, 8) + compose_number(WINDOW_UPDATE, 3, 4)) == [Reset(1, 8)]
    core.hear()
    core.answer(1, b"never")
    core.answer(3, b"answer")
    assert [frame.payload for frame in core.hear() if frame.kind == DATA] == [b"answer"]


def test_nobody_is_held_but_who_was_read_last_and_while_no_answer_waits_for_room() -> None:
    core = Core()
    core.say(BEGIN + compose_settings((4, 2)) + compose_request(1))
    assert not core.connection.hold(1)
    core.answer(1, b"answer")
    core.connection.feed(compose_request(3))
    assert core.connection.next_event() is not None
    assert not core.connection.hold(3)


def test_header_blocks_that_come_again_are_understood_the_same() -> None:
    fields = call_fields("/again", user_agent="one")
    other = call_fields("/again", user_agent="two")
    core = Core()
    core.say(BEGIN)
    calls = (fields, fields, fields, other, fields, other, other, fields)
    for place, (block, meant) in enumerate(zip(indexed(*calls), calls, strict=True)):
        (event,) = core.say(compose_frame(HEADERS, END_HEADERS | END_STREAM, 2 * place + 1, block))
        assert isinstance(event, Request)
        assert dict(event.head.fields)[b"user-agent"].decode() == meant["user-agent"]


def test_a_block_is_forgotten_when_the_table_changes_under_it() -> None:
    """The same bytes, which name places of the table, mean what stands there now."""
    core = Core()
    core.say(BEGIN)
    encoder = Encoder()
    static = b"\x83\x86\x04\x02/a"  # :method, :scheme, :path
    meant = []
    for place, value in enumerate(("first", "second", "second")):
        block = static + (encoder.add((b"x-name", value.encode()), False) if place != 2 else b"")
        core.say(compose_frame(HEADERS, END_HEADERS | END_STREAM, 4 * place + 1, block))
        (event,) = core.say(compose_frame(HEADERS, END_HEADERS | END_STREAM, 4 * place + 3, static + b"\xbe"))
        assert isinstance(event, Request)
        meant.append(event.head.fields)
    assert meant == [((b"x-name", b"first"),), ((b"x-name", b"second"),), ((b"x-name", b"second"),)]


def test_a_block_is_forgotten_when_the_table_is_emptied() -> None:
    core = Core()
    core.say(BEGIN)
    static = b"\x83\x86\x04\x02/a"
    core.say(compose_frame(HEADERS, END_HEADERS | END_STREAM, 1, static + b"\x40\x01x\x011"))
    for stream in (3, 5):
        core.say(compose_frame(HEADERS, END_HEADERS | END_STREAM, stream, static + b"\xbe"))
    # Down to nothing and up again: its size is what it was, its entries are gone.
    core.say(compose_frame(HEADERS, END_HEADERS | END_STREAM, 7, b"\x20\x3f\xe1\x1f" + static))
    with pytest.raises(ConnectionFault) as failed:
        core.say(compose_frame(HEADERS, END_HEADERS | END_STREAM, 9, static + b"\xbe"))
    assert failed.value.code is ErrorCode.COMPRESSION_ERROR


# Flow control: what we send.


def test_an_answer_goes_as_far_as_both_windows_let_it() -> None:
    core = Core()
    core.say(BEGIN + compose_settings((4, 10)) + compose_request(1))
    core.hear()
    core.answer(1, bytes(range(100)))
    headers, data = core.hear()
    assert (headers.kind, data.payload) == (HEADERS, bytes(range(10)))
    assert core.say(compose_number(WINDOW_UPDATE, 1, 50)) == []
    (data,) = core.hear()
    assert data.payload == bytes(range(10, 60))
    assert core.say(compose_settings((4, 60))) == [Sent(1)]
    kinds = [(frame.kind, frame.payload) for frame in core.hear() if frame.kind != SETTINGS]
    assert kinds[0] == (DATA, bytes(range(60, 100)))
    assert kinds[1][0] == HEADERS
    assert core.connection.open_streams == 0


def test_the_connection_s_window_is_shared_in_turn() -> None:
    core = Core()
    core.say(BEGIN + compose_settings((4, 1 << 20)) + compose_request(1) + compose_request(3))
    core.answer(1, bytes(100_000))
    core.answer(3, bytes(100_000))
    core.go_on()
    core.hear()
    core.say(compose_number(WINDOW_UPDATE, 0, 4 * MAX_FRAME_BYTES))
    assert sorted(frame.stream for frame in core.hear()) == [1, 1, 3, 3]


def test_a_window_may_become_negative() -> None:
    core = Core()
    core.say(BEGIN + compose_settings((4, 100)) + compose_request(1))
    core.answer(1, bytes(300))
    core.hear()
    core.say(compose_settings((4, 0)) + compose_number(WINDOW_UPDATE, 1, 60))
    assert [frame.kind for frame in core.hear()] == [SETTINGS], "40 bytes are still owed"
    core.say(compose_number(WINDOW_UPDATE, 1, 60))
    (data,) = core.hear()
    assert len(data.payload) == 20


def test_what_a_peer_does_not_take_is_told() -> None:
    core = Core()
    core.say(BEGIN + compose_settings((4, 0)) + compose_request(1))
    core.answer(1, b"never")
    for _ in range(3):
        assert core.connection.stalled(3) == []
    assert core.connection.stalled(3) == [1]
    core.hear()
    core.connection.reset(1, ErrorCode.CANCEL)
    assert core.hear() == [(RST_STREAM, 0, 1, b"\0\0\0\x08")]
    assert core.connection.stalled(3) == []


def test_an_answer_of_many_bytes_waits_for_the_driver() -> None:
    core = Core(Http2Limits(max_turn_bytes=50_000))
    core.say(BEGIN + WIDE + compose_request(1))
    core.hear()
    core.answer(1, bytes(1_000_000))
    first = b"".join(core.connection.take_output())
    assert 50_000 <= len(first) < 50_000 + MAX_FRAME_BYTES + 100
    assert Sent(1) in core.go_on()
    assert sum(len(frame.payload) for frame in core.hear() if frame.kind == DATA) == 1_000_000 - (len(first) - 10 - 4 * 9)


# Flow control: what we are sent.


def test_room_is_given_again_as_it_is_used() -> None:
    core = Core()
    core.say(BEGIN + open_stream())
    core.hear()
    for _ in range(3 * CONNECTION_WINDOW_BYTES // MAX_FRAME_BYTES):
        (event,) = core.say(compose_frame(DATA, 0, 1, bytes(MAX_FRAME_BYTES)))
        assert isinstance(event, Data)
    given = {0: 0, 1: 0}
    for frame in core.hear():
        assert frame.kind == WINDOW_UPDATE
        given[frame.stream] += frame.number
    assert all(total > 2 * CONNECTION_WINDOW_BYTES for total in given.values())


def test_data_behind_a_reset_is_taken_off_the_connection_s_window_and_given_back() -> None:
    core = Core()
    core.say(BEGIN + open_stream())
    core.connection.reset(1, ErrorCode.CANCEL)
    core.hear()
    for _ in range(CONNECTION_WINDOW_BYTES // MAX_FRAME_BYTES):
        assert core.say(compose_frame(DATA, 0, 1, bytes(MAX_FRAME_BYTES))) == []
    assert {frame.stream for frame in core.hear()} == {0}


def test_a_turn_is_bounded_in_frames() -> None:
    core = Core(Http2Limits(max_turn_frames=5))
    core.connection.feed(BEGIN + b"".join(compose_request(number) for number in range(1, 40, 2)))
    turns = 0
    while True:
        core.connection.begin_turn()
        count = 0
        while core.connection.next_event() is not None:
            count += 1
        assert count <= 5
        turns += 1
        if not core.connection.is_behind:
            break
    assert turns >= 4


def test_a_turn_is_bounded_in_output() -> None:
    core = Core(Http2Limits(max_turn_bytes=1_000))
    core.say(BEGIN + WIDE)
    core.hear()
    core.connection.feed(b"".join(compose_request(number) for number in range(1, 40, 2)))
    core.connection.begin_turn()
    answered = 0
    while (event := core.connection.next_event()) is not None:
        assert isinstance(event, Request)
        core.answer(event.stream, bytes(300))
        answered += 1
    assert core.connection.is_behind
    assert answered == 4


def test_a_connection_that_retires_answers_what_has_begun_and_takes_no_more() -> None:
    core = Core()
    core.say(BEGIN + open_stream(1))
    core.hear()
    core.connection.retire()
    (farewell,) = core.hear()
    assert (farewell.kind, int.from_bytes(farewell.payload[:4]), farewell.number) == (GOAWAY, 1, ErrorCode.NO_ERROR)
    assert core.say(compose_request(3) + compose_frame(DATA, END_STREAM, 1, b"rest")) == [Data(1, b"rest", True)]
    assert core.connection.open_streams == 1
    core.answer(1, b"answer")
    assert [frame.kind for frame in core.hear()] == [HEADERS, DATA, HEADERS]
    assert core.connection.open_streams == 0


def test_a_client_that_leaves_is_still_answered() -> None:
    core = Core()
    events = core.say(BEGIN + compose_frame(GOAWAY, 0, 0, bytes(8)) + compose_request(1))
    assert core.connection.is_leaving
    assert told(events) == {1: (b"/a", b"", True)}


def test_windows_are_what_is_announced() -> None:
    settings, update = Core().hear()
    announced = {int.from_bytes(settings.payload[at : at + 2]): int.from_bytes(settings.payload[at + 2 : at + 6])
                 for at in range(0, len(settings.payload), 6)}  # fmt: skip
    assert announced[4] == STREAM_WINDOW_BYTES
    assert 65_535 + update.number == CONNECTION_WINDOW_BYTES
