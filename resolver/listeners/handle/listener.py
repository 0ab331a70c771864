"""The Handle listener: TCP and UDP on one port (RFC 3652; protocol facts in the modules beside this one)."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial

from proto.metrics import Metrics
from proto.ports import Clock
from proto.wire.handle.typed import SiteInfo
from resolver.answer_cache import AnswerCache
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.listeners.crowd import Crowd
from resolver.listeners.handle.connection import Connection
from resolver.listeners.handle.datagrams import Datagrams
from resolver.listeners.handle.dialogue import Dialogue
from resolver.listeners.handle.limits import LISTEN_BACKLOG, MAX_DESCRIPTOR_SHARE, MAX_TURN, HandleLimits
from resolver.listeners.neighbours import Make, Neighbours
from resolver.listeners.packets import Packets
from resolver.listeners.turn import Turn
from resolver.listeners.twin_sockets import bind_both

SiteOf = Callable[[str, int], SiteInfo]
"""The node's site, given the address that a client reached it at and the port of this listener."""

PlainOf = Callable[[str], PlainLookups | None]
"""Plain look-ups that are counted under a protocol's name; None: the chain answers everything."""


class HandleListener(Crowd[Connection]):
    """Serves resolutions over the Handle protocol; implements `resolver.listeners.listener.Listener`.

    `plain` answers what need not pass the chain. `site` is asked when a client wants to know the site: `node_site`, or anything
    of its shape. Metrics name the two transports `handle` and `handle-udp`. Without `neighbours` every connection stays where
    the kernel puts it.
    """

    protocol = "handle"
    datagram_protocol = "handle-udp"

    def __init__(
        self,
        resolve: Resolve,
        metrics: Metrics,
        clock: Clock,
        site: SiteOf,
        limits: HandleLimits | None = None,
        answers: AnswerCache | None = None,
        plain: PlainOf = lambda _protocol: None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._neighbours = neighbours
        self.limits = limits or HandleLimits()
        gauge = metrics.connections.labels(self.protocol)
        super().__init__(clock, gauge, self.limits.max_connections, MAX_DESCRIPTOR_SHARE, self.limits.sweep_s)
        self._clock = clock
        self._port = 0
        self._server: asyncio.Server | None = None
        self._datagrams: Datagrams | None = None

        def site_at(address: str) -> SiteInfo:
            return site(address, self._port)

        def dialogue(protocol: str) -> Dialogue:
            kept = (answers or AnswerCache(0)).shelf(protocol, metrics)
            return Dialogue(resolve, protocol, metrics.refused, clock, site_at, kept, plain(protocol))

        self.dialogue = dialogue(self.protocol)
        self.turn = Turn(self.dialogue.respond_plainly_to, MAX_TURN)
        self.turn_here = Turn(partial(self.dialogue.respond_plainly_to, is_served=False), MAX_TURN)
        self._datagram_dialogue = dialogue(self.datagram_protocol)

    async def open(self, host: str, port: int) -> int:
        """Bind TCP and UDP and serve; returns the port, the same for both. Raises `OSError` if it is taken."""
        loop = asyncio.get_running_loop()
        (family, _, _, _, address), *_ = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        stream, datagram = bind_both(family, tuple(address))
        self._port = stream.getsockname()[1]
        self.now_s = self._clock.monotonic()
        make: Make = self._make
        if self._neighbours is not None:
            make = self._neighbours.open(make, lambda: self.count)
        self._server = await loop.create_server(make, sock=stream, backlog=LISTEN_BACKLOG)
        self._datagrams = Datagrams(self._datagram_dialogue, self.limits, self._clock)
        packets = Packets(datagram, self._datagrams)
        self._datagrams.connect(packets)
        packets.open()
        self._gather()
        return self._port

    async def close(self, grace_s: float) -> None:
        """Stop taking questions at once, answer those that were read within `grace_s` seconds, then close everything."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        if self._neighbours is not None:
            await self._neighbours.close()
        if self._datagrams:
            self._datagrams.retire()
        self._retire()
        await self._drain(grace_s)
        self._abort()
        if self._datagrams:
            self._datagrams.close()
        self._datagrams = None

    def _make(self) -> Connection:
        return Connection(self)

    def sweep(self) -> None:
        """As of connections; also of packets that belong together."""
        super().sweep()
        if self._datagrams:
            self._datagrams.sweep()

    async def _drain(self, grace_s: float) -> None:
        """Wait until every connection is closed and every datagram answered, at most `grace_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._empty()
                if self._datagrams:
                    await self._datagrams.finish()
