"""What the supervisor and a child say to one another, and how a child notices that the supervisor is dead.

They share a pair of packet sockets (SOCK_SEQPACKET: a message arrives whole or not at all). The supervisor's first message is
the child's `Assignment`, the second is GO; the child reports its state at every change and once a second. When the supervisor
ends, however it ends, the kernel closes its end: a thread of the child reads that and ends the process at once, even if its
event loop is stuck.
"""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from node.config import Config, config_of_document

# An assignment is a configuration in JSON; everything else is shorter.
MAX_MESSAGE_BYTES: Final = 65_536

# Exit status of a child whose supervisor is gone.
ORPHANED_STATUS: Final = 70
# Exit status of a child that will not start with the data it finds, whatever the number of attempts.
REFUSED_STATUS: Final = 71

_GO: Final = b"go"


class ChildState(StrEnum):
    """What a child says of itself; DOWN is what the supervisor says of one that does not run."""

    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    DRAINING = "draining"
    REFUSED = "refused"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a child is told. `ports` holds a number for every key of `node.config.PORT_KEYS`, None for `off`."""

    name: str
    config: Config
    ports: Mapping[str, int | None]
    sample: bool = False
    workers: int = 1
    """How many workers the node has."""

    @property
    def number(self) -> int:
        """Which of the workers this is, counted from 1."""
        return int(self.name.rpartition("-")[2])

    def compose(self) -> bytes:
        document = {
            "name": self.name,
            "config": self.config.to_document(),
            "ports": dict(self.ports),
            "sample": self.sample,
            "workers": self.workers,
        }
        return json.dumps(document).encode()


def parse_assignment(message: bytes) -> Assignment:
    document = json.loads(message)
    config = config_of_document(document["config"])
    return Assignment(document["name"], config, document["ports"], document["sample"], document["workers"])


@dataclass(frozen=True, slots=True)
class Report:
    """A child's state, and figures about it for `biaojie status`."""

    state: ChildState
    details: Mapping[str, Any] = field(default_factory=dict)

    def compose(self) -> bytes:
        return json.dumps({"state": self.state, "details": dict(self.details)}).encode()


def parse_report(message: bytes) -> Report:
    document = json.loads(message)
    return Report(ChildState(document["state"]), document["details"])


def compose_go() -> bytes:
    """The order to begin: sent when there is something to begin with."""
    return _GO


class Tether:
    """The child's end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def take(cls, descriptor: int) -> tuple["Tether", Assignment]:
        """Adopt an inherited descriptor and wait for the assignment."""
        end = socket.socket(fileno=descriptor)
        end.set_inheritable(False)
        message = end.recv(MAX_MESSAGE_BYTES)
        if not message:
            os._exit(ORPHANED_STATUS)
        return cls(end), parse_assignment(message)

    def watch(self, loop: asyncio.AbstractEventLoop, on_go: Callable[[], None]) -> None:
        """Begin to listen: `on_go` is called in the loop; the process ends when the supervisor does."""
        threading.Thread(target=self._listen, args=(loop, on_go), name="tether", daemon=True).start()

    def report(self, report: Report) -> None:
        """Tell the supervisor; a supervisor that does not read (stopped by a debugger) misses reports and delays nobody."""
        try:
            self._end.send(report.compose(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return  # Full: the next one tells as much. Gone: the listening thread is ending the process.

    def _listen(self, loop: asyncio.AbstractEventLoop, on_go: Callable[[], None]) -> None:
        while True:
            try:
                message = self._end.recv(MAX_MESSAGE_BYTES)
            except InterruptedError:
                continue
            except OSError:
                message = b""
            if not message:
                os._exit(ORPHANED_STATUS)
            if message == _GO and not loop.is_closed():
                loop.call_soon_threadsafe(on_go)
