"""The compiled way of a change, from a segment's bytes into a page, says what plain Python says, also of damaged bytes."""

import struct
import zlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from proto.model.account import Caller, GroupGrant, Role
from proto.model.change import Change, Position, Row, Table
from proto.stream import compose_change, compose_payload
from registry.policy.sight import Sights
from tests.support.packed_records import damaged_records, packed_records
from tests.support.ways import both_ways, outcome

STORED = st.one_of(packed_records(), damaged_records())
_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ROWS = st.builds(
    Row,
    st.sampled_from([*[Table.RECORD] * 8, *Table]),
    st.one_of(st.just("88.118.1/ab"), _NAMES),
    st.one_of(STORED, st.just(b"")),
    st.integers(0, 2**63 - 1),
    st.one_of(st.just(0), st.integers(0, 2**63 - 1)),
    st.integers(0, 3),
    st.integers(0, 3),
)
CALLERS = st.sampled_from([
    Caller("city", Role.CITY),
    Caller("feeds", Role.CITY, groups=(GroupGrant("91411000MA40XCDL1K", "partners"),)),
    Caller("operator", Role.OPERATOR),
    Caller("owner", Role.REGISTRANT, "91411000MA40XCDL1K"),
])  # fmt: skip


@given(rows=st.lists(ROWS, max_size=3), caller=CALLERS, below=st.sampled_from(["", "", "88.118"]))
def test_rows_of_a_change_are_written_the_same(rows: list[Row], caller: Caller, below: str) -> None:
    plain, quick = both_ways("registry.doors.rest.packed_changes", "render_rows")
    payload = compose_payload(rows)
    assert outcome(quick, payload, Sights(caller), below) == outcome(plain, payload, Sights(caller), below)


@given(rows=st.lists(ROWS, min_size=1, max_size=2), caller=CALLERS, data=st.data())
def test_a_damaged_payload_comes_to_the_same(rows: list[Row], caller: Caller, data: st.DataObject) -> None:
    plain, quick = both_ways("registry.doors.rest.packed_changes", "render_rows")
    payload = bytearray(compose_payload(rows))
    place = data.draw(st.integers(0, min(len(payload), 60) - 1))
    payload[place] = data.draw(st.one_of(st.sampled_from([0, 1, 0x0A, 0x1A, 0x7F, 0x80, 0xFF]), st.integers(0, 255)))
    torn = bytes(payload[: data.draw(st.one_of(st.none(), st.integers(0, len(payload))))])
    assert outcome(quick, torn, Sights(caller), "") == outcome(plain, torn, Sights(caller), "")


_TEXTS = st.one_of(st.just("acme"), st.just(""), _NAMES, st.just('"\\\x00油'))
CHANGES = st.builds(
    Change,
    node_id=_TEXTS,
    position=st.builds(Position, st.integers(0, 2**32 - 1), st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))),
    time_ms=st.one_of(st.just(1_700_000_000_123), st.integers(0, 4_200_000_000_000)),
    actor=_TEXTS,
    request_id=_TEXTS,
    traceparent=_TEXTS,
    row_count=st.integers(0, 2**32 - 1),
    payload=st.lists(ROWS, max_size=2).map(compose_payload),
    payload_digest=st.binary(max_size=40),
    previous=st.binary(max_size=40),
    chain=st.just(b""),
)


def frame_of(change: Change) -> bytes:
    """The frame of a change; its digest is the payload's, whatever the change says."""
    frame, _ = compose_change(
        node_id=change.node_id, position=change.position, time_ms=change.time_ms, actor=change.actor,
        request_id=change.request_id, traceparent=change.traceparent, row_count=change.row_count, payload=change.payload,
        previous=change.previous,
    )  # fmt: skip
    return frame


@given(change=CHANGES, caller=CALLERS, below=st.sampled_from(["", "", "", "88.118"]), said=st.sampled_from(["", "", "\ud800"]))
def test_a_change_is_written_the_same(change: Change, caller: Caller, below: str, said: str) -> None:
    plain, quick = both_ways("registry.doors.rest.packed_changes", "render_change")
    change = replace(change, actor=change.actor + said)
    assert outcome(quick, change, Sights(caller), below) == outcome(plain, change, Sights(caller), below)


@given(change=CHANGES, before=st.binary(max_size=9), after=st.binary(max_size=9), data=st.data())
def test_a_frame_is_read_the_same_whole_torn_and_damaged(
    change: Change, before: bytes, after: bytes, data: st.DataObject
) -> None:
    plain, quick = both_ways("proto.stream", "parse_change")
    whole = before + frame_of(change) + after
    read = quick(whole, len(before))
    assert read == plain(whole, len(before))
    assert read[0].payload == change.payload
    torn = whole[: data.draw(st.integers(0, len(whole)))]
    assert outcome(quick, torn, len(before)) == outcome(plain, torn, len(before))
    damaged = bytearray(whole)
    for place in data.draw(st.lists(st.integers(len(before), len(whole) - 1), max_size=2)):
        damaged[place] = data.draw(st.integers(0, 255))
    assert outcome(quick, bytes(damaged), len(before)) == outcome(plain, bytes(damaged), len(before))
    assert outcome(quick, damaged, len(before)) == outcome(plain, damaged, len(before))


@given(raw=st.binary(max_size=60), place=st.integers(-70, 70))
def test_a_header_of_anything_is_read_the_same(raw: bytes, place: int) -> None:
    """Under checksums that hold, so that what is in it is looked at."""
    plain, quick = both_ways("proto.stream", "parse_change")
    frame = struct.pack(">IIII", len(raw), 3, zlib.crc32(raw), zlib.crc32(b"abc")) + raw + b"abc"
    assert outcome(quick, frame) == outcome(plain, frame)
    assert outcome(quick, frame, place) == outcome(plain, frame, place)


_NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
_FIELDS = st.one_of(
    st.tuples(st.sampled_from([0x08, 0x18, 0x20, 0x28, 0x48]), _NUMBERS),
    st.tuples(st.sampled_from([0x12, 0x32, 0x3A, 0x42, 0x52, 0x5A]), st.one_of(st.binary(max_size=5), st.just("油".encode()))),
)


def varint(number: int) -> bytes:
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


@given(st.lists(_FIELDS, max_size=12))
def test_fields_of_a_header_in_any_order_and_number_are_read_the_same(fields: list[tuple[int, int | bytes]]) -> None:
    plain, quick = both_ways("proto.stream", "parse_change")
    raw = b"".join(bytes([tag]) + (varint(said) if isinstance(said, int) else varint(len(said)) + said) for tag, said in fields)
    frame = struct.pack(">IIII", len(raw), 0, zlib.crc32(raw), 0) + raw
    assert outcome(quick, frame) == outcome(plain, frame)
