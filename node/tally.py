"""Counting what happens with every look-up, at the price of an addition.

A metric of prometheus-client takes a lock and writes into a file that all processes share: several microseconds for one
question, beside a look-up of four. Here they are plain numbers of this process, handed on ten times a second; what a killed
process had not handed on is lost, a tenth of a second's counts.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn

from proto.metrics import CATALOGUE, Counter, Histogram, Metrics

# A scrape is seconds apart from the next; a test, or a person, that looks at once shall find what was just counted.
REPORT_S: Final = 0.1


class TalliedCounter:
    """A counter, or all those of its labels."""

    __slots__ = ("_behind", "_children", "_waiting")

    def __init__(self, behind: Counter) -> None:
        self._behind = behind
        self._children: dict[tuple[str, ...], TalliedCounter] = {}
        self._waiting = 0.0

    def labels(self, *values: str) -> "TalliedCounter":
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = TalliedCounter(self._behind.labels(*values))
        return child

    def inc(self, amount: float = 1) -> None:
        self._waiting += amount

    def report(self) -> None:
        """Hand on what was counted since the last time."""
        for child in self._children.values():
            child.report()
        if self._waiting:
            self._behind.inc(self._waiting)
            self._waiting = 0.0


class TalliedHistogram:
    """A histogram, or all those of its labels."""

    __slots__ = ("_behind", "_bounds", "_children", "_counts", "_sum")

    def __init__(self, behind: Histogram, bounds: Sequence[float]) -> None:
        self._behind: Any = behind
        self._bounds = bounds
        self._children: dict[tuple[str, ...], TalliedHistogram] = {}
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def labels(self, *values: str) -> "TalliedHistogram":
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = TalliedHistogram(self._behind.labels(*values), self._bounds)
        return child

    def observe(self, amount: float) -> None:
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def observe_many(self, amount: float, count: int) -> None:
        self._counts[bisect_left(self._bounds, amount)] += count
        self._sum += amount * count

    def report(self) -> None:
        """Hand on what was observed since the last time."""
        for child in self._children.values():
            child.report()
        if not any(self._counts):
            return
        self._behind.add(self._counts, self._sum)
        self._counts = [0] * len(self._counts)
        self._sum = 0.0


class Tally:
    """`metrics` with those of every look-up tallied; `report` hands them on.

    What keeps numbers of its own is told to report by `also`.
    """

    def __init__(self, metrics: Metrics, also: Sequence[Callable[[Metrics], None]] = ()) -> None:
        self._also = also
        self._requests = TalliedCounter(metrics.resolve_requests)
        self._hits = TalliedCounter(metrics.answer_cache_hits)
        self._seconds = TalliedHistogram(metrics.resolve_seconds, CATALOGUE["resolve_seconds"].buckets)
        self.metrics = replace(
            metrics, resolve_requests=self._requests, answer_cache_hits=self._hits, resolve_seconds=self._seconds
        )

    def report(self) -> None:
        """Hand on what was counted."""
        self._requests.report()
        self._hits.report()
        self._seconds.report()
        for report in self._also:
            report(self.metrics)

    async def run(self) -> NoReturn:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(REPORT_S)
            self.report()
