"""The inside of a process beside the registry's: one socket, and a life that ends when the socket does.

What it is at then is of no use to anybody.
"""

import gc
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from registry.service.beside.talk import LENGTH, compose, parse, size_of

# Whoever resolves or registers a single identifier comes first: imports and followers are never in such a hurry.
NICENESS: Final = 10

# A piece of work makes some ten thousand objects, nearly none in cycles: looked through once in a while, not ten times a piece.
_COLLECT_EVERY: Final = 100_000


class Pipe:
    """This end of the socket; blocks."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: object) -> None:
        """Raises `OSError` if the other end is gone."""
        self._end.sendall(compose(message))

    def receive(self) -> Any:
        """The next message. Raises `EOFError` if the other end is gone."""
        return parse(self._take(size_of(self._take(LENGTH.size))))

    def _take(self, size: int) -> bytes:
        raw = bytearray(size)
        view = memoryview(raw)
        while view:
            count = self._end.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]
        return bytes(raw)


def live(serve: Callable[[Pipe], None]) -> int:
    """Live until the registry ends; `sys.argv[1]` is the inherited descriptor. Returns the exit status."""
    # Whoever stops the node may signal all of its processes: the registry drains, and needs this one to the end of its work.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(NICENESS)
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)
    with socket.socket(fileno=int(sys.argv[1])) as end:
        end.set_inheritable(False)
        threading.Thread(target=_end_with, args=(end.fileno(),), name="tether", daemon=True).start()
        serve(Pipe(end))
    return 0


def _end_with(descriptor: int) -> None:
    """End this process when the other end of its socket is closed: within long work that may be far off."""
    other_end = select.poll()
    other_end.register(descriptor, select.POLLRDHUP)
    other_end.poll()
    os._exit(0)
