"""Peers that mean harm, are broken, or are very slow: each is bounded and told so; everybody else is answered.

Length: one case after the other, which share what they say and listen with.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from grpc import aio

from proto.errors import Reason
from proto.model.value import Value
from proto.v1.resolver_pb2 import ResolveRequest
from proto.v1.resolver_pb2_grpc import ResolverStub
from proto.wire.grpc.message import compose_message
from proto.wire.http2.codes import ErrorCode
from proto.wire.http2.limits import MAX_CONTINUATIONS, MAX_DECODED_LIST_BYTES, MAX_FRAME_BYTES, Http2Limits
from resolver.listeners.grpc.limits import MAX_GATHERED, WRITE_BUFFER_BYTES, GrpcLimits
from tests.support.grpc_calls import until
from tests.support.grpc_worker import HOST, RESOLVE, Worker
from tests.support.http2 import (
    ACK,
    BEGIN,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    call_fields,
    compose_frame,
    compose_headers,
    compose_number,
    compose_request,
    compose_settings,
    parse_frames,
)

if TYPE_CHECKING:
    from proto.v1.resolver_pb2_grpc import ResolverAsyncStub

PUMP = ResolveRequest(identifier="88.118.1/Pump")
ASKED = compose_message(PUMP.SerializeToString())
LARGE = 250_000
CALM = Http2Limits(max_pings=10, max_settings=10, max_resets=10, max_window_updates=10, max_idle_frames=10)
# Sweeps as often as a test can wait for; what time it is, the test says.
SWEEP_S = 0.01


class Peer:
    """A socket, and the frames that came out of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.said = b""

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)

    async def until(self, holds: Callable[[list[Frame]], bool]) -> list[Frame]:
        """Read until something holds of the frames. Raises `EOFError` if the other side closes before."""
        async with asyncio.timeout(20):
            while not holds(frames := parse_frames(self.said)):
                more = await self.reader.read(65_536)
                if not more:
                    raise EOFError(frames)
                self.said += more
        return frames

    async def end(self) -> list[Frame]:
        """Everything until the other side closes."""
        async with asyncio.timeout(20):
            try:
                while more := await self.reader.read(65_536):
                    self.said += more
            except ConnectionError:
                pass
        return parse_frames(self.said)


@asynccontextmanager
async def connected(worker: Worker, begin: bytes = BEGIN) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection(HOST, worker.port)
    peer = Peer(reader, writer)
    peer.say(begin)
    try:
        yield peer
    finally:
        writer.transport.abort()


@pytest.fixture
async def peer(worker: Worker) -> AsyncIterator[Peer]:
    async with connected(worker) as peer:
        yield peer


def sweeping(**limits: float) -> GrpcLimits:
    return GrpcLimits(sweep_s=SWEEP_S, **limits)  # type: ignore[arg-type]  # seconds all of them


def is_answered(frames: list[Frame]) -> bool:
    """Whether the last that was said is the end of an answer."""
    return frames != [] and frames[-1].kind == HEADERS and frames[-1].flags == END_HEADERS | END_STREAM


def last_of(frames: list[Frame], kind: int) -> Frame:
    return [frame for frame in frames if frame.kind == kind][-1]


BLOCK = compose_headers(call_fields(RESOLVE))


def begun(stream: int = 1) -> bytes:
    return compose_frame(HEADERS, END_HEADERS, stream, BLOCK)


FLOODS = [
    ("pings", compose_frame(PING, 0, 0, bytes(8)) * 50),
    ("settings", compose_settings((4, 65_535)) * 50),
    ("increments", compose_number(WINDOW_UPDATE, 0, 1) * 50),
    ("priorities", compose_frame(2, 0, 1, bytes(5)) * 50),
    ("unknown frames", compose_frame(0x42, 0, 0, b"") * 50),
    ("empty data", begun() + compose_frame(DATA, 0, 1, b"") * 50),
    ("rapid resets", b"".join(begun(stream) + compose_number(RST_STREAM, stream, 8) for stream in range(1, 99, 2))),
    ("resets that we are made to send",
     b"".join(begun(stream) + compose_number(WINDOW_UPDATE, stream, 0) for stream in range(1, 99, 2))),
    ("continuations", compose_frame(HEADERS, 0, 1, b"") + compose_frame(CONTINUATION, 0, 1, b"") * (MAX_CONTINUATIONS + 1)),
    ("a header list without end", compose_frame(HEADERS, END_HEADERS, 1, compose_headers({"x-long": "y" * 4_000}).replace(
        b"\0", b"\x40", 1) + b"\xbe" * (MAX_DECODED_LIST_BYTES // 4_000))),
]  # fmt: skip
BREACHES = [
    (compose_frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR, Reason.MALFORMED_MESSAGE),
    (compose_number(WINDOW_UPDATE, 0, (1 << 31) - 1), ErrorCode.FLOW_CONTROL_ERROR, Reason.MALFORMED_MESSAGE),
    (compose_frame(HEADERS, END_HEADERS, 3, b"\xff" * 7), ErrorCode.COMPRESSION_ERROR, Reason.MALFORMED_MESSAGE),
    (compose_frame(DATA, 0, 1, bytes(MAX_FRAME_BYTES + 1)), ErrorCode.FRAME_SIZE_ERROR, Reason.MESSAGE_TOO_LARGE),
]


@pytest.mark.parametrize("limits", [GrpcLimits(http2=CALM)])
@pytest.mark.parametrize("flood", [case[1] for case in FLOODS], ids=[case[0] for case in FLOODS])
async def test_a_flood_ends_its_connection_and_no_other(
    worker: Worker, peer: Peer, stub: "ResolverAsyncStub", flood: bytes
) -> None:
    assert (await stub.Resolve(PUMP)).version == 4
    peer.say(flood)
    farewell = last_of(await peer.end(), GOAWAY)
    assert farewell.number == ErrorCode.ENHANCE_YOUR_CALM
    assert worker.refused(Reason.QUOTA_EXCEEDED) == 1
    assert (await stub.Resolve(PUMP)).version == 4
    assert worker.open_calls == 0


@pytest.mark.parametrize(("raw", "code", "reason"), BREACHES, ids=[str(case[1].name) for case in BREACHES])
async def test_who_breaks_the_protocol_hears_why_and_what_was_asked_before_is_answered(
    worker: Worker, peer: Peer, raw: bytes, code: ErrorCode, reason: Reason
) -> None:
    peer.say(compose_request(1, ASKED, RESOLVE) + raw + compose_request(3, ASKED, RESOLVE))
    frames = await peer.end()
    assert last_of(frames, GOAWAY).number == code
    assert {frame.stream for frame in frames if frame.kind == DATA} == {1}
    assert worker.refused(reason) == 1


async def test_metadata_above_what_is_announced_is_refused_by_name_and_the_connection_stays(worker: Worker, peer: Peer) -> None:
    block = BLOCK + compose_headers({f"x-{number}": "y" * 3_000 for number in range(9)})
    pieces = [block[at : at + MAX_FRAME_BYTES] for at in range(0, len(block), MAX_FRAME_BYTES)]
    peer.say(compose_frame(HEADERS, 0, 1, pieces[0]))
    for place, piece in enumerate(pieces[1:], 2):
        peer.say(compose_frame(CONTINUATION, END_HEADERS if place == len(pieces) else 0, 1, piece))
    peer.say(compose_frame(DATA, END_STREAM, 1, ASKED), compose_request(3, ASKED, RESOLVE))
    frames = await peer.until(lambda frames: is_answered(frames) and frames[-1].stream == 3)
    assert b"MESSAGE_TOO_LARGE" in next(frame.payload for frame in frames if frame.stream == 1 and frame.kind == HEADERS)
    assert worker.refused(Reason.MESSAGE_TOO_LARGE) == 1


@pytest.mark.parametrize("limits", [sweeping(drain_timeout_s=10 * SWEEP_S)])
async def test_who_gives_no_room_is_waited_for_and_then_its_call_is_ended(worker: Worker, stub: "ResolverAsyncStub") -> None:
    async with connected(worker, BEGIN + compose_settings((4, 0))) as peer:
        peer.say(compose_request(1, ASKED, RESOLVE))
        await peer.until(lambda frames: any(frame.kind == HEADERS for frame in frames))
        assert (await stub.Resolve(PUMP)).version == 4
        frames = await peer.until(lambda frames: frames[-1].kind == RST_STREAM)
        assert frames[-1].number == ErrorCode.CANCEL
        assert not [frame for frame in frames if frame.kind == DATA]
        assert worker.refused(Reason.TIMEOUT) == 1
        peer.say(compose_settings((4, 65_535)), compose_request(3, ASKED, RESOLVE))
        await peer.until(is_answered)


async def test_who_gives_room_byte_by_byte_gets_its_answer(worker: Worker) -> None:
    async with connected(worker, BEGIN + compose_settings((4, 0))) as peer:
        peer.say(compose_request(1, ASKED, RESOLVE))
        size = 0

        def is_whole(frames: list[Frame]) -> bool:
            nonlocal size
            data = [frame.payload for frame in frames if frame.kind == DATA]
            if sum(map(len, data)) == size:
                size += 1
                peer.say(compose_number(WINDOW_UPDATE, 1, 1))
            return is_answered(frames)

        frames = await peer.until(is_whole)
        whole = b"".join(frame.payload for frame in frames if frame.kind == DATA)
        assert int.from_bytes(whole[1:5]) == len(whole) - 5


async def test_who_does_not_read_is_not_read_either(worker: Worker, stub: "ResolverAsyncStub") -> None:
    """Windows as wide as can be, and a socket that nobody empties: what is composed for it is bounded."""
    worker.reader.put_record("88.118.1/large", Value(1, "BLOB", b"x" * LARGE))
    asked = compose_message(ResolveRequest(identifier="88.118.1/large").SerializeToString())
    with socket.create_connection((HOST, worker.port)) as deaf:
        deaf.setblocking(False)
        wide = compose_settings((4, (1 << 31) - 1)) + compose_number(WINDOW_UPDATE, 0, (1 << 31) - 65_536)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(deaf, BEGIN + wide)
        calls = b"".join(compose_request(stream, asked, RESOLVE) for stream in range(1, 2_001, 2))
        sending = asyncio.ensure_future(loop.sock_sendall(deaf, calls))
        answered, asked_here, quiet = 0.0, 0, 0
        while quiet < 10:
            assert (await stub.Resolve(PUMP)).version == 4
            asked_here += 1
            found = worker.counted("resolve_requests_total", protocol="grpc", outcome="found", scheme="handle") - asked_here
            quiet = quiet + 1 if found == answered else 0
            answered = found
        # What the kernel takes in for both sides, our buffer, and what was answered together.
        assert answered * LARGE < WRITE_BUFFER_BYTES + 64 * LARGE
        assert worker.held_bytes <= 4 * WRITE_BUFFER_BYTES + MAX_GATHERED * LARGE
        sending.cancel()
    await until(lambda: worker.held_bytes == 0)


@pytest.mark.parametrize("begin", [b"", BEGIN[:10], BEGIN[:26]])
@pytest.mark.parametrize("limits", [sweeping(handshake_s=30)])
async def test_who_does_not_begin_is_cut_off(worker: Worker, begin: bytes) -> None:
    async with connected(worker, begin) as peer:
        await until(lambda: worker.counted("connections", protocol="grpc") == 1)
        worker.clock.now += 31_000
        await peer.end()
    assert worker.refused(Reason.TIMEOUT) == 1


@pytest.mark.parametrize("limits", [sweeping(keepalive_s=60, keepalive_wait_s=20)])
async def test_who_is_silent_is_probed_and_cut_off_if_nothing_comes(worker: Worker, peer: Peer) -> None:
    await peer.until(lambda frames: any(frame.kind == SETTINGS and frame.flags == ACK for frame in frames))
    for _ in range(3):
        seen = len(parse_frames(peer.said))
        worker.clock.now += 61_000
        frames = await peer.until(lambda frames, seen=seen: len(frames) > seen)  # type: ignore[misc]  # a default binds it
        assert (frames[-1].kind, frames[-1].flags) == (PING, 0)
        peer.say(compose_frame(PING, ACK, 0, frames[-1].payload))
        # Whatever it sends is a sign of life, once it has been read.
        peer.say(compose_frame(PING, 0, 0, b"are-you?"))
        await peer.until(lambda frames: frames[-1].flags == ACK)
    worker.clock.now += 61_000
    await peer.until(lambda frames: frames[-1].flags == 0)
    worker.clock.now += 21_000
    await peer.end()


@pytest.mark.parametrize("limits", [sweeping(connection_age_s=600, keepalive_s=10_000)])
async def test_a_connection_that_has_grown_old_is_ended_politely(worker: Worker, peer: Peer) -> None:
    peer.say(compose_request(1, ASKED, RESOLVE))
    await peer.until(is_answered)
    worker.clock.now += 661_000
    assert last_of(await peer.end(), GOAWAY).number == ErrorCode.NO_ERROR


@pytest.mark.parametrize("limits", [sweeping(connection_age_s=600, keepalive_s=10_000, handshake_s=10_000, linger_s=10_000)])
async def test_a_call_that_crosses_the_end_of_an_old_connection_is_thrown_away_not_reset(worker: Worker, peer: Peer) -> None:
    peer.say(compose_request(1, ASKED, RESOLVE))
    await peer.until(is_answered)
    worker.clock.now += 661_000
    await peer.end()
    peer.say(compose_request(3, ASKED, RESOLVE))
    async with connected(worker, BEGIN) as other:  # answered behind what the old one has said
        other.say(compose_request(1, ASKED, RESOLVE))
        await other.until(is_answered)
        peer.say(compose_request(5, ASKED, RESOLVE))
        assert worker.counted("connections", protocol="grpc") == 2


# A minute passes while a new connection may be half made or an old one half closed: no limit but that of age is to see it.
NOTHING_BUT_AGE = sweeping(
    connection_age_s=0,
    connection_grace_s=10_000,
    keepalive_s=10_000,
    handshake_s=10_000,
    drain_timeout_s=10_000,
    linger_s=10_000,
)


@pytest.mark.parametrize("limits", [NOTHING_BUT_AGE])
async def test_clients_of_grpcio_do_not_notice_that_connections_grow_old(worker: Worker, stub: "ResolverAsyncStub") -> None:
    for _ in range(20):
        worker.clock.now += 61_000
        assert (await stub.Resolve(PUMP)).version == 4
        await asyncio.sleep(SWEEP_S)
    assert worker.refused(Reason.TIMEOUT) == 0


@pytest.mark.parametrize("limits", [GrpcLimits(max_connections=2)])
async def test_more_connections_than_the_limit_are_told_so(worker: Worker) -> None:
    async with connected(worker), connected(worker):
        await until(lambda: worker.counted("connections", protocol="grpc") == 2)
        async with connected(worker) as third:
            assert last_of(await third.end(), GOAWAY).number == ErrorCode.REFUSED_STREAM
        assert worker.refused(Reason.OVERLOADED) == 1
    await until(lambda: worker.counted("connections", protocol="grpc") == 0)
    async with aio.insecure_channel(worker.address) as channel:
        assert (await ResolverStub(channel).Resolve(PUMP)).version == 4


async def test_who_ends_its_half_still_gets_its_answers(worker: Worker, peer: Peer) -> None:
    peer.say(*(compose_request(stream, ASKED, RESOLVE) for stream in (1, 3, 5)))
    peer.writer.write_eof()
    frames = await peer.end()
    assert [frame.stream for frame in frames if frame.kind == DATA] == [1, 3, 5]


async def test_who_ends_its_half_within_a_message_hears_so(worker: Worker, peer: Peer) -> None:
    peer.say(begun() + compose_frame(DATA, 0, 1, ASKED[:7]))
    await until(lambda: worker.open_calls == 1)
    peer.writer.write_eof()
    frames = await peer.end()
    assert b"MALFORMED_MESSAGE" in last_of(frames, HEADERS).payload
    assert worker.refused(Reason.MALFORMED_MESSAGE) == 1


async def test_a_conversation_split_at_every_byte(worker: Worker) -> None:
    raw = BEGIN + compose_request(1, ASKED, RESOLVE) + compose_frame(PING, 0, 0, bytes(8)) + compose_request(3, ASKED, RESOLVE)
    for cut in range(1, len(raw), 3):
        async with connected(worker, raw[:cut]) as peer:
            await asyncio.sleep(0)
            peer.say(raw[cut:])
            frames = await peer.until(lambda frames: is_answered(frames) and frames[-1].stream == 3)
            assert [frame.stream for frame in frames if frame.kind == DATA] == [1, 3]


# A stop. What the kernel says of a client's socket tells whether anything was answered by a reset.


@asynccontextmanager
async def asked_once(worker: Worker, room_bytes: int = 65_536) -> AsyncIterator[socket.socket]:
    """The socket of a client whose first call is answered."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_bytes)
        await loop.sock_connect(client, (HOST, worker.port))
        await loop.sock_sendall(client, BEGIN + compose_request(1, ASKED, RESOLVE))
        said = b""
        while not is_answered(parse_frames(said)):
            said += await loop.sock_recv(client, 65_536)
        yield client


async def rest_of(client: socket.socket) -> list[Frame]:
    """Everything until the worker has closed its half."""
    said = b""
    async with asyncio.timeout(20):
        while more := await asyncio.get_running_loop().sock_recv(client, 65_536):
            said += more
    return parse_frames(said)


@pytest.mark.parametrize("limits", [GrpcLimits(linger_s=10_000)])
async def test_a_call_that_crosses_a_stop_is_thrown_away_not_reset(worker: Worker) -> None:
    async with asked_once(worker) as client:
        closing = asyncio.create_task(worker.listener.close(10_000))
        farewell = last_of(await rest_of(client), GOAWAY)
        assert farewell.payload[:8] == (1).to_bytes(4) + int(ErrorCode.NO_ERROR).to_bytes(4)
        await asyncio.get_running_loop().sock_sendall(client, compose_request(3, ASKED, RESOLVE))
        client.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(closing, 20)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert worker.counted("resolve_requests_total", protocol="grpc", outcome="found", scheme="handle") == 1


@pytest.mark.parametrize("limits", [GrpcLimits(linger_s=10_000)])
async def test_a_stop_waits_for_no_idle_client_that_closes_when_told_to(worker: Worker, stub: "ResolverAsyncStub") -> None:
    assert (await stub.Resolve(PUMP)).version == 4
    await asyncio.wait_for(worker.listener.close(10_000), 20)


@pytest.mark.parametrize(("limits", "grace_s"), [(GrpcLimits(linger_s=0.01), 10_000), (GrpcLimits(linger_s=10_000), 0.01)])
async def test_a_stop_cuts_off_who_does_not_close(worker: Worker, grace_s: float) -> None:
    async with asked_once(worker) as client:
        await asyncio.wait_for(worker.listener.close(grace_s), 20)
        assert last_of(await rest_of(client), GOAWAY).number == ErrorCode.NO_ERROR
    assert worker.counted("connections", protocol="grpc") == 0


# Room for everything that is answered: nothing but a stop makes a client one that is waited for.
@pytest.mark.parametrize("limits", [GrpcLimits(linger_s=0.01, write_buffer_bytes=1 << 30)])
async def test_no_answer_is_cut_short_by_a_stop(worker: Worker) -> None:
    worker.reader.put_record("88.118.1/large", Value(1, "BLOB", b"x" * LARGE))
    asked = compose_message(ResolveRequest(identifier="88.118.1/large").SerializeToString())
    calls = [*range(3, 63, 2)]
    async with asked_once(worker, room_bytes=4_096) as client:
        wide = compose_settings((4, (1 << 31) - 1)) + compose_number(WINDOW_UPDATE, 0, (1 << 31) - 65_536)
        begun = b"".join(compose_request(stream, asked, RESOLVE) for stream in calls)
        await asyncio.get_running_loop().sock_sendall(client, wide + begun)
        found = {"protocol": "grpc", "outcome": "found", "scheme": "handle"}
        await until(lambda: worker.counted("resolve_requests_total", **found) == 1 + len(calls))
        closing = asyncio.create_task(worker.listener.close(10_000))
        assert not (await asyncio.wait((closing,), timeout=0.1))[0]
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        frames = await rest_of(client)
        assert [frame.stream for frame in frames if frame.kind == HEADERS and frame.flags & END_STREAM] == calls
        assert sum(len(frame.payload) for frame in frames if frame.kind == DATA) > len(calls) * LARGE
        client.close()
        await asyncio.wait_for(closing, 20)
