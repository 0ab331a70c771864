"""Connections given to a neighbour: to another worker of the node that has fewer.

The kernel spreads connections over the workers by a hash of their addresses. Thousands come out even, a few do not: of two
connections both are with one worker half of the time, and stay there for as long as they are open, while the other worker
has nothing to do. So a worker to which a connection comes looks at the seats (`resolver.listeners.seats`), and if another
one has fewer, hands the descriptor over (SCM_RIGHTS) before it has read a byte; the other serves it as one that came to
itself. Where that does not work, the connection stays.

What it costs is bounded: where connections come by the hundred a second, chance spreads them well enough, and they are
too short to be worth a detour.
"""

import asyncio
import logging
import os
import socket
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from proto.ports import Clock
from resolver.listeners.seats import Seats, emptiest

log = logging.getLogger(__name__)

Make = Callable[[], asyncio.BaseProtocol]

# New connections that a worker thinks about in a second, and at once: it costs some microseconds for each worker there is,
# and both of them 0.1 ms if it is given away.
CONSIDERED_PER_S: Final = 64

# How often a worker says how many connections it has.
SPEAK_EVERY_S: Final = 0.1

# Descriptors taken before others get their turn.
_TAKEN_AT_ONCE: Final = 16


class Neighbours:
    """The workers that serve one protocol, as one of them (`own`, counted from 0, of `count`) has them."""

    def __init__(self, folder: Path, protocol: str, own: int, count: int, clock: Clock) -> None:
        self._folder = folder
        self._protocol = protocol
        self._own = own
        self._count = count
        self._clock = clock
        self._may_consider = float(CONSIDERED_PER_S)
        self._arriving: set[asyncio.Task[None]] = set()
        self._seats: Seats | None = None
        self._timer: asyncio.TimerHandle | None = None

    def open(self, make: Make, connections: Callable[[], int]) -> Make:
        """Begin to give and to take. `make` makes the protocol of a connection that stays, `connections` counts the open ones.

        Returns what makes the protocol of a connection that comes from the kernel. Raises `OSError`.
        """
        self._make = make
        self._connections = connections
        self._folder.mkdir(exist_ok=True)
        self._place = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._end.setblocking(False)
            (self._folder / self._name(self._own)).unlink(missing_ok=True)
            self._end.bind(self._address(self._own))
            (self._folder / self._name(self._own)).chmod(0o600)
            self._seats = Seats(self._folder / f"{self._protocol}.seats", self._own, self._count)
        except OSError:
            self._end.close()
            os.close(self._place)
            raise
        asyncio.get_running_loop().add_reader(self._end.fileno(), self._take)
        self._tick()
        return lambda: _Entrance(self)

    async def close(self) -> None:
        """Take no more. Connections that are on their way here end, as those do that wait to be accepted."""
        seats, self._seats = self._seats, None
        if seats is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        seats.leave()
        seats.close()
        asyncio.get_running_loop().remove_reader(self._end.fileno())
        self._end.close()
        os.close(self._place)
        await asyncio.gather(*self._arriving)

    def enter(self, transport: asyncio.Transport) -> None:
        """A connection has come from the kernel: give it away, or let it in."""
        if self._give(transport):
            transport.abort()  # this end of it; the neighbour has one of its own
            return
        protocol = self._make()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        self._speak()

    def _give(self, transport: asyncio.Transport) -> bool:
        if self._seats is None or self._may_consider < 1.0:
            return False
        self._may_consider -= 1.0
        self._speak()
        neighbour = emptiest(self._seats.own(), self._seats.others(self._clock.monotonic()))
        if neighbour is None:
            return False
        descriptor = transport.get_extra_info("socket").fileno()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))]
        try:
            self._end.sendmsg([b"\0"], rights, 0, self._address(neighbour))
        except OSError as error:
            log.debug("a connection stays: it could not be given away", extra={"seat": neighbour, "error": str(error)})
            return False
        self._seats.give(neighbour)
        return True

    def _take(self) -> bool:
        """Take connections that neighbours have given; whether these were all."""
        for _ in range(_TAKEN_AT_ONCE):
            try:
                _, descriptors, _, _ = socket.recv_fds(self._end, 1, 1, socket.MSG_CMSG_CLOEXEC)
            except (BlockingIOError, InterruptedError):
                return True
            for descriptor in descriptors:
                given = socket.socket(fileno=descriptor)
                self._arriving.add(asyncio.get_running_loop().create_task(self._let_in(given)))
            if self._seats is not None:
                self._seats.take(self._open())
        return False

    async def _let_in(self, given: socket.socket) -> None:
        given.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._make, given)
        except OSError as error:
            given.close()
            log.debug("a connection that was given here has ended", extra={"error": str(error)})
        self._arriving.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        self._speak()

    def _open(self) -> int:
        return self._connections() + len(self._arriving)

    def _speak(self) -> None:
        if self._seats is not None:
            self._seats.speak(self._open(), self._clock.monotonic())

    def _tick(self) -> None:
        if self._seats is not None and self._take():
            self._seats.settle()
        self._speak()
        self._may_consider = min(self._may_consider + CONSIDERED_PER_S * SPEAK_EVERY_S, float(CONSIDERED_PER_S))
        self._timer = asyncio.get_running_loop().call_later(SPEAK_EVERY_S, self._tick)

    def _name(self, number: int) -> str:
        return f"{self._protocol}-{number}.sock"

    def _address(self, number: int) -> str:
        # A path of its own may be longer than the 108 bytes that the kernel takes.
        return f"/proc/self/fd/{self._place}/{self._name(number)}"


class _Entrance(asyncio.Protocol):
    """Where a connection is until it is known who serves it: never longer than `connection_made` takes."""

    __slots__ = ("_neighbours",)

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._neighbours.enter(cast(asyncio.Transport, transport))
