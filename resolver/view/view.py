"""The view: what this process answers from (`proto.ports.FollowingReader`).

It stands on the newest checkpoint, has applied every change after it, and goes on applying what the committer appends. What
it answers is always the state after exactly one change, its `position`. When the stream turns out to be another history
than the one it has shown, it stops answering and begins again from a checkpoint.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from proto import places
from proto.errors import Reason, Refusal
from proto.metrics import Metrics
from proto.model.account import Account
from proto.model.change import START, Position, Table
from proto.model.prefix import Prefix
from proto.ports import Clock
from proto.stream import Damaged
from resolver.view.checkpoint import Unusable, list_checkpoints, open_checkpoint
from resolver.view.follower import Follower
from resolver.view.lag import Lag
from resolver.view.layers import Layers, Watcher, find_record
from resolver.view.liaison import Liaison
from resolver.view.segments import Fenced
from resolver.view.waiting import Waiters

# Without news from the committer the files are looked at this often: when it is gone, and when it is silent.
POLL_ALONE_S: Final = 0.05
POLL_S: Final = 1.0

# Damage, an overlay that may not grow and a folder without a usable checkpoint are looked at again this often.
RETRY_S: Final = 0.2

log = logging.getLogger(__name__)


class View:
    """A `proto.ports.FollowingReader` made of the newest checkpoint and the changes after it.

    `data` is the node's data folder; nothing in it is written but leases. `on_readiness` is called in the event loop with
    True when the view begins to answer and with False when it stops (a rebuild): until it is True again every read raises
    `Refusal(NOT_READY)`. `watcher` is told what changes.
    """

    def __init__(
        self,
        data: Path,
        clock: Clock,
        metrics: Metrics,
        on_readiness: Callable[[bool], None] = lambda _: None,
        watcher: Watcher | None = None,
    ) -> None:
        self._stream = data / places.STREAM
        self._checkpoints = data / places.CHECKPOINTS
        self._clock = clock
        self._metrics = metrics
        self._on_readiness = on_readiness
        self._watcher = watcher
        self._liaison = Liaison(data / places.RUN, clock)
        self._lag = Lag(clock, metrics)
        self._waiters = Waiters()
        self._layers: Layers | None = None
        self._follower: Follower | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_up = asyncio.Event()
        self._complaint = ""

    async def open(self) -> None:
        """Begin to follow; returns when the view is ready for the first time (which may be never: cancel to give up)."""
        self._liaison.start()
        self._task = asyncio.create_task(self._live())
        up = asyncio.create_task(self._is_up.wait())
        try:
            await asyncio.wait((up, self._task), return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if self._task.done():
            self._task.result()

    async def wait_failed(self) -> None:
        """Returns when the view is closed; raises if following fails, and then the process should end: nothing is shown."""
        if self._task is not None:
            await asyncio.wait((self._task,))
            if not self._task.cancelled():
                self._task.result()

    async def close(self) -> None:
        """Stop following and let the checkpoint go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._liaison.close()

    @property
    def is_ready(self) -> bool:
        """Whether the view answers."""
        return self._layers is not None

    @property
    def position(self) -> Position:
        """The last change that this view shows; `START` while it shows nothing."""
        return self._layers.position if self._layers is not None else START

    def record(self, normalised: str) -> bytes | None:
        """The packed record or alias pointer under a normalised identifier."""
        layers = self._layers
        if layers is None:
            raise _not_ready()
        return find_record(normalised, layers.overlay.layers, layers.base.get_record)

    def records(self, normalised: Sequence[str]) -> list[bytes | None]:
        """The same for many at once, in order."""
        return self._shown().records(normalised)

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        """(normalised identifier, packed record) below one prefix, in order, after `after`; no alias pointers."""
        return self._shown().scan(prefix, after, limit)

    def prefix(self, name: str) -> Prefix | None:
        """The prefix of exactly this (folded) name."""
        return self._shown().tables.prefix(name)

    def homing(self, name: str) -> Prefix | None:
        """The longest prefix of the table that `name` is or derives from; None: not homed here."""
        layers = self._layers
        if layers is None:
            raise _not_ready()
        return layers.tables.homing(name)

    def account(self, name: str) -> Account | None:
        """The account of this name."""
        return self._shown().tables.account(name)

    def image(self, table: Table, name: str) -> bytes | None:
        """One image of a small table."""
        return self._shown().tables.image(table, name)

    def images(self, table: Table) -> dict[str, bytes]:
        """A copy of all images of a small table, by name."""
        return self._shown().tables.images(table)

    async def reach(self, position: Position, timeout_s: float) -> bool:
        """Wait until the view shows `position`; False if it does not within `timeout_s`.

        Raises `Refusal(OVERLOADED)` if too many wait already.
        """
        return self.position >= position or await self._waiters.wait(position, timeout_s)

    def _shown(self) -> Layers:
        if self._layers is None:
            raise _not_ready()
        return self._layers

    async def _live(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                follower = await self._begin(beyond=None)
                if follower is None:
                    await self._liaison.wait(RETRY_S)
                    continue
                await self._publish(follower)
                await self._follow()
                await self._unpublish()
        finally:
            await self._unpublish()

    async def _begin(self, beyond: Position | None) -> Follower | None:
        """A course that has caught up, from the newest checkpoint that can be used (and is newer than `beyond`)."""
        for position in list_checkpoints(self._checkpoints):
            if beyond is not None and position <= beyond:
                return None
            try:
                checkpoint = open_checkpoint(self._checkpoints, position)
            except Unusable as unusable:
                self._complain(f"{unusable}")
                continue
            follower = Follower(checkpoint, self._stream, self._clock)
            try:
                await follower.load()
                if await self._catch_up(follower):
                    return follower
            except (Damaged, Fenced) as obstacle:
                self._complain(f"the checkpoint at {position} cannot be followed: {obstacle}")
            except BaseException:
                await follower.close()
                raise
            await follower.close()
        return None

    async def _catch_up(self, follower: Follower) -> bool:
        """Apply all that is there and, if a committer is, all that it has acknowledged; False if the overlay is full before.

        Raises `Damaged` and `Fenced`.
        """
        while True:
            try:
                has_more = await follower.advance()
            except Damaged as damage:
                if not follower.is_at_last_segment or follower.position < self._liaison.head:
                    raise
                self._complain(f"{damage}; this may be a torn tail, which the committer repairs when it starts")
                has_more = False
            if follower.is_full:
                self._complain(f"the overlay is full at {follower.position}, and there is no newer checkpoint")
                return False
            if self._layers is None:
                self._liaison.report(follower.position)
            if has_more:
                await asyncio.sleep(0)
                continue
            if self._layers is None:
                self._liaison.introduce(follower.position, follower.layers.base.position)
            if self._liaison.is_greeted and follower.position >= self._liaison.head:
                return True
            await self._liaison.wait(POLL_ALONE_S)

    async def _follow(self) -> None:
        """Apply what comes, and move from checkpoint to checkpoint; returns when the history is another one."""
        is_poll = True
        while (follower := self._follower) is not None:
            has_more, is_stuck = False, False
            try:
                has_more = await follower.advance(None if is_poll else self._liaison.goal)
            except Fenced as fenced:
                self._complain(f"{fenced}; starting again from a checkpoint")
                return
            except Damaged as damage:
                self._complain(f"{damage}; answering from {follower.position} until there is a way on")
                is_stuck = True
            self._report(follower)
            await self._switch(follower)
            is_untidy = follower.tidy()
            if is_stuck or follower.is_full:
                await self._jump(follower)
            elif has_more or is_untidy:
                await asyncio.sleep(0)
            else:
                is_alone = not self._liaison.is_connected
                is_poll = not await self._liaison.wait(POLL_ALONE_S if is_alone else POLL_S) or is_alone

    def _report(self, follower: Follower) -> None:
        """Tell everybody how far the view has come."""
        position = follower.position
        self._liaison.report(position)
        self._waiters.reached(position)
        self._lag.measure(position, self._liaison.head, follower.shown_ms, len(follower.layers.overlay))

    async def _switch(self, follower: Follower) -> None:
        """Move to the checkpoint that the committer named, once everything up to it is shown."""
        target = self._liaison.switch_to
        if target is None or follower.position < target:
            return
        # Opening takes longer than anything else here: it gets a turn of the loop for itself.
        await asyncio.sleep(0)
        if target > follower.layers.base.position:
            try:
                follower.switch(self._checkpoints, target)
                self._metrics.view_switches.inc()
            except Unusable as unusable:
                self._complain(f"{unusable}; staying on the one before")
        self._liaison.answer_switch(follower.layers.base.position)

    async def _jump(self, follower: Follower) -> None:
        """There is no way on from here: begin again from a newer checkpoint, if there is one, and answer meanwhile."""
        newer = await self._begin(beyond=follower.position)
        if newer is None:
            await asyncio.sleep(RETRY_S)
            return
        self._metrics.view_switches.inc()
        await self._publish(newer)

    async def _publish(self, follower: Follower) -> None:
        """Answer from this course from now on."""
        former, was_ready = self._follower, self.is_ready
        self._follower, self._layers = follower, follower.layers
        follower.layers.watcher = self._watcher
        self._forget_all()
        self._complaint = ""
        if was_ready:
            self._liaison.answer_switch(follower.layers.base.position)
        else:
            self._on_readiness(True)
        self._is_up.set()
        self._report(follower)
        if former is not None:
            await former.close()

    async def _unpublish(self) -> None:
        """Answer no more."""
        former, was_ready = self._follower, self.is_ready
        self._follower = self._layers = None
        self._forget_all()
        self._liaison.retreat()
        if was_ready:
            self._on_readiness(False)
        if former is not None:
            await former.close()

    def _forget_all(self) -> None:
        if self._watcher is not None:
            self._watcher.forget_all()

    def _complain(self, complaint: str) -> None:
        """Log what is wrong once, however often it is met."""
        if complaint != self._complaint:
            log.warning("%s", complaint)
        self._complaint = complaint


def _not_ready() -> Refusal:
    return Refusal(Reason.NOT_READY, "this process is catching up with the registry", retry_after_s=RETRY_S)
