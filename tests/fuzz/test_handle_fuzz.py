"""Garbage, and recorded messages made garbage: whatever is read is refused by name or means the same when written again."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final, cast

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Refusal
from proto.model.record import State
from proto.model.value import Reference, Value
from proto.wire.handle import resolution, trailer, typed
from proto.wire.handle.codes import OpCode
from proto.wire.handle.datagram import Reassembly
from proto.wire.handle.envelope import ENVELOPE_BYTES, check_envelope, compose_envelope, parse_envelope
from proto.wire.handle.exchange import read_response
from proto.wire.handle.message import compose_message, parse_message
from proto.wire.handle.stream import StreamParser
from proto.wire.handle.value import compose_value, parse_value
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.listeners.handle.connection import Connection
from resolver.listeners.handle.dialogue import Dialogue
from resolver.listeners.handle.limits import MAX_TURN, HandleLimits
from resolver.listeners.handle.site import node_site
from resolver.listeners.turn import Turn
from tests.interop.handle_replay import RECORDINGS, exchanges
from tests.support.garbage import SEEDS, mutate
from tests.support.handle import question
from tests.support.reader import DictReader, StoppedClock

ROUNDS: Final = 4_000
RECORDED: Final = [
    raw for path in sorted(RECORDINGS.glob("*.jsonl")) for each in exchanges(path.stem) for raw in (each.question, each.answer)
]


BODIES: Final[list[tuple[Callable[[bytes], Any], Callable[[Any], bytes]]]] = [
    (resolution.parse_resolution_request, resolution.compose_resolution_request),
    (
        resolution.parse_resolution_body,
        lambda read: b"".join(resolution.compose_resolution_body(read.identifier, read.values)) + read.rest,
    ),
    (resolution.parse_error_body, lambda read: resolution.compose_error_body(read.message) + read.rest),
    (resolution.parse_challenge_body, resolution.compose_challenge_body),
    (trailer.parse_trailer, trailer.compose_trailer),
    (typed.parse_admin, typed.compose_admin),
    (typed.parse_vlist, typed.compose_vlist),
    (typed.parse_site, typed.compose_site),
    (lambda packed: parse_value(packed)[0], compose_value),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_messages_are_refused_or_written_again_with_the_same_meaning(seed: int) -> None:
    chance, refused, written = random.Random(seed), 0, 0
    for _ in range(ROUNDS):
        raw = mutate(chance.choice(RECORDED), chance)
        if len(raw) < ENVELOPE_BYTES:
            continue
        try:
            envelope = parse_envelope(raw)
            check_envelope(envelope)
            message = parse_message(envelope, raw[ENVELOPE_BYTES:])
        except Refusal:
            refused += 1
            continue
        again = compose_message(message)
        assert compose_message(parse_message(parse_envelope(again), again[ENVELOPE_BYTES:])) == again
        written += 1
    assert min(refused, written) > ROUNDS // 20, "the garbage is too good or too bad to find anything"


@pytest.mark.parametrize("seed", SEEDS)
def test_bodies_are_refused_or_written_again_with_the_same_meaning(seed: int) -> None:
    chance = random.Random(seed)
    refused: set[int] = set()
    written: set[int] = set()
    corpora = _bodies()
    # Intact ones first: of some kinds there are so few that a seed may garble them all.
    garbled = (mutate(chance.choice(chance.choice(corpora)), chance) for _ in range(ROUNDS))
    for body in chain(*corpora, garbled):
        for place, (parse, compose) in enumerate(BODIES):
            try:
                read = parse(body)
            except Refusal:
                refused.add(place)
                continue
            assert parse(compose(read)) == read
            written.add(place)
    assert refused == written == set(range(len(BODIES)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_of_garbage_gives_whole_messages_or_ends(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS // 4):
        stream = b"".join(mutate(raw, chance) if chance.random() < 0.3 else raw for raw in chance.choices(RECORDED, k=4))
        parser, taken = StreamParser(), b""
        try:
            while stream:
                size = chance.randint(1, 400)
                parser.feed(stream[:size])
                stream = stream[size:]
                while received := parser.next_message():
                    taken += compose_envelope(received[0]) + received[1]
        except Refusal:
            assert parser.buffered == 0
        assert parser.buffered < ENVELOPE_BYTES + (parser.envelope.length if parser.envelope else 0) or not parser.buffered


@pytest.mark.parametrize("seed", SEEDS)
def test_garbage_packets_leave_nothing_behind(seed: int) -> None:
    chance = random.Random(seed)
    reassembly = Reassembly(max_messages=16, max_per_source=4)
    for number in range(ROUNDS):
        packet = mutate(chance.choice(RECORDED), chance)[: chance.choice((20, 100, 512, 9_000))]
        try:
            reassembly.accept(packet, chance.randint(0, 8), number / 100)
        except Refusal:
            continue
        assert len(reassembly) <= 16
    reassembly.expire(ROUNDS)
    assert len(reassembly) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_every_message_gets_one_reply_that_can_be_read(seed: int) -> None:
    chance = random.Random(seed)
    dialogue = _dialogue(AnswerCache())
    questions = [raw for raw in RECORDED if int.from_bytes(raw[24:28]) == 0]
    for _ in range(ROUNDS):
        raw = mutate(chance.choice(questions), chance)
        if len(raw) < ENVELOPE_BYTES:
            continue
        envelope = parse_envelope(raw)
        reply = dialogue.respond(envelope, raw[ENVELOPE_BYTES:], lambda: "127.0.0.1", "127.0.0.1")
        assert isinstance(reply, bytes)
        at_once = dialogue.respond_plainly(raw)
        assert at_once in (None, reply)
        head = parse_envelope(reply)
        check_envelope(head)
        answer = parse_message(head, reply[ENVELOPE_BYTES:])
        assert compose_message(answer) == reply
        assert head.request == envelope.request
        assert answer.code != 0
        assert answer.op in (OpCode.RESERVED, int.from_bytes(raw[20:24]))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_question_that_is_plain_whatever_was_garbled_gets_the_reply_of_any_other(seed: int) -> None:
    chance = random.Random(seed)
    dialogue = _dialogue(AnswerCache(0))
    plain = 0
    for _ in range(ROUNDS):
        raw = bytearray(question(chance.choice(("88.118.1/LOAD0000042", "88.118.1/LOAD0000043")), chance.getrandbits(32)))
        for _ in range(chance.randint(0, 3)):
            raw[chance.randrange(len(raw))] ^= 1 << chance.randint(0, 7)
        packet = bytes(raw)
        at_once = dialogue.respond_plainly(packet)
        if at_once is not None:
            assert at_once == dialogue.respond(
                parse_envelope(packet), packet[ENVELOPE_BYTES:], lambda: "127.0.0.1", "127.0.0.1"
            )
            plain += 1
    assert ROUNDS // 10 < plain < ROUNDS // 10 * 9, plain


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_connection_says_the_same_whichever_way_its_questions_are_answered(seed: int) -> None:
    chance = random.Random(seed)
    plainly = 0
    for _ in range(ROUNDS // 20):
        whole = [question(f"88.118.1/LOAD000004{chance.randint(2, 4)}", number) for number in range(chance.randint(1, 6))]
        stream = b"".join(mutate(raw, chance) if chance.random() < 0.1 else raw for raw in whole)
        pieces = whole if chance.random() < 0.5 else [*_pieces(stream, chance)]
        short, long = _dialogue(AnswerCache(0)), _dialogue(AnswerCache(0))
        long._plain, expected = None, await _converse(long, pieces)
        assert await _converse(short, pieces) == expected
        plainly += sum(short.respond_plainly(piece) is not None for piece in pieces)
    assert plainly > ROUNDS // 20


async def _converse(dialogue: Dialogue, pieces: list[bytes]) -> tuple[bytes, bool]:
    """All that a connection writes when these pieces come, and whether it closed."""
    transport = Transport()
    connection = Connection(Hosting(dialogue))
    connection.connection_made(cast(asyncio.Transport, transport))
    for piece in pieces:
        if transport.is_reading and not transport.is_closed:
            connection.data_received(piece)
        for _ in range(3):
            await asyncio.sleep(0)
    return bytes(transport.written), transport.is_closed


def _pieces(stream: bytes, chance: random.Random) -> Iterator[bytes]:
    while stream:
        size = chance.choice((1, 20, 61, 80, 300))
        yield stream[:size]
        stream = stream[size:]


class Transport:
    """Takes everything at once."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.is_closed = False
        self.is_reading = True

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.is_closed = True

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


class Hosting:
    """A listener of one connection."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self.turn = self.turn_here = Turn(dialogue.respond_plainly_to, MAX_TURN)
        self.limits = HandleLimits()
        self.now_s = 0.0

    def admit(self, _connection: Connection) -> bool:
        return True

    def dismiss(self, _connection: Connection) -> None:
        pass


def _dialogue(answers: AnswerCache) -> Dialogue:
    """One record with public values alone, and one with others."""
    reader, clock, metrics = DictReader(), StoppedClock(), build_metrics(CollectorRegistry())
    reader.put_prefix("88.118")
    reader.put_record("88.118.1/LOAD0000042", Value(1, "URL", b"u"), Value(2, "NOTE", b"n", audience="private", permissions=12))
    reader.put_record("88.118.1/LOAD0000043", Value(1, "URL", b"u"), Value(2, "TITLE", b""))
    return Dialogue(
        build_chain(reader, clock, metrics), "handle", metrics.refused, clock, lambda at: node_site(at, 2641),
        answers.shelf("handle", metrics), PlainLookups(reader, clock, metrics, "handle"),
    )  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answer_is_read_whole_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    answers = [raw for raw in RECORDED if int.from_bytes(raw[24:28])]
    for _ in range(ROUNDS):
        raw = mutate(chance.choice(answers), chance)
        if len(raw) < ENVELOPE_BYTES:
            continue
        with contextlib.suppress(Refusal):
            envelope = parse_envelope(raw)
            message = parse_message(envelope, raw[ENVELOPE_BYTES:])
            response = read_response("88.118.1/LOAD0000042", message)
            assert response.code == message.code != 0
            assert [parse_value(value)[1] for value in response.values] == [len(value) for value in response.values]


def _bodies() -> list[list[bytes]]:
    """Recorded bodies, the values in them, the data of those that are typed, and what was never recorded."""
    whole = [parse_message(parse_envelope(raw), raw[ENVELOPE_BYTES:]).body for raw in RECORDED]
    values = [value for body in whole for value in _values(body)]
    administrators = [value.data for value, _ in map(parse_value, values) if value.type == "HS_ADMIN"]
    group = typed.compose_vlist(typed.ReferenceList((Reference("88.118.1/ADMIN", 300), Reference("88.118.1/ADMIN", 301))))
    told = trailer.compose_trailer(trailer.LifeCycle(State.ACTIVE, 7, "88.118.1/LOAD0000042"))
    return [whole, values, administrators, [group], [told]]


def _values(body: bytes) -> list[bytes]:
    try:
        return list(resolution.parse_resolution_body(body).values)
    except Refusal:
        return []
