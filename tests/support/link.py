"""A link between two nodes that a test cuts, silences and heals: TCP, relayed in threads on a port of its own."""

import socket
import threading
from contextlib import suppress
from enum import StrEnum
from typing import Final

_PIECE: Final = 65_536
_LISTEN: Final = 64


class State(StrEnum):
    """What becomes of bytes and connections."""

    OPEN = "open"
    CUT = "cut"
    """Every connection ends at once, new ones as soon as they are there."""
    SILENT = "silent"
    """Connections are accepted, and what is sent goes nowhere."""


class Link:
    """Leads to `port` on this machine; both the state and the port may change at any time."""

    def __init__(self, port: int) -> None:
        self.to = port
        self._state = State.OPEN
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_LISTEN)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def turn(self, state: State) -> None:
        """From now on; what was under way ends."""
        with self._lock:
            self._state = state
            ending, self._sockets = self._sockets, set()
        for each in ending:
            _end(each)

    def close(self) -> None:
        """For good."""
        self._listener.close()
        self.turn(State.CUT)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far: socket.socket | None = None
        if self._state is State.OPEN:
            with suppress(OSError):
                far = socket.create_connection(("127.0.0.1", self.to))
        with self._lock:
            is_lost = self._state is State.CUT or (self._state is State.OPEN and far is None)
            if not is_lost:
                self._sockets |= {near, far} if far is not None else {near}
        if is_lost:
            _end(near)
            if far is not None:
                _end(far)
        elif far is not None:
            threading.Thread(target=_pass_on, args=(far, near), daemon=True).start()
            _pass_on(near, far)
        else:
            with suppress(OSError):
                while near.recv(_PIECE):
                    pass


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until one of them ends; then both do."""
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    _end(source)
    _end(target)


def _end(ending: socket.socket) -> None:
    with suppress(OSError):
        ending.shutdown(socket.SHUT_RDWR)
    ending.close()
