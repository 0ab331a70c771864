"""The DNS listener: UDP and TCP on one port (RFC 1035, RFC 7766)."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Callable

from proto.metrics import Metrics
from proto.ports import Clock, RecordReader
from resolver.answer_cache import AnswerCache
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.listeners.dns.connection import Connection
from resolver.listeners.dns.datagrams import Datagrams
from resolver.listeners.dns.dialogue import Dialogue, Room, datagram_room, stream_room
from resolver.listeners.dns.interiors import Interiors
from resolver.listeners.dns.limits import LISTEN_BACKLOG, MAX_DESCRIPTOR_SHARE, DnsLimits
from resolver.listeners.dns.zone import Zone
from resolver.listeners.packets import Packets
from resolver.listeners.twin_sockets import bind_both

PlainOf = Callable[[str], PlainLookups | None]
"""Plain look-ups that are counted under a protocol's name; None: the chain answers everything."""


class DnsListener:
    """Serves one zone; implements `resolver.listeners.listener.Listener`.

    `plain` answers what need not pass the chain. `reader` tells the zone's serial and which prefixes are homed. Metrics name
    the two transports `dns` (UDP, where nearly all questions come) and `dns-tcp`.
    """

    protocol = "dns"
    stream_protocol = "dns-tcp"

    def __init__(
        self,
        resolve: Resolve,
        reader: RecordReader,
        metrics: Metrics,
        clock: Clock,
        answers: AnswerCache,
        zone: Zone,
        limits: DnsLimits | None = None,
        plain: PlainOf = lambda _protocol: None,
    ) -> None:
        self.limits = limits or DnsLimits()
        self.now_s = clock.monotonic()
        self._clock = clock
        self._max_connections = self.limits.max_connections
        self._connections: set[Connection] = set()
        self._gauge = metrics.connections.labels(self.stream_protocol)
        self._server: asyncio.Server | None = None
        self._datagrams: Datagrams | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        interiors = Interiors(reader, answers)

        def dialogue(protocol: str, room: Room) -> Dialogue:
            shelf = answers.shelf(protocol, metrics)
            return Dialogue(
                resolve, protocol, metrics.refused, zone, reader, interiors, shelf, room, clock.now_ms, plain(protocol)
            )

        self.dialogue = dialogue(self.stream_protocol, stream_room)
        self._datagram_dialogue = dialogue(self.protocol, datagram_room)

    async def open(self, host: str, port: int) -> int:
        """Bind TCP and UDP and serve; returns the port, the same for both. Raises `OSError` if it is taken."""
        loop = asyncio.get_running_loop()
        (family, _, _, _, address), *_ = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        stream, datagram = bind_both(family, tuple(address))
        bound: int = stream.getsockname()[1]
        self.now_s = self._clock.monotonic()
        self._server = await loop.create_server(lambda: Connection(self), sock=stream, backlog=LISTEN_BACKLOG)
        self._datagrams = Datagrams(self._datagram_dialogue, self.limits, self._clock)
        packets = Packets(datagram, self._datagrams)
        self._datagrams.connect(packets)
        packets.open()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            self._max_connections = min(self.limits.max_connections, int(soft * MAX_DESCRIPTOR_SHARE))
        self._sweep()
        return bound

    async def close(self, grace_s: float) -> None:
        """Stop taking questions at once, answer those that were read within `grace_s` seconds, then close everything."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        if self._sweeper:
            self._sweeper.cancel()
        if self._datagrams:
            self._datagrams.retire()
        for connection in tuple(self._connections):
            connection.retire()
        await self._drain(grace_s)
        for connection in tuple(self._connections):
            connection.abort()
        if self._datagrams:
            self._datagrams.close()
        self._datagrams = None

    def admit(self, connection: Connection) -> bool:
        """Take a new connection in; False: there are too many."""
        if len(self._connections) >= self._max_connections:
            return False
        self._connections.add(connection)
        self._gauge.inc()
        return True

    def dismiss(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._gauge.dec()
        if not self._connections:
            self._emptied.set()

    def _sweep(self) -> None:
        """Move the coarse clock on and end what is overdue: now and then, for all connections at once."""
        self.now_s = self._clock.monotonic()
        for connection in tuple(self._connections):
            connection.check(self.now_s)
        self._sweeper = asyncio.get_running_loop().call_later(self.limits.sweep_s, self._sweep)

    async def _drain(self, grace_s: float) -> None:
        """Wait until every connection is closed and every datagram answered, at most `grace_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                if self._connections:
                    self._emptied.clear()
                    await self._emptied.wait()
                if self._datagrams:
                    await self._datagrams.finish()
