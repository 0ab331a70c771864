"""How often identifiers below each prefix are asked for, counted in the worker and handed on by a file.

An answer costs one addition to a counter that is at hand where the answer is made: by the chain, by a plain look-up, and by
what the answer cache keeps. Once a second what has come together is appended to a file of this worker's own
(`proto.tally`), which the registry reads, keeps by day, and deletes when it is done with it. Nobody waits for anybody: a
registry that is away finds the files when it is back. A worker that is killed loses what it had not appended, a second's
counts; nothing is ever counted twice.

Counters are those of prefixes in the table, never of what somebody asked for, so they are as many as prefixes.
"""

import asyncio
import fcntl
import logging
import os
import secrets
from pathlib import Path
from typing import Final, NoReturn

from proto.model.answer import Answer, Found, ValuesNotFound
from proto.model.day import day_of
from proto.model.resolutions import Count
from proto.ports import Clock
from proto.tally import Tally, compose_tally

log = logging.getLogger(__name__)

# What a killed worker had not handed on is lost: of some 400,000 answers a day a second's worth is five.
REPORT_S: Final = 1.0

# A file that has grown to this is left to the registry, and a new one begun: a day of a few prefixes.
MAX_FILE_BYTES: Final = 1024 * 1024

# All files that lie there. A registry that is away for weeks does not fill the disk: what cannot be handed on stays in the
# counters, and is then of the day on which it can.
MAX_WAITING_BYTES: Final = 256 * 1024 * 1024


# A record was there: that is what was asked for, whatever the filters left of it.
_FOUND: Final = frozenset({Found, ValuesNotFound})


class Counter:
    """One number that goes up."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


class Counters(dict[str, Counter]):
    """By prefix, made when first asked for."""

    def __missing__(self, prefix: str) -> Counter:
        counter = self[prefix] = Counter()
        return counter


class Tallies:
    """The counters of one worker: by the name of the prefix that an identifier is homed under."""

    def __init__(self) -> None:
        self.found = Counters()
        """Questions that were answered with a record."""
        self.missed = Counters()
        """Questions about what is homed here that were answered otherwise."""

    def counter(self, prefix: str, kind: type[Answer]) -> Counter:
        """What counts answers of this kind about identifiers homed under `prefix`."""
        return (self.found if kind in _FOUND else self.missed)[prefix]

    def take(self) -> dict[str, Count]:
        """What was counted since the last time."""
        counts: dict[str, Count] = {}
        for prefix in self.found.keys() | self.missed.keys():
            found, missed = self.found[prefix], self.missed[prefix]
            if found.n or missed.n:
                counts[prefix] = Count(found.n, missed.n)
                found.n = missed.n = 0
        return counts

    def give_back(self, counts: dict[str, Count]) -> None:
        """What could not be handed on."""
        for prefix, count in counts.items():
            self.found[prefix].n += count.found
            self.missed[prefix].n += count.missed


class TallyFile:
    """Hands on what `tallies` count, in files in `folder` that are called after `worker`.

    The file that is being written is locked, so that nobody deletes it.
    """

    def __init__(self, tallies: Tallies, folder: Path, worker: str, clock: Clock) -> None:
        self._tallies = tallies
        self._folder = folder
        self._worker = worker
        self._clock = clock
        self._descriptor: int | None = None
        self._size = 0
        self._complaint = ""

    async def run(self) -> NoReturn:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(REPORT_S)
            self.report()

    def report(self) -> None:
        """Hand on what was counted; what cannot be is kept for the next time."""
        counts = self._tallies.take()
        if not counts:
            return
        try:
            self._append(compose_tally(Tally(day_of(self._clock.now_ms()), counts)))
            self._complaint = ""
        except OSError as error:
            self._tallies.give_back(counts)
            if str(error) != self._complaint:
                log.warning("counts of resolutions cannot be handed on now", extra={"error": str(error)})
            self._complaint = str(error)

    def close(self) -> None:
        """Hand on the rest, and leave the file to the registry."""
        self.report()
        self._leave()

    def _append(self, frame: bytes) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            descriptor = self._descriptor = self._begin()
        written = os.write(descriptor, frame)
        if written != len(frame):
            os.ftruncate(descriptor, self._size)
            raise OSError(f"{written} of {len(frame)} bytes were written")
        self._size += written
        if self._size >= MAX_FILE_BYTES:
            self._leave()

    def _begin(self) -> int:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if sum(each.stat().st_size for each in self._folder.iterdir()) >= MAX_WAITING_BYTES:
            raise OSError(f"{MAX_WAITING_BYTES} bytes wait for the registry already")
        name = f"{self._worker}-{self._clock.now_ms():012x}-{secrets.token_hex(4)}"
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._size = 0
        return descriptor

    def _leave(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
