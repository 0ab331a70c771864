"""Queries and replies: one table of what dnspython composes and we read, and of what we compose and dnspython reads."""

import struct

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.tsigkeyring
import pytest

from proto.errors import Reason, Refusal
from proto.wire.dns import codes, edns
from proto.wire.dns.codes import ExtendedError, RRType
from proto.wire.dns.edns import Edns
from proto.wire.dns.message import (
    MAX_QUERY_BYTES,
    Query,
    Reply,
    compose_head,
    compose_rejection,
    is_response,
    operation_of,
    parse_query,
)
from proto.wire.dns.records import QUESTION_NAME, compose_rr
from proto.wire.dns.stream import LENGTH_BYTES, StreamParser, compose_frame

NAME = "whole._.1001.118.88.ID.internal."
LABELS = (b"whole", b"_", b"1001", b"118", b"88", b"id", b"internal")


def query(kind: str = "URI", **more: object) -> dns.message.Message:
    made = dns.message.make_query(NAME, kind, **more)  # type: ignore[arg-type]  # any of its options
    made.id = 0x1234
    return made


def signed() -> dns.message.Message:
    made = query(use_edns=0)
    made.use_tsig(dns.tsigkeyring.from_text({"key.example.": "c2VjcmV0"}))
    return made


def transfer() -> dns.message.Message:
    made = query("IXFR", flags=0)
    made.authority.append(dns.rrset.from_text(NAME, 0, "IN", "SOA", "a. b. 1 2 3 4 5"))
    return made


def with_options(*options: dns.edns.Option) -> dns.message.Message:
    return query(use_edns=0, payload=1_232, options=list(options), flags=0)


COOKIE = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
ASKING = dns.edns.GenericOption(dns.edns.OptionType.make(codes.LIFE_CYCLE), b"")

# What dnspython composes, and what is read of it: flags, type, class, extensions.
QUERIES: list[tuple[str, dns.message.Message, tuple[int, int, int, Edns | None]]] = [
    ("plain", query(flags=0), (0, 256, 1, None)),
    ("recursion desired", query(), (0x0100, 256, 1, None)),
    ("checking disabled", query(flags=dns.flags.CD), (0x0010, 256, 1, None)),
    ("text", query("TXT", flags=0), (0, 16, 1, None)),
    ("unknown type", query("TYPE65280", flags=0), (0, 65_280, 1, None)),
    ("class", query("TXT", rdclass="CH", flags=0), (0, 16, 3, None)),
    ("extensions", query(use_edns=0, payload=1_232, flags=0), (0, 256, 1, Edns(1_232))),
    ("a payload that nobody has", query(use_edns=0, payload=7, flags=0), (0, 256, 1, Edns(512))),
    ("another version", query(use_edns=3, payload=4_096, flags=0), (0, 256, 1, Edns(4_096, 3))),
    ("DNSSEC", query(use_edns=0, want_dnssec=True, payload=4_096, flags=0), (0, 256, 1, Edns(4_096, dnssec_ok=True))),
    ("options", with_options(COOKIE), (0, 256, 1, Edns(1_232))),
    ("life cycle", with_options(COOKIE, ASKING, COOKIE), (0, 256, 1, Edns(1_232, wants_life_cycle=True))),
    ("incremental transfer", transfer(), (0, 251, 1, None)),
]
ENOUGH = [(name, made) for name, made, _ in QUERIES] + [("signed", signed())]


@pytest.mark.parametrize(("made", "expected"), [case[1:] for case in QUERIES], ids=[case[0] for case in QUERIES])
def test_queries_are_read_as_they_were_meant(made: dns.message.Message, expected: tuple[int, int, int, Edns | None]) -> None:
    raw = made.to_wire()
    found = parse_query(raw)
    assert (found.flags, found.kind, found.rr_class, found.edns) == expected
    assert (found.ident, found.labels) == (0x1234, LABELS)
    assert found.question == raw[codes.HEADER_BYTES : codes.HEADER_BYTES + len(found.question)]
    assert not is_response(raw)
    assert operation_of(raw) == codes.QUERY


def test_a_signature_is_passed_over() -> None:
    found = parse_query(signed().to_wire())
    assert (found.labels, found.edns) == (LABELS, Edns(signed().payload))


@pytest.mark.parametrize("made", [made for _, made in ENOUGH], ids=[name for name, _ in ENOUGH])
def test_a_query_cut_anywhere_is_refused(made: dns.message.Message) -> None:
    raw = made.to_wire()
    for size in range(len(raw)):
        with pytest.raises(Refusal) as refused:
            parse_query(raw[:size])
        assert refused.value.reason is Reason.MALFORMED_MESSAGE
    with pytest.raises(Refusal):
        parse_query(raw + b"\0")


def header(*counts: int, flags: int = 0) -> bytes:
    return struct.pack(">HHHHHH", 1, flags, *counts)


ASKED = b"\1a\0\0\x10\0\1"
OPT = b"\0\0\x29\4\xd0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (header(0, 0, 0, 0), "one question"),
        (header(2, 0, 0, 0) + ASKED * 2, "one question"),
        (header(1, 1, 0, 0) + ASKED + OPT, "no answers"),
        (header(1, 0, 0, 3) + ASKED + OPT, "one question"),
        (header(1, 0, 0, 65_535) + ASKED + OPT, "one question"),
        (header(1, 0, 1, 0) + ASKED + b"\1a\0\0\x10\0\1\0\0\0\0\0\0", "no authority"),
        (header(1, 0, 0, 2) + ASKED + OPT * 2, "an OPT record stands once"),
        (header(1, 0, 1, 0) + b"\1a\0\0\xfb\0\1" + OPT, "an OPT record stands once"),
        (header(1, 0, 0, 1) + ASKED + b"\1a" + OPT, "an OPT record belongs to the root"),
        (header(1, 0, 0, 1) + ASKED + OPT[:-1] + b"\1", "a record's data passes the end"),
        (header(1, 0, 0, 1) + ASKED + OPT[:-2] + b"\0\3\0\x0a\0", "an EDNS option is cut short"),
        (header(1, 0, 0, 1) + ASKED + OPT[:-2] + b"\0\4\0\x0a\0\1", "an EDNS option passes the end of its record"),
        (header(1, 0, 0, 1) + ASKED + OPT[:-2] + b"\0\6\0\x0a\xff\xff\0\0", "an EDNS option passes the end of its record"),
        (header(1, 0, 0, 0) + ASKED + OPT, "something follows the message"),
        (header(1, 0, 0, 0) + b"\xc0\x0c\0\x10\0\1", "a pointer"),
        (header(1, 0, 0, 1) + ASKED + b"\xc0\x13" + OPT[1:], "a pointer"),
        (header(1, 0, 0, 0) + b"\x41a\0\0\x10\0\1", "a label of an unknown kind"),
        (header(1, 0, 0, 0) + b"\1a\0\0\x10\0", "a question is cut short"),
    ],
)
def test_what_is_no_query_is_refused_and_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(Refusal, match=why) as refused:
        parse_query(raw)
    assert refused.value.reason is Reason.MALFORMED_MESSAGE


def test_a_compressed_owner_of_an_extension_is_followed() -> None:
    raw = header(1, 0, 0, 1) + ASKED + b"\xc0\x0e" + OPT[1:]
    assert parse_query(raw).edns == Edns(1_232) == Edns(dns.message.from_wire(raw).payload)


def test_responses_and_scraps_are_never_to_be_replied_to() -> None:
    raw = query().to_wire()
    assert not is_response(raw)
    assert is_response(raw[:11])
    assert is_response(dns.message.make_response(query()).to_wire())


@pytest.mark.parametrize("operation", range(16))
def test_a_rejection_is_a_header_that_repeats_what_it_may(operation: int) -> None:
    raw = struct.pack(">HHHHHH", 0xBEEF, operation << 11 | 0x0110 | 0x0440, 7, 7, 7, 7)
    assert operation_of(raw) == operation
    answer = dns.message.from_wire(compose_rejection(raw, codes.Rcode.NOTIMP))
    assert (answer.id, answer.opcode(), answer.rcode()) == (0xBEEF, operation, dns.rcode.NOTIMP)
    assert answer.flags & ~0x7800 == dns.flags.QR | dns.flags.RD | dns.flags.CD | codes.Rcode.NOTIMP
    assert not answer.question


ASKING_QUERY = parse_query(query(use_edns=0, flags=0).to_wire())


def composed(asking: Query, reply: Reply, serial: int = 0, room: int = 1_232) -> dns.message.Message:
    return dns.message.from_wire(reply.finish(asking, serial, room))


def test_a_reply_is_read_by_dnspython_as_it_was_meant() -> None:
    record = compose_rr(QUESTION_NAME, RRType.TXT, 300, b"\3abc\0")
    opt = edns.compose_opt(Edns(4_096, dnssec_ok=True), edns.compose_extended_error(ExtendedError.OTHER, "why"), 1)
    answer = composed(ASKING_QUERY, Reply(compose_head(codes.AUTHORITATIVE | 3, 1, 0, 1), record, opt))
    assert answer.flags == dns.flags.QR | dns.flags.AA | 3
    assert (answer.id, answer.rcode(), answer.edns, answer.payload) == (0x1234, 16 + 3, 0, 1_232)
    assert answer.ednsflags & dns.flags.DO
    assert [rrset.to_text() for rrset in answer.answer] == [f'{NAME} 300 IN TXT "abc" ""']
    assert [(error.code, error.text) for error in answer.extended_errors()] == [(0, "why")]


def test_the_serial_is_set_where_the_reply_is_finished() -> None:
    data = b"\0" + b"\0" + struct.pack(">IIIII", 0, 2, 3, 4, 5)
    record = compose_rr(QUESTION_NAME, RRType.SOA, 300, data)
    reply = Reply(compose_head(0, 1, 0, 0), record, serial_at=len(record) - 20)
    for serial in (1, 2**32 - 1):
        answer = composed(ASKING_QUERY, reply, serial)
        assert answer.answer[0][0].to_text() == f". . {serial} 2 3 4 5"


def test_a_reply_that_does_not_fit_says_so_and_is_no_longer_than_its_query() -> None:
    record = compose_rr(QUESTION_NAME, RRType.TXT, 300, b"\xff" + b"x" * 255)
    opt = edns.compose_opt(Edns())
    reply = Reply(compose_head(codes.AUTHORITATIVE | 3, 1, 0, 1), record, opt)
    fits = reply.size + len(ASKING_QUERY.question)
    assert len(reply.finish(ASKING_QUERY, 0, fits)) == fits
    short = reply.finish(ASKING_QUERY, 0, fits - 1)
    assert len(short) <= len(query(use_edns=0, flags=0).to_wire())
    answer = dns.message.from_wire(short)
    assert (answer.flags, answer.edns, answer.answer) == (dns.flags.QR | dns.flags.AA | dns.flags.TC, 0, [])


def test_the_text_of_an_extended_error_is_cut_between_letters() -> None:
    composed_error = edns.compose_extended_error(ExtendedError.OTHER, "x" + "错" * 100)
    ((code, data),) = edns.parse_options(composed_error)
    assert (code, data[:2]) == (15, b"\0\0")
    assert len(data) <= edns.MAX_TEXT_BYTES + 2
    assert data[2:].decode() == "x" + "错" * 53


STREAM = b"".join(compose_frame(made.to_wire()) for _, made in ENOUGH)
MESSAGES = [made.to_wire() for _, made in ENOUGH]


def taken(parser: StreamParser, *parts: bytes) -> list[bytes]:
    messages = []
    for part in parts:
        parser.feed(part)
        messages += taken(parser)
    while (message := parser.next_message()) is not None:
        messages.append(message)
    return messages


def test_a_stream_cut_in_two_anywhere_gives_the_same_messages() -> None:
    for cut in range(len(STREAM) + 1):
        parser = StreamParser()
        parser.feed(STREAM[:cut])
        first = taken(parser)
        parser.feed(STREAM[cut:])
        assert first + taken(parser) == MESSAGES
        assert parser.buffered == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_a_stream_in_slices_of_any_size_gives_the_same_messages(size: int) -> None:
    parser, messages = StreamParser(), []
    for start in range(0, len(STREAM), size):
        parser.feed(STREAM[start : start + size])
        messages += taken(parser)
    assert messages == MESSAGES


def test_a_message_that_has_begun_is_what_is_left() -> None:
    parser = StreamParser()
    parser.feed(compose_frame(MESSAGES[0]) + compose_frame(MESSAGES[1])[:-1])
    assert taken(parser) == [MESSAGES[0]]
    assert (parser.rest, parser.buffered) == (MESSAGES[1][:-1], LENGTH_BYTES + len(MESSAGES[1]) - 1)


@pytest.mark.parametrize("size", [0, 3, 11])
def test_what_stands_behind_a_message_is_not_what_is_left_of_it(size: int) -> None:
    parser = StreamParser()
    parser.feed(size.to_bytes(2) + MESSAGES[0])
    assert parser.rest == MESSAGES[0][:size]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\0\0", Reason.MALFORMED_MESSAGE),
        (b"\0\x0bxxx", Reason.MALFORMED_MESSAGE),
        ((MAX_QUERY_BYTES + 1).to_bytes(2) + b"x" * 12, Reason.MESSAGE_TOO_LARGE),
        (b"\xff\xff" + b"x" * 12, Reason.MESSAGE_TOO_LARGE),
    ],
)
def test_a_length_that_no_query_has_ends_the_stream_for_good(raw: bytes, reason: Reason) -> None:
    for cut in range(len(raw) + 1):
        parser = StreamParser()
        with pytest.raises(Refusal) as refused:
            taken(parser, raw[:cut], raw[cut:])
        assert refused.value.reason is reason
        parser.feed(compose_frame(MESSAGES[0]))
        with pytest.raises(Refusal):
            parser.next_message()


def test_a_frame_is_as_long_as_it_says() -> None:
    assert compose_frame(b"abc") == b"\0\3abc"
    assert compose_frame(b"x" * 65_535)[:2] == b"\xff\xff"
