"""The server: which methods there are, on which address, and whether the registry is healthy."""

import asyncio
from typing import Any, Final

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from proto.metrics import Metrics
from proto.v1 import changes_pb2, city_pb2, registry_pb2
from proto.wire.grpc.metadata import TRANSPORT_METADATA_BYTES
from registry.doors.grpc.administration import Accounts, Prefixes, Registrants
from registry.doors.grpc.calls import MAX_REQUEST_BYTES, Calls
from registry.doors.grpc.city import City
from registry.doors.grpc.follow import Follow
from registry.doors.grpc.identifiers import Identifiers
from registry.service.registry import Registry

REGISTRY_SERVICE: Final = registry_pb2.DESCRIPTOR.services_by_name["Registry"].full_name
CHANGES_SERVICE: Final = changes_pb2.DESCRIPTOR.services_by_name["Changes"].full_name
CITY_SERVICE: Final = city_pb2.DESCRIPTOR.services_by_name["City"].full_name
_WATCHABLE: Final = ("", REGISTRY_SERVICE, CHANGES_SERVICE, CITY_SERVICE)

# The transport's own limit lies above ours, so that what is a little too long is refused with our reason.
TRANSPORT_MESSAGE_BYTES: Final = 2 * MAX_REQUEST_BYTES

# Streams of one connection; a client that multiplexes more opens a second connection.
MAX_STREAMS: Final = 128

# A silent connection is probed, so that those of vanished clients end.
KEEPALIVE_MS: Final = 60_000
KEEPALIVE_WAIT_MS: Final = 20_000

# From the end of the last call to its last byte having left; who has not read it by then is cut off.
FLUSH_S: Final = 0.5

_OPTIONS: Final = (
    # The supervisor keeps the port with a socket that never listens: without this the address would be in use.
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", TRANSPORT_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.max_metadata_size", TRANSPORT_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", TRANSPORT_METADATA_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_WAIT_MS),
)


class GrpcDoor:
    """`biaojie.v1.Registry`, `Changes` and `City` over `registry`. Healthy from `set_ready(True)` until it closes."""

    protocol = "registry-grpc"

    def __init__(self, registry: Registry, metrics: Metrics) -> None:
        self._registry = registry
        self._metrics = metrics
        self._health = Health()
        self._calls = Calls(registry, metrics)
        self._server: aio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Bind and serve; returns the port. Raises `OSError` if the address cannot be had."""
        self._calls = Calls(self._registry, self._metrics)
        server = aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((_Paths(build_methods(self._registry, self._calls)),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        services = (REGISTRY_SERVICE, CHANGES_SERVICE, CITY_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, server)
        server.add_generic_rpc_handlers((_Paths({}, self._calls.serve_unknown()),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"gRPC cannot listen on {address}: {error}") from error
        await server.start()
        self._server = server
        return bound

    def set_ready(self, is_ready: bool) -> None:
        """Say by grpc.health.v1 whether the registry can work."""
        self._health.set_serving(is_ready)

    async def close(self, grace_s: float) -> None:
        """Refuse new calls at once, end streams at their next pause, finish what is in progress for at most `grace_s`.

        Then the server stops, once: a second `stop` beside the first would touch what that one has freed.
        """
        server, self._server = self._server, None
        if server is not None:
            self._health.end()
            await self._calls.drain(grace_s)
            await server.stop(FLUSH_S)


def build_methods(registry: Registry, calls: Calls) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
    """The handlers of all methods of all services, by path."""
    identifiers = Identifiers(registry, calls)
    city = City(registry)
    unary = {
        **identifiers.unary,
        **Prefixes(registry).unary,
        **Registrants(registry).unary,
        **Accounts(registry).unary,
    }
    handlers = {}
    for service, methods in ((REGISTRY_SERVICE, unary), (CITY_SERVICE, city.unary)):
        for name, method in methods.items():
            path = f"/{service}/{name}"
            handlers[path] = calls.serve_unary(path, method)
    follow = Follow(registry, calls)
    every = ((REGISTRY_SERVICE, identifiers.streams), (CHANGES_SERVICE, follow.streams), (CITY_SERVICE, city.streams))
    for service, streams in every:
        for name, run in streams.items():
            path = f"/{service}/{name}"
            handlers[path] = calls.serve_stream(path, run)
    return handlers


class Health(health_pb2_grpc.HealthServicer):
    """grpc.health.v1. The stock one would hold up a drain: it does not let its watchers go."""

    def __init__(self) -> None:
        self._is_serving = False
        self._is_ended = False
        self._changed = asyncio.Event()

    def set_serving(self, is_serving: bool) -> None:
        self._is_serving = is_serving
        self._wake()

    def end(self) -> None:
        """Not serving, for good."""
        self._is_serving, self._is_ended = False, True
        self._wake()

    async def Check(  # noqa: N802 # the contract's name
        self, request: health_pb2.HealthCheckRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in _WATCHABLE:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service here")
        return self._response(request)

    async def Watch(  # noqa: N802 # the contract's name
        self, request: health_pb2.HealthCheckRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> None:
        told = None
        while True:
            response, changed, is_ended = self._response(request), self._changed, self._is_ended
            if response != told:
                await context.write(response)
                told = response
            if is_ended:
                return
            await changed.wait()

    def _response(self, request: health_pb2.HealthCheckRequest) -> health_pb2.HealthCheckResponse:
        kind = health_pb2.HealthCheckResponse
        if request.service not in _WATCHABLE:
            return kind(status=kind.SERVICE_UNKNOWN)
        return kind(status=kind.SERVING if self._is_serving else kind.NOT_SERVING)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class _Paths(grpc.GenericRpcHandler):
    """Who serves which path: `handlers` by path, and whoever serves all `other` ones."""

    def __init__(
        self, handlers: "dict[str, grpc.RpcMethodHandler[Any, Any]]", other: "grpc.RpcMethodHandler[Any, Any] | None" = None
    ) -> None:
        self._handlers = handlers
        self._other = other

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self._handlers.get(handler_call_details.method, self._other)
