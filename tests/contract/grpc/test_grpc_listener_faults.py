"""The resolver over gRPC: messages that are none, limits, deadlines, cut connections, closing."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc import aio

from proto.errors import Reason, Refusal
from proto.limits import MAX_MESSAGE_BYTES
from proto.model.answer import Answer, Refused
from proto.model.change import Position
from proto.model.query import Query
from proto.model.value import Value
from proto.v1.resolver_pb2 import BatchResolveRequest, ResolveRequest
from proto.v1.resolver_pb2_grpc import ResolverStub
from proto.wire.grpc.held import MAX_HELD_BYTES_PER_CONNECTION
from proto.wire.grpc.metadata import MAX_METADATA_BYTES
from proto.wire.http2.limits import MAX_HEADER_LIST_BYTES
from resolver.listeners.grpc import SERVICE, GrpcListener
from resolver.listeners.grpc.limits import MAX_BATCHES, GrpcLimits
from tests.support.grpc_calls import Proxy, call_raw, call_that_sends_nothing, call_without_message, failure_of, until
from tests.support.grpc_worker import HOST, RESOLVE, Worker
from tests.support.http2 import compose_call, compose_calls, compose_data
from tests.support.reader import StoppedClock

if TYPE_CHECKING:
    from proto.v1.resolver_pb2_grpc import ResolverAsyncStub


BAD_MESSAGES = [
    (b"\x0a\x02\xff\xfe", grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_ENCODING),
    (b"\x0a\x7fab", grpc.StatusCode.INVALID_ARGUMENT, Reason.MALFORMED_MESSAGE),
    (b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, Reason.MALFORMED_MESSAGE),
    (bytes(MAX_MESSAGE_BYTES + 1), grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.MESSAGE_TOO_LARGE),
    (ResolveRequest(indexes=range(1, 3_000)).SerializeToString(), grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_ARGUMENT),
]


@pytest.mark.parametrize(("raw", "status", "reason"), BAD_MESSAGES, ids=lambda value: str(value)[:20])
async def test_a_bad_message_is_refused_by_name(
    worker: Worker, channel: aio.Channel, raw: bytes, status: grpc.StatusCode, reason: Reason
) -> None:
    code, failure = await failure_of(call_raw(channel, RESOLVE, raw))
    assert (code, failure.reason) == (status, reason.name)
    assert worker.refused(reason) == 1


async def test_a_message_that_is_far_too_long_is_refused_by_its_first_bytes(worker: Worker, channel: aio.Channel) -> None:
    code, failure = await failure_of(call_raw(channel, RESOLVE, bytes(8 * 1024 * 1024)))
    assert (code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert worker.refused(Reason.MESSAGE_TOO_LARGE) == 1
    assert (await ResolverStub(channel).Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4


@pytest.mark.parametrize("size", [MAX_METADATA_BYTES, MAX_HEADER_LIST_BYTES - 2_048])
async def test_more_metadata_than_the_limit_is_refused_by_name(worker: Worker, channel: aio.Channel, size: int) -> None:
    asked = ResolveRequest(identifier="88.118.1/Pump").SerializeToString()
    code, failure = await failure_of(call_raw(channel, RESOLVE, asked, (("x-long", "x" * size),)))
    assert (code, failure.reason, failure.field) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", "metadata")
    assert worker.refused(Reason.MESSAGE_TOO_LARGE) == 1
    assert await call_raw(channel, RESOLVE, asked, (("x-long", "x" * (MAX_METADATA_BYTES // 2)),))


async def test_more_metadata_than_the_transport_takes_harms_nobody(worker: Worker, channel: aio.Channel) -> None:
    asked = ResolveRequest(identifier="88.118.1/Pump").SerializeToString()
    with pytest.raises(aio.AioRpcError) as failed:
        await call_raw(channel, RESOLVE, asked, (("x-long", "x" * MAX_HEADER_LIST_BYTES),))
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await call_raw(channel, RESOLVE, asked)


async def test_a_client_that_vanishes_within_its_message_is_counted(worker: Worker) -> None:
    _, writer = await asyncio.open_connection(HOST, worker.port)
    writer.write(compose_call(RESOLVE) + compose_data(b"\0\0\0\0\x20abc"))
    await until(lambda: worker.open_calls == 1)
    writer.transport.abort()
    await until(lambda: worker.refused(Reason.MALFORMED_MESSAGE) == 1)
    assert worker.open_calls == 0


async def test_a_client_that_reads_nothing_is_not_given_all_that_it_asks_for(worker: Worker, stub: "ResolverAsyncStub") -> None:
    worker.reader.put_record("88.118.1/large", Value(1, "BLOB", b"x" * 250_000))
    asked = ResolveRequest(identifier="88.118.1/large")
    count = 2 * MAX_HELD_BYTES_PER_CONNECTION // 250_000
    _, writer = await asyncio.open_connection(HOST, worker.port)
    writer.write(compose_calls(RESOLVE, asked.SerializeToString(), count))
    await until(lambda: worker.refused(Reason.OVERLOADED) >= count // 4)
    assert MAX_HELD_BYTES_PER_CONNECTION // 2 < worker.held_bytes <= MAX_HELD_BYTES_PER_CONNECTION
    assert len((await stub.Resolve(asked)).values[0].data) == 250_000, "others are answered"
    writer.transport.abort()
    await until(lambda: worker.held_bytes == 0)


async def test_a_client_that_reads_is_given_any_number_of_large_answers(worker: Worker, stub: "ResolverAsyncStub") -> None:
    worker.reader.put_record("88.118.1/large", Value(1, "BLOB", b"x" * 250_000))
    batch = BatchResolveRequest(identifiers=["88.118.1/large"] * 10)
    for _ in range(10):
        answers = await asyncio.gather(*(stub.BatchResolve(batch) for _ in range(4)))
        assert all(len(answer.results) == 10 for answer in answers)
    await until(lambda: worker.held_bytes == 0)
    assert worker.refused(Reason.OVERLOADED) == 0


async def test_more_batches_than_are_worked_on_at_once_wait_for_their_turn(worker: Worker, stub: "ResolverAsyncStub") -> None:
    batch = BatchResolveRequest(identifiers=["88.118.1/Pump"] * 100)
    answers = await asyncio.gather(*(stub.BatchResolve(batch) for _ in range(5 * MAX_BATCHES)))
    assert all(len(answer.results) == 100 for answer in answers)


async def test_a_call_without_a_message_is_refused(worker: Worker, channel: aio.Channel) -> None:
    code, failure = await failure_of(call_without_message(channel, RESOLVE))
    assert (code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert worker.refused(Reason.MALFORMED_MESSAGE) == 1


@pytest.mark.parametrize("limits", [GrpcLimits(message_wait_s=0.05)])
async def test_a_client_that_sends_nothing_is_not_waited_for_long(worker: Worker, channel: aio.Channel) -> None:
    code, failure = await failure_of(call_that_sends_nothing(channel, RESOLVE))
    assert (code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TIMEOUT")
    assert worker.refused(Reason.TIMEOUT) == 1


@pytest.mark.parametrize("path", [f"/{SERVICE}/Register", "/biaojie.v1.Registry/Register", "/none"])
async def test_an_unknown_method_is_refused(worker: Worker, channel: aio.Channel, path: str) -> None:
    code, failure = await failure_of(call_raw(channel, path, b""))
    assert (code, failure.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_OPERATION")
    assert worker.refused(Reason.UNSUPPORTED_OPERATION) == 1


async def test_a_deadline_that_passes_is_counted_and_harms_nothing(worker: Worker, stub: "ResolverAsyncStub") -> None:
    far = Position(worker.reader.position.epoch, worker.reader.position.sequence + 100).to_cursor()
    call = stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", after=far), timeout=1)
    await until(lambda: worker.open_calls == 1)
    with pytest.raises(aio.AioRpcError) as failed:
        await call
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: worker.refused(Reason.TIMEOUT) == 1)
    assert (await stub.Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4


async def test_a_failure_of_the_node_is_told_as_one(worker: Worker) -> None:
    def broken(query: Query) -> Answer:
        if query.identifier == "a/refused":
            return Refused(query.identifier, Refusal(Reason.STORE_FAILED, retry_after_s=2))
        raise ZeroDivisionError

    listener = GrpcListener(broken, worker.metrics, StoppedClock())
    port = await listener.open(HOST, 0)
    async with aio.insecure_channel(f"{HOST}:{port}") as channel:
        stub = ResolverStub(channel)
        code, failure = await failure_of(stub.Resolve(ResolveRequest(identifier="a/b")))
        assert (code, "division" in failure.detail) == (grpc.StatusCode.INTERNAL, False)
        code, failure = await failure_of(stub.Resolve(ResolveRequest(identifier="a/refused")))
        assert (code, failure.retry_after_s) == (grpc.StatusCode.UNAVAILABLE, 2)
    await listener.close(0)
    assert worker.refused(Reason.INTERNAL) == 1


@pytest.mark.parametrize("limits", [GrpcLimits(max_calls=2)])
async def test_more_calls_than_the_limit_are_told_to_slow_down(worker: Worker, stub: "ResolverAsyncStub") -> None:
    far = Position(worker.reader.position.epoch, worker.reader.position.sequence + 1).to_cursor()
    asked = ResolveRequest(identifier="88.118.1/Pump", after=far)
    waiting = [asyncio.ensure_future(stub.Resolve(asked)) for _ in range(3)]
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = (call.exception() for call in done)
    assert isinstance(refused, aio.AioRpcError)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert worker.refused(Reason.OVERLOADED) == 1
    worker.reader.put_record("88.118.1/other", Value(1, "URL", b"x"))
    assert [answer.version for answer in await asyncio.gather(*pending)] == [4, 4]


async def test_closing_lets_a_call_in_flight_finish(worker: Worker, stub: "ResolverAsyncStub") -> None:
    far = Position(worker.reader.position.epoch, worker.reader.position.sequence + 1).to_cursor()
    call = asyncio.ensure_future(stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", after=far)))
    await until(lambda: bool(worker.open_calls))
    closing = asyncio.create_task(worker.listener.close(30))
    await asyncio.sleep(0.05)
    assert not call.done()
    worker.reader.put_record("88.118.1/other", Value(1, "URL", b"x"))
    assert (await call).version == 4
    await asyncio.wait_for(closing, 10)


async def test_a_listener_opens_again_after_it_was_closed_and_shares_its_port(worker: Worker) -> None:
    port = worker.port
    other = Worker()
    assert await other.listener.open(HOST, port) == port
    await worker.listener.close(0)
    async with aio.insecure_channel(f"{HOST}:{port}") as channel:
        assert (await ResolverStub(channel).Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4
    await other.listener.close(0)
    assert await worker.listener.open(HOST, port) == port
    async with aio.insecure_channel(f"{HOST}:{port}") as channel:
        assert (await ResolverStub(channel).Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4


async def test_an_address_that_cannot_be_had_is_an_os_error(worker: Worker) -> None:
    with pytest.raises(OSError, match="cannot listen"):
        await Worker().listener.open("192.0.2.1", 0)


@pytest.mark.parametrize("limit", [0, 1, 24, 40, 80, 120, 160])
async def test_a_connection_that_is_cut_leaves_the_worker_unharmed(
    worker: Worker, stub: "ResolverAsyncStub", limit: int
) -> None:
    asked = ResolveRequest(identifier="88.118.1/Pump", types=["URL" * 50])
    async with Proxy(worker.port, limit=limit) as port, aio.insecure_channel(f"{HOST}:{port}") as channel:
        with pytest.raises(aio.AioRpcError):
            await ResolverStub(channel).Resolve(asked, timeout=1)
    assert (await stub.Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4


async def test_a_question_that_comes_byte_by_byte_is_answered(worker: Worker) -> None:
    async with Proxy(worker.port, piece=1) as port, aio.insecure_channel(f"{HOST}:{port}") as channel:
        assert (await ResolverStub(channel).Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4


async def test_what_is_no_http_2_leaves_the_worker_unharmed(worker: Worker, stub: "ResolverAsyncStub") -> None:
    for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(100), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 50):
        reader, writer = await asyncio.open_connection(HOST, worker.port)
        writer.write(noise)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        writer.close()
    assert (await stub.Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4
