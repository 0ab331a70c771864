"""The open connections of a listener: at most so many, looked at now and then, and ended together."""

import asyncio
import resource
from typing import Generic, Protocol, TypeVar

from proto.metrics import Gauge
from proto.ports import Clock


class Member(Protocol):
    """An open connection."""

    def check(self, now_s: float) -> None:
        """End it if it is overdue, in coarse monotonic seconds."""

    def retire(self) -> None:
        """Take no more questions; close when those that were read are answered."""

    def abort(self) -> None:
        """Close now, whatever is under way."""


M = TypeVar("M", bound=Member)


class Crowd(Generic[M]):
    """What a listener of connections without timers of their own is made of.

    At most `most` are open, and no more than this part of the descriptors that the process may have; `gauge` tells how many.
    One timer sees to all of them, every `sweep_s` seconds: a timer for each would cost more than the timeouts save.
    """

    def __init__(self, clock: Clock, gauge: Gauge, most: int, descriptor_share: float, sweep_s: float) -> None:
        self.now_s = clock.monotonic()
        """Coarse monotonic seconds, moved on by the sweep."""
        self._monotonic = clock.monotonic
        self._gauge = gauge
        self._most = most
        self._descriptor_share = descriptor_share
        self._sweep_s = sweep_s
        self._members: set[M] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._members)

    def admit(self, connection: M) -> bool:
        """Take a new connection in; False: there are too many."""
        if len(self._members) >= self._most:
            return False
        self._members.add(connection)
        self._gauge.inc()
        return True

    def dismiss(self, connection: M) -> None:
        """Forget a connection that is closed."""
        if connection in self._members:
            self._members.remove(connection)
            self._gauge.dec()
        if not self._members:
            self._emptied.set()

    def sweep(self) -> None:
        """Move the coarse clock on, end what is overdue, and do so again in a while."""
        self.now_s = self._monotonic()
        for connection in tuple(self._members):
            connection.check(self.now_s)
        self._sweeper = asyncio.get_running_loop().call_later(self._sweep_s, self.sweep)

    def _gather(self) -> None:
        """Take connections from now on."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            self._most = min(self._most, int(soft * self._descriptor_share))
        self.sweep()

    def _retire(self) -> None:
        """Have all connections end when what they were asked is answered; nobody is overdue any more."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._members):
            connection.retire()

    async def _empty(self) -> None:
        """Wait until all are closed."""
        if self._members:
            self._emptied.clear()
            await self._emptied.wait()

    def _abort(self) -> None:
        """Close those that are still open."""
        for connection in tuple(self._members):
            connection.abort()
