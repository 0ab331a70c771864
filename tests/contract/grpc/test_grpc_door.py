"""The door itself: messages that are none, cut connections, deadlines, health, reflection, foreign clients."""

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from proto.errors import Reason
from proto.model.change import parse_cursor
from proto.v1 import changes_pb2, city_pb2, registry_pb2
from proto.v1.registry_pb2 import (
    BatchRegisterRequest,
    GetIdentifierRequest,
    RegisterRequest,
)
from proto.v1.registry_pb2_grpc import RegistryStub
from proto.wire.grpc.held import MAX_HELD_BYTES_PER_CONNECTION
from registry.doors.grpc import calls
from registry.doors.grpc.calls import MAX_REQUEST_BYTES, Calls
from registry.doors.grpc.door import CHANGES_SERVICE, REGISTRY_SERVICE, TRANSPORT_MESSAGE_BYTES, GrpcDoor, build_methods
from tests.support.control_plane import ACME
from tests.support.grpc_calls import (
    Proxy,
    bearer,
    call_raw,
    call_that_sends_nothing,
    call_without_message,
    failure_of,
    read_failure,
    until,
)
from tests.support.grpc_door import HOST, Served, draft, register, url
from tests.support.http2 import compose_calls

if TYPE_CHECKING:
    pass

Status = grpc.StatusCode
REGISTER = f"/{REGISTRY_SERVICE}/Register"


BAD_MESSAGES = [
    (b"\x0a\x04\x0a\x02\xff\xfe", Status.INVALID_ARGUMENT, Reason.INVALID_ENCODING),
    (b"\x0a\x7fab", Status.INVALID_ARGUMENT, Reason.MALFORMED_MESSAGE),
    (bytes(MAX_REQUEST_BYTES + 1), Status.RESOURCE_EXHAUSTED, Reason.MESSAGE_TOO_LARGE),
]


@pytest.mark.parametrize(("raw", "status", "reason"), BAD_MESSAGES, ids=lambda each: str(each)[:20])
async def test_a_bad_message_is_refused_by_name(node: Served, raw: bytes, status: Status, reason: Reason) -> None:
    code, failure = await failure_of(call_raw(node.channel, REGISTER, raw, bearer(node.acme)))
    assert (code, failure.reason) == (status, reason.name)
    assert node.refused(reason) == 1


async def test_a_message_over_the_transport_s_limit_is_refused_and_counted(node: Served) -> None:
    with pytest.raises(aio.AioRpcError) as failed:
        await call_raw(node.channel, REGISTER, bytes(TRANSPORT_MESSAGE_BYTES + 1), bearer(node.acme))
    assert failed.value.code() is Status.RESOURCE_EXHAUSTED
    await until(lambda: node.refused(Reason.MALFORMED_MESSAGE) == 1)
    assert (await register(node, "a")).version == 1


async def test_more_metadata_than_the_limit_is_refused_by_name(node: Served) -> None:
    for path in (REGISTER, f"/{REGISTRY_SERVICE}/BatchRegister"):
        code, failure = await failure_of(call_raw(node.channel, path, b"", bearer(node.acme, ("x-long", "x" * 9_000))))
        assert (code, failure.reason, failure.field) == (Status.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", "metadata")
    assert node.refused(Reason.MESSAGE_TOO_LARGE) == 2


async def test_a_client_that_reads_nothing_is_not_given_all_that_it_asks_for(node: Served) -> None:
    await node.stub.Register(RegisterRequest(draft=draft("large", url("x" * 250_000))), metadata=bearer(node.acme))
    asked, held = GetIdentifierRequest(identifier=f"{ACME}/large").SerializeToString(), node.door._calls._held
    _, writer = await asyncio.open_connection(HOST, node.port)
    writer.write(compose_calls(f"/{REGISTRY_SERVICE}/GetIdentifier", asked, 128, authorization=f"Bearer {node.acme}"))
    await until(lambda: node.refused(Reason.OVERLOADED) >= 32)
    assert MAX_HELD_BYTES_PER_CONNECTION // 2 < held.total <= MAX_HELD_BYTES_PER_CONNECTION
    assert (await register(node, "a")).version == 1
    writer.transport.abort()
    await until(lambda: held.total == 0)


async def test_a_call_without_a_message_and_an_unknown_method_are_refused(node: Served) -> None:
    code, failure = await failure_of(call_without_message(node.channel, REGISTER, bearer(node.acme)))
    assert (code, failure.reason) == (Status.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    for path in (f"/{REGISTRY_SERVICE}/Resolve", "/biaojie.v1.Resolver/Resolve"):
        code, failure = await failure_of(call_raw(node.channel, path, b""))
        assert (code, failure.reason) == (Status.UNIMPLEMENTED, "UNSUPPORTED_OPERATION")
    assert node.refused(Reason.UNSUPPORTED_OPERATION) == 2


@pytest.mark.parametrize("limit", [0, 10, 60, 120, 200, 300])
async def test_a_connection_that_is_cut_leaves_the_node_unharmed(node: Served, limit: int) -> None:
    big = RegisterRequest(draft=draft("cut", url("x" * 200)))
    async with Proxy(node.port, limit=limit) as port, aio.insecure_channel(f"{HOST}:{port}") as channel:
        with pytest.raises(aio.AioRpcError):
            await RegistryStub(channel).Register(big, metadata=bearer(node.acme), timeout=1)
    assert (await register(node, "a")).version == 1


async def test_a_request_that_comes_byte_by_byte_is_understood(node: Served) -> None:
    async with Proxy(node.port, piece=1) as port, aio.insecure_channel(f"{HOST}:{port}") as channel:
        asked = RegisterRequest(draft=draft("slow"))
        assert (await RegistryStub(channel).Register(asked, metadata=bearer(node.acme))).version == 1


@pytest.mark.parametrize(("method", "limit"), [("Register", "MESSAGE_WAIT_S"), ("BatchRegister", "STREAM_IDLE_S")])
async def test_a_client_that_sends_nothing_is_not_waited_for_long(
    node: Served, monkeypatch: pytest.MonkeyPatch, method: str, limit: str
) -> None:
    monkeypatch.setattr(calls, limit, 0.05)
    path = f"/{REGISTRY_SERVICE}/{method}"
    code, failure = await failure_of(call_that_sends_nothing(node.channel, path, bearer(node.acme)))
    assert (code, failure.reason) == (Status.DEADLINE_EXCEEDED, "TIMEOUT")
    assert node.refused(Reason.TIMEOUT) == 1


async def test_a_deadline_that_passes_is_counted(node: Served) -> None:
    far = parse_cursor((await register(node, "a")).position)._replace(sequence=10_000).to_cursor()
    asked = GetIdentifierRequest(identifier=f"{ACME}/a", after=far)
    call = node.stub.GetIdentifier(asked, metadata=bearer(node.acme), timeout=1)
    await until(lambda: node.door._calls._count == 1)
    with pytest.raises(aio.AioRpcError) as failed:
        await call
    assert failed.value.code() is Status.DEADLINE_EXCEEDED
    await until(lambda: node.refused(Reason.TIMEOUT) == 1)


async def test_a_synchronous_client_is_served(node: Served) -> None:
    def ask() -> tuple[int, int]:
        with grpc.insecure_channel(f"{HOST}:{node.port}") as channel:
            stub = RegistryStub(channel)
            one = stub.Register(RegisterRequest(draft=draft("s")), metadata=bearer(node.acme), timeout=5)
            many = stub.BatchRegister(iter([BatchRegisterRequest(drafts=[draft("s"), draft("t")])]), metadata=bearer(node.acme))
            return one.version, sum(len(reply.results) for reply in many)

    assert await asyncio.to_thread(ask) == (1, 2)


async def test_health_follows_readiness(node: Served) -> None:
    stub: Any = health_pb2_grpc.HealthStub(node.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=REGISTRY_SERVICE))
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await watch.read()).status == serving
    node.door.set_ready(False)
    assert (await watch.read()).status == not_serving
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == not_serving
    node.door.set_ready(True)
    assert (await watch.read()).status == serving
    with pytest.raises(aio.AioRpcError) as failed:
        await stub.Check(health_pb2.HealthCheckRequest(service="none"))
    assert failed.value.code() is Status.NOT_FOUND
    closing = asyncio.create_task(node.door.close(30))
    assert (await watch.read()).status == not_serving
    await asyncio.wait_for(closing, 10)


async def test_a_door_not_yet_ready_says_so(node: Served) -> None:
    door = GrpcDoor(node.registry, node.metrics)
    port = await door.open(HOST, 0)
    async with aio.insecure_channel(f"{HOST}:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=CHANGES_SERVICE))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    await door.close(0)


async def test_reflection_describes_both_services(node: Served) -> None:
    def describe() -> tuple[set[str], set[str]]:
        with grpc.insecure_channel(f"{HOST}:{node.port}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = descriptor_pool.DescriptorPool(database)
            return set(database.get_services()), set(pool.FindServiceByName(REGISTRY_SERVICE).methods_by_name)

    services, methods = await asyncio.to_thread(describe)
    assert {REGISTRY_SERVICE, CHANGES_SERVICE, "grpc.health.v1.Health"} <= services
    assert {"Register", "Update", "Retire", "BatchRegister"} <= methods


async def test_every_method_of_the_contracts_is_served(node: Served) -> None:
    served = build_methods(node.registry, Calls(node.registry, node.metrics))
    promised = {
        f"/{service.full_name}/{method.name}"
        for file in (registry_pb2.DESCRIPTOR, changes_pb2.DESCRIPTOR, city_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
    }
    assert set(served) == promised


async def test_every_method_with_one_request_refuses_nobody_in_particular_or_answers(node: Served) -> None:
    for method in registry_pb2.DESCRIPTOR.services_by_name["Registry"].methods:
        if method.client_streaming or method.server_streaming:
            continue
        with pytest.raises(aio.AioRpcError) as failed:
            await call_raw(node.channel, f"/{REGISTRY_SERVICE}/{method.name}", b"")
        _, failure = read_failure(failed.value)
        assert failure.reason in ("UNAUTHENTICATED", "INVALID_IDENTIFIER", "INVALID_ARGUMENT"), method.name
    assert node.refused(Reason.INTERNAL) == 0
