"""Names of identifiers are one to one whatever the identifier, and messages mean the same to dnspython."""

from typing import Final

import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
from hypothesis import given
from hypothesis import strategies as st

from proto.errors import Refusal
from proto.model.change import Position
from proto.model.identifier import fold_ascii
from proto.wire.dns.identifier_name import Interior, Named, name_of, read_name
from proto.wire.dns.message import parse_query
from proto.wire.dns.name import MAX_LABEL_BYTES, MAX_NAME_BYTES, Labels, compose_name, name_bytes, parse_name
from proto.wire.dns.serial import is_newer, serial_of
from proto.wire.dns.stream import StreamParser, compose_frame

ZONE: Final = (b"id", b"internal")
TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=90)
PLAIN: Final = st.text("abcxyz0189-_", max_size=70)
LABEL: Final = st.one_of(st.text("0123456789", min_size=1, max_size=6), PLAIN, TEXT).filter(lambda text: "/" not in text)
IDENTIFIERS: Final = st.builds(
    lambda labels, suffix: ".".join(labels) + (f"/{suffix}" if suffix is not None else ""),
    st.lists(LABEL, min_size=1, max_size=4),
    st.one_of(st.none(), PLAIN, TEXT),
)
LABELS: Final = st.lists(st.binary(min_size=1, max_size=MAX_LABEL_BYTES), max_size=6).map(tuple)


def folded(identifier: str) -> str:
    prefix, slash, suffix = identifier.partition("/")
    return f"{fold_ascii(prefix)}{slash}{suffix}"


def named(identifier: str, piece: int | None = None) -> Labels | None:
    try:
        return name_of(identifier, ZONE, piece)
    except Refusal:
        return None


@given(IDENTIFIERS, st.one_of(st.none(), st.integers(0, 999)))
def test_a_name_says_whose_it_is_in_any_case(identifier: str, piece: int | None) -> None:
    labels = named(identifier, piece)
    if labels is None:
        return
    assert dns.name.Name((*labels, b"")).to_wire() == compose_name(labels)
    shouted = tuple(label.upper().lower() for label in labels)
    assert read_name(shouted[: -len(ZONE)]) == Named(folded(identifier), piece)


@given(st.lists(st.one_of(PLAIN.map(str.encode), st.binary(max_size=63)), max_size=6))
def test_whatever_is_read_of_a_name_has_that_name(labels: list[bytes]) -> None:
    asked = tuple(label.lower() for label in labels)
    try:
        found = read_name(asked)
    except Refusal:
        return
    if isinstance(found, Named):
        assert name_of(found.identifier, (), found.piece) == asked


@given(IDENTIFIERS)
def test_what_stands_between_an_identifier_and_its_prefix_is_interior(identifier: str) -> None:
    labels = named(identifier)
    if labels is None or "/" not in identifier:
        return
    below = labels[1 : -len(ZONE)]
    while below[0].startswith(b"__") or below[0] == b"_":
        assert read_name(below) == Interior(folded(identifier).partition("/")[0])
        below = below[1:]


@given(LABELS, st.binary(max_size=5))
def test_names_on_the_wire_come_back(labels: Labels, rest: bytes) -> None:
    if name_bytes(labels) > MAX_NAME_BYTES:
        return
    wire = compose_name(labels)
    assert parse_name(bytes(12) + wire + rest, 12) == (labels, 12 + len(wire))


@given(
    LABELS, st.integers(0, 0xFFFF), st.integers(1, 0xFFFF), st.one_of(st.none(), st.integers(0, 0xFFFF)), st.integers(0, 0xFFFF)
)
def test_any_question_of_dnspython_is_understood(
    labels: Labels, kind: int, rr_class: int, payload: int | None, ident: int
) -> None:
    if name_bytes(labels) > MAX_NAME_BYTES:
        return
    question = dns.message.QueryMessage(ident)
    name = dns.name.Name((*labels, b""))
    question.find_rrset(
        question.question,
        name,
        dns.rdataclass.RdataClass.make(rr_class),
        dns.rdatatype.RdataType.make(kind),
        create=True,
        force_unique=True,
    )
    if payload is not None:
        question.use_edns(0, payload=payload)
    found = parse_query(question.to_wire())
    assert (found.ident, found.kind, found.rr_class) == (ident, kind, rr_class)
    assert found.labels == tuple(label.lower() for label in labels)
    assert (found.edns.payload_bytes if found.edns else None) == (None if payload is None else max(payload, 512))


@given(st.lists(st.binary(min_size=12, max_size=80), max_size=5), st.data())
def test_a_stream_cut_anywhere_gives_the_same_messages(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(compose_frame, messages))
    parser, taken = StreamParser(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        parser.feed(stream[:size])
        stream = stream[size:]
        while (message := parser.next_message()) is not None:
            taken.append(message)
    assert taken == messages


@given(st.integers(1, 1_000), st.integers(0, 2**63), st.integers(1, 2**31 - 1))
def test_serials_of_one_epoch_move_on(epoch: int, sequence: int, changes: int) -> None:
    before, after = serial_of(Position(epoch, sequence)), serial_of(Position(epoch, sequence + changes))
    assert (is_newer(after, before), is_newer(before, after)) == (True, False)


@given(st.integers(1, 1_000), st.integers(0, 2**63), st.integers(-(2**30) + 1, 2**30 - 1))
def test_a_serial_moves_on_where_a_history_is_left_though_the_sequence_falls_back(epoch: int, sequence: int, step: int) -> None:
    left, entered = serial_of(Position(epoch, sequence)), serial_of(Position(epoch + 1, max(0, sequence + step)))
    assert is_newer(entered, left)
