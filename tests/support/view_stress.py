"""Views under a committer that does everything a committer and its machine may do, compared with the truth all the while.

What is compared is every answer with what was true at the position that the view says it is at: a view may be behind, and it
may refuse to answer; it may never be wrong.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from proto import places
from proto.keys import record_key, row_key
from proto.model.change import Position, Table
from registry.commit.wake_server import WakeServer
from resolver.view.view import View
from tests.support.history import HOME, History, Workload
from tests.support.primary import SmallPrimary

CATCH_UP_S = 30.0
# A reader whose overlay is full waits for a checkpoint, which a committer would make before it commits more.
PATIENCE_S = 0.5


class Judge:
    """Compares views with a history; counts what it compared, and raises at the first wrong answer."""

    def __init__(self, history: History, names: list[str], chance: random.Random) -> None:
        self._history = history
        self._names = names
        self._chance = chance
        self.answers = 0

    def glance(self, view: View, count: int = 20) -> None:
        """Compare a few single look-ups."""
        if view.is_ready:
            for name in self._chance.choices(self._names, k=count):
                self._check(view, name, view.record(name), self._history.at(record_key(name), view.position.sequence))

    def examine(self, view: View) -> None:
        """Compare everything there is to ask."""
        if not view.is_ready:
            return
        sequence = view.position.sequence
        for name, found in zip(self._names, view.records(self._names), strict=True):
            self._check(view, name, found, self._history.at(record_key(name), sequence))
        for number in range(3):
            prefix, page = f"{HOME}.{number}", self._chance.choice([3, 50, 1_000])
            self._check(view, prefix, _whole_scan(view, prefix, page), self._history.records_below(prefix, sequence))
            stored = self._history.at(row_key(Table.PREFIX, prefix), sequence)
            self._check(view, prefix, view.image(Table.PREFIX, prefix), stored)
            home = view.homing(f"{prefix}.7")
            self._check(view, prefix, home and home.name, prefix if stored else None)

    def _check(self, view: View, what: str, found: object, expected: object) -> None:
        self.answers += 1
        assert found == expected, f"wrong answer for {what} at {view.position}: {found!r}, expected {expected!r}"


class ViewStress:
    """One run; everything that happens follows from the seed, but for the moments in which the event loop does it."""

    def __init__(self, data: Path, seed: int, views: int = 2) -> None:
        self._data = data
        self._chance = random.Random(seed)
        self._workload = Workload(seed)
        self._primary = SmallPrimary(data, segment_bytes=self._chance.choice([2_000, 20_000, 200_000]))
        self._views = [self._new_view() for _ in range(views)]
        self._wake: WakeServer | None = None
        self._is_torn = False
        self._registry = CollectorRegistry()
        self.judge = Judge(self._primary.history, self._workload.all_names, random.Random(seed))
        self.done: Counter[str] = Counter()

    async def run(self, steps: int) -> None:
        """Do `steps` random things, then let everybody catch up."""
        self._primary.checkpoint()
        await asyncio.gather(*(view.open() for view in self._views))
        prober = asyncio.create_task(self._probe())
        try:
            for _ in range(steps):
                await self._step()
                for view in self._views:
                    self.judge.glance(view)
            await self._finish()
        finally:
            prober.cancel()
            outcome = (await asyncio.gather(prober, return_exceptions=True))[0]
            await asyncio.gather(*(view.close() for view in self._views))
            await self._stop_writer()
            self._primary.close()
        if isinstance(outcome, AssertionError):
            raise outcome

    async def _step(self) -> None:
        kinds: dict[Callable[[], Awaitable[None]], int] = {
            self._commit: 30, self._publish: 20, self._publish_some: 10, self._switch: 8, self._pause: 10, self._settle: 6,
            self._half: 3, self._tear: 2, self._start_writer: 3, self._stop_writer: 2, self._sweep: 3, self._restart_view: 2,
            self._delete_by_force: 1, self._examine: 5,
        }  # fmt: skip
        step = self._chance.choices(list(kinds), weights=list(kinds.values()))[0]
        self.done[step.__name__.strip("_")] += 1
        await step()

    async def _commit(self) -> None:
        for _ in range(self._chance.choice([1, 1, 5, 40])):
            self._primary.carry_out(self._workload.next())

    async def _publish(self) -> None:
        if not self._is_torn:
            self._primary.publish()
            self._announce()

    async def _publish_some(self) -> None:
        waiting = len(self._primary.unpublished)
        if waiting and not self._is_torn:
            self._primary.publish(self._chance.randint(1, waiting))
            self._announce()

    async def _half(self) -> None:
        """A writer is killed while it appends."""
        await self._stop_writer()
        if not self._is_torn:
            self._primary.publish_half(self._chance.random())
            self._is_torn = True

    async def _tear(self) -> None:
        """The machine loses power: the end of the stream is gone, or is garbage."""
        await self._stop_writer()
        if not self._is_torn:
            self._primary.tear(self._chance.randint(1, 400), self._chance.choice([b"", bytes(50), b"\xff" * 200]))
            self._is_torn = True

    async def _start_writer(self) -> None:
        if self._is_torn:
            self._primary.repair()
            self._is_torn = False
        if self._wake is None:
            self._wake = WakeServer(self._data / places.RUN, SystemClock(), build_metrics(CollectorRegistry()))
            await self._wake.start(self._primary.published, self._primary.checkpoint())

    async def _stop_writer(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None:
            await wake.close()

    async def _switch(self) -> None:
        """A checkpoint, often ahead of what is published."""
        position = self._primary.checkpoint()
        if self._wake is not None:
            self._wake.switch(position)

    async def _sweep(self) -> None:
        """Old checkpoints go, as far as nobody reads them."""
        for position in self._checkpoints()[1:]:
            self._primary.delete_checkpoint(position)

    async def _delete_by_force(self) -> None:
        """All checkpoints go, whoever reads them; the committer makes another."""
        for position in self._checkpoints():
            self._primary.delete_checkpoint(position, by_force=True)
        self._primary.checkpoint()

    async def _restart_view(self) -> None:
        place = self._chance.randrange(len(self._views))
        await self._views[place].close()
        self._views[place] = self._new_view()
        opening = asyncio.create_task(self._views[place].open())
        if not (await asyncio.wait((opening,), timeout=PATIENCE_S))[0]:
            await self._switch()
        await asyncio.wait_for(opening, CATCH_UP_S)
        self.judge.examine(self._views[place])

    async def _pause(self) -> None:
        for _ in range(self._chance.randint(1, 20)):
            await asyncio.sleep(0)

    async def _settle(self) -> None:
        """Everything committed is published and shown."""
        await self._start_writer()
        await self._publish()
        for view in self._views:
            if not await view.reach(self._primary.position, PATIENCE_S):
                await self._switch()
            assert await view.reach(self._primary.position, CATCH_UP_S), f"stuck at {view.position}"
            self.judge.examine(view)

    async def _examine(self) -> None:
        for view in self._views:
            self.judge.examine(view)

    async def _finish(self) -> None:
        await self._settle()
        await self._restart_view()

    async def _probe(self) -> None:
        """Look between any two turns of the loop."""
        while True:
            for view in self._views:
                self.judge.glance(view, 3)
            await asyncio.sleep(0)

    def _announce(self) -> None:
        if self._wake is not None:
            self._wake.announce(self._primary.published, lambda: None)

    def _checkpoints(self) -> list[Position]:
        names = (path.name for path in (self._data / places.CHECKPOINTS).iterdir() if path.is_dir())
        return sorted(filter(None, map(places.parse_position_name, names)), reverse=True)

    def _new_view(self) -> View:
        return View(self._data, SystemClock(), build_metrics(CollectorRegistry()))


def _whole_scan(view: View, prefix: str, page: int) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    while rows := view.scan(prefix, found[-1][0] if found else "", page):
        found += rows
    return found
