"""Seats: how many connections each worker of the node has, in one small file that all of them map.

The row of a worker holds the time at which it last spoke (whoever is silent is ended, or stuck, or about to be, and is given
nothing), its open connections, how many it has taken of those that were given to it, and for each other worker how many
that one has given. So a connection on its way counts where it is going, and of many that come at once not all go to the same
place. Every word has one writer; who reads may see half of what is being said, and finds the rest a moment later.
"""

import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

# A worker speaks ten times a second. One that could not for this long has no time for more connections.
SILENCE_LIMIT_S: Final = 3.0

_WORD_BYTES: Final = 8

# The words of a row: milliseconds of the monotonic clock (0: it takes none), open connections, taken ones, given ones by giver.
_SPOKEN, _OPEN, _TAKEN, _GIVEN = range(4)


class Seat(NamedTuple):
    """A worker that takes connections."""

    connections: int
    number: int


def emptiest(own: int, others: Iterable[Seat]) -> int | None:
    """Who should have a connection that has just come to a worker with `own` others; None: it stays.

    The seat with the fewest connections, if with this one it still has no more than the worker would have.
    """
    least = min(others, default=None)
    return least.number if least is not None and least.connections < own else None


class Seats:
    """The rows of all workers, mapped; `own` is the number of this one's, counted from 0."""

    def __init__(self, path: Path, own: int, count: int) -> None:
        """Raises `OSError`."""
        self._own = own
        self._count = count
        self._row = _GIVEN + count
        size = count * self._row * _WORD_BYTES
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(file, size)
            self._map = mmap.mmap(file, size)
        finally:
            os.close(file)
        self._words = memoryview(self._map).cast("Q")
        self._at = own * self._row

    def speak(self, connections: int, now_s: float) -> None:
        """Say how many connections are open here, and that more are taken."""
        self._words[self._at + _OPEN] = connections
        self._words[self._at + _SPOKEN] = _milliseconds(now_s)

    def leave(self) -> None:
        """No more are taken here."""
        self._words[self._at + _SPOKEN] = 0

    def give(self, number: int) -> None:
        """A connection has been sent to another worker."""
        self._words[number * self._row + _GIVEN + self._own] += 1

    def take(self, connections: int) -> None:
        """A connection that was sent here is one of the open ones now."""
        self._words[self._at + _TAKEN] += 1
        self._words[self._at + _OPEN] = connections

    def settle(self) -> None:
        """Nothing is on its way here: what seems to be was lost with an earlier life of this worker, or of the giver."""
        self._words[self._at + _TAKEN] = self._given(self._at)

    def own(self) -> int:
        """The connections of this worker."""
        return self._load(self._at)

    def others(self, now_s: float) -> Iterator[Seat]:
        """The other workers that take connections."""
        now_ms = _milliseconds(now_s)
        for number in range(self._count):
            at = number * self._row
            spoken_ms = self._words[at + _SPOKEN]
            # A word of the future is from before the machine was started.
            if number != self._own and spoken_ms and 0 <= now_ms - spoken_ms <= SILENCE_LIMIT_S * 1000:
                yield Seat(self._load(at), number)

    def close(self) -> None:
        """Let the file go."""
        self._words.release()
        self._map.close()

    def _load(self, at: int) -> int:
        return self._words[at + _OPEN] + self._given(at) - self._words[at + _TAKEN]

    def _given(self, at: int) -> int:
        return sum(self._words[at + _GIVEN : at + self._row].tolist())


def _milliseconds(now_s: float) -> int:
    return max(1, int(now_s * 1000))
