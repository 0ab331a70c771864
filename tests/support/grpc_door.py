"""A control plane with an open gRPC door, and what its tests send."""

from typing import TYPE_CHECKING, Any

from grpc import aio

from proto.v1 import model_pb2, registry_pb2
from proto.v1.registry_pb2 import (
    Draft,
    RegisterRequest,
)
from registry.doors.grpc.door import GrpcDoor
from tests.support.control_plane import ACME, ControlPlane
from tests.support.grpc_calls import (
    bearer,
)

if TYPE_CHECKING:
    from proto.v1.registry_pb2_grpc import RegistryAsyncStub

HOST = "127.0.0.1"


class Served(ControlPlane):
    """A control plane with an open door and a channel to it."""

    port: int
    channel: aio.Channel
    stub: "RegistryAsyncStub"
    door: GrpcDoor


def url(data: str, **more: Any) -> model_pb2.Value:
    return model_pb2.Value(index=1, type="URL", data=data.encode(), **more)


def draft(name: str, *values: model_pb2.Value, **more: Any) -> Draft:
    return Draft(identifier=f"{ACME}/{name}", values=values or [url("https://a.example")], **more)


async def register(node: Served, name: str, *values: model_pb2.Value, **more: Any) -> registry_pb2.Written:
    return await node.stub.Register(RegisterRequest(draft=draft(name, *values, **more)), metadata=bearer(node.acme))
