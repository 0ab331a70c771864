"""Two servers measured in turn: A, B, A, B, ... within one run, so that what else the machine does meets both alike."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from load_tests import cores

# An odd number, so that the median is one of them.
ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Speed:
    """What one server did: answers a second by the clock, and for each second of processor time that its process used.

    A server that has a core for itself and is kept busy does as much by one as by the other. Where others use the machine too,
    the second moves less; it counts everything the kernel did for the process as well. It is not known of a process elsewhere.
    """

    per_s: float
    per_processor_s: float = math.nan


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the rounds' ratios, and the least and the greatest of them."""

    median: float
    spread: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both speeds of each round, measured one after the other."""

    rounds: tuple[tuple[Speed, Speed], ...]

    @property
    def per_s(self) -> float:
        """Our median rate."""
        return statistics.median(own.per_s for own, _ in self.rounds)

    @property
    def per_processor_s(self) -> float:
        """Our median rate for a second of processor time."""
        return statistics.median(own.per_processor_s for own, _ in self.rounds)

    @property
    def ratio(self) -> Ratio:
        """Of the rates by the clock."""
        return _ratio([own.per_s / other.per_s for own, other in self.rounds])

    @property
    def processor_ratio(self) -> Ratio:
        """Of the rates by processor time."""
        return _ratio([own.per_processor_s / other.per_processor_s for own, other in self.rounds])

    @property
    def cost(self) -> Ratio:
        """Of the processor time for one answer."""
        return _ratio([other.per_processor_s / own.per_processor_s for own, other in self.rounds])


def alternate(ours: Callable[[], Speed], theirs: Callable[[], Speed], rounds: int = ROUNDS) -> Comparison:
    """Measure both so often, in turn."""
    return Comparison(tuple((ours(), theirs()) for _ in range(rounds)))


def speed_of(pids: list[int], measure: Callable[[], tuple[float, float]]) -> Speed:
    """The speed of the server with these processes, while `measure` asks it and gives (answers, seconds)."""
    before_s = sum(map(cores.processor_s, pids))
    answers, seconds = measure()
    return Speed(answers / seconds, answers / (sum(map(cores.processor_s, pids)) - before_s))


def _ratio(ratios: list[float]) -> Ratio:
    return Ratio(statistics.median(ratios), (min(ratios), max(ratios)))
