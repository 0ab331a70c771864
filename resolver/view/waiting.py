"""Two ways to wait in an event loop: for the next ring of a bell, and for a position to be shown."""

import asyncio
from heapq import heapify, heappop, heappush
from typing import Final

from proto.errors import Reason, Refusal
from proto.model.change import Position

# Reads that wait for a position at one time in one process; each holds a request open for up to FRESHNESS_WAIT_S.
MAX_WAITERS: Final = 10_000


class Bell:
    """One task waits; whoever has news rings. A ring while nobody waits is not lost. Cheaper than an Event with a timeout."""

    def __init__(self) -> None:
        self._is_rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        self._is_rung = True
        self._wake()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a ring, at most `timeout_s`; whether there was one since the last wait."""
        if not self._is_rung:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout_s, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        was_rung, self._is_rung = self._is_rung, False
        return was_rung

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Waiters:
    """Those who wait until a position is shown."""

    def __init__(self) -> None:
        self._heap: list[tuple[Position, int, asyncio.Future[None]]] = []
        self._count = 0
        self._gone = 0

    async def wait(self, position: Position, timeout_s: float) -> bool:
        """Wait until `reached` is told a position at or past this one; False if it is not within `timeout_s`.

        Raises `Refusal(OVERLOADED)` if too many wait already.
        """
        if len(self._heap) - self._gone >= MAX_WAITERS:
            raise Refusal(Reason.OVERLOADED, f"{MAX_WAITERS} reads are waiting for changes already", retry_after_s=timeout_s)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._count += 1
        heappush(self._heap, (position, self._count, waiter))
        timer = loop.call_later(timeout_s, waiter.cancel)
        try:
            await waiter
        except asyncio.CancelledError:
            self._forget_one()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return False
        finally:
            timer.cancel()
        return True

    def reached(self, position: Position) -> None:
        """Let go of everybody who waits for `position` or less."""
        heap = self._heap
        while heap and heap[0][0] <= position:
            waiter = heappop(heap)[2]
            if waiter.done():
                self._gone -= 1
            else:
                waiter.set_result(None)

    def _forget_one(self) -> None:
        """One has gone and is still in the heap; when most are such, clear it of them."""
        self._gone += 1
        if self._gone > len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if not entry[2].done()]
            heapify(self._heap)
            self._gone = 0
