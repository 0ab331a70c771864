"""The servers that are asked: for each its connections and its breaker; and asking one after another until one answers."""

from collections import OrderedDict
from typing import Final

from proto.metrics import Metrics
from proto.ports import Clock
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.exchange import Question, Response
from resolver.upstream.breaker import Breaker
from resolver.upstream.connection import Pool
from resolver.upstream.failure import ANSWERED, Failed, Why
from resolver.upstream.limits import MAX_SERVERS, UpstreamLimits
from resolver.upstream.sites import Endpoint
from resolver.upstream.walk import SERVER_FAULTS, Ask

# What says nothing about the server: nobody asked it.
_NOT_ITS_FAULT: Final = frozenset((Why.OVERLOADED,))

# What a server says of this question alone: it has too much to do at the moment, or has asked a node behind it in vain (ours
# say so by this code). It is alive, and what it serves besides must not be given up for one dead node.
_ALIVE: Final = frozenset((ResponseCode.TOO_BUSY,))


class _Server:
    """One server."""

    __slots__ = ("breaker", "pool")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.breaker = Breaker()


class Servers:
    """All servers of one process, by endpoint."""

    def __init__(self, limits: UpstreamLimits, clock: Clock, metrics: Metrics) -> None:
        self._limits = limits
        self._clock = clock
        self._requests = metrics.upstream_requests
        self._open_breakers = metrics.upstream_breakers_open
        self._servers: OrderedDict[Endpoint, _Server] = OrderedDict()

    def __len__(self) -> int:
        return len(self._servers)

    def are_suspect(self, endpoints: tuple[Endpoint, ...]) -> bool:
        """Whether the last question to every one of them failed: waiting for them is likely to be in vain."""
        return all(endpoint in self._servers and self._servers[endpoint].breaker.is_suspect for endpoint in endpoints)

    def is_open(self, endpoint: Endpoint) -> bool:
        """Whether a server is taken for dead."""
        server = self._servers.get(endpoint)
        return server is not None and server.breaker.is_open

    async def ask(self, ask: Ask) -> Response:
        """The response of the first server that gives one. Raises the last one's `Failed`."""
        failed = Failed(Why.UNREACHABLE, "there is no server to ask")
        for endpoint in ask.endpoints:
            server = self._server(endpoint)
            if not server.breaker.admit(self._clock.monotonic()):
                failed = Failed(Why.OPEN, f"{endpoint} has not answered lately and is not asked for a while")
                continue
            try:
                return await self._ask_one(server, endpoint, ask.question)
            except Failed as why:
                failed = why
        raise failed

    def sweep(self) -> None:
        """Close connections that have been idle for too long."""
        for server in self._servers.values():
            server.pool.sweep()

    def close(self) -> None:
        for server in self._servers.values():
            server.pool.close()

    async def _ask_one(self, server: _Server, endpoint: Endpoint, question: Question) -> Response:
        breaker = server.breaker
        try:
            response = await server.pool.ask(question)
            if response.code in SERVER_FAULTS - _ALIVE:
                raise _refused(endpoint, response)
        except Failed as failed:
            if failed.why in _NOT_ITS_FAULT:
                breaker.abandon()
            else:
                self._requests.labels(failed.why).inc()
                if failed.is_of_one:
                    breaker.succeed()
                else:
                    breaker.fail(self._clock.monotonic())
                self._count_open()
            raise
        except BaseException:
            breaker.abandon()
            raise
        was_open = breaker.is_open
        breaker.succeed()
        if was_open:
            self._count_open()
        if response.code in _ALIVE:
            self._requests.labels(Why.REFUSED).inc()
            raise _refused(endpoint, response)
        self._requests.labels(ANSWERED).inc()
        return response

    def _count_open(self) -> None:
        self._open_breakers.set(sum(server.breaker.is_open for server in self._servers.values()))

    def _server(self, endpoint: Endpoint) -> _Server:
        server = self._servers.get(endpoint)
        if server is None:
            server = self._servers[endpoint] = _Server(Pool(endpoint, self._limits, self._clock))
            if len(self._servers) > MAX_SERVERS:
                _, gone = self._servers.popitem(last=False)
                gone.pool.close()
        self._servers.move_to_end(endpoint)
        return server


def _refused(endpoint: Endpoint, response: Response) -> Failed:
    return Failed(Why.REFUSED, f"{endpoint} cannot answer now: {response.message or response.code}")
