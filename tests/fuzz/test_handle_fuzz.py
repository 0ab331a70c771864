"""Garbage, and recorded messages made garbage: whatever is read is refused by name or means the same when written again."""

import random
from collections.abc import Callable
from typing import Any, Final

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
from proto.wire.handle.message import compose_message, parse_message
from proto.wire.handle.stream import StreamParser
from proto.wire.handle.value import compose_value, parse_value
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.listeners.handle.dialogue import Dialogue
from resolver.listeners.handle.site import node_site
from tests.interop.handle_replay import RECORDINGS, exchanges
from tests.support.garbage import SEEDS, mutate
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
    for _ in range(ROUNDS):
        body = mutate(chance.choice(chance.choice(corpora)), chance)
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
    reader = DictReader()
    reader.put_prefix("88.118")
    reader.put_record("88.118.1/LOAD0000042", Value(1, "URL", b"u"), Value(2, "NOTE", b"n", audience="private", permissions=12))
    clock, metrics = StoppedClock(), build_metrics(CollectorRegistry())
    kept = AnswerCache().shelf("handle", metrics)
    dialogue = Dialogue(
        build_chain(reader, clock, metrics), "handle", metrics.refused, clock, lambda at: node_site(at, 2641), kept
    )
    questions = [raw for raw in RECORDED if int.from_bytes(raw[24:28]) == 0]
    for _ in range(ROUNDS):
        raw = mutate(chance.choice(questions), chance)
        if len(raw) < ENVELOPE_BYTES:
            continue
        envelope = parse_envelope(raw)
        reply = dialogue.respond(envelope, raw[ENVELOPE_BYTES:], lambda: "127.0.0.1")
        assert isinstance(reply, bytes)
        head = parse_envelope(reply)
        check_envelope(head)
        answer = parse_message(head, reply[ENVELOPE_BYTES:])
        assert compose_message(answer) == reply
        assert head.request == envelope.request
        assert answer.code != 0
        assert answer.op in (OpCode.RESERVED, int.from_bytes(raw[20:24]))


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
