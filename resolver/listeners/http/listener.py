"""The HTTP listener of a worker (`resolver.listeners.listener.Listener`)."""

import asyncio
import contextlib
import socket
from typing import Final

from proto.metrics import Metrics
from resolver.answer_cache import AnswerCache
from resolver.chain.step import Resolve
from resolver.listeners.http.api import Api, Readiness
from resolver.listeners.http.connection import ConnectionServer
from resolver.listeners.http.exchange import Exchange
from resolver.listeners.http.limits import LISTEN_BACKLOG, HttpLimits

# Handlers that are cancelled after the grace get this long to unwind.
_UNWIND_S: Final = 1.0


class HttpListener:
    """Serves `Api` on a port. `resolve` is the chain; `readiness` is the view's; `answers` is told by that view."""

    protocol = "http"

    def __init__(
        self,
        resolve: Resolve,
        readiness: Readiness,
        metrics: Metrics,
        limits: HttpLimits | None = None,
        answers: AnswerCache | None = None,
    ) -> None:
        self._limits = limits or HttpLimits()
        kept = (answers or AnswerCache(0)).shelf(self.protocol, metrics)
        self._exchange = Exchange(Api(resolve, readiness, kept).routes, metrics.refused, self._limits)
        self._gauge = metrics.connections.labels(self.protocol)
        self._connections: ConnectionServer | None = None
        self._sockets: list[asyncio.Server] = []

    async def open(self, host: str, port: int) -> int:
        """Bind every address of `host` and serve; returns the port, one for all of them. Raises `OSError` if it is taken."""
        loop = asyncio.get_running_loop()
        connections = ConnectionServer(self._exchange.handle, self._limits, self._gauge, self._exchange.count)
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        servers: list[asyncio.Server] = []
        try:
            for address in dict.fromkeys(str(info[4][0]) for info in found):
                server = await loop.create_server(connections, address, port, reuse_port=True, backlog=LISTEN_BACKLOG)
                servers.append(server)
                port = server.sockets[0].getsockname()[1]
        except OSError:
            for server in servers:
                server.close()
            raise
        self._connections, self._sockets = connections, servers
        return port

    async def close(self, grace_s: float) -> None:
        """Stop accepting at once, let what is in flight finish for at most `grace_s` seconds, then close all connections."""
        connections, servers = self._connections, self._sockets
        self._connections, self._sockets = None, []
        for server in servers:
            server.close()
        if connections is not None:
            connections.pre_shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s + _UNWIND_S):
                    await connections.shutdown(grace_s)
