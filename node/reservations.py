"""Ports that belong to this node, whichever of its processes listens on them at the moment.

Workers open the same port one beside the other (SO_REUSEPORT), and the kernel would let a second node of the same user join
them: answers would then come from either. So the supervisor first proves that nobody is there, then keeps the number with
a socket that is bound and never listens; with port 0 the same socket finds the number. Connections are never routed to it.
UDP has no such socket (a bound one would receive), so there the proof is all.
"""

import errno
import socket
from collections.abc import Mapping
from typing import Any, Final

# A free TCP port may be taken for UDP: try another. Each attempt meets a new random port.
ATTEMPTS: Final = 20

UDP_KEYS: Final = frozenset({"resolver.handle_port"})


class PortTaken(Exception):
    """A port cannot be served; the message says which, and why."""


class Reservations:
    """The reserved ports by their configuration keys; `ports` has None for `off`."""

    def __init__(self) -> None:
        self.ports: dict[str, int | None] = {}
        self._sockets: list[socket.socket] = []

    def reserve(self, hosts: Mapping[str, str], wanted: Mapping[str, int | None]) -> list[str]:
        """Reserve every port; returns what went wrong, one sentence for each port that cannot be had."""
        troubles = []
        for key, port in wanted.items():
            try:
                self.ports[key] = None if port is None else self._reserve(hosts[key], port, with_udp=key in UDP_KEYS)
            except OSError as error:
                troubles.append(f"{key}: {hosts[key]} port {port}: {error.strerror or error}")
        return troubles

    def release(self) -> None:
        for held in self._sockets:
            held.close()
        self._sockets.clear()

    def _reserve(self, host: str, port: int, *, with_udp: bool) -> int:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                held, number = _bind_alone(host, port)
                try:
                    if with_udp:
                        _prove_free_for_udp(host, number)
                except OSError:
                    held.close()
                    raise
            except OSError as error:
                if port or attempt == ATTEMPTS or error.errno != errno.EADDRINUSE:
                    raise
            else:
                self._sockets.append(held)
                return number
        raise AssertionError  # the last attempt returned or raised


def _bind_alone(host: str, port: int) -> tuple[socket.socket, int]:
    """A socket bound to a port that nobody listens on."""
    family, address = _resolve(host, port, socket.SOCK_STREAM)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Old connections in TIME_WAIT do not matter; listeners, also those that would share, do.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        number: int = probe.getsockname()[1]
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((address[0], number, *address[2:]))
    except OSError:
        held.close()
        raise
    return held, number


def _prove_free_for_udp(host: str, port: int) -> None:
    family, address = _resolve(host, port, socket.SOCK_DGRAM)
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind(address)


def _resolve(host: str, port: int, kind: socket.SocketKind) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
    return family, address
