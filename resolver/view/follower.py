"""One course along the stream: from a checkpoint on, change by change, and from time to time onto a newer checkpoint.

Everything runs in the event loop that also answers look-ups, so work is done in slices: `advance` returns to the loop after
two milliseconds, even within a change.
"""

import asyncio
from pathlib import Path
from typing import Final

from proto.model.change import Position
from proto.ports import Clock
from proto.stream import Damaged, parse_images
from resolver.view.checkpoint import Checkpoint, Unusable, open_checkpoint
from resolver.view.layers import Layers, Staged
from resolver.view.tail import Entry, Tail

# A look-up that arrives while changes are applied waits for this, and for what else is in its turn of the loop.
SLICE_S: Final = 0.002

# The clock is looked at after so many rows: 0.1 ms of new ones, half a millisecond of changed ones.
PORTION_ROWS: Final = 100

# Entries of a dropped generation that are released in one turn of the loop: half a millisecond.
FREE_ENTRIES: Final = 2_000


class Follower:
    """The layers that stand on `checkpoint`, and the tail that they are fed from."""

    def __init__(self, checkpoint: Checkpoint, stream: Path, clock: Clock) -> None:
        self.layers = Layers(checkpoint)
        self.shown_ms = 0
        self._tail = Tail(stream, checkpoint.position, checkpoint.chain)
        self._clock = clock
        self._damage: Damaged | None = None

    @property
    def position(self) -> Position:
        """The last change that has been applied."""
        return self.layers.position

    @property
    def is_full(self) -> bool:
        """Whether the overlay may not grow: no change is applied before a newer checkpoint takes some of it off."""
        return self.layers.overlay.is_full

    @property
    def is_at_last_segment(self) -> bool:
        """Whether what cannot be read is at the growing end of the stream."""
        return self._tail.is_last and self._damage is None

    async def load(self) -> None:
        """Read the small tables. Must be done first."""
        due_s = self._clock.monotonic() + SLICE_S
        for count, _ in enumerate(self.layers.load()):
            if count % PORTION_ROWS == 0:
                due_s = await self._breathe(due_s)

    async def advance(self, until: Position | None = None) -> bool:
        """Apply changes for a slice, or up to the position `until`; whether more may be there.

        Raises `Damaged` if the next change cannot be read and `Fenced` if it is of another history; what is shown stays
        as it was.
        """
        if self._damage is not None:
            raise self._damage
        due_s = self._clock.monotonic() + SLICE_S
        while not self.is_full and (until is None or self.position < until):
            entry = self._tail.next()
            if entry is None:
                return False
            try:
                await self._apply(entry)
            except Damaged as damage:
                # The tail is past a change that is not shown: nothing after it may be shown either.
                self._damage = damage
                raise
            if self._clock.monotonic() >= due_s:
                return True
        return False

    def switch(self, checkpoints: Path, position: Position) -> None:
        """Stand on the checkpoint at `position`, which must not be ahead of this reader.

        Raises `Unusable` if it cannot be used or is of another history; nothing has changed then.
        """
        checkpoint = open_checkpoint(checkpoints, position)
        try:
            chain = self._tail.chain_at(position)
        except Damaged as damage:
            checkpoint.close()
            raise Unusable(f"the checkpoint at {position} cannot be compared with the stream: {damage}") from damage
        if chain != checkpoint.chain:
            checkpoint.close()
            raise Unusable(f"the checkpoint at {position} is of another history")
        self.layers.rebase(checkpoint).close()

    def tidy(self) -> bool:
        """Release some of what is no longer shown; whether there is more of it."""
        return self.layers.overlay.free(FREE_ENTRIES)

    async def close(self) -> None:
        """Let everything go, without holding others up."""
        self._tail.close()
        self.layers.base.close()
        self.layers.overlay.clear()
        has_more = self.tidy()
        while has_more:
            await asyncio.sleep(0)
            has_more = self.tidy()

    async def _apply(self, entry: Entry) -> None:
        images = parse_images(entry.payload)
        staged = Staged()
        if len(images) <= PORTION_ROWS:
            self.layers.stage(images, staged)
        else:
            due_s = self._clock.monotonic() + SLICE_S
            for start in range(0, len(images), PORTION_ROWS):
                self.layers.stage(images[start : start + PORTION_ROWS], staged)
                due_s = await self._breathe(due_s)
        self.layers.show(entry.link, staged)
        self.shown_ms = entry.link.time_ms

    async def _breathe(self, due_s: float) -> float:
        """Give the loop a turn if it is due; when the next one is."""
        if self._clock.monotonic() < due_s:
            return due_s
        await asyncio.sleep(0)
        return self._clock.monotonic() + SLICE_S
