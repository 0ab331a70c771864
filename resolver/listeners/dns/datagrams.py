"""The UDP half: one packet in, at most one out, and no help for whoever forges addresses.

What one network is sent is bounded (`resolver.listeners.source_budget`). Beyond that its answers are dropped, and every
second one slips: it says "ask over TCP", and is no longer than its question. So a resolver of a network in whose name
somebody else floods the node still gets its answers, over TCP.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from proto.errors import Reason, Refusal
from proto.ports import Clock
from proto.wire.dns.message import is_response
from resolver.listeners.dns.dialogue import Dialogue
from resolver.listeners.dns.limits import MAX_UDP_PENDING, SLIP, DnsLimits
from resolver.listeners.source_budget import SourceBudget
from resolver.listeners.sources import respond_by_source

logger = logging.getLogger(__name__)

Source = tuple[Any, ...]


class Transport(Protocol):
    """Where packets go out: `resolver.listeners.packets.Packets`."""

    def sendto(self, packet: bytes, addr: Source) -> None:
        """Send a packet, or drop it."""

    def close(self) -> None:
        """Free the address."""


class Datagrams:
    """Driven by the event loop; one per socket."""

    def __init__(self, dialogue: Dialogue, limits: DnsLimits, clock: Clock) -> None:
        self._dialogue = dialogue
        self._clock = clock
        self._budget = SourceBudget(limits.udp_source_bytes_per_s, limits.udp_source_burst_bytes, limits.max_udp_sources)
        self._refused = 0
        self._transport: Transport | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._is_stalled = False
        self._is_open = True

    def connect(self, transport: Transport) -> None:
        """Send through `transport` from now on."""
        self._transport = transport

    def close(self) -> None:
        """Send no more."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def error_received(self, exc: Exception) -> None:
        logger.debug("a client's host reported %s", exc)

    def pause_writing(self) -> None:
        self._is_stalled = True

    def resume_writing(self) -> None:
        self._is_stalled = False

    def retire(self) -> None:
        """Take no more questions; close when those that wait are answered, because until then the kernel sends others here."""
        self._is_open = False
        self._close_if_done()

    async def finish(self) -> None:
        """Wait until the questions that wait for an answer from elsewhere have got it."""
        if self._pending:
            await asyncio.wait(self._pending)

    def datagrams_received(self, received: Sequence[tuple[bytes, Source]]) -> None:
        replies: list[bytes | None] = [None] * len(received)
        if self._is_open and not self._is_stalled:
            replies = respond_by_source(self._dialogue, received)
        for (data, addr), reply in zip(received, replies, strict=True):
            if reply is not None:
                self._send(data, reply, addr)
            else:
                self._receive(data, addr)

    def _receive(self, data: bytes, addr: Source) -> None:
        """Take one packet in, whatever it is."""
        if not self._is_open:
            return
        if self._is_stalled:
            # The kernel takes no more packets: what would be answered now would be late. The client asks again.
            self._dialogue.count(Reason.OVERLOADED)
            return
        if len(self._pending) >= MAX_UDP_PENDING and not is_response(data):
            self._send(
                data, self._dialogue.reject(data, Refusal(Reason.OVERLOADED, "too many questions wait for others")), addr
            )
            return
        reply = self._dialogue.respond_otherwise(data, str(addr[0]))
        if isinstance(reply, bytes):
            self._send(data, reply, addr)
        elif reply is not None:
            task = asyncio.ensure_future(self._send_later(data, reply, addr))
            self._pending.add(task)
            task.add_done_callback(self._settle)

    async def _send_later(self, data: bytes, reply: Awaitable[bytes], addr: Source) -> None:
        self._send(data, await reply, addr)

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if not self._is_open and not self._pending:
            self.close()

    def _send(self, data: bytes, reply: bytes, addr: Source) -> None:
        if self._transport is None:
            return
        if self._budget.spend(addr[0], len(reply), self._clock.monotonic()):
            self._transport.sendto(reply, addr)
            return
        self._dialogue.count(Reason.QUOTA_EXCEEDED)
        self._refused += 1
        short = self._dialogue.shorten(data) if self._refused % SLIP == 0 else None
        if short is not None:
            self._transport.sendto(short, addr)
