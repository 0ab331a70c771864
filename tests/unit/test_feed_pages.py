"""The stream as all feeds of a node read it together, by a clock that passes by itself."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from adapters.city.core.page import Page
from adapters.city.pages import BUSY_CHANGES, GATHER_BUSY_S, GATHER_S, Pages
from proto.model.change import START, Position
from tests.support.passing_time import PassingTime


class Registry:
    """Has so many changes in each page that is asked for, and then none; `asked` is when."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self.asked: list[float] = []

    async def changes(self, after: str, limit: int, wait_s: float) -> Page:
        place = len(self.asked)
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.001)
        changes: list[dict[str, Any]] = [{} for _ in range(self._sizes[place])]
        cursor = Position(1, place + 1).to_cursor()
        return Page(changes, after, cursor, cursor)


async def read(sizes: Sequence[int], feeds: int) -> list[float]:
    """The pauses between looks at the stream, of so many feeds that follow it together."""
    registry = Registry(sizes)
    pages = Pages(registry)  # type: ignore[arg-type]  # what it asks of it

    async def follow() -> None:
        cursor = START.to_cursor()
        for size in sizes:
            page = await pages.after(cursor)
            assert len(page.changes) == size
            cursor = page.cursor

    await asyncio.gather(*(follow() for _ in range(feeds)))
    await pages.close()
    return [later - earlier for earlier, later in pairwise(registry.asked)]


@pytest.mark.parametrize("feeds", [1, 5])
def test_single_changes_are_told_soon_and_many_are_gathered(feeds: int) -> None:
    sizes = [1, BUSY_CHANGES - 1, BUSY_CHANGES, BUSY_CHANGES + 1, 1, 0]
    with asyncio.Runner(loop_factory=PassingTime) as runner:
        pauses = runner.run(read(sizes, feeds))
    assert pauses == pytest.approx([each + 0.001 for each in (GATHER_S, GATHER_S, GATHER_BUSY_S, GATHER_BUSY_S, GATHER_S)])
