"""The HTTP listener of a worker (`resolver.listeners.listener.Listener`)."""

import asyncio
import contextlib
import secrets
import socket
from typing import Final

from proto.metrics import Metrics
from proto.request_id import SEED_BYTES, RequestIds
from resolver.answer_cache import AnswerCache, Shelf
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.chain.together import ResolveMany
from resolver.listeners.http.api import Api, Readiness
from resolver.listeners.http.connection import ConnectionServer
from resolver.listeners.http.exchange import Exchange
from resolver.listeners.http.limits import LISTEN_BACKLOG, HttpLimits
from resolver.listeners.http.lookups import LOOKUPS
from resolver.listeners.http.plain_answers import PlainAnswers
from resolver.listeners.http.plain_connection import PlainHost
from resolver.listeners.http.reply import Rendered
from resolver.listeners.neighbours import Make, Neighbours

# Handlers that are cancelled after the grace get this long to unwind.
_UNWIND_S: Final = 1.0


class HttpListener:
    """Serves `Api` on a port. `resolve` is the chain; `readiness` is the view's; `answers` is told by that view.

    `plain` answers what need not pass the chain.

    `plain_lookups` are those that plain requests are answered for without aiohttp, all of them; a test may empty it before the
    listener opens, and every connection is then aiohttp's from its first byte. Without `neighbours` all stay where the
    kernel puts them.
    """

    protocol = "http"

    def __init__(
        self,
        resolve: Resolve,
        readiness: Readiness,
        metrics: Metrics,
        limits: HttpLimits | None = None,
        answers: AnswerCache | None = None,
        resolve_many: ResolveMany | None = None,
        neighbours: Neighbours | None = None,
        plain: PlainLookups | None = None,
    ) -> None:
        self._plain_lookups = plain
        self._neighbours = neighbours
        self._limits = limits or HttpLimits()
        self._api = Api(resolve, readiness, resolve_many, plain)
        self._ids = RequestIds(secrets.token_bytes(SEED_BYTES))
        self._exchange = Exchange(self._api.routes, metrics.refused, self._limits, self._ids)
        self._resolve = resolve
        self._shelf: Shelf[Rendered] = (answers or AnswerCache(0)).shelf(self.protocol, metrics)
        self._gauge = metrics.connections.labels(self.protocol)
        self.plain_lookups = LOOKUPS
        self._plain: PlainHost | None = None
        self._connections: ConnectionServer | None = None
        self._sockets: list[asyncio.Server] = []

    async def open(self, host: str, port: int) -> int:
        """Bind every address of `host` and serve; returns the port, one for all of them. Raises `OSError` if it is taken."""
        loop = asyncio.get_running_loop()
        count = self._exchange.count
        answers = PlainAnswers(
            self.plain_lookups, self._resolve, self._shelf, self._api.single, self._ids, count, self._plain_lookups
        )
        connections = ConnectionServer(self._exchange.handle, self._limits, self._gauge, count)
        plain = PlainHost(answers, connections)
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        servers: list[asyncio.Server] = []
        make: Make = plain
        try:
            if self._neighbours is not None:
                make = self._neighbours.open(plain, lambda: connections.occupancy.count)
            for address in dict.fromkeys(str(info[4][0]) for info in found):
                server = await loop.create_server(make, address, port, reuse_port=True, backlog=LISTEN_BACKLOG)
                servers.append(server)
                port = server.sockets[0].getsockname()[1]
        except OSError:
            for server in servers:
                server.close()
            if self._neighbours is not None:
                await self._neighbours.close()
            raise
        self._plain, self._connections, self._sockets = plain, connections, servers
        return port

    async def close(self, grace_s: float) -> None:
        """Stop accepting at once, let what is in flight finish for at most `grace_s` seconds, then close all connections."""
        plain, connections, servers = self._plain, self._connections, self._sockets
        self._plain, self._connections, self._sockets = None, None, []
        for server in servers:
            server.close()
        if self._neighbours is not None:
            await self._neighbours.close()
        if plain is not None and connections is not None:
            plain.retire()
            connections.pre_shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s + _UNWIND_S):
                    await asyncio.gather(plain.drain(grace_s), connections.shutdown(grace_s))
