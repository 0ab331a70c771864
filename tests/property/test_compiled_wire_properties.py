"""The compiled ways of Handle and DNS say what plain Python says, byte for byte, also of what no client should send."""

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.property.test_handle_properties import PACKETS
from tests.support.garbage import mutate
from tests.support.packed_records import damaged_records, packed_records
from tests.support.ways import both_ways, outcome

RECORDS = st.one_of(packed_records(), damaged_records())
QUESTIONS = st.one_of(
    PACKETS, st.builds(lambda packet, seed: mutate(packet, random.Random(seed)), PACKETS, st.integers(0, 2**32)),
    st.binary(max_size=80),
)  # fmt: skip
NOW_S = st.one_of(st.just(1_700_000_000), st.integers(0, 2**33))
SERIALS = st.integers(0, 0xFFFF)
FLAGS = st.one_of(st.just(0x8000_0000), st.integers(-1, 2**33))


@given(QUESTIONS)
def test_a_handle_question_is_read_the_same(packet: bytes) -> None:
    plain, quick = both_ways("proto.wire.handle.plain", "read_plain")
    assert outcome(quick, packet) == outcome(plain, packet)


@given(QUESTIONS, st.integers(-1, 2**33), st.binary(max_size=600), SERIALS, FLAGS, NOW_S)
def test_a_handle_reply_is_the_same(packet: bytes, code: int, body: bytes, serial: int, flags: int, now_s: int) -> None:
    plain, quick = both_ways("proto.wire.handle.plain", "compose_plain")
    assert outcome(quick, packet, code, body, serial, flags, now_s) == outcome(plain, packet, code, body, serial, flags, now_s)


@given(QUESTIONS, RECORDS, SERIALS, FLAGS, NOW_S)
def test_a_record_makes_the_same_handle_reply(packet: bytes, stored: bytes, serial: int, flags: int, now_s: int) -> None:
    plain, quick = both_ways("proto.packed_handle", "compose_public_reply")
    assert outcome(quick, packet, stored, serial, flags, now_s) == outcome(plain, packet, stored, serial, flags, now_s)
