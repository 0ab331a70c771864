"""Names on the wire, and names of identifiers: one table driven both ways, with dnspython as the second opinion."""

import dns.exception
import dns.name
import dns.wire
import pytest

from proto.errors import Reason, Refusal
from proto.wire.dns.identifier_name import Interior, Named, name_of, read_name
from proto.wire.dns.name import MAX_NAME_BYTES, compose_name, parse_name, parse_written_name

ZONE = (b"id", b"internal")
LONG = "变压器" * 15

NAMES = [
    ("88.118.1001/sample-1", "sample-1._.1001.118.88"),
    ("88.118.1001/SAMPLE-1", "_ad0kqk2c8kmj2._.1001.118.88"),
    ("88.118.1001", "1001.118.88"),
    ("0.na/88.118.1001", "_70s2sc9h70n32c1g64._.na.0"),
    ("88.118/0012", "0012._.118.88"),
    ("88.118/-a_b", "-a_b._.118.88"),
    ("88.118/_a", "_btgg._.118.88"),
    ("88.118/a.b", "_c4n64._.118.88"),
    ("88.118/a/b", "_c4nm4._.118.88"),
    ("88.118/变压器", "_sm7phpcehfipja0._.118.88"),
    ("88.118/" + "x" * 63, "x" * 63 + "._.118.88"),
    ("88.382.91411000ma40xcdl1k/t", "t._.91411000ma40xcdl1k.382.88"),
    ("88._.x/t", "t._.x._bs.88"),
    ("88._record/t", "t._._btp6aorfe9i0.88"),
]


def presented(labels: tuple[bytes, ...]) -> str:
    return b".".join(labels).decode()


@pytest.mark.parametrize(("identifier", "name"), NAMES)
def test_an_identifier_has_one_name_and_the_name_says_which(identifier: str, name: str) -> None:
    labels = name_of(identifier, ZONE)
    assert presented(labels) == f"{name}.id.internal"
    assert read_name(labels[:-2]) == Named(identifier)


@pytest.mark.parametrize("piece", [0, 1, 4, 42])
def test_the_pieces_of_a_record_lie_below_its_name(piece: int) -> None:
    for identifier in ("88.118/a", "88.118/" + "变压器" * 14, "88.118"):
        own, below = name_of(identifier, ZONE), name_of(identifier, ZONE, piece)
        assert below == (b"_record-%d" % piece if piece else b"_record", *own)
        assert read_name(below[:-2]) == Named(identifier, piece)


def test_the_prefix_folds_and_the_suffix_does_not() -> None:
    assert name_of("0.NA/88", ZONE) == name_of("0.na/88", ZONE)
    assert name_of("88.118/A", ZONE) != name_of("88.118/a", ZONE)


def test_a_long_suffix_is_cut_into_labels_that_mean_nothing_alone() -> None:
    identifier = f"88.118/{LONG}"
    labels = name_of(identifier, ZONE)[:-2]
    assert [len(label) for label in labels] == [1 + 216 - 3 * 61, 63, 63, 63, 1, 3, 2]
    assert read_name(labels) == Named(identifier)
    while labels[0] != b"_":
        labels = labels[1:]
        assert read_name(labels) == Interior("88.118")


@pytest.mark.parametrize("octets", range(1, 136))
def test_suffixes_of_every_length_come_back(octets: int) -> None:
    for letter in ("a", "A"):
        identifier = f"88.118/{letter * octets}"
        assert read_name(name_of(identifier, ZONE)[:-2]) == Named(identifier)


@pytest.mark.parametrize(
    ("identifier", "why"),
    [
        ("88.118/" + "A" * 150, "octets, and DNS has room for 255"),
        ("x" * 64 + "/a", "a label of its prefix has 104 octets"),
        ("8!" * 20 + "/a", "a label of its prefix has 65 octets"),
        ("88..118/a", "an empty label of its prefix"),
        ("", "an empty label of its prefix"),
        ("/a", "an empty label of its prefix"),
    ],
)
def test_what_does_not_fit_a_name_is_refused_and_says_why(identifier: str, why: str) -> None:
    with pytest.raises(Refusal, match=why) as refused:
        name_of(identifier, ZONE)
    assert refused.value.reason is Reason.INVALID_IDENTIFIER


@pytest.mark.parametrize("name", ["_.118.88", "__" + "0" * 61 + "._.118.88"])
def test_names_between_prefix_and_identifiers_are_interior(name: str) -> None:
    assert read_name(tuple(name.encode().split(b"."))) == Interior("88.118")


@pytest.mark.parametrize(
    "name",
    [
        "_", "a._", "a.b._.118.88", "_record.b.a._.118.88", "x._record.a._.118.88", "_record-0.a._.118.88",
        "_record-01.a._.118.88", "_record-1000.a._.118.88", "_records.a._.118.88",
        "_c5i0._.118.88",  # what is plain stands for itself
        "_c4n65._.118.88",  # bits behind the last octet
        "_c4n64===._.118.88", "_x!._.118.88", "_c._.118.88",
        "__00._.118.88",  # a piece that goes on is as long as a label
        "a.__" + "0" * 61 + "._.118.88",  # and what ends it is encoded
        "_84.88", "_5pgg.88",  # prefix labels that fold, or have a dot in them
        "a b._.118.88",
    ],
)  # fmt: skip
def test_other_names_are_no_identifiers(name: str) -> None:
    assert read_name(tuple(name.encode().split(b"."))) is None


def test_a_name_that_encodes_no_text_is_refused() -> None:
    labels = name_of("88.118/\udcff\udcfe", ZONE)[:-2]
    with pytest.raises(Refusal, match="not UTF-8"):
        read_name(labels)


@pytest.mark.parametrize(("identifier", "name"), NAMES)
def test_names_are_the_same_to_dnspython(identifier: str, name: str) -> None:
    labels = name_of(identifier, ZONE)
    wire = compose_name(labels)
    assert dns.name.from_text(f"{name}.id.internal.").to_wire() == wire
    assert parse_name(b"\0" * 12 + wire + b"more", 12) == (labels, 12 + len(wire))


def test_compressed_names_are_followed_as_dnspython_follows_them() -> None:
    message = b"\0" * 12 + b"\2id\x08internal\0" + b"\1a\xc0\x0c" + b"\1b\xc0\x19" + b"\xc0\x1d"
    for offset, labels, end in ((12, ZONE, 25), (25, (b"a", *ZONE), 29), (29, (b"b", b"a", *ZONE), 33)):
        parser = dns.wire.Parser(message, offset)
        assert parser.get_name(decompress=True).labels[:-1] == labels
        assert parse_name(message, offset) == (labels, end) == (labels, parser.current)
    assert parse_name(message, 33) == ((b"b", b"a", *ZONE), 35)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xc0\x0c",  # to itself
        b"\1a\xc0\x0c",  # to its own beginning
        b"\xc0\x0e\xc0\x0c",  # two that point at each other
        b"\xc0\x20",  # forwards
        b"\xc0",
        b"",
        b"\3ab",
        b"\1a",
        b"\x40a\0",
        b"\x80a\0",
        (b"\x3f" + b"x" * 63) * 4 + b"\0",
    ],
)
def test_names_that_loop_or_do_not_end_are_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        parse_name(b"\0" * 12 + raw, 12)
    assert refused.value.reason is Reason.MALFORMED_MESSAGE
    with pytest.raises(dns.exception.DNSException):
        dns.wire.Parser(b"\0" * 12 + raw, 12).get_name(decompress=True)


def test_a_pointer_into_the_header_is_refused() -> None:
    with pytest.raises(Refusal, match="does not point to an earlier name"):
        parse_name(b"\0" * 12 + b"\xc0\x02", 12)


def test_a_chain_of_pointers_is_as_long_as_it_likes_and_still_ends() -> None:
    message = b"\0" * 12 + b"\0" + b"".join((0xC000 | at).to_bytes(2) for at in (12, *range(13, 4_000, 2)))
    assert parse_name(message, len(message) - 2) == ((), len(message))


def test_the_longest_name_fits_and_one_octet_more_does_not() -> None:
    longest = (b"x" * 63, b"x" * 63, b"x" * 63, b"x" * 61)
    wire = compose_name(longest)
    assert len(wire) == MAX_NAME_BYTES
    assert parse_name(b"\0" * 12 + wire, 12)[0] == longest
    for labels in ((*longest[:3], b"x" * 62), (b"",), (b"x" * 64,)):
        with pytest.raises(Refusal):
            compose_name(labels)


@pytest.mark.parametrize("text", ["id.example.cn", "id.example.cn.", "ID.Example.CN"])
def test_a_zone_is_written_with_or_without_its_last_dot_in_any_case(text: str) -> None:
    assert parse_written_name(text) == (b"id", b"example", b"cn")


@pytest.mark.parametrize("text", ["", ".", "a..b", "-a", "a-", "标识.cn", "a b", "x" * 64, ".".join(["x" * 60] * 5)])
def test_what_is_no_domain_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name"):
        parse_written_name(text)
