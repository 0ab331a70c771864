"""A UDP socket, read until it is empty: a wake-up costs more than reading, and under load many packets wait behind each.

`Packets` is to `Datagrams` what an event loop's datagram transport is, but for its queue: what the kernel does not take at once
is dropped, as it may be anywhere on its way, and the protocol is told to pause until the kernel takes more.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

Source = tuple[Any, ...]

# Packets read in a row; then connections get their turn (about a millisecond).
MAX_PACKETS_A_TURN: Final = 64

# The longest that there is; some clients send a question whole that the standard would have in parts.
RECEIVED_BYTES: Final = 65_536


class Receiver(Protocol):
    """What is told of packets and of the socket; as `asyncio.DatagramProtocol`."""

    def datagram_received(self, data: bytes, addr: Source) -> None: ...

    def error_received(self, exc: Exception) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class Packets:
    """Owns a bound socket from `open` to `close`."""

    def __init__(self, bound: socket.socket, receiver: Receiver) -> None:
        self._socket = bound
        self._receiver = receiver
        self._receive: Callable[[int], tuple[bytes, Source]] = bound.recvfrom
        self._send = bound.sendto
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
            self._is_open = False
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket.fileno())
            if self._is_full:
                loop.remove_writer(self._socket.fileno())
            self._socket.close()

    def sendto(self, packet: bytes, addr: Source) -> None:
        """Send a packet, if the kernel takes it now."""
        try:
            self._send(packet, addr)
        except BlockingIOError:
            if not self._is_full and self._is_open:
                self._is_full = True
                self._receiver.pause_writing()
                asyncio.get_running_loop().add_writer(self._socket.fileno(), self._drained)
        except OSError as error:
            self._receiver.error_received(error)

    def _read(self) -> None:
        receive, receiver = self._receive, self._receiver
        for _ in range(MAX_PACKETS_A_TURN):
            try:
                packet, addr = receive(RECEIVED_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                receiver.error_received(error)
                return
            receiver.datagram_received(packet, addr)
            if not self._is_open:
                return

    def _drained(self) -> None:
        self._is_full = False
        asyncio.get_running_loop().remove_writer(self._socket.fileno())
        self._receiver.resume_writing()
