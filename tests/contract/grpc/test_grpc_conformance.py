"""What stock clients may expect of any gRPC server, asked of ours and of grpcio's own."""

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from proto.errors import Reason
from proto.limits import MAX_IDENTIFIER_BYTES, MAX_RESOLVE_BATCH
from proto.model.change import Position
from proto.model.value import Value
from proto.v1.resolver_pb2 import BatchResolveRequest, ResolveRequest, ResolveResponse
from proto.v1.resolver_pb2_grpc import ResolverStub
from resolver.listeners.grpc import SERVICE
from tests.support.grpc_calls import failure_of, pairs
from tests.support.grpc_worker import HOST, RESOLVE, TOKEN, Worker

if TYPE_CHECKING:
    from proto.v1.resolver_pb2_grpc import ResolverAsyncStub

pytestmark = pytest.mark.parametrize("server", ["own", "oracle"])

PUMP = ResolveRequest(identifier="88.118.1/Pump")


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_messages_may_be_compressed(worker: Worker, compression: grpc.Compression) -> None:
    async with aio.insecure_channel(worker.address, compression=compression) as channel:
        stub = ResolverStub(channel)
        assert (await stub.Resolve(PUMP)).version == 4
        reply = await stub.BatchResolve(BatchResolveRequest(identifiers=["88.118.1/Pump"] * 500))
        assert len(reply.results) == 500


async def test_the_largest_questions_and_answers_pass(worker: Worker, stub: "ResolverAsyncStub") -> None:
    longest = "88.118.1/" + "x" * (MAX_IDENTIFIER_BYTES - len("88.118.1/"))
    reply = await stub.BatchResolve(BatchResolveRequest(identifiers=[longest] * MAX_RESOLVE_BATCH))
    assert len(reply.results) == MAX_RESOLVE_BATCH
    worker.reader.put_record("88.118.1/large", Value(1, "BLOB", b"x" * 250_000))
    asked = BatchResolveRequest(identifiers=["88.118.1/large"] * 15)
    replies = await asyncio.gather(*(stub.BatchResolve(asked) for _ in range(4)))
    assert all(sum(len(result.answer.values[0].data) for result in reply.results) == 15 * 250_000 for reply in replies)


async def test_many_batches_at_a_time_each_get_their_own_results(worker: Worker, stub: "ResolverAsyncStub") -> None:
    for number in range(40):
        worker.reader.put_record(f"88.118.1/{number}", Value(1, "N", str(number).encode()))

    async def ask(number: int) -> list[tuple[bytes, str]]:
        # Some hold only what is found, others what is not, what is not homed here, and what is no identifier.
        names = [f"88.118.1/{number}", "88.118.1/none", f"88.118.1/{(number + 1) % 40}", "10.1/x", "/"][: 1 + number % 5]
        reply = await stub.BatchResolve(BatchResolveRequest(identifiers=names))
        return [
            (result.answer.values[0].data if result.HasField("answer") else b"", result.failure.reason)
            for result in reply.results
        ]

    for number, results in enumerate(await asyncio.gather(*map(ask, range(40)))):
        found, after = str(number).encode(), str((number + 1) % 40).encode()
        expected = [(found, ""), (b"", "NOT_FOUND"), (after, ""), (b"", "NOT_HOMED"), (b"", "INVALID_IDENTIFIER")]
        assert results == expected[: 1 + number % 5]


async def test_many_calls_of_many_clients_at_a_time_each_get_their_own_answer(worker: Worker) -> None:
    for number in range(50):
        worker.reader.put_record(f"88.118.1/{number}", Value(1, "N", str(number).encode() * (number + 1)))

    async def ask(stub: "ResolverAsyncStub", number: int) -> bool:
        name = f"88.118.1/{number % 50}"
        reply = await stub.Resolve(ResolveRequest(identifier=name))
        return reply.asked == name and reply.values[0].data == str(number % 50).encode() * (number % 50 + 1)

    channels = [aio.insecure_channel(worker.address, options=(("grpc.use_local_subchannel_pool", 1),)) for _ in range(5)]
    asked = [ask(ResolverStub(channel), number) for number in range(200) for channel in channels]
    assert all(await asyncio.gather(*asked))
    await asyncio.gather(*(channel.close() for channel in channels))


async def test_a_deadline_passes_for_its_call_alone(worker: Worker, stub: "ResolverAsyncStub") -> None:
    far = Position(worker.reader.position.epoch, worker.reader.position.sequence + 100).to_cursor()
    late = asyncio.ensure_future(stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", after=far), timeout=0.1))
    assert (await stub.Resolve(PUMP, timeout=30)).version == 4
    with pytest.raises(aio.AioRpcError) as failed:
        await late
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_that_is_cancelled_harms_no_other(worker: Worker, stub: "ResolverAsyncStub") -> None:
    far = Position(worker.reader.position.epoch, worker.reader.position.sequence + 100).to_cursor()
    for _ in range(20):
        call = stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", after=far))
        await asyncio.sleep(0)
        call.cancel()
    assert (await stub.Resolve(PUMP)).version == 4


async def test_a_message_that_comes_behind_its_headers_is_waited_for(worker: Worker, channel: aio.Channel) -> None:
    async def slowly() -> Any:
        await asyncio.sleep(0.02)
        yield PUMP.SerializeToString()

    method: aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(RESOLVE)
    assert ResolveResponse.FromString(await method(slowly())).version == 4


async def test_headers_that_come_again_and_headers_that_change_are_told_apart(
    worker: Worker, stub: "ResolverAsyncStub"
) -> None:
    key = ("authorization", f"Bearer {TOKEN}")
    for number in range(12):
        named = ("x-request-id", f"id-{number % 3}")
        metadata = (named, key) if number % 2 else (named,)
        call = stub.Resolve(PUMP, metadata=metadata)
        assert [value.index for value in (await call).values] == ([1, 2, 900] if number % 2 else [1, 2])
        assert pairs(await call.trailing_metadata())["x-request-id"] == f"id-{number % 3}"


# Health and reflection.


async def test_the_health_of_a_service_that_is_not_here_is_not_known(worker: Worker, channel: aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(aio.AioRpcError) as failed:
        await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_many_watch_the_health_and_some_leave(worker: Worker, channel: aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    watches = [stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE)) for _ in range(10)]
    kind = health_pb2.HealthCheckResponse
    assert [(await watch.read()).status for watch in watches] == [kind.SERVING] * 10
    for watch in watches[::2]:
        watch.cancel()
    closing = asyncio.create_task(worker.listener.close(30))
    assert [(await watch.read()).status for watch in watches[1::2]] == [kind.NOT_SERVING] * 5
    await asyncio.wait_for(closing, 10)


async def test_whatever_reflection_lists_it_describes(worker: Worker) -> None:
    def describe() -> dict[str, list[str]]:
        with grpc.insecure_channel(worker.address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = descriptor_pool.DescriptorPool(database)
            return {name: sorted(pool.FindServiceByName(name).methods_by_name) for name in database.get_services()}

    described = await asyncio.to_thread(describe)
    assert described["grpc.health.v1.Health"][:1] == ["Check"]
    assert described["grpc.reflection.v1alpha.ServerReflection"] == ["ServerReflectionInfo"]
    assert described[SERVICE] == ["BatchResolve", "Resolve"]


QUESTIONS = [
    reflection_pb2.ServerReflectionRequest(file_by_filename="proto/v1/resolver.proto"),
    reflection_pb2.ServerReflectionRequest(file_containing_symbol="biaojie.v1.Value"),
    reflection_pb2.ServerReflectionRequest(file_containing_symbol="nobody.Nothing"),
    reflection_pb2.ServerReflectionRequest(file_by_filename="none.proto"),
    reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="biaojie.v1.Value"),
    reflection_pb2.ServerReflectionRequest(
        file_containing_extension=reflection_pb2.ExtensionRequest(containing_type="biaojie.v1.Value", extension_number=9)
    ),
]


async def test_reflection_answers_every_question_of_one_call_in_order(worker: Worker, channel: aio.Channel) -> None:
    plain: Any = channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(plain)
    replies = [reply async for reply in stub.ServerReflectionInfo(iter(QUESTIONS))]
    assert [reply.original_request for reply in replies] == QUESTIONS
    kinds = [reply.WhichOneof("message_response") for reply in replies]
    files, error, numbers = "file_descriptor_response", "error_response", "all_extension_numbers_response"
    assert kinds == [files, files, error, error, numbers, error]
    assert replies[2].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert len(replies[0].file_descriptor_response.file_descriptor_proto) == 2


# One and the other.

ASKED = [
    ResolveRequest(identifier="88.118.1/PUMP"),
    ResolveRequest(identifier="88.118.1/p-1", explain=True),
    ResolveRequest(identifier="88.118.1/Pump", indexes=[2]),
    ResolveRequest(identifier="88.118.1/Pump", types=["none"]),
    ResolveRequest(identifier="88.118.1/Pump", wants_private=True),
    ResolveRequest(identifier="88.118.1/Pump", after="nonsense"),
    ResolveRequest(identifier="88.118.1/none"),
    ResolveRequest(identifier="88.118.1/gone"),
    ResolveRequest(identifier="88.118.1/held"),
    ResolveRequest(identifier="20.500/水泵"),
    ResolveRequest(identifier=""),
    ResolveRequest(identifier="88.118.1/" + "x" * MAX_IDENTIFIER_BYTES),
]


async def test_answers_and_failures_are_byte_for_byte_the_same(worker: Worker, channel: aio.Channel, server: str) -> None:
    other = Worker(is_oracle=server == "own")
    other.port = await other.listener.open(HOST, 0)
    try:
        async with aio.insecure_channel(other.address) as other_channel:
            for asked in ASKED * 3:
                assert await told(channel, asked) == await told(other_channel, asked), asked
    finally:
        await other.listener.close(0)


async def told(channel: aio.Channel, asked: ResolveRequest) -> tuple[object, ...]:
    metadata = (("x-request-id", "same"),)
    method: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(RESOLVE)
    call = method(asked.SerializeToString(), metadata=metadata)
    try:
        message = await call
    except aio.AioRpcError as error:
        return error.code(), error.details(), sorted(pairs(error.trailing_metadata()).items())
    return message, sorted(pairs(await call.trailing_metadata()).items())


async def test_refusals_are_counted_once(worker: Worker, stub: "ResolverAsyncStub") -> None:
    for count in (1, 2, 3):
        await failure_of(stub.Resolve(ResolveRequest(identifier="20.500/x")))
        assert worker.refused(Reason.NOT_HOMED) == count, "a kept refusal would not be"
