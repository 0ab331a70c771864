"""A TCP and a UDP socket of one number, for protocols that speak both."""

import socket
from typing import Any, Final

# Attempts to find a number that is free for TCP and for UDP, when any will do.
_PORT_ATTEMPTS: Final = 16
# Room in the kernel for bursts of questions while the worker is busy for some milliseconds.
UDP_RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024


def bind_both(family: int, address: tuple[Any, ...]) -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket of one port number, which workers share. Raises `OSError` if there is none to be had."""
    host, port, *rest = address
    attempts = 1 if port else _PORT_ATTEMPTS
    while True:
        attempts -= 1
        stream = _bound(family, socket.SOCK_STREAM, address)
        try:
            return stream, _bound(family, socket.SOCK_DGRAM, (host, stream.getsockname()[1], *rest))
        except OSError:
            stream.close()
            if not attempts:
                raise


def _bound(family: int, kind: int, address: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(family, kind)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if kind == socket.SOCK_DGRAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER_BYTES)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
