"""The UDP half: packets in, packets out, and no help for whoever forges addresses.

A question of 80 bytes can have an answer of many kilobytes, and its source address proves nothing. So an answer is at most
a few packets, and a network is sent at most so many bytes a second; beyond either the reply is a small error, code 2, on
which stock clients ask again over TCP at once. Nothing is ever sent in reply to a response, so that two servers cannot be
made to talk to each other for ever. Sources on this machine are not limited: the network cannot forge them.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Sequence
from typing import Any, Final, Protocol

from proto.errors import Reason, Refusal
from proto.ports import Clock
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.datagram import PACKET_BYTES, PART_BYTES, Reassembly, split_message
from proto.wire.handle.envelope import DO_IRP_MAJOR, ENVELOPE_BYTES, Envelope, parse_envelope
from proto.wire.handle.message import compose_instead
from proto.wire.handle.resolution import compose_error_body
from resolver.listeners.handle.dialogue import Dialogue
from resolver.listeners.handle.limits import MAX_UDP_PENDING, HandleLimits
from resolver.listeners.source_budget import SourceBudget
from resolver.listeners.sources import respond_by_source

logger = logging.getLogger(__name__)

Source = tuple[Any, ...]

# No longer than the question that it answers: it must not amplify either.
_ASK_OVER_TCP: Final = compose_error_body("ask over TCP")
# The response code within a message: anything but zero is no question.
_CODE: Final = slice(4, 8)


class Transport(Protocol):
    """Where packets go out: `resolver.listeners.packets.Packets`."""

    @property
    def name(self) -> Source:
        """The address that it is bound to."""

    def sendto(self, packet: bytes, addr: Source) -> None:
        """Send a packet, or drop it."""

    def close(self) -> None:
        """Free the address."""


class Datagrams:
    """Driven by the event loop; one per socket."""

    def __init__(self, dialogue: Dialogue, limits: HandleLimits, clock: Clock) -> None:
        self._dialogue = dialogue
        self._max_bytes = max(PACKET_BYTES, ENVELOPE_BYTES + limits.max_udp_packets * PART_BYTES)
        self._monotonic = clock.monotonic
        self._reassembly = Reassembly()
        self._budget = SourceBudget(limits.udp_source_bytes_per_s, limits.udp_source_burst_bytes, limits.max_udp_sources)
        self._transport: Transport | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._is_stalled = False
        self._is_open = True

    def connect(self, transport: Transport) -> None:
        """Send through `transport` from now on."""
        self._transport = transport

    def close(self) -> None:
        """Send no more."""
        if self._transport:
            self._transport.close()
            self._transport = None

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

    def sweep(self) -> None:
        """Forget what will not be completed any more; whoever sent it has asked again by now, and is not told."""
        for _ in range(self._reassembly.expire(self._monotonic())):
            self._dialogue.count(Reason.MALFORMED_MESSAGE)

    def datagrams_received(self, received: Sequence[tuple[bytes, Source]]) -> None:
        replies: list[bytes | None] = [None] * len(received)
        if self._is_open and not self._is_stalled:
            replies = respond_by_source(self._dialogue, received)
        for (data, addr), reply in zip(received, replies, strict=True):
            if reply is not None:
                self._send(reply, addr, mark_truncated=False)
            else:
                self._receive(data, addr)

    def _receive(self, data: bytes, addr: Source) -> None:
        """Take one packet in, whatever it is."""
        try:
            message = self._reassembly.accept(data, addr, self._monotonic())
        except Refusal as refusal:
            self._reject(data, addr, refusal)
            return
        if message is None:
            return
        envelope, payload = message
        if not self._is_open:
            return
        if any(payload[_CODE]):
            self._dialogue.count(Reason.MALFORMED_MESSAGE)
        elif self._is_stalled:
            # The kernel takes no more packets: what would be answered now would be late. The client asks again.
            self._dialogue.count(Reason.OVERLOADED)
        elif len(self._pending) >= MAX_UDP_PENDING:
            self._reject(data, addr, Refusal(Reason.OVERLOADED, "too many questions wait for others"))
        else:
            self._answer(envelope, payload, addr)

    def _answer(self, envelope: Envelope, payload: bytes, addr: Source) -> None:
        reply = self._dialogue.respond(envelope, payload, lambda: self._reached(addr), str(addr[0]))
        if isinstance(reply, bytes):
            self._send(reply, addr, mark_truncated=envelope.major == DO_IRP_MAJOR)
            return
        task = asyncio.ensure_future(self._send_later(envelope, reply, addr))
        self._pending.add(task)
        task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._pending.discard(task)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if not self._is_open and not self._pending:
            self.close()

    async def _send_later(self, envelope: Envelope, reply: Awaitable[bytes], addr: Source) -> None:
        self._send(await reply, addr, mark_truncated=envelope.major == DO_IRP_MAJOR)

    def _reject(self, packet: bytes, addr: Source, refusal: Refusal) -> None:
        if len(packet) < ENVELOPE_BYTES or any(packet[ENVELOPE_BYTES:][_CODE]):
            self._dialogue.count(refusal.reason)
        elif self._transport:
            self._transport.sendto(self._dialogue.reject(parse_envelope(packet), refusal), addr)

    def _send(self, reply: bytes, addr: Source, *, mark_truncated: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        if len(reply) > self._max_bytes:
            self._dialogue.count(Reason.MESSAGE_TOO_LARGE)
            reply = _ask_over_tcp(reply)
        elif not self._budget.spend(addr[0], len(reply), self._monotonic()):
            self._dialogue.count(Reason.QUOTA_EXCEEDED)
            reply = _ask_over_tcp(reply)
        if len(reply) <= PACKET_BYTES:
            transport.sendto(reply, addr)
        else:
            for packet in split_message(reply, mark_truncated):
                transport.sendto(packet, addr)

    def _reached(self, addr: Source) -> str:
        """The address of the node that the client sent to; on a wildcard socket the one that answers go out from."""
        bound = str(self._transport.name[0]) if self._transport else ""
        if bound and not ipaddress.ip_address(bound).is_unspecified:
            return bound
        family = socket.AF_INET6 if ":" in addr[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(addr)  # sends nothing: it asks the routing table
            return str(probe.getsockname()[0])


def _ask_over_tcp(reply: bytes) -> bytes:
    """The small reply that sends a client to TCP, instead of a longer one."""
    return compose_instead(reply, ResponseCode.ERROR, _ASK_OVER_TCP)
