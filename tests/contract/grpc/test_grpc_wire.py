"""Calls as no grpcio client makes them, over the wire: what is no gRPC, half calls, compression, TLS, leaving."""

import asyncio
import itertools
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc import aio
from h2.settings import SettingCodes

from proto.errors import Reason
from proto.keys import record_key
from proto.model.answer import OUTCOMES
from proto.model.change import Position
from proto.model.value import Value
from proto.v1.resolver_pb2 import ResolveRequest, ResolveResponse
from proto.v1.resolver_pb2_grpc import ResolverStub
from proto.wire.grpc.message import compose_message
from resolver.listeners.grpc import connection
from resolver.listeners.grpc.limits import GrpcLimits
from tests.support.certificates import make_certificate
from tests.support.grpc_calls import until
from tests.support.grpc_messages import compress
from tests.support.grpc_worker import HOST, RESOLVE, Worker
from tests.support.h2_client import H2Client
from tests.support.http2 import (
    BEGIN,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    compose_call,
    compose_data,
    compose_request,
    parse_frames,
)

PUMP = ResolveRequest(identifier="88.118.1/Pump").SerializeToString()


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[H2Client]:
    async with H2Client(worker.port) as client:
        yield client


async def test_a_call_is_answered_with_a_head_a_message_and_trailers(client: H2Client) -> None:
    said = await client.ask(RESOLVE, compose_message(PUMP), x_request_id="mine")
    assert said.headers == {":status": "200", "content-type": "application/grpc"}
    assert ResolveResponse.FromString(said.data[5:]).version == 4
    assert said.trailers == {"grpc-status": "0", "x-request-id": "mine"}


@pytest.mark.parametrize("server", ["own", "oracle"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_call_is_answered(client: H2Client, encoding: str) -> None:
    assert (await client.ask(RESOLVE, compress(PUMP, encoding), grpc_encoding=encoding)).status == "0"


# grpcio's own server ends such a call with INTERNAL; UNIMPLEMENTED is what the standard asks for.
async def test_an_encoding_that_nobody_knows_is_refused_with_those_that_are_known(client: H2Client) -> None:
    said = await client.ask(RESOLVE, compose_message(PUMP), grpc_encoding="snappy")
    assert said.status == "12"
    assert "gzip" in said.headers["grpc-accept-encoding"]


NO_GRPC = [
    ({":method": "GET"}, "405", Reason.UNSUPPORTED_OPERATION),
    ({"content-type": "application/json"}, "415", Reason.UNSUPPORTED_CONTENT_TYPE),
    ({"content-type": ""}, "415", Reason.UNSUPPORTED_CONTENT_TYPE),
]


@pytest.mark.parametrize(("fields", "status", "reason"), NO_GRPC, ids=[case[1] for case in NO_GRPC[:2]] + ["none"])
async def test_what_is_no_grpc_is_told_so_in_words_of_http(
    worker: Worker, client: H2Client, fields: dict[str, str], status: str, reason: Reason
) -> None:
    said = await client.ask(RESOLVE, compose_message(PUMP), **fields)
    assert said.headers[":status"] == status
    assert worker.refused(reason) == 1
    assert (await client.ask(RESOLVE, compose_message(PUMP))).status == "0"


BAD_CALLS = [
    (b"", {}, "3", Reason.MALFORMED_MESSAGE),
    (compose_message(PUMP) * 2, {}, "3", Reason.MALFORMED_MESSAGE),
    (compose_message(PUMP) + b"\0", {}, "3", Reason.MALFORMED_MESSAGE),
    (b"\1" + compose_message(PUMP)[1:], {}, "3", Reason.MALFORMED_MESSAGE),
    (compress(bytes(1 << 20), "gzip"), {"grpc_encoding": "gzip"}, "8", Reason.MESSAGE_TOO_LARGE),
    (compose_message(PUMP), {"grpc_timeout": "soon"}, "3", Reason.INVALID_ARGUMENT),
    (compose_message(PUMP), {"grpc_timeout": "0n"}, "4", Reason.TIMEOUT),
    (compose_message(PUMP), {"x_key_bin": "***"}, "3", Reason.INVALID_ARGUMENT),
]


@pytest.mark.parametrize(("data", "fields", "status", "reason"), BAD_CALLS, ids=range(len(BAD_CALLS)))
@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_bad_call_ends_in_its_status_whole_and_in_parts(
    worker: Worker, client: H2Client, data: bytes, fields: dict[str, str], status: str, reason: Reason, is_whole: bool
) -> None:
    if is_whole:
        said = await client.ask(RESOLVE, data, **fields)
    else:
        number = client.begin(RESOLVE, **fields)
        client.flush()
        await asyncio.sleep(0)
        if not client.streams[number].done.is_set():
            client.core.send_data(number, data, end_stream=True)
            client.flush()
        said = await client.wait(number)
    assert said.status == status
    assert worker.refused(reason) == 1


async def test_a_call_without_any_data_has_no_message(worker: Worker, client: H2Client) -> None:
    number = client.begin(RESOLVE)
    client.core.end_stream(number)
    client.flush()
    assert (await client.wait(number)).status == "3"


async def test_a_message_in_many_pieces_is_answered_when_it_is_whole(client: H2Client) -> None:
    number = client.begin(RESOLVE, grpc_timeout="10S")
    for place, byte in enumerate(compose_message(PUMP)):
        client.core.send_data(number, bytes((byte,)), end_stream=place == len(PUMP) + 4)
        client.flush()
        await asyncio.sleep(0)
    assert (await client.wait(number)).status == "0"


@pytest.mark.parametrize("limits", [GrpcLimits(message_wait_s=0.05)])
async def test_half_a_message_is_not_waited_for_for_ever(worker: Worker, client: H2Client) -> None:
    number = client.begin(RESOLVE)
    client.core.send_data(number, b"\0\0\0")
    client.flush()
    assert (await client.wait(number)).status == "4"
    await until(lambda: worker.open_calls == 0)


async def test_a_deadline_ends_a_call_that_waits(worker: Worker, client: H2Client) -> None:
    far = Position(worker.reader.position.epoch, worker.reader.position.sequence + 9).to_cursor()
    asked = ResolveRequest(identifier="88.118.1/Pump", after=far).SerializeToString()
    said = await client.ask(RESOLVE, compose_message(asked), grpc_timeout="50m")
    assert (said.status, said.headers["biaojie-reason"]) == ("4", "TIMEOUT")
    assert worker.refused(Reason.TIMEOUT) == 1
    assert worker.open_calls == 0


async def test_connections_are_counted_while_they_are_open(worker: Worker) -> None:
    def count() -> float:
        return worker.counted("connections", protocol="grpc")

    clients = [H2Client(worker.port) for _ in range(3)]
    for each in clients:
        await each.__aenter__()
    await until(lambda: count() == 3)
    for each in clients:
        await each.__aexit__()
    await until(lambda: count() == 0)


async def test_a_question_that_comes_again_is_answered_from_the_cache_and_a_write_is_in_the_next_answer(
    worker: Worker, client: H2Client
) -> None:
    for turn in range(5):
        worker.reader.put_record("88.118.1/kept", Value(1, "URL", str(turn).encode()))
        worker.answers.forget([record_key("88.118.1/kept")])
        asked = compose_message(ResolveRequest(identifier="88.118.1/kept").SerializeToString())
        said = [await client.ask(RESOLVE, asked) for _ in range(4)]
        assert {ResolveResponse.FromString(each.data[5:]).values[0].data for each in said} == {str(turn).encode()}
        assert len({each.trailers["x-request-id"] for each in said}) == 4
    assert worker.counted("answer_cache_hits_total") >= 5


async def test_a_client_may_change_the_size_of_its_table_whenever_it_likes(worker: Worker, client: H2Client) -> None:
    names = ("88.118.1/Pump", "88.118.1/none", "88.118.1/gone")
    asked = [compose_message(ResolveRequest(identifier=name).SerializeToString()) for name in names]
    numbers: list[int] = []
    for sizes in itertools.product((0, 1, 100, 2_048, 4_096, 65_536), repeat=2):
        for size in sizes:
            client.core.update_settings({SettingCodes.HEADER_TABLE_SIZE: size})
        for data in asked * 2:
            numbers.append(client.begin(RESOLVE))
            client.core.send_data(numbers[-1], data, end_stream=True)
        client.flush()
        said = [await client.wait(number) for number in numbers[-6:]]
        assert [each.status for each in said] == ["0", "5", "5"] * 2, sizes


ID_CHARS = 32  # at the end of an answer
NAMES = ["Pump", "p-1", "none", "gone", "held", "../odd", "x" * 200]


async def ask_in_one_write(worker: Worker, names: list[str]) -> list[tuple[bytes, bytes]]:
    """The message and the trailers that each name came to, without ids of requests, when all are asked for at once."""
    reader, writer = await asyncio.open_connection(HOST, worker.port)
    asked = [compose_message(ResolveRequest(identifier=f"88.118.1/{name}").SerializeToString()) for name in names]
    writer.write(BEGIN + b"".join(compose_request(2 * at + 1, each, RESOLVE) for at, each in enumerate(asked)))
    data, ends = dict.fromkeys(range(1, 2 * len(names), 2), b""), dict[int, bytes]()
    said = b""
    async with asyncio.timeout(20):
        while len(ends) < len(names):
            said += await reader.read(65_536)
            ends = {
                each.stream: each.payload for each in parse_frames(said) if each.kind == HEADERS and each.flags & END_STREAM
            }
    for frame in parse_frames(said):
        if frame.kind == DATA:
            data[frame.stream] += frame.payload
    writer.close()
    return [(data[stream], ends[stream][:-ID_CHARS]) for stream in data]


@pytest.mark.parametrize("is_broken", [False, True])
async def test_calls_that_come_in_one_read_are_each_answered_as_if_alone(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    alone = {name: (await ask_in_one_write(worker, [name]))[0] for name in NAMES}
    if is_broken:  # each then goes its own way
        monkeypatch.setattr(connection, "answer_calls", lambda *_: 1 // 0)
    names = NAMES * 6
    for _ in range(3):  # the second time they are kept
        assert await ask_in_one_write(worker, names) == [alone[name] for name in names]
    labels = [{"protocol": "grpc", "outcome": outcome, "scheme": "handle"} for outcome in OUTCOMES.values()]
    counted = sum(worker.counted("resolve_requests_total", **each) for each in labels)
    assert counted == len(NAMES) + 3 * len(names)


async def test_closing_tells_clients_to_leave_and_answers_what_has_begun(worker: Worker) -> None:
    far = Position(worker.reader.position.epoch, worker.reader.position.sequence + 1).to_cursor()
    asked = ResolveRequest(identifier="88.118.1/Pump", after=far).SerializeToString()
    reader, writer = await asyncio.open_connection(HOST, worker.port)
    writer.write(compose_call(RESOLVE) + compose_data(compose_message(asked), ends=True))
    await until(lambda: worker.open_calls == 1)
    closing = asyncio.create_task(worker.listener.close(30))
    await asyncio.sleep(0)
    worker.reader.put_record("88.118.1/other", Value(1, "URL", b"x"))
    said = parse_frames(await asyncio.wait_for(reader.read(-1), 10))
    assert [frame.kind for frame in said[-4:]] == [GOAWAY, HEADERS, DATA, HEADERS]
    assert said[-4].payload[:8] == (1).to_bytes(4) + bytes(4)
    writer.close()
    await asyncio.wait_for(closing, 10)


async def test_closing_without_grace_ends_what_waits(worker: Worker, client: H2Client) -> None:
    far = Position(worker.reader.position.epoch, worker.reader.position.sequence + 1).to_cursor()
    number = client.begin(RESOLVE)
    asked = ResolveRequest(identifier="88.118.1/Pump", after=far).SerializeToString()
    client.core.send_data(number, compose_message(asked), end_stream=True)
    client.flush()
    await until(lambda: worker.open_calls == 1)
    await asyncio.wait_for(worker.listener.close(0), 10)
    await asyncio.wait_for(client.closed.wait(), 10)
    await until(lambda: worker.open_calls == 0)


def test_a_worker_does_without_grpcio_s_core() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, node.worker; print('grpc' in sys.modules)"], capture_output=True
    )
    assert loaded.stdout == b"False\n"


# TLS.


@pytest.fixture
async def encrypted(tmp_path: Path) -> AsyncIterator[tuple[Worker, Path]]:
    certificate, key = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    worker = Worker(encryption=context)
    worker.port = await worker.listener.open(HOST, 0)
    yield worker, certificate
    await worker.listener.close(0)


async def test_grpcio_is_answered_over_tls(encrypted: tuple[Worker, Path]) -> None:
    worker, certificate = encrypted
    credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
    options = (("grpc.ssl_target_name_override", "localhost"),)
    async with aio.secure_channel(worker.address, credentials, options=options) as channel:
        stub = ResolverStub(channel)
        answers = await asyncio.gather(*(stub.Resolve(ResolveRequest(identifier="88.118.1/Pump")) for _ in range(50)))
    assert [answer.version for answer in answers] == [4] * 50


@pytest.mark.parametrize("protocols", [["h2"], ["http/1.1"], []])
async def test_who_does_not_agree_on_h2_is_told_to_go(encrypted: tuple[Worker, Path], protocols: list[str]) -> None:
    worker, certificate = encrypted
    context = ssl.create_default_context(cafile=str(certificate))
    if protocols:
        context.set_alpn_protocols(protocols)
    async with H2Client(worker.port, context) as client:
        number = client.begin(RESOLVE)
        client.core.send_data(number, compose_message(PUMP), end_stream=True)
        client.flush()
        if protocols == ["h2"]:
            assert (await client.wait(number)).status == "0"
        else:
            await asyncio.wait_for(client.closed.wait(), 10)
            assert worker.refused(Reason.MALFORMED_MESSAGE) == 1
