"""Garbled conversations of HTTP/2: understood, or ended by a code, however they are cut; nothing of them stays."""

import asyncio
import logging
import random
from typing import Final, cast

import pytest
from hpack import Encoder

from proto.v1.resolver_pb2 import BatchResolveRequest, ResolveRequest
from proto.wire.grpc.message import compose_message
from proto.wire.http2.codes import ConnectionFault
from proto.wire.http2.limits import Http2Limits
from resolver.listeners.grpc import SERVICE
from resolver.listeners.grpc.connection import Connection
from tests.support.garbage import SEEDS, mutate
from tests.support.grpc_messages import compress
from tests.support.grpc_worker import TOKEN, Worker
from tests.support.http2 import (
    BEGIN,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    call_fields,
    compose_frame,
    compose_number,
    compose_settings,
    parse_frames,
)
from tests.support.http2_core import Core

ROUNDS: Final = 400
RESERVED: Final = 1 << 31
# Whatever a turn is bounded by is met often.
LIMITS: Final = Http2Limits(max_streams=4, max_pings=5, max_settings=5, max_resets=5, max_window_updates=5, max_idle_frames=20,
                            max_turn_frames=7)  # fmt: skip
PATHS: Final = (
    f"/{SERVICE}/Resolve", f"/{SERVICE}/BatchResolve", f"/{SERVICE}/None", "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)  # fmt: skip
MESSAGES: Final = (
    ResolveRequest(identifier="88.118.1/Pump").SerializeToString(),
    ResolveRequest(identifier="88.118.1/gone", explain=True, indexes=[1, 2]).SerializeToString(),
    ResolveRequest(identifier="88.118.1/Pump", after="e1.s9").SerializeToString(),
    BatchResolveRequest(identifiers=["88.118.1/Pump", "20.500/x"] * 20).SerializeToString(),
    b"",
)


def conversation(chance: random.Random) -> list[Frame]:
    """What a client may say, frame by frame."""
    encoder = Encoder()
    frames = [*parse_frames(BEGIN[len(PREFACE) :])]
    for number in range(1, 2 * chance.randint(2, 8), 2):
        frames += parse_frames(b"".join(call(chance, encoder, number)))
        frames += parse_frames(chance.choice((
            b"", b"", compose_frame(PING, 0, 0, chance.randbytes(8)),
            compose_number(WINDOW_UPDATE, 0, chance.randint(1, 9_999)), compose_frame(PRIORITY, 0, number, bytes(5)),
            compose_number(WINDOW_UPDATE, number, chance.randint(1, 99)), compose_number(RST_STREAM, number, 8),
            compose_settings((4, chance.choice((0, 1, 100, 65_535))), (5, 16_384)),
            compose_settings(*((1, chance.choice((0, 1, 100, 4_096, 65_536))) for _ in range(chance.randint(1, 3)))),
            compose_frame(0xFA, 0, number, b"?"), compose_frame(GOAWAY, 0, 0, bytes(8)),
        )))  # fmt: skip
    return frames


def call(chance: random.Random, encoder: Encoder, number: int) -> list[bytes]:
    fields = call_fields(chance.choice(PATHS))
    message = chance.choice(MESSAGES)
    data = compose_message(message)
    if chance.random() < 0.2:
        fields, data = {**fields, "grpc-encoding": "gzip"}, compress(message, "gzip")
    if chance.random() < 0.2:
        fields = {**fields, "grpc-timeout": chance.choice(("1n", "20m", "9S")), "authorization": f"Bearer {TOKEN}"}
    block = encoder.encode(list(fields.items()), huffman=chance.random() < 0.5)
    cut = chance.randint(0, len(block))
    heads = chance.choice((
        [compose_frame(HEADERS, END_HEADERS, number, block)],
        [compose_frame(HEADERS, 0, number, block[:cut]), compose_frame(CONTINUATION, END_HEADERS, number, block[cut:])],
        [compose_frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, number, b"\2" + bytes(5) + block + bytes(2))],
    ))  # fmt: skip
    cut = chance.randint(0, len(data))
    bodies = chance.choice((
        [compose_frame(DATA, END_STREAM, number, data)],
        [compose_frame(DATA, 0, number, data[:cut]),
         compose_frame(DATA, PADDED | END_STREAM, number, b"\1" + data[cut:] + b"\0")],
        [compose_frame(DATA, 0, number, data)],
    ))  # fmt: skip
    return heads + bodies


def marked(frames: list[Frame], chance: random.Random) -> list[Frame]:
    """The same frames, some with the bit in front of the stream that means nothing."""
    return [frame._replace(stream=frame.stream | RESERVED) if chance.random() < 0.2 else frame for frame in frames]


def garble(frames: list[Frame], chance: random.Random) -> bytes:
    """A few frames lost, doubled, moved or changed; then maybe bytes without regard to frames."""
    frames = marked(frames, chance) if chance.random() < 0.3 else list(frames)
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(frames))
        frame = frames[at]
        match chance.randint(0, 6):
            case 0:
                del frames[at]
            case 1:
                frames.insert(chance.randrange(len(frames)), frame)
            case 2:
                frames[at] = frame._replace(flags=frame.flags ^ 1 << chance.randint(0, 5))
            case 3:
                frames[at] = frame._replace(stream=chance.choice((0, 1, 2, 3, 99, 0x7FFF_FFFF)))
            case 4:
                frames[at] = frame._replace(kind=chance.randint(0, 10))
            case _:
                frames[at] = frame._replace(payload=mutate(frame.payload, chance))
        if not frames:
            break
    raw = PREFACE + b"".join(compose_frame(*frame) for frame in frames)
    return mutate(raw, chance) if chance.random() < 0.2 else raw


def outcome(raw: bytes, pieces: list[int]) -> tuple[list[str], int | None]:
    """What happens, and the code that ends it."""
    happened: list[str] = []
    core, at = Core(LIMITS), 0
    try:
        for size in pieces:
            happened += [f"{type(event).__name__} {event.stream}" for event in core.say(raw[at : at + size])]
            at += size
    except ConnectionFault as fault:
        assert core.hear()[-1].kind == GOAWAY
        return happened, fault.code
    core.hear()
    return happened, None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_garbled_conversation_ends_by_a_code_or_goes_on(seed: int) -> None:
    chance = random.Random(seed)
    ended, whole = 0, 0
    for _ in range(ROUNDS):
        raw = garble(conversation(chance), chance)
        _, code = outcome(raw, [len(raw)])
        ended += code is not None
        whole += code is None
    assert min(ended, whole) > ROUNDS // 10, "the garbage is too good or too bad to find anything"


@pytest.mark.parametrize("seed", SEEDS)
def test_it_ends_by_the_same_code_however_it_is_cut(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS // 4):
        raw = garble(conversation(chance), chance)
        pieces: list[int] = []
        while sum(pieces) < len(raw):
            pieces.append(chance.randint(1, 60))
        assert outcome(raw, pieces)[1] == outcome(raw, [len(raw)])[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reserved_bit_in_front_of_a_stream_changes_nothing(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(ROUNDS // 4):
        frames = conversation(chance)
        raw, same = (PREFACE + b"".join(compose_frame(*frame) for frame in each) for each in (frames, marked(frames, chance)))
        assert outcome(same, [len(same)]) == outcome(raw, [len(raw)])


class Deaf:
    """A transport that takes everything, or after a while nothing more."""

    def __init__(self, chance: random.Random) -> None:
        self._room = chance.choice((0, 500, 1 << 30))
        self.said = b""
        self.is_closed = False
        self.connection: Connection | None = None

    def write(self, data: bytes) -> None:
        self.said += data
        if len(self.said) > self._room and self.connection is not None:
            connection, self.connection = self.connection, None
            connection.pause_writing()

    def close(self) -> None:
        self.is_closed = True

    abort = write_eof = pause_reading = resume_reading = close

    def is_closing(self) -> bool:
        return self.is_closed

    def can_write_eof(self) -> bool:
        return True

    def get_extra_info(self, _name: str) -> None:
        return None

    def set_write_buffer_limits(self, **_limits: int) -> None:
        return None


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_listener_says_whole_frames_and_keeps_nothing_of_who_has_gone(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance, worker = random.Random(seed), Worker()
    listener, answered = worker.own, 0
    for round_ in range(ROUNDS):
        connection = Connection(listener, round_)
        transport = Deaf(chance)
        transport.connection = connection if chance.random() < 0.3 else None
        connection.connection_made(cast(asyncio.Transport, transport))
        raw = garble(conversation(chance), chance)
        while raw and not transport.is_closed:
            size = chance.choice((1, 40, 400, len(raw)))
            connection.data_received(raw[:size])
            raw = raw[size:]
            if chance.random() < 0.3:
                await asyncio.sleep(0)
            if chance.random() < 0.1:
                connection.check(worker.clock.monotonic())
            if chance.random() < 0.05:
                connection.resume_writing()
        if chance.random() < 0.5:
            connection.eof_received()
            await asyncio.sleep(0)
        frames = parse_frames(transport.said)
        assert sum(9 + len(frame.payload) for frame in frames) == len(transport.said)
        answered += sum(frame.kind == HEADERS for frame in frames)
        assert frames[0].kind == SETTINGS
        connection.connection_lost(None)
        await asyncio.sleep(0)
        assert (worker.open_calls, worker.held_bytes) == (0, 0)
    assert answered > ROUNDS
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
