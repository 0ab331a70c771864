"""How many identifiers there are by prefix: a projection of the stream, exact at its own position, in memory.

The committer tells it of every change in the turn in which the change is answered: some additions for each row, and no
reading. Whatever it was not told of (what came before it was there, or while a store that had failed was opened again) it
reads from the stream, a change at a time, and so it is right from any beginning. Now and then it is written to a file, so
that a start reads only what came after; a file that is missing, damaged or of another history costs reading the stream from
its first change, behind everything else that the registry does.

Registered are all identifiers that there ever were, active those that answer now; names of prefixes are no products. Of each
day (Asia/Shanghai) it is known what was added, so that any day's end is found by going back from now.
"""

import asyncio
import json
import logging
import os
import zlib
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from proto.errors import Reason, Refusal
from proto.limits import FRESHNESS_WAIT_S
from proto.metrics import Gauge
from proto.model.change import START, Change, Position, Table
from proto.model.day import DAY_MS, day_of, days_before, start_of
from proto.model.identifier import PREFIX_OF_PREFIXES
from proto.model.record import State
from proto.ports import Clock, Stream
from proto.stream import NO_CHAIN, parse_images
from registry.service.imports.threads import in_thread

log = logging.getLogger(__name__)

# Days that are told apart; of each only what changed, by prefix.
KEPT_DAYS: Final = 92

# Read at once; others get their turn after each change.
PORTION: Final = 4

# Whether something was missed is looked at this often.
LOOK_S: Final = 1.0

# Written when so many rows have come, or after so long: a start reads what came after. A hundred thousand rows are counted
# in a tenth of a second.
SAVE_ROWS: Final = 100_000
SAVE_S: Final = 600.0

_FORMAT: Final = 1
_ACTIVE: Final = int(State.ACTIVE)
_RECORD: Final = int(Table.RECORD)


class RowOfChange(Protocol):
    """What is looked at of a row."""

    @property
    def table(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def prior_version(self) -> int: ...
    @property
    def state(self) -> int: ...
    @property
    def prior_state(self) -> int: ...


class Standing(NamedTuple):
    """Identifiers of a prefix: all that there ever were, and those that are active."""

    registered: int
    active: int


@dataclass(slots=True)
class _Counts:
    """What is counted up to `position`: by prefix [registered, active], and by day the same of what that day changed."""

    position: Position
    prefixes: dict[str, list[int]]
    days: dict[str, dict[str, list[int]]]


class RecordCounts:
    """Counts what `stream` says; `file` (None: nowhere) is where it is kept, `lag` is told how far it is behind."""

    def __init__(self, stream: Stream, clock: Clock, file: Path | None = None, lag: Gauge | None = None) -> None:
        self._stream = stream
        self._clock = clock
        self._file = file
        self._lag = lag
        self._counts = _Counts(START, {}, {})
        self._turn = asyncio.Lock()
        self._day, self._day_ends_ms = "", 0
        self._unsaved = 0
        self._saved_s = clock.monotonic()
        self._is_loaded = file is None

    @property
    def position(self) -> Position:
        """Everything up to here is counted."""
        return self._counts.position

    def see(self, position: Position, time_ms: int, rows: Sequence[RowOfChange]) -> None:
        """Count a change that was just committed, if it is the next; otherwise it will be read."""
        if self._is_loaded and self._is_next(position):
            self._count(position, time_ms, rows)

    async def reach(self, position: Position) -> None:
        """Count everything up to a position. Raises `Refusal(NOT_READY)` if that takes longer than a caller should wait."""
        if self._is_loaded and self.position >= position:
            return
        try:
            async with asyncio.timeout(FRESHNESS_WAIT_S):
                await self._catch_up()
        except TimeoutError:
            done, all_ = self.position.sequence, self._stream.head().sequence
            why = f"identifiers are being counted: {done} of {all_} changes are read"
            raise Refusal(Reason.NOT_READY, why, retry_after_s=FRESHNESS_WAIT_S) from None
        except Refusal as refusal:
            why = f"identifiers cannot be counted: {refusal.detail}"
            raise Refusal(Reason.NOT_READY, why, retry_after_s=FRESHNESS_WAIT_S) from refusal

    async def run(self) -> NoReturn:
        """Keep up, and keep what is counted in the file, until cancelled."""
        complaint = ""
        while True:
            try:
                await self._catch_up()
                if self._unsaved >= SAVE_ROWS or (self._unsaved and self._clock.monotonic() - self._saved_s >= SAVE_S):
                    await in_thread(self._write, self._compose())
                complaint = ""
            except Exception as error:
                if str(error) != complaint:
                    log.warning("identifiers cannot be counted now", exc_info=True)
                complaint = str(error)
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Keep what is counted."""
        if self._unsaved and self._is_loaded:
            try:
                self._write(self._compose())
            except (Refusal, OSError):
                log.warning("the counts of identifiers cannot be kept; the next start reads more", exc_info=True)

    def standing(self) -> dict[str, Standing]:
        """By prefix, as of now."""
        return {prefix: Standing(*counts) for prefix, counts in self._counts.prefixes.items()}

    def by_day(self, days: Sequence[str], prefixes: Container[str]) -> list[tuple[Standing, int]]:
        """Of these prefixes, for each of some days in order: how they stood at its end, and what was registered on it.

        One pass back from now, whatever the number of days.
        """
        registered, active = _sum(self._counts.prefixes, prefixes)
        changed = {day: _sum(by_prefix, prefixes) for day, by_prefix in self._counts.days.items()}
        later = sorted(changed)
        found: list[tuple[Standing, int]] = []
        for day in reversed(days):
            while later and later[-1] > day:
                more_registered, more_active = changed[later.pop()]
                registered -= more_registered
                active -= more_active
            added, _ = changed.get(day, (0, 0))
            found.append((Standing(registered, active), added))
        return found[::-1]

    def _is_next(self, position: Position) -> bool:
        return position.sequence == self._counts.position.sequence + 1 and position.epoch >= self._counts.position.epoch

    def _count(self, position: Position, time_ms: int, rows: Sequence[RowOfChange]) -> None:
        """Add a change, the next one."""
        counts = self._counts
        prefix, below = "", "\0"
        registered = active = 0
        for row in rows:
            if row.table != _RECORD:
                continue
            name = row.name
            if not name.startswith(below):
                if registered or active:
                    self._add(prefix, registered, active, time_ms)
                    registered = active = 0
                prefix = name[: name.index("/")]
                below = f"{prefix}/"
            if not row.prior_version:
                registered += 1
                active += row.state == _ACTIVE
            else:
                active += (row.state == _ACTIVE) - (row.prior_state == _ACTIVE)
        if registered or active:
            self._add(prefix, registered, active, time_ms)
        self._unsaved += len(rows)
        counts.position = position

    def _add(self, prefix: str, registered: int, active: int, time_ms: int) -> None:
        if prefix == PREFIX_OF_PREFIXES:
            return
        counts = self._counts
        # Times of changes only go up, so the day is worked out once a day.
        if time_ms >= self._day_ends_ms:
            self._day = day_of(time_ms)
            self._day_ends_ms = start_of(self._day) + DAY_MS
        of_day = counts.days.get(self._day)
        if of_day is None:
            of_day = counts.days[self._day] = {}
            oldest = days_before(self._day, KEPT_DAYS)
            for past in [each for each in counts.days if each < oldest]:
                del counts.days[past]
        for by_prefix in (counts.prefixes, of_day):
            both = by_prefix.get(prefix)
            if both is None:
                both = by_prefix[prefix] = [0, 0]
            both[0] += registered
            both[1] += active

    async def _catch_up(self) -> None:
        """Read what was not told. Raises `Refusal`: what the stream refuses, but for a position of another history."""
        async with self._turn:
            if not self._is_loaded:
                kept = await in_thread(self._read)
                self._counts = self._parse(kept) or _Counts(START, {}, {})
                self._is_loaded = True
            while (behind := self._stream.head().sequence - self.position.sequence) > 0:
                self._measure(behind)
                for change in self._next_portion():
                    # A change may have been told while others had their turn.
                    if self._is_next(change.position):
                        self._count(change.position, change.time_ms, parse_images(change.payload))
                    await asyncio.sleep(0)
            self._measure(0)

    def _next_portion(self) -> list[Change]:
        try:
            return self._stream.read(self.position, PORTION)
        except Refusal as refusal:
            if refusal.reason is not Reason.INVALID_ARGUMENT or self.position == START:
                raise
            log.warning("what was counted is of another history; counting from the first change on")
            self._counts, self._day_ends_ms = _Counts(START, {}, {}), 0
            return []

    def _measure(self, behind: int) -> None:
        if self._lag is not None:
            self._lag.set(behind)

    def _read(self) -> bytes:
        try:
            return self._file.read_bytes() if self._file is not None else b""
        except FileNotFoundError:
            return b""

    def _parse(self, kept: bytes) -> _Counts | None:
        """What the file says, if there is one that is whole and of this history."""
        if not kept:
            return None
        checksum, _, body = kept.partition(b"\n")
        try:
            if int(checksum, 16) != zlib.crc32(body):
                raise ValueError("its checksum does not hold")
            document: dict[str, Any] = json.loads(body)
            if document["format"] != _FORMAT:
                raise ValueError("it is of another program")
            position = Position(*document["position"])
            if self._chain_at(position) != bytes.fromhex(document["chain"]):
                raise ValueError("it is of another history")
            return _Counts(position, document["prefixes"], document["days"])
        except (ValueError, KeyError, TypeError, Refusal) as error:
            log.warning("the counts of identifiers are not usable; counting anew", extra={"error": str(error)})
            return None

    def _chain_at(self, position: Position) -> bytes:
        """The chain hash of the change at a position. Raises `Refusal` if it is of another history."""
        if position == START:
            return NO_CHAIN
        before = Position(position.epoch, position.sequence - 1) if position.sequence > 1 else START
        found = self._stream.read(before, 1)
        if not found or found[0].position != position:
            raise Refusal(Reason.INVALID_ARGUMENT, f"there is no change at {position}")
        return found[0].chain

    def _compose(self) -> bytes:
        counts = self._counts
        self._unsaved, self._saved_s = 0, self._clock.monotonic()
        document = {
            "format": _FORMAT,
            "position": counts.position,
            "chain": self._chain_at(counts.position).hex(),
            "prefixes": counts.prefixes,
            "days": counts.days,
        }
        body = json.dumps(document, separators=(",", ":")).encode()
        return b"%08x\n" % zlib.crc32(body) + body

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._file)
        except OSError:
            with suppress(OSError):
                fresh.unlink()
            raise


def _sum(by_prefix: Mapping[str, Sequence[int]], prefixes: Container[str]) -> tuple[int, int]:
    registered = active = 0
    for prefix, counts in by_prefix.items():
        if prefix in prefixes:
            registered += counts[0]
            active += counts[1]
    return registered, active
