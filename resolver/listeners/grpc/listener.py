"""The gRPC listener of a worker (`resolver.listeners.listener.Listener`): binds, admits, sweeps, closes."""

import asyncio
import contextlib
import os
import socket
import ssl
from typing import Final

from proto.limits import MAX_MESSAGE_BYTES
from proto.metrics import Metrics
from proto.ports import Clock
from proto.request_id import SEED_BYTES, RequestIds
from proto.wire.http2.response import Response
from resolver.answer_cache import AnswerCache, Shelf
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.chain.together import ResolveMany
from resolver.listeners.crowd import Crowd
from resolver.listeners.grpc import health, reflection
from resolver.listeners.grpc.calls import Calls, Unary
from resolver.listeners.grpc.connection import Connection
from resolver.listeners.grpc.health import Health
from resolver.listeners.grpc.limits import (
    LISTEN_BACKLOG,
    MAX_BATCH_BYTES,
    MAX_DESCRIPTOR_SHARE,
    MAX_SMALL_QUESTION_BYTES,
    GrpcLimits,
)
from resolver.listeners.grpc.lookups import PROTOCOL, RESOLVE, SERVICE, Lookups
from resolver.listeners.grpc.reflection import Reflection
from resolver.listeners.neighbours import Make, Neighbours

_SERVED: Final = (SERVICE, health.SERVICE)


class GrpcListener(Crowd[Connection]):
    """Serves the resolver, health and reflection. `resolve` is the chain; what never reaches it is counted here. `resolve_many`
    is the chain for batches (by default one by one), `plain` answers what of them need not pass it.

    `encryption` is a context for TLS whose ALPN offers `h2`; without it HTTP/2 is spoken in clear, with prior knowledge
    (RFC 9113 3.3). Without `neighbours`, and over TLS, every connection stays where the kernel puts it.
    """

    protocol = PROTOCOL

    def __init__(
        self,
        resolve: Resolve,
        metrics: Metrics,
        clock: Clock,
        limits: GrpcLimits | None = None,
        answers: AnswerCache | None = None,
        encryption: ssl.SSLContext | None = None,
        resolve_many: ResolveMany | None = None,
        plain: PlainLookups | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self.limits = limits or GrpcLimits()
        gauge = metrics.connections.labels(self.protocol)
        super().__init__(clock, gauge, self.limits.max_connections, MAX_DESCRIPTOR_SHARE, self.limits.sweep_s)
        self._clock = clock
        self._encryption = encryption
        self._neighbours = neighbours if encryption is None else None
        self._made = 0
        self._servers: list[asyncio.Server] = []
        self._unfinished: set[Connection] = set()  # of those that are to be closed
        self._finished = asyncio.Event()
        kept: Shelf[Response] = (answers or AnswerCache(0)).shelf(self.protocol, metrics)
        self._lookups = Lookups(resolve, metrics.refused, kept, resolve_many, plain)
        self._reflection = Reflection((*_SERVED, *reflection.SERVICES))
        self._health = Health((SERVICE,))
        unary = {
            RESOLVE: Unary(self._lookups.resolve, MAX_MESSAGE_BYTES),
            f"/{SERVICE}/BatchResolve": Unary(self._lookups.batch, MAX_BATCH_BYTES),
        }
        ids = RequestIds(os.urandom(SEED_BYTES))
        self.calls = Calls(unary, {}, ids, metrics.refused, self.limits, self._lookups.ways(ids))
        for name in reflection.SERVICES:
            self.calls.streaming[f"/{name}/ServerReflectionInfo"] = self._reflection.converse

    async def open(self, host: str, port: int) -> int:
        """Bind every address of `host` and serve; returns the port. Raises `OSError` if the address cannot be had."""
        self._watch_health(Health((SERVICE,)))
        self.now_s = self._clock.monotonic()
        try:
            port = await self._bind(host, port)
        except OSError as error:
            await self._unbind()
            raise OSError(f"gRPC cannot listen on {host}:{port}: {error}") from error
        self._gather()
        return port

    async def close(self, grace_s: float) -> None:
        """Stop accepting at once, finish what is in flight for at most `grace_s`; watchers of the health are let go.

        Clients then close, as they are told to; who has not done so when nobody has been answered for the time to linger, or
        when the grace is over, is cut off.
        """
        if not self._servers:
            return
        await self._unbind()
        self._health.end()
        self._unfinished = {connection for connection in self._members if not connection.lingers}
        self._retire()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._finish()
        self._abort()

    def conclude(self, connection: Connection) -> None:
        """Hear that a connection has said its last word."""
        self._unfinished.discard(connection)
        if not self._unfinished:
            self._finished.set()

    def dismiss(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self.conclude(connection)
        super().dismiss(connection)

    async def _finish(self) -> None:
        """Wait until all connections are closed. Raises `TimeoutError` when clients have had their time for it."""
        if self._unfinished:
            self._finished.clear()
            await self._finished.wait()
        async with asyncio.timeout(self.limits.linger_s):
            await self._empty()

    async def _bind(self, host: str, port: int) -> int:
        """Every address of the host, with one port for all of them."""
        loop = asyncio.get_running_loop()
        make: Make = self._connect
        if self._neighbours is not None:
            make = self._neighbours.open(make, lambda: self.count)
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for address in dict.fromkeys(str(info[4][0]) for info in found):
            server = await loop.create_server(
                make, address, port, reuse_port=True, backlog=LISTEN_BACKLOG, ssl=self._encryption
            )
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
        return port

    async def _unbind(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []
        if self._neighbours is not None:
            await self._neighbours.close()

    def _connect(self) -> Connection:
        self._made += 1
        return Connection(self, self._made)

    def _watch_health(self, health_: Health) -> None:
        self._health = health_
        self.calls.unary[f"/{health.SERVICE}/Check"] = Unary(health_.check, MAX_SMALL_QUESTION_BYTES)
        self.calls.streaming[f"/{health.SERVICE}/Watch"] = health_.watch
