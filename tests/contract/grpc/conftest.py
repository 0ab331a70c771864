"""A registry with an open gRPC door, and a worker with an open gRPC listener."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from grpc import aio

from proto.v1.registry_pb2_grpc import RegistryStub
from proto.v1.resolver_pb2_grpc import ResolverStub
from registry.doors.grpc.door import GrpcDoor
from resolver.listeners.grpc.limits import GrpcLimits
from tests.support.grpc_door import HOST, Served
from tests.support.grpc_worker import Worker

if TYPE_CHECKING:
    from proto.v1.resolver_pb2_grpc import ResolverAsyncStub


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """The loop that workers and registry run on: transports differ in when they pause, half-close and let go."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Served]:
    async with Served(tmp_path) as node:
        node.door = GrpcDoor(node.registry, node.metrics)
        node.port = await node.door.open(HOST, 0)
        node.door.set_ready(True)
        async with aio.insecure_channel(f"{HOST}:{node.port}") as channel:
            node.channel = channel
            node.stub = RegistryStub(channel)
            yield node
        await node.door.close(0)


@pytest.fixture
def limits() -> GrpcLimits | None:
    """What a test may set otherwise."""
    return None


@pytest.fixture
def server() -> str:
    """Which server is asked: ours, or in modules that say so also grpcio's, which it must not be told from."""
    return "own"


@pytest.fixture
async def worker(limits: GrpcLimits | None, server: str) -> AsyncIterator[Worker]:
    worker = Worker(limits, is_oracle=server == "oracle")
    worker.port = await worker.listener.open(HOST, 0)
    yield worker
    await worker.listener.close(0)


@pytest.fixture
async def channel(worker: Worker) -> AsyncIterator[aio.Channel]:
    async with aio.insecure_channel(worker.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: aio.Channel) -> "ResolverAsyncStub":
    return ResolverStub(channel)
