"""Garbage, and questions made garbage: whatever comes is answered with what dnspython can read, or with nothing."""

import random
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Refusal
from proto.wire.dns import codes
from proto.wire.dns.identifier_name import read_name
from proto.wire.dns.message import MAX_QUERY_BYTES, is_response, parse_query
from proto.wire.dns.name import compose_name, parse_name
from proto.wire.dns.pieces import parse_piece
from proto.wire.dns.plain import read_plain
from proto.wire.dns.stream import StreamParser
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.listeners.dns import Zone
from resolver.listeners.dns.dialogue import Dialogue, Room, datagram_room, stream_room
from resolver.listeners.dns.interiors import Interiors
from tests.support.dns import HOME, HUGE, LARGE, WHOLE, ZONE, asked, framed, furnish, question
from tests.support.garbage import SEEDS, mutate
from tests.support.reader import DictReader, StoppedClock

ROUNDS: Final = 3_000
KINDS: Final = ("TXT", "NAPTR", "URI", "ANY", "SOA", "A", "AXFR", "CNAME")
NAMES: Final = (
    WHOLE,
    f"{HOME}/code-1",
    f"{HOME}/S20-M-630",
    f"{HOME}/变压器",
    f"{HOME}/retired",
    HUGE,
    LARGE,
    HOME,
    "10.1000/182",
)
QUESTIONS: Final = [
    *(asked(name, kind, edns=edns).to_wire() for name in NAMES for kind in KINDS for edns in (True, False)),
    *(asked(name, "TXT", piece=piece, life_cycle=True).to_wire() for name in NAMES for piece in (0, 1, 3)),
    *(question(name, kind).to_wire() for name in ("id.internal.", "88.id.internal.", ".", "example.cn.") for kind in KINDS),
]


def garble(raw: bytes, chance: random.Random) -> bytes:
    """A message made bad, mostly behind its header."""
    kept = chance.choice((0, codes.HEADER_BYTES, codes.HEADER_BYTES))
    return raw[:kept] + mutate(raw[kept:], chance)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_read_of_a_query_is_what_dnspython_reads(seed: int) -> None:
    chance, refused, understood = random.Random(seed), 0, 0
    for _ in range(ROUNDS):
        raw = garble(chance.choice(QUESTIONS), chance)
        if is_response(raw) or raw[2] >> 3 & 0x0F:
            continue
        try:
            found = parse_query(raw)
        except Refusal:
            refused += 1
            continue
        try:
            other = dns.message.from_wire(raw, continue_on_error=True, one_rr_per_rrset=True)
        except dns.exception.DNSException:
            # Some options and records have contents that dnspython looks into and nobody here does.
            continue
        ((name, kind, rr_class),) = [(each.name, each.rdtype, each.rdclass) for each in other.question]
        assert (found.ident, found.kind, found.rr_class) == (other.id, kind, rr_class)
        assert found.labels == tuple(label.lower() for label in name.labels[:-1])
        understood += 1
    assert min(refused, understood) > ROUNDS // 20, "the garbage is too good or too bad to find anything"


@pytest.mark.parametrize("seed", SEEDS)
def test_garbage_is_answered_with_what_dnspython_can_read_or_not_at_all(seed: int) -> None:
    chance, rcodes = random.Random(seed), set()
    metrics = build_metrics(CollectorRegistry())
    clock, reader, answers = StoppedClock(), furnish(DictReader()), AnswerCache()
    resolve, interiors = build_chain(reader, clock, metrics), Interiors(reader, answers)

    def answering(name: str, room: Room, kept: AnswerCache, plain: PlainLookups | None) -> Dialogue:
        shelf, now_ms = kept.shelf(name, metrics), clock.now_ms
        return Dialogue(resolve, name, metrics.refused, Zone(ZONE), reader, interiors, shelf, room, now_ms, plain)

    datagrams, streams = (
        answering(name, room, answers, PlainLookups(reader, clock, metrics, name))
        for name, room in (("dns", datagram_room), ("dns-tcp", stream_room))
    )
    plain, zone_name = 0, compose_name(ZONE)
    generic = answering("dns", datagram_room, AnswerCache(0), None)
    for _ in range(ROUNDS):
        raw = chance.choice(QUESTIONS)
        raw = garble(raw, chance) if chance.random() < 0.8 else raw
        for dialogue, room in ((datagrams, 1_232), (streams, 65_535)):
            reply = dialogue.respond(raw)
            assert (reply is None) == is_response(raw)
            if reply is None:
                continue
            assert isinstance(reply, bytes)
            answer = dns.message.from_wire(reply)
            assert (answer.id, len(reply) <= room) == (int.from_bytes(raw[:2]), True)
            assert answer.flags & dns.flags.QR
            assert dns.message.from_wire(answer.to_wire()) == answer
            rcodes.add(answer.rcode())
            if dialogue is datagrams and read_plain(raw, zone_name) is not None:
                # Kept, plain, or neither: the bytes are the same.
                assert reply == generic.respond(raw)
                plain += 1
    assert plain
    assert rcodes >= {dns.rcode.NOERROR, dns.rcode.FORMERR, dns.rcode.NXDOMAIN, dns.rcode.REFUSED, dns.rcode.NOTIMP}


@pytest.mark.parametrize("seed", SEEDS)
def test_names_of_garbage_end(seed: int) -> None:
    """Pointers everywhere, at every offset: a name is read or refused, and is never longer than a name."""
    chance = random.Random(seed)
    for _ in range(ROUNDS // 10):
        raw = bytes(12) + b"".join(chance.choice((b"\1a", b"\0", b"\xc0" + chance.randbytes(1), b"\2_x")) for _ in range(60))
        for offset in range(12, len(raw)):
            try:
                labels, end = parse_name(raw, offset)
            except Refusal:
                continue
            assert offset < end <= len(raw)
            assert sum(map(len, labels)) + len(labels) < 255


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_and_pieces_of_garbage_are_refused_or_read(seed: int) -> None:
    chance, read = random.Random(seed), 0
    alphabet = b"_-ab01vz./A\xff\xe5"
    for _ in range(ROUNDS):
        labels = tuple(bytes(chance.choices(alphabet, k=chance.choice((0, 1, 2, 7, 63)))) for _ in range(chance.randint(0, 5)))
        try:
            read += read_name(labels) is not None
            parse_piece(labels)
        except Refusal:
            continue
    assert read > ROUNDS // 50


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_of_garbage_gives_whole_messages_or_ends(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS // 4):
        stream = b"".join(
            garble(framed(raw), chance) if chance.random() < 0.3 else framed(raw) for raw in chance.choices(QUESTIONS, k=4)
        )
        parser = StreamParser()
        try:
            while stream:
                size = chance.randint(1, 400)
                parser.feed(stream[:size])
                stream = stream[size:]
                while (message := parser.next_message()) is not None:
                    assert codes.HEADER_BYTES <= len(message) <= MAX_QUERY_BYTES
        except Refusal:
            continue
        assert parser.buffered < 2 + MAX_QUERY_BYTES
