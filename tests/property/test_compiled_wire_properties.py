"""The compiled ways of Handle and DNS say what plain Python says, byte for byte, also of what no client should send."""

import random
from collections.abc import Callable
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from proto.model.record import Record, State
from proto.model.value import Value
from proto.packing import pack_foreign, pack_record
from proto.wire.dns.codes import IN, RRType
from proto.wire.dns.edns import LEAST_PAYLOAD_BYTES, Edns
from proto.wire.dns.identifier_name import Named, read_name
from proto.wire.dns.message import Reply, parse_query
from proto.wire.dns.name import MAX_NAME_BYTES, compose_name, name_bytes
from proto.wire.dns.plain import asked_by, finish_plain
from proto.wire.dns.plain import read_plain as read_dns
from proto.wire.handle.plain import read_plain
from proto.wire.handle.value import compose_value
from tests.property.test_handle_properties import PACKETS
from tests.support.garbage import mutate
from tests.support.packed_records import damaged_records, packed_copies, packed_records
from tests.support.ways import both_ways, outcome

RECORDS = st.one_of(packed_records(), packed_copies(), damaged_records())
QUESTIONS = st.one_of(
    PACKETS, st.builds(lambda packet, seed: mutate(packet, random.Random(seed)), PACKETS, st.integers(0, 2**32)),
    st.binary(max_size=80),
)  # fmt: skip
NOW_S = st.one_of(st.just(1_700_000_000), st.integers(0, 2**33))
SERIALS = st.integers(0, 0xFFFF)
FLAGS = st.one_of(st.just(0x8000_0000), st.integers(-1, 2**33))

ZONE: Final = compose_name((b"id", b"internal"))
OPT: Final = bytes((0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0))
LABELS = st.one_of(
    st.sampled_from((b"1001", b"118", b"88", b"_", b"_record", b"s20-M", b"a_b", b"_a", b"x" * 63)),
    st.binary(min_size=1, max_size=63),
)  # fmt: skip
NAMES = st.one_of(
    st.tuples(LABELS, st.lists(LABELS, max_size=3)).map(lambda own: (own[0], b"_", *own[1], b"ID", b"internal")),
    st.lists(LABELS, max_size=3).map(lambda labels: (*labels, b"id", b"internal")),
).filter(lambda labels: name_bytes(labels) <= MAX_NAME_BYTES)  # fmt: skip


@st.composite
def dns_messages(draw: st.DrawFn) -> bytes:
    """A question that is mostly plain."""
    flags = draw(st.one_of(st.sampled_from((0, 0x0100, 0x0110)), st.integers(0, 0xFFFF)))
    opt = draw(st.sampled_from((b"", OPT, OPT[:7] + b"\x80\0\0\0", OPT[:6] + b"\1" + OPT[7:], OPT[:-1] + b"\4\xfe\x5e\0\0")))
    kind = draw(st.sampled_from((RRType.NAPTR, RRType.URI, RRType.TXT)))
    rr_class = draw(st.sampled_from((IN, IN, IN, 3)))
    counts = b"\0\1\0\0\0\0" + bool(opt).to_bytes(2)
    head = draw(st.binary(min_size=2, max_size=2)) + flags.to_bytes(2) + counts
    return head + compose_name(draw(NAMES)) + kind.to_bytes(2) + rr_class.to_bytes(2) + opt


DNS_MESSAGES = st.one_of(
    dns_messages(), dns_messages(),
    st.builds(lambda message, seed: mutate(message, random.Random(seed)), dns_messages(), st.integers(0, 2**32)),
    st.binary(max_size=80),
)  # fmt: skip
# That tell nothing of the zone. What is not said here Hypothesis would make up from the annotations.
REPLIES = st.builds(
    Reply, st.binary(min_size=10, max_size=10), st.binary(max_size=600), st.binary(max_size=11), serial_at=st.just(-1)
)

ADDRESSES = st.one_of(
    st.sampled_from((b"https://example.cn/1", b"HTTPS://e.cn/!", b"a+b-1.c:x|y", b"urn:x", b"x:", b":x", b"1a:x", b"a: x")),
    st.text("hp:/.!~ %|\n\u6cb9", max_size=300).map(lambda text: b"h:" + text.encode()),
    st.integers(200, 2_100).map(lambda size: b"http://" + b"a" * size),
    st.binary(max_size=40),
)  # fmt: skip
ADDRESS_VALUES = st.builds(
    Value, st.integers(1, 99), st.sampled_from(("URL", "url.x", "URLX", "TITLE", "Url", "URL.")), ADDRESSES,
    st.sampled_from((0, 60, 86_400)), st.sampled_from((False, False, True)),
)  # fmt: skip
RECORDS_WITH_ADDRESSES = st.one_of(
    st.lists(ADDRESS_VALUES, max_size=20).map(
        lambda values: pack_record(Record("88.118.1001/x", 1, State.ACTIVE, tuple(values), "", 1, 2))
    ),
    st.lists(ADDRESS_VALUES, max_size=20).map(lambda values: pack_foreign("", 1, [*map(compose_value, values)])),
    RECORDS,
)  # fmt: skip


@given(QUESTIONS)
def test_a_handle_question_is_read_the_same(packet: bytes) -> None:
    plain, quick = both_ways("proto.wire.handle.plain", "read_plain")
    assert outcome(quick, packet) == outcome(plain, packet)


@given(st.lists(QUESTIONS, max_size=5), st.sampled_from((b"n", b"")), st.data())
def test_the_handle_questions_of_a_turn_are_read_the_same(packets: list[bytes], mark: bytes, data: st.DataObject) -> None:
    read = [read_plain(packet) for packet in packets]
    some = [question for question in read if question is not None]
    kept = {mark + question[0] for question in some if data.draw(st.booleans())}
    but = data.draw(st.sampled_from([question[1] for question in some] or ["0"]))
    plain, quick = both_ways("proto.wire.handle.plain", "read_turn")
    assert outcome(quick, packets, mark, kept, but) == outcome(plain, packets, mark, kept, but)


@given(st.lists(st.tuples(QUESTIONS, st.one_of(RECORDS, st.sampled_from((b"", None)))), max_size=5), SERIALS, FLAGS, NOW_S)
def test_the_handle_replies_of_a_turn_are_the_same(
    turn: list[tuple[bytes, bytes | None]], serial: int, flags: int, now_s: int
) -> None:
    packets = [packet for packet, _ in turn]
    places = [place for place, packet in enumerate(packets) if read_plain(packet) is not None]
    found = [turn[place][1] for place in places]
    plain, quick = both_ways("proto.packed_handle", "compose_public_replies")
    asked = (packets, places, found, serial, flags, now_s, 100, b"nothing")
    assert outcome(quick, *asked) == outcome(plain, *asked)


SIGHTS = st.dictionaries(st.binary(max_size=1), st.integers(1, 3))


@given(st.lists(st.binary(max_size=1), max_size=8), SIGHTS, SIGHTS, st.integers(1, 3))
def test_what_is_asked_again_is_known_the_same(
    keys: list[bytes], seen: dict[bytes, int], before: dict[bytes, int], enough: int
) -> None:
    def noted(note: Callable[..., object]) -> object:
        lately = {hash(key): count for key, count in seen.items()}
        return outcome(note, keys, lately, {hash(key): count for key, count in before.items()}, enough), lately

    plain, quick = both_ways("resolver.answer_cache", "note_sights")
    assert noted(quick) == noted(plain)


@given(QUESTIONS, st.integers(-1, 2**33), st.binary(max_size=600), SERIALS, FLAGS, NOW_S)
def test_a_handle_reply_is_the_same(packet: bytes, code: int, body: bytes, serial: int, flags: int, now_s: int) -> None:
    plain, quick = both_ways("proto.wire.handle.plain", "compose_plain")
    assert outcome(quick, packet, code, body, serial, flags, now_s) == outcome(plain, packet, code, body, serial, flags, now_s)


@given(QUESTIONS, RECORDS, SERIALS, FLAGS, NOW_S)
def test_a_record_makes_the_same_handle_reply(packet: bytes, stored: bytes, serial: int, flags: int, now_s: int) -> None:
    plain, quick = both_ways("proto.packed_handle", "compose_public_reply")
    assert outcome(quick, packet, stored, serial, flags, now_s) == outcome(plain, packet, stored, serial, flags, now_s)


@given(st.one_of(st.binary(max_size=3_000), st.integers(500, 520).map(bytes)), st.booleans())
def test_a_message_is_cut_the_same(message: bytes, mark_truncated: bool) -> None:
    plain, quick = both_ways("proto.wire.handle.datagram", "split_message")
    assert outcome(quick, message, mark_truncated) == outcome(plain, message, mark_truncated)


@given(DNS_MESSAGES)
def test_a_dns_question_is_read_the_same(message: bytes) -> None:
    plain, quick = both_ways("proto.wire.dns.plain", "read_plain")
    assert outcome(quick, message, ZONE) == outcome(plain, message, ZONE)


@given(st.lists(DNS_MESSAGES, max_size=5), st.sampled_from((b"d", b"")), st.data())
def test_the_dns_questions_of_a_turn_are_read_the_same(messages: list[bytes], mark: bytes, data: st.DataObject) -> None:
    some = [question for question in (read_dns(message, ZONE) for message in messages) if question is not None]
    kept = {mark + question[0] for question in some if data.draw(st.booleans())}
    plain, quick = both_ways("proto.wire.dns.plain", "read_turn")
    assert outcome(quick, messages, ZONE, mark, kept) == outcome(plain, messages, ZONE, mark, kept)


@given(
    st.lists(st.tuples(DNS_MESSAGES, st.one_of(RECORDS_WITH_ADDRESSES, st.sampled_from((b"", None)))), max_size=5),
    NOW_S, st.sampled_from((512, 100)),
)  # fmt: skip
def test_the_dns_replies_of_a_turn_are_the_same(turn: list[tuple[bytes, bytes | None]], now_s: int, room: int) -> None:
    messages = [message for message, _ in turn]
    places = [place for place, message in enumerate(messages) if read_dns(message, ZONE) is not None]
    asked = (messages, places, [turn[place][1] for place in places], now_s, room)
    plain, quick = both_ways("proto.packed_dns", "compose_turn")
    assert outcome(quick, *asked) == outcome(plain, *asked)


@given(st.one_of(DNS_MESSAGES, st.binary(max_size=40)), REPLIES, st.sampled_from((-1, -1, 0)))
def test_a_kept_dns_reply_is_finished_the_same(message: bytes, reply: Reply, serial_at: int) -> None:
    plain, quick = both_ways("proto.wire.dns.plain", "finish_plain")
    kept = reply._replace(serial_at=serial_at)
    assert outcome(quick, message, kept) == outcome(plain, message, kept)


@given(DNS_MESSAGES, RECORDS_WITH_ADDRESSES, NOW_S)
def test_a_record_makes_the_same_dns_reply(message: bytes, stored: bytes, now_s: int) -> None:
    plain, quick = both_ways("proto.packed_dns", "compose_addresses")
    assert outcome(quick, message, stored, now_s) == outcome(plain, message, stored, now_s)


@given(DNS_MESSAGES)
def test_a_plain_dns_question_is_read_as_any_other(message: bytes) -> None:
    found = read_dns(message, ZONE)
    if found is None:
        return
    query = parse_query(message)
    assert query.kind in (RRType.NAPTR, RRType.URI)
    assert query.rr_class == IN
    assert read_name(query.labels[:-2]) == Named(found[1])
    name = query.question[:-4].lower()
    assert found[0] == asked_by(query.kind, query.copied_flags, query.edns, name)
    assert (query.edns or Edns()).version == 0


@given(DNS_MESSAGES, REPLIES)
def test_a_kept_reply_to_a_plain_dns_question_is_finished_as_any_other(message: bytes, reply: Reply) -> None:
    if read_dns(message, ZONE) is None:
        return
    whole = reply.finish(parse_query(message), 0, 65_535)
    assert finish_plain(message, reply) == (whole if len(whole) <= LEAST_PAYLOAD_BYTES else None)
    assert finish_plain(message, reply._replace(serial_at=0)) is None
