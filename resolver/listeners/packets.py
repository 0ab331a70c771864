"""A UDP socket, read until it is empty: a wake-up costs more than reading, and under load many packets wait behind each.

What is read in one turn is answered in one turn: packets come and go by the dozen, where there is a compiler with one call of
the kernel for all of them (`receive_many`, `send_many`).

`Packets` is to `Datagrams` what an event loop's datagram transport is, but for its queue: what the kernel does not take at once
is dropped, as it may be anywhere on its way, and the protocol is told to pause until the kernel takes more.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final, Protocol

from proto import compiled

Source = tuple[Any, ...]

# Packets read in a row; then connections get their turn (about a millisecond).
MAX_PACKETS_A_TURN: Final = 64

# The longest that there is; some clients send a question whole that the standard would have in parts.
RECEIVED_BYTES: Final = 65_536


@compiled.preferred
def receive_many(bound: socket.socket, most: int) -> tuple[list[tuple[bytes, Source]], OSError | None]:
    """Up to so many of the packets that wait, and where they came from; and what was told behind them, if that is an error."""
    received: list[tuple[bytes, Source]] = []
    try:
        while len(received) < most:
            received.append(bound.recvfrom(RECEIVED_BYTES))
    except BlockingIOError:
        pass
    except OSError as error:
        return received, error
    return received, None


@compiled.preferred
def send_many(bound: socket.socket, packets: Sequence[tuple[bytes, Source]]) -> int:
    """Send packets to their addresses; returns how many the kernel took, one at least, for it may stop at any.

    Raises `OSError` if it did not take the first.
    """
    for place, (packet, addr) in enumerate(packets):
        try:
            bound.sendto(packet, addr)
        except OSError:
            if not place:
                raise
            return place
    return len(packets)


class Receiver(Protocol):
    """What is told of packets and of the socket; as `asyncio.DatagramProtocol`, but of all packets of a turn at once."""

    def datagrams_received(self, received: Sequence[tuple[bytes, Source]]) -> None: ...

    def error_received(self, exc: Exception) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class Packets:
    """Owns a bound socket from `open` to `close`."""

    def __init__(self, bound: socket.socket, receiver: Receiver) -> None:
        self._socket = bound
        self._receiver = receiver
        self._outgoing: list[tuple[bytes, Source]] | None = None  # of the turn under way
        self._is_full = False
        self._is_open = False

    @property
    def name(self) -> Source:
        """The address that the socket is bound to."""
        name: Source = self._socket.getsockname()
        return name

    def open(self) -> None:
        """Read from now on, in this event loop."""
        self._is_open = True
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Read no more, and free the address."""
        if self._is_open:
            self._flush()
            self._is_open = False
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket.fileno())
            if self._is_full:
                loop.remove_writer(self._socket.fileno())
            self._socket.close()

    def sendto(self, packet: bytes, addr: Source) -> None:
        """Send a packet, if the kernel takes it: now, or with all others of a turn at its end."""
        if self._outgoing is not None:
            self._outgoing.append((packet, addr))
        else:
            self._send([(packet, addr)])

    def _send(self, packets: Sequence[tuple[bytes, Source]]) -> None:
        while packets and self._is_open:
            try:
                sent = send_many(self._socket, packets)
            except BlockingIOError:
                self._stall()
                return
            except OSError as error:
                self._receiver.error_received(error)
                sent = 1  # which nothing can be done about
            packets = packets[sent:]

    def _read(self) -> None:
        received, error = receive_many(self._socket, MAX_PACKETS_A_TURN)
        self._outgoing = []
        try:
            if received:
                self._receiver.datagrams_received(received)
        finally:
            self._flush()
        if error is not None and self._is_open:
            self._receiver.error_received(error)

    def _flush(self) -> None:
        """Send what the turn has gathered."""
        outgoing, self._outgoing = self._outgoing, None
        if outgoing:
            self._send(outgoing)

    def _stall(self) -> None:
        if not self._is_full and self._is_open:
            self._is_full = True
            self._receiver.pause_writing()
            asyncio.get_running_loop().add_writer(self._socket.fileno(), self._drained)

    def _drained(self) -> None:
        self._is_full = False
        asyncio.get_running_loop().remove_writer(self._socket.fileno())
        self._receiver.resume_writing()
