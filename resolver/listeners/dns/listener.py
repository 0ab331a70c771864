"""The DNS listener: UDP and TCP on one port (RFC 1035, RFC 7766)."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from proto.metrics import Metrics
from proto.ports import Clock, RecordReader
from resolver.answer_cache import AnswerCache
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.listeners.crowd import Crowd
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


class DnsListener(Crowd[Connection]):
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
        gauge = metrics.connections.labels(self.stream_protocol)
        super().__init__(clock, gauge, self.limits.max_connections, MAX_DESCRIPTOR_SHARE, self.limits.sweep_s)
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._datagrams: Datagrams | None = None
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
        self._gather()
        return bound

    async def close(self, grace_s: float) -> None:
        """Stop taking questions at once, answer those that were read within `grace_s` seconds, then close everything."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        if self._datagrams:
            self._datagrams.retire()
        self._retire()
        await self._drain(grace_s)
        self._abort()
        if self._datagrams:
            self._datagrams.close()
        self._datagrams = None

    async def _drain(self, grace_s: float) -> None:
        """Wait until every connection is closed and every datagram answered, at most `grace_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._empty()
                if self._datagrams:
                    await self._datagrams.finish()
