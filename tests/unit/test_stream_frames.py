"""Frames of the change stream: whole, cut anywhere, damaged anywhere."""

import pytest

from proto.model.change import Position, Row, Table
from proto.sm3 import sm3
from proto.stream import (
    FRAME_HEAD_BYTES,
    NO_CHAIN,
    Damaged,
    check_follows,
    check_linked,
    compose_change,
    compose_payload,
    parse_change,
    parse_link,
    parse_payload,
    split_frame,
    split_header,
)

ROWS = [
    Row(Table.RECORD, "88.118.1001/变压器", b"image", version=2, prior_version=1, state=1, prior_state=0),
    Row(Table.PREFIX, "88.118", b"", version=1),
]


def frame(sequence: int = 1, previous: bytes = NO_CHAIN) -> tuple[bytes, bytes]:
    return compose_change(
        node_id="node-1",
        position=Position(1, sequence),
        time_ms=1_700_000_000_000,
        actor="acme",
        request_id="r-1",
        traceparent="",
        row_count=2,
        payload=compose_payload(ROWS),
        previous=previous,
    )


def test_a_change_comes_back_whole() -> None:
    data, chain = frame()
    parsed = parse_change(b"--" + data + b"next", 2)
    assert parsed is not None
    change, end = parsed
    assert end == 2 + len(data)
    assert (change.position, change.actor, change.request_id, change.chain) == (Position(1, 1), "acme", "r-1", chain)
    assert parse_payload(change.payload) == ROWS
    assert change.payload_digest == sm3(change.payload)


def test_a_frame_cut_anywhere_is_not_there_yet() -> None:
    data, _ = frame()
    assert all(parse_change(data[:size]) is None for size in range(len(data)))


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    data, _ = frame()
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x40
        try:
            assert parse_change(bytes(broken)) is None, "a longer length reads as half a frame, nothing else may pass"
        except Damaged:
            continue


def test_a_change_follows_only_its_predecessor() -> None:
    first_data, first_chain = frame()
    second_data, _ = frame(2, first_chain)
    first, second = parse_change(first_data), parse_change(second_data)
    assert first is not None
    assert second is not None
    check_follows(first[0], Position(1, 0), NO_CHAIN)
    check_follows(second[0], Position(1, 1), first_chain)
    with pytest.raises(Damaged, match="chain"):
        check_follows(second[0], Position(1, 1), NO_CHAIN)
    with pytest.raises(Damaged, match="follow"):
        check_follows(second[0], Position(1, 0), first_chain)
    with pytest.raises(Damaged, match="follow"):
        check_follows(second[0], Position(2, 1), first_chain)


def test_an_impossible_length_is_damage() -> None:
    with pytest.raises(Damaged, match="lengths"):
        parse_change(b"\xff" * 32)


def test_garbage_is_no_payload() -> None:
    with pytest.raises(Damaged):
        parse_payload(b"\xff\xff\xff")


def test_a_header_is_read_without_its_payload() -> None:
    data, chain = frame()
    size = int.from_bytes(data[:4])
    headers = [split_header(data[:cut]) for cut in range(len(data) + 1)]
    there = FRAME_HEAD_BYTES + size
    assert headers[:there] == [None] * there
    assert headers[there:] == [(data[FRAME_HEAD_BYTES:there], len(data))] * (len(data) + 1 - there)
    link = parse_link(data[FRAME_HEAD_BYTES:there])
    assert (link.position, link.time_ms, link.previous, link.chain) == (Position(1, 1), 1_700_000_000_000, NO_CHAIN, chain)
    check_linked(link, Position(1, 0), NO_CHAIN)
    with pytest.raises(Damaged, match="follow"):
        check_linked(link, Position(1, 1), NO_CHAIN)


def test_a_frame_is_split_where_a_change_is_parsed() -> None:
    data, _ = frame()
    found, parsed = split_frame(b"--" + data + b"next", 2), parse_change(b"--" + data + b"next", 2)
    assert found is not None
    assert parsed is not None
    assert (found.payload, found.end) == (parsed[0].payload, parsed[1])


def test_garbage_is_no_header() -> None:
    with pytest.raises(Damaged):
        parse_link(b"\xff\xff\xff")
