"""The REST door as a socket end: opened and closed like a listener (`resolver.listeners.listener`).

The HTTP server comes from outside (`MakeServer`): connections, header limits and time-outs are the same matter on every port
of the node, and none of the door's.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from aiohttp import web

from proto.errors import Refusal
from proto.metrics import Gauge, Metrics
from registry.doors.rest.accounts import AccountResource
from registry.doors.rest.changes import ChangeResource
from registry.doors.rest.city import CityResource
from registry.doors.rest.exchange import Exchange
from registry.doors.rest.feeds import FeedResource
from registry.doors.rest.filings import FilingResource
from registry.doors.rest.identifiers import IdentifierResource
from registry.doors.rest.limits import LISTEN_BACKLOG, RestLimits
from registry.doors.rest.node import NodeResource, Readiness
from registry.doors.rest.pages import PagesBeside
from registry.doors.rest.papers import PaperResource
from registry.doors.rest.prefixes import PrefixResource
from registry.doors.rest.registrants import RegistrantResource
from registry.doors.rest.route import Resource, Route
from registry.doors.rest.sources import SourceResource
from registry.doors.rest.statistics import StatisticsResource
from registry.service.registry import Registry
from registry.service.sources import Sources

# Handlers that are cancelled after the grace get this long to unwind.
_UNWIND_S: Final = 1.0


class MakeServer(Protocol):
    """Makes the factory of connections: `handle` answers requests, `gauge` and `count` are told of connections and refusals."""

    def __call__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        gauge: Gauge,
        count: Callable[[Refusal], None],
    ) -> web.Server: ...


class RestDoor:
    """Serves the registry over HTTP. `more` are resources that others add; their routes come before ours.

    `pages` makes pages of changes in a process of its own, for those who wait for them.
    """

    protocol = "registry-http"

    def __init__(
        self,
        registry: Registry,
        readiness: Readiness,
        metrics: Metrics,
        make_server: MakeServer,
        more: Sequence[Resource] = (),
        limits: RestLimits | None = None,
        pages: PagesBeside | None = None,
    ) -> None:
        self._changes = ChangeResource(registry, pages)
        node = NodeResource(readiness)
        resources: list[Resource] = [
            *more,
            IdentifierResource(registry),
            PrefixResource(registry),
            RegistrantResource(registry),
            PaperResource(registry),
            AccountResource(registry),
            FeedResource(registry),
            FilingResource(registry),
            SourceResource(Sources(registry.executor)),
            StatisticsResource(registry),
            CityResource(registry),
            self._changes,
            node,
        ]
        self.routes: tuple[Route, ...] = tuple(route for resource in resources for route in resource.routes)
        node.describe_routes(self.routes)
        self._exchange = Exchange(registry, self.routes, metrics.refused, limits or RestLimits())
        self._gauge = metrics.connections.labels(self.protocol)
        self._make_server = make_server
        self._connections: web.Server | None = None
        self._sockets: list[asyncio.Server] = []

    async def open(self, host: str, port: int) -> int:
        """Bind every address of `host` and serve; returns the port, one for all of them. Raises `OSError` if it is taken."""
        loop = asyncio.get_running_loop()
        connections = self._make_server(self._exchange.handle, self._gauge, self._exchange.count)
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
        """Stop accepting, answer who waits for changes, let what is in flight finish for `grace_s` seconds, then hang up."""
        connections, servers = self._connections, self._sockets
        self._connections, self._sockets = None, []
        for server in servers:
            server.close()
        self._changes.drain()
        if connections is not None:
            connections.pre_shutdown()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s + _UNWIND_S):
                    await connections.shutdown(grace_s)
