"""Records, pieces of values and serials: composed by us, read by dnspython, and back where there is a way back."""

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.serial
import pytest

from proto.errors import Reason, Refusal
from proto.model.change import Position
from proto.sm3 import sm3
from proto.wire.dns.codes import RRType
from proto.wire.dns.name import compose_name
from proto.wire.dns.pieces import (
    PIECE_BYTES,
    Piece,
    count_pieces,
    parse_piece,
    piece_strings,
    summary_of,
    summary_strings,
)
from proto.wire.dns.records import MAX_URI_BYTES, cut_strings, naptr_data, soa_data, txt_data, uri_data, uri_of
from proto.wire.dns.serial import is_newer, serial_of


def presented(kind: RRType, data: bytes) -> str:
    """The record's data as dnspython reads it, to the last octet."""
    read = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType.make(kind), data, 0, len(data))
    assert read.to_wire() == data
    return read.to_text()


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (RRType.TXT, txt_data([b"a b", b"", b'"\\\xff']), r'"a b" "" "\"\\\255"'),
        (RRType.URI, uri_data(3, b"https://example.cn/a?b=c"), '3 1 "https://example.cn/a?b=c"'),
        (
            RRType.NAPTR,
            naptr_data(3, b"HTTPS://example.cn/a?b=c") or b"",
            '100 3 "u" "x-identifier:https" "!.*!HTTPS://example.cn/a?b=c!" .',
        ),
        (RRType.NAPTR, naptr_data(1, b"urn:a!b") or b"", '100 1 "u" "x-identifier:urn" "|.*|urn:a!b|" .'),
        (RRType.SOA, soa_data(compose_name((b"a",)), compose_name((b"b", b"c")), 7, (1, 2, 3, 4)), "a. b.c. 7 1 2 3 4"),
    ],
)
def test_records_are_read_as_they_were_meant(kind: RRType, data: bytes, text: str) -> None:
    assert presented(kind, data) == text


@pytest.mark.parametrize(
    ("data", "uri"),
    [
        (b"https://example.cn/", b"https://example.cn/"),
        (b"urn:x", b"urn:x"),
        (b"https://example.cn/a%20b", b"https://example.cn/a%20b"),
        (b"https://example.cn/a b", b"https://example.cn/a%20b"),
        ("https://example.cn/变".encode(), b"https://example.cn/%E5%8F%98"),
        (b'https://example.cn/"\\^`{|}<>', b"https://example.cn/%22%5C%5E%60%7B%7C%7D%3C%3E"),
        (b"https://example.cn/\0\n", b"https://example.cn/%00%0A"),
        (b"", None),
        (b"example.cn", None),
        (b"//example.cn/", None),
        (b"https:", None),
        (b"https: //x", None),
        (b"1a://x", None),
        (b"x" * 33 + b":a", None),
        (b"https://\xff", None),
        (b"https://" + b"x" * (MAX_URI_BYTES - 8), b"https://" + b"x" * (MAX_URI_BYTES - 8)),
        (b"https://" + b"x" * (MAX_URI_BYTES - 7), None),
        (b"https://" + b" " * 700, None),
    ],
)
def test_a_value_is_a_uri_in_ascii_or_none(data: bytes, uri: bytes | None) -> None:
    assert uri_of(data) == uri


def test_a_uri_that_does_not_fit_its_string_has_no_naptr() -> None:
    room = 255 - len("!.*!!")
    assert naptr_data(1, b"urn:" + b"x" * (room - 4)) is not None
    assert naptr_data(1, b"urn:" + b"x" * (room - 3)) is None


@pytest.mark.parametrize("size", [0, 1, 254, 255, 256, 510, 511, 10_000])
def test_strings_are_as_long_as_they_can_be_and_join_again(size: int) -> None:
    data = bytes(range(256)) * 40
    strings = cut_strings(data[:size])
    assert b"".join(strings) == data[:size]
    assert all(len(string) == 255 for string in strings[:-1])


@pytest.mark.parametrize("identifier", ["88.118/a", "88.118/变压器", "88.118/" + "x" * 260])
@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 256_000])
def test_values_come_back_from_their_pieces(identifier: str, size: int) -> None:
    values = [b"x" * (size // 2), b"y" * (size - size // 2)]
    summary = summary_of(identifier, 7, values)
    count = count_pieces(values)
    pieces = []
    for number in range(count):
        data = txt_data(piece_strings(summary, values, number))
        assert len(data) < 65_535 - 512
        read = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.TXT, data, 0, len(data))
        assert isinstance(read, dns.rdtypes.ANY.TXT.TXT)
        pieces.append(parse_piece(read.strings))
    octets = b"".join(values)
    shown = identifier if len(identifier) < 250 else ""
    assert [piece[1:3] for piece in pieces] == [(number, count) for number in range(count)]
    assert {piece.summary for piece in pieces} == {(shown, 7, sm3(octets))}
    assert b"".join(piece.octets for piece in pieces) == octets


def test_what_a_record_is_stands_in_its_text() -> None:
    digest = sm3(b"ab").hex()
    assert summary_strings(summary_of("88.118/a", 7, [b"a", b"b"])) == [
        b"id=88.118/a",
        b"version=7",
        b"digest=sm3:" + digest.encode(),
    ]


GOOD = [b"id=a/b", b"version=1", b"digest=sm3:00ff", b"piece=0/1", b"", b"octets"]


def test_heads_that_are_not_known_are_skipped() -> None:
    piece = parse_piece([b"new=1", *GOOD])
    assert piece == Piece(("a/b", 1, b"\0\xff"), 0, 1, b"octets")  # type: ignore[arg-type]  # a tuple is as good


@pytest.mark.parametrize(
    "strings",
    [
        [],
        GOOD[:4],
        [b"", *GOOD],
        [each for each in GOOD if not each.startswith(b"version")],
        [each for each in GOOD if not each.startswith(b"digest")],
        [each for each in GOOD if not each.startswith(b"piece")],
        [b"version=x" if each.startswith(b"version") else each for each in GOOD],
        [b"piece=1/1" if each.startswith(b"piece") else each for each in GOOD],
        [b"piece=-1/1" if each.startswith(b"piece") else each for each in GOOD],
        [b"piece=1/1000" if each.startswith(b"piece") else each for each in GOOD],
        [b"digest=sm3:0" if each.startswith(b"digest") else each for each in GOOD],
        [b"digest=sm3:\xff" if each.startswith(b"digest") else each for each in GOOD],
        [b"id=\xff" if each.startswith(b"id") else each for each in GOOD],
    ],
)
def test_text_that_is_no_piece_is_refused(strings: list[bytes]) -> None:
    with pytest.raises(Refusal) as refused:
        parse_piece(strings)
    assert refused.value.reason is Reason.MALFORMED_MESSAGE


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (Position(1, 0), Position(1, 1)),
        (Position(1, 2**31 - 2), Position(1, 2**31)),
        (Position(1, 2**32 - 1), Position(1, 2**32)),
        (Position(1, 10_000), Position(2, 1)),
        (Position(1, 1_000_000), Position(2, 999_000)),
        (Position(3, 5), Position(4, 5)),
    ],
)
def test_a_serial_moves_on_with_every_change_and_epoch(earlier: Position, later: Position) -> None:
    before, after = serial_of(earlier), serial_of(later)
    assert (is_newer(after, before), is_newer(before, after)) == (True, False)
    assert dns.serial.Serial(after) > dns.serial.Serial(before)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 2**31 + 5), (2**32 - 1, 2**31 - 1)])
def test_serials_that_are_equal_or_opposite_are_not_newer(first: int, second: int) -> None:
    assert not is_newer(first, second)
    assert not is_newer(second, first)
