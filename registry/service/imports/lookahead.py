"""Chunks of one table, in order, planned before they are due.

A chunk is planned on the view as it is then, while earlier ones are still being planned or committed. That is as good as
planned in its turn if none of these, as far as the view did not show them yet, names what it names: otherwise it is planned
again when they are shown. Where a chunk ends earlier than its piece, what was planned behind it is dropped.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from registry.service.imports.chunks import CHUNK_ROWS, Chunk, ChunkTask
from registry.service.imports.pieces import Piece
from registry.service.imports.planners import ChunkPlanner
from registry.service.imports.source import TableSource

# After a chunk that ended early (its rows depend on each other, or are large) the next pieces are shorter, and grow again.
_LEAST_ROWS: Final = 8


@dataclass(slots=True)
class _Ahead:
    """A piece that is being planned. `since` is the first chunk that the view did not show when that began."""

    piece: Piece
    since: int
    planning: "asyncio.Task[Chunk]"


class Lookahead:
    """Gives chunks in order. `settle` waits until every chunk given so far is shown, and tells so by `show`.

    What is in memory: as many pieces as the planner has use for, and what their rows come to.
    """

    def __init__(
        self,
        source: TableSource,
        planner: ChunkPlanner,
        task_of: Callable[[Piece], ChunkTask],
        settle: Callable[[], Awaitable[None]],
        *,
        is_rehearsal: bool = False,
    ) -> None:
        """`is_rehearsal`: nothing is written, so that no chunk depends on another."""
        self._source = source
        self._planner = planner
        self._task_of = task_of
        self._settle = settle
        self._is_rehearsal = is_rehearsal
        self._ahead: deque[_Ahead] = deque()
        self._next = source.start
        self._rows = CHUNK_ROWS
        self._is_at_end = False
        self._given = 0
        self._shown = 0
        self._names: dict[int, frozenset[str] | None] = {}

    async def take(self) -> Chunk | None:
        """The next chunk; None at the end of the table. Raises as `ChunkPlanner.plan` does, and `OSError`."""
        while True:
            await self._fill()
            if not self._ahead:
                return None
            first = self._ahead[0]
            chunk = await first.planning
            if self._is_stale(first, chunk):
                await self._settle()
                first.since, first.planning = self._shown + 1, self._begin(first.piece)
            elif not chunk.lines and chunk.end == first.piece.offset:
                await self._lengthen(first)
            else:
                await self._advance(first.piece, chunk)
                if chunk.lines:
                    self._given += 1
                    self._names[self._given] = chunk.names
                    return chunk

    def show(self, number: int) -> None:
        """The view shows the chunks up to the `number`th that was given."""
        self._shown = max(self._shown, number)
        oldest = min((each.since for each in self._ahead), default=self._shown + 1)
        for known in [known for known in self._names if known < oldest]:
            del self._names[known]

    async def close(self) -> None:
        """Give up what is being planned."""
        self._next, self._is_at_end = 0, True
        await self._drop()

    async def _fill(self) -> None:
        # Behind a piece that may well end early it is not worth while to look ahead.
        width = self._planner.width if self._rows >= CHUNK_ROWS else 1
        while not self._is_at_end and len(self._ahead) < width:
            piece = await self._source.cut(self._next, self._rows)
            if piece is None:
                self._is_at_end = True
                return
            self._ahead.append(_Ahead(piece, self._shown + 1, self._begin(piece)))
            self._next, self._is_at_end = piece.end, piece.is_last

    def _begin(self, piece: Piece) -> "asyncio.Task[Chunk]":
        return asyncio.create_task(self._planner.plan(self._task_of(piece)))

    def _is_stale(self, ahead: _Ahead, chunk: Chunk) -> bool:
        """Whether a chunk that was not shown when this one was planned names what it names."""
        for number in range(ahead.since, self._given + 1) if not self._is_rehearsal else ():
            names = self._names[number]
            if names is None or chunk.names is None or not names.isdisjoint(chunk.names):
                return True
        return False

    async def _lengthen(self, ahead: _Ahead) -> None:
        """A piece holds no whole row: take it longer. (Behind so many bytes without one a row is refused, and whole.)"""
        piece = await self._source.cut(ahead.piece.offset, self._rows, 2 * len(ahead.piece.data))
        if piece is None:
            raise OSError("the table has become shorter")
        await self._drop()
        self._next, self._is_at_end = piece.end, piece.is_last
        self._ahead.append(_Ahead(piece, self._shown + 1, self._begin(piece)))

    async def _advance(self, piece: Piece, chunk: Chunk) -> None:
        """Leave a chunk behind; if it ended early, all that was planned after it is from the wrong place."""
        self._ahead.popleft()
        if chunk.end == piece.end:
            self._rows = min(2 * self._rows, CHUNK_ROWS)
            return
        await self._drop()
        self._next, self._is_at_end = chunk.end, False
        self._rows = min(max(2 * len(chunk.lines), _LEAST_ROWS), CHUNK_ROWS)

    async def _drop(self) -> None:
        planning = [each.planning for each in self._ahead]
        self._ahead.clear()
        await give_up(planning)


async def give_up(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Wait for the end of tasks whose outcome nobody wants any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
