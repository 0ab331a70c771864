"""The stream parser: the same messages however the bytes are cut, and a clear end when they are no messages."""

import pytest

from proto.errors import Reason, Refusal
from proto.limits import MAX_MESSAGE_BYTES
from proto.wire.handle.envelope import ENVELOPE_BYTES, Envelope, compose_envelope
from proto.wire.handle.stream import StreamParser
from tests.interop.handle_replay import resolutions

RECORDED = [exchange.question for exchange in resolutions()] + [exchange.answer for exchange in resolutions()]


def envelope(length: int, flags: int = 2) -> bytes:
    return compose_envelope(Envelope(2, 10, flags, 10, 0, 7, 0, length))


def take_all(parser: StreamParser) -> list[bytes]:
    taken = []
    while message := parser.next_message():
        taken.append(compose_envelope(message[0]) + message[1])
    return taken


@pytest.mark.parametrize("raw", RECORDED)
def test_a_message_split_at_every_byte_is_one_message(raw: bytes) -> None:
    for cut in range(1, len(raw)):
        parser = StreamParser()
        parser.feed(raw[:cut])
        assert take_all(parser) == []
        assert parser.buffered == cut
        parser.feed(raw[cut:])
        assert take_all(parser) == [raw]
        assert parser.buffered == 0


@pytest.mark.parametrize("size", [1, 7, 20, 61, 1_000, 65_536])
def test_many_messages_in_pieces_of_any_size(size: int) -> None:
    stream = b"".join(RECORDED) * 3
    parser, taken = StreamParser(), []
    for start in range(0, len(stream), size):
        parser.feed(stream[start : start + size])
        taken += take_all(parser)
    assert taken == RECORDED * 3


def test_what_follows_a_message_stays_until_it_is_whole() -> None:
    parser = StreamParser()
    parser.feed(RECORDED[0] + RECORDED[1][:30])
    assert take_all(parser) == [RECORDED[0]]
    assert parser.buffered == 30
    parser.feed(RECORDED[1][30:])
    assert take_all(parser) == [RECORDED[1]]


def test_the_longest_message_byte_by_byte() -> None:
    payload = bytes(range(256)) * (MAX_MESSAGE_BYTES // 256)
    parser = StreamParser()
    parser.feed(envelope(len(payload)))
    for value in payload[:-1]:
        parser.feed(bytes((value,)))
        assert parser.next_message() is None
    parser.feed(payload[-1:])
    message = parser.next_message()
    assert message is not None
    assert message[1] == payload


@pytest.mark.parametrize("length", [0, 23, MAX_MESSAGE_BYTES + 1, 2**31, 2**32 - 1])
def test_an_impossible_length_ends_the_stream_at_its_envelope(length: int) -> None:
    parser = StreamParser()
    parser.feed(RECORDED[0] + envelope(length)[:-1])
    assert take_all(parser) == [RECORDED[0]]
    parser.feed(envelope(length)[-1:] + RECORDED[0])
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            parser.next_message()
        assert refused.value.reason is Reason.MALFORMED_MESSAGE
    assert parser.buffered == 0
    assert parser.envelope is not None
    assert parser.envelope.request == 7


@pytest.mark.parametrize("flags", [0x20, 0x40, 0x80])
def test_parts_encryption_and_compression_end_the_stream(flags: int) -> None:
    parser = StreamParser()
    parser.feed(envelope(24, flags | 2) + bytes(24))
    with pytest.raises(Refusal):
        parser.next_message()


def test_what_is_no_handle_message_ends_the_stream_at_once() -> None:
    parser = StreamParser()
    parser.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[:ENVELOPE_BYTES])
    with pytest.raises(Refusal):
        parser.next_message()
