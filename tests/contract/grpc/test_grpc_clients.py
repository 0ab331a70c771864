"""Clients of the resolver over gRPC: the command line's, synchronous ones, health, reflection."""

import asyncio
import contextlib
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from node.client import grpc as client
from node.client.document import Outcome, Unanswered
from proto.v1 import resolver_pb2
from proto.v1.resolver_pb2 import ResolveRequest
from proto.v1.resolver_pb2_grpc import ResolverStub
from resolver.listeners.grpc import SERVICE
from tests.support.grpc_calls import call_raw, failure_of, pairs
from tests.support.grpc_worker import HOST, Worker

pytestmark = pytest.mark.parametrize("server", ["own", "oracle"])


DOCUMENTS = [
    ("88.118.1/PUMP", "88.118.1/Pump", Outcome.FOUND, "active", 4),
    ("88.118.1/p-1", "88.118.1/Pump", Outcome.FOUND, "active", 4),
    ("88.118.1/none", "88.118.1/none", Outcome.NOT_FOUND, "", None),
    ("88.118.1/gone", "88.118.1/gone", Outcome.RETIRED, "retired", 9),
    ("88.118.1/held", "88.118.1/held", Outcome.SUSPENDED, "suspended", None),
    ("20.500/x", "20.500/x", Outcome.NOT_HOMED, "", None),
]


@pytest.mark.parametrize(("asked", "identifier", "outcome", "state", "version"), DOCUMENTS)
async def test_the_command_line_s_client_reads_every_answer(
    worker: Worker, asked: str, identifier: str, outcome: Outcome, state: str, version: int | None
) -> None:
    document = await client.resolve(asked, HOST, worker.port, types=["URL"], explain=True)
    assert (document.identifier, document.outcome, document.state, document.version) == (identifier, outcome, state, version)
    assert (len(document.values) == 1) == (outcome is Outcome.FOUND)
    if document.values:
        assert document.values[0]["data"] == {"format": "string", "value": "https://pump.example"}
    assert bool(document.detail) == (outcome is not Outcome.FOUND)
    assert document.explanation


async def test_the_command_line_s_client_tells_refusal_from_silence(worker: Worker) -> None:
    document = await client.resolve("88.118.1/\x01", HOST, worker.port)
    assert (document.outcome, document.reason) == (Outcome.REFUSED, "invalid_identifier")
    assert (await client.resolve("88.118.1/Pump", HOST, worker.port, indexes=[9])).outcome is Outcome.VALUES_NOT_FOUND
    await worker.listener.close(0)
    with pytest.raises(Unanswered):
        await client.resolve("88.118.1/Pump", HOST, worker.port, timeout_s=2)


async def test_a_synchronous_client_is_answered(worker: Worker) -> None:
    def ask() -> tuple[int, str]:
        with grpc.insecure_channel(worker.address) as channel:
            stub = ResolverStub(channel)
            version = stub.Resolve(ResolveRequest(identifier="88.118.1/Pump"), timeout=5).version
            try:
                stub.Resolve(ResolveRequest(identifier="88.118.1/gone"), timeout=5)
            except grpc.RpcError as error:
                return version, str(pairs((datum.key, datum.value) for datum in error.trailing_metadata())["biaojie-reason"])
        return version, ""

    assert await asyncio.to_thread(ask) == (4, "RETIRED")


async def test_health_is_served_and_ends_with_the_listener(worker: Worker, channel: aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    closing = asyncio.create_task(worker.listener.close(30))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    await asyncio.wait_for(closing, 10)


async def test_reflection_describes_the_service(worker: Worker) -> None:
    def describe() -> tuple[set[str], list[str]]:
        with grpc.insecure_channel(worker.address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            service = descriptor_pool.DescriptorPool(database).FindServiceByName(SERVICE)
            return set(database.get_services()), sorted(service.methods_by_name)

    services, methods = await asyncio.to_thread(describe)
    assert {SERVICE, "grpc.health.v1.Health"} <= services
    assert methods == ["BatchResolve", "Resolve"]


async def test_every_method_of_the_contract_is_served(channel: aio.Channel) -> None:
    for method in resolver_pb2.DESCRIPTOR.services_by_name["Resolver"].methods:
        with contextlib.suppress(aio.AioRpcError):
            await call_raw(channel, f"/{SERVICE}/{method.name}", b"")
            continue
        code, _ = await failure_of(call_raw(channel, f"/{SERVICE}/{method.name}", b""))
        assert code is not grpc.StatusCode.UNIMPLEMENTED
