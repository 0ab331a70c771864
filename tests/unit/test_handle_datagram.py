"""Datagrams: splitting, gathering in any order, and the bounds on what strangers can make us hold."""

import random

import pytest

from proto.errors import Reason, Refusal
from proto.wire.handle.datagram import PACKET_BYTES, PART_BYTES, Reassembly, split_message
from proto.wire.handle.envelope import ENVELOPE_BYTES, Envelope, compose_envelope, parse_envelope
from tests.interop.handle_replay import packets, resolutions

CLIENT = ("192.0.2.7", 4242)
RECORDED = [exchange.answer for exchange in resolutions()]


def message(size: int, request: int = 7) -> bytes:
    """A message of `size` bytes beside its envelope, no two of its parts alike."""
    payload = random.Random(size).randbytes(size)
    return compose_envelope(Envelope(2, 10, 2, 10, 0, request, 0, size)) + payload


def packet(size: int, sequence: int, length: int, request: int = 7) -> bytes:
    return compose_envelope(Envelope(2, 10, 2, 10, 0, request, sequence, length)) + bytes(size)


def gather(parts: list[bytes], reassembly: Reassembly | None = None) -> list[bytes]:
    reassembly = reassembly or Reassembly()
    whole = []
    for part in parts:
        received = reassembly.accept(part, CLIENT, 0.0)
        if received:
            whole.append(compose_envelope(received[0]) + received[1])
    return whole


@pytest.mark.parametrize("size", [24, 491, 492, 493, 984, 985, 5_000, 492 * 64])
@pytest.mark.parametrize("mark_truncated", [False, True])
def test_a_message_is_split_and_gathered_again(size: int, mark_truncated: bool) -> None:
    raw = message(size)
    parts = split_message(raw, mark_truncated)
    assert len(parts) == -(-size // PART_BYTES)
    for number, part in enumerate(parts):
        envelope = parse_envelope(part)
        assert len(part) <= PACKET_BYTES
        assert (envelope.sequence, envelope.length) == (number, size)
        assert envelope.is_truncated == (mark_truncated and number + 1 < len(parts))
    (whole,) = gather(parts)
    assert whole[ENVELOPE_BYTES:] == raw[ENVELOPE_BYTES:]


@pytest.mark.parametrize("raw", RECORDED)
def test_recorded_answers_are_split_as_stock_servers_do(raw: bytes) -> None:
    assert split_message(raw) == packets(raw)
    assert gather(split_message(raw)) == [raw]


def test_packets_in_any_order_and_twice() -> None:
    parts = split_message(message(5_000))
    for seed in range(20):
        shuffled = parts + parts[:4]
        random.Random(seed).shuffle(shuffled)
        assert message(5_000) in gather(shuffled)


def test_a_question_sent_again_is_answered_again() -> None:
    parts = split_message(message(1_000))
    assert len(gather(parts * 3)) == 3


def test_messages_of_several_clients_and_requests_do_not_mix() -> None:
    reassembly = Reassembly()
    first, second = split_message(message(900, 1)), split_message(message(901, 2))
    assert reassembly.accept(first[0], CLIENT, 0) is None
    assert reassembly.accept(first[1], ("192.0.2.8", 4242), 0) is None
    assert reassembly.accept(second[1], CLIENT, 0) is None
    assert len(reassembly) == 3
    received = reassembly.accept(second[0], CLIENT, 0)
    assert received is not None
    assert received[0].request == 2


def test_a_request_id_used_for_another_message_begins_anew() -> None:
    old, new = split_message(message(900)), split_message(message(1_000))
    assert gather([old[0], new[0], old[1], new[0], new[1], new[2]]) == [message(1_000)]


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\2\3", packet(24, 0, 24)[: ENVELOPE_BYTES - 1],
        packet(10, 0, 0), packet(30, 0, 2**31), packet(10, 0, 24),
        packet(492, 2, 900), packet(492, 2**32 - 1, 900), packet(400, 0, 900), packet(500, 0, 900), packet(100, 1, 900),
        packet(492, 0, 492 * 64 + 1), packet(24, 1, 24),
    ],
)  # fmt: skip
def test_packets_that_are_part_of_nothing_are_refused_and_not_kept(raw: bytes) -> None:
    reassembly = Reassembly()
    with pytest.raises(Refusal) as refused:
        reassembly.accept(raw, CLIENT, 0)
    assert refused.value.reason is Reason.MALFORMED_MESSAGE
    assert len(reassembly) == 0


def test_unfinished_messages_are_forgotten_after_their_lifetime() -> None:
    reassembly = Reassembly(lifetime_s=5)
    parts = split_message(message(900))
    reassembly.accept(parts[0], CLIENT, 100.0)
    assert reassembly.expire(104.9) == 0
    assert len(reassembly) == 1
    assert reassembly.accept(parts[1], CLIENT, 105.0) is None
    assert reassembly.expire(110.0) == 2, "the second was begun when the first was too old"
    assert len(reassembly) == 0
    assert reassembly.expire(120.0) == 0


def test_one_source_holds_no_more_than_its_share() -> None:
    reassembly = Reassembly(max_per_source=3)
    for request in range(3):
        reassembly.accept(packet(492, 0, 900, request), CLIENT, 0)
    with pytest.raises(Refusal) as refused:
        reassembly.accept(packet(492, 0, 900, 3), CLIENT, 0)
    assert refused.value.reason is Reason.OVERLOADED
    assert reassembly.accept(packet(492, 0, 900, 3), ("192.0.2.8", 1), 0) is None
    assert reassembly.accept(packet(408, 1, 900, 0), CLIENT, 0) is not None
    assert reassembly.accept(packet(492, 0, 900, 3), CLIENT, 0) is None


def test_beyond_the_limit_the_oldest_message_gives_way() -> None:
    reassembly = Reassembly(max_messages=2)
    for port in range(3):
        reassembly.accept(packet(492, 0, 900), ("192.0.2.7", port), 0)
    assert len(reassembly) == 2
    assert reassembly.expire(0) == 1
    assert reassembly.accept(packet(408, 1, 900), ("192.0.2.7", 2), 0) is not None
    assert reassembly.accept(packet(408, 1, 900), ("192.0.2.7", 0), 0) is None
