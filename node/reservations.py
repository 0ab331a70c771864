"""Ports that belong to this node, whichever of its processes listens on them at the moment.

Workers open the same port one beside the other (SO_REUSEPORT), and the kernel would let a second node of the same user join
them: answers would then come from either. So the supervisor first proves that nobody is there, then keeps the number with
a socket that is bound and never listens; with port 0 the same socket finds the number. Connections are never routed to it.
UDP has no such socket (a bound one would receive), so there the proof is all.

A number may also be in use for a while by an outgoing connection, or by what is left of one: systems hand out 32768 to 60999
for these, and the customary gRPC ports lie among them. That passes by itself, so it is waited for.
"""

import errno
import logging
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

# A free TCP port may be taken for UDP: try another. Each attempt meets a new random port.
ATTEMPTS: Final = 20

UDP_KEYS: Final = frozenset({"resolver.handle_port", "resolver.dns_port"})

# What is left of a closed connection keeps its port for 60 s (TIME_WAIT in Linux), and then another may take it at once on a
# machine with many connections: hence some rounds of that, and a short step.
PATIENCE_S: Final = 180.0
_RETRY_S: Final = 0.02
# Attempts between two looks at the table of connections, which may be long.
_LOOK_EVERY: Final = 50

_CONNECTIONS: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING: Final = "0A"


class Reservations:
    """The reserved ports by their configuration keys; `ports` has None for `off`."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.ports: dict[str, int | None] = {}
        self._deadline_s = time.monotonic() + patience_s
        self._sockets: list[socket.socket] = []

    def reserve(self, hosts: Mapping[str, str], wanted: Mapping[str, int | None]) -> list[str]:
        """Reserve every port; returns what went wrong, one sentence for each port that cannot be had."""
        troubles = []
        for key, port in wanted.items():
            try:
                self.ports[key] = None if port is None else self._reserve(hosts[key], port, with_udp=key in UDP_KEYS)
            except OSError as error:
                passing = error.errno == errno.EADDRINUSE and not isinstance(error, _TakenForUdp) and is_passing(port or 0)
                why = "an outgoing connection of this machine uses it" if passing else error.strerror or error
                troubles.append(f"{key}: {hosts[key]} port {port}: {why}")
        return troubles

    def release(self) -> None:
        for held in self._sockets:
            held.close()
        self._sockets.clear()

    def _reserve(self, host: str, port: int, *, with_udp: bool) -> int:
        attempt = 0
        while True:
            attempt += 1
            try:
                held, number = _bind(host, port, with_udp=with_udp)
            except OSError as error:
                # Who has it for UDP is no passing connection, whatever else uses the number.
                is_for_good = port != 0 and isinstance(error, _TakenForUdp)
                if error.errno != errno.EADDRINUSE or is_for_good or not self._may_retry(port, attempt):
                    raise
            else:
                self._sockets.append(held)
                return number

    def _may_retry(self, port: int, attempt: int) -> bool:
        """Whether another attempt may fare better; waits for it if it needs time."""
        if port == 0:
            return attempt < ATTEMPTS
        is_known = attempt % _LOOK_EVERY != 1
        if time.monotonic() > self._deadline_s or not (is_known or is_passing(port)):
            return False
        if attempt == 1:
            logger.warning("waiting for a port that an outgoing connection uses", extra={"port": port})
        time.sleep(_RETRY_S)
        return True


class _TakenForUdp(OSError):
    """A port cannot be had for UDP."""


def is_passing(port: int) -> bool:
    """Whether connections, and no listener, use a TCP port of this machine."""
    states = set()
    for table in _CONNECTIONS:
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        states |= {fields[3] for fields in map(str.split, lines) if int(fields[1].rpartition(":")[2], 16) == port}
    return bool(states) and _LISTENING not in states


def _bind(host: str, port: int, *, with_udp: bool) -> tuple[socket.socket, int]:
    held, number = _bind_alone(host, port)
    try:
        if with_udp:
            _prove_free_for_udp(host, number)
    except OSError:
        held.close()
        raise
    return held, number


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
        try:
            probe.bind(address)
        except OSError as error:
            raise _TakenForUdp(*error.args) from None


def _resolve(host: str, port: int, kind: socket.SocketKind) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
    return family, address
