"""Which records are asked for: endless sequences of record numbers. A number that is not registered stands for an absent name.

Pure but for the seed that is passed in: the same seed gives the same sequence to every server that is compared.
"""

import itertools
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

# The exponent of YCSB's "zipfian" workloads, which most figures of other stores are given for.
ZIPF_EXPONENT: Final = 0.99
# Of the hot-key workload, so many look-ups of ten go to one key.
HOT_OF_TEN: Final = 9
# Sequences are drawn in pieces of this size: a draw of one number costs more than asking for it.
PIECE: Final = 10_000

Workload = Callable[[int, int], Iterator[int]]
"""(registered records, seed) to numbers."""


def uniform(count: int, seed: int) -> Iterator[int]:
    """Every record is as likely as every other."""
    chance = random.Random(seed)
    while True:
        yield from [int(share * count) for share in (chance.random() for _ in range(PIECE))]


def zipf(count: int, seed: int) -> Iterator[int]:
    """The n-th most asked record is asked for in proportion to n ** -0.99; which record that is, is shuffled."""
    chance = random.Random(seed)
    shares = list(itertools.accumulate(rank**-ZIPF_EXPONENT for rank in range(1, count + 1)))
    ranked = list(range(count))
    chance.shuffle(ranked)
    total = shares[-1]
    while True:
        yield from [ranked[bisect_left(shares, chance.random() * total)] for _ in range(PIECE)]


def hot(count: int, seed: int) -> Iterator[int]:
    """Nine of ten look-ups ask for one record."""
    chance, others = random.Random(seed), uniform(count, seed)
    hottest = chance.randrange(count)
    while True:
        yield from [hottest if chance.random() * 10 < HOT_OF_TEN else next(others) for _ in range(PIECE)]


def half_absent(count: int, seed: int) -> Iterator[int]:
    """Every other look-up asks for a name that is not registered: numbers from `count` to twice that."""
    return uniform(2 * count, seed)


WORKLOADS: Final[dict[str, Workload]] = {"uniform": uniform, "Zipf 0.99": zipf, "hot key": hot, "half absent": half_absent}
