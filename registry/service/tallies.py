"""Resolutions by prefix and day: what workers counted, taken from their files into the store.

Workers append tallies to files (`proto.tally`, `resolver.tallies`). They are read here every few seconds, so that figures
are of now; and every few minutes, or as soon as a day is over, what has come together becomes one small change: the rows of
the days it belongs to, and in the same change how far each file is counted. So a tally is counted once, whoever is killed
when, and none is lost but what a killed worker had not written. A file is deleted when all of it is counted and its worker
has left it (holds no lock on it any more).

Days are kept for a quarter of a year, because every process holds these rows in memory; older ones become one sum.
"""

import asyncio
import fcntl
import logging
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, NoReturn

from proto.errors import Reason, Refusal
from proto.model.account import Caller, Role
from proto.model.change import Row, Table
from proto.model.day import day_of, days_before
from proto.model.resolutions import BEFORE, NO_COUNT, TAKEN, Count, Resolutions
from proto.ports import RecordReader
from proto.tables import pack_resolutions, unpack_resolutions
from proto.tally import MAX_TALLY_BYTES, Tally, TornTally, parse_tally
from registry.service.context import Context
from registry.service.execute import Executor
from registry.service.imports.threads import in_thread
from registry.service.plan import Plan

log = logging.getLogger(__name__)

# Figures that are asked for are at most this old.
LOOK_S: Final = 2.0

# The day's row is written whole each time, for a thousand prefixes some thirty kilobytes: ten megabytes of stream a day.
COMMIT_S: Final = 300.0

# Read of one file at a time; a larger tally is read whole.
READ_BYTES: Final = 64 * 1024

# Rows of a thousand prefixes are three megabytes in every process.
KEPT_DAYS: Final = 92

# A clock that was wrong may have spread counts over many days: so many rows of a change are far below its limits.
MAX_DAYS_AT_ONCE: Final = 16

# A prefix more of a day is counted with others under no name: a row must remain a small part of a change.
MAX_PREFIXES_OF_A_DAY: Final = 20_000
OTHERS: Final = ""

# A file without a byte may have been made this moment; its worker locks it in the next.
_EMPTY_MS: Final = 3_600_000

_NODE: Final = Context(Caller("node", Role.OPERATOR), request_id="resolutions")

# The rows that are asked for again and again: every kept day, and the two beside them.
_unpack: Final = lru_cache(KEPT_DAYS + MAX_DAYS_AT_ONCE)(unpack_resolutions)

Counts = Mapping[str, Count]


class TallyDesk:
    """Takes tallies in `folder` (None: there are none) and commits them by `executor`.

    What is pending was read from the marks of TAKEN's `_version` on, up to `_read`. A commit whose outcome is unknown may have
    come true: then that version has gone on, and everything is read again from the marks that are stored.
    """

    def __init__(self, executor: Executor, folder: Path | None) -> None:
        self._executor = executor
        self._reader = executor.reader
        self._folder = folder
        self._pending: dict[str, dict[str, Count]] = {}
        self._read: dict[str, int] = {}
        self._version = 0
        self._total: Counts = {}
        self._total_of = 0
        self._committed_s = executor.clock.monotonic()
        self._turn = asyncio.Lock()

    async def run(self) -> NoReturn:
        """Go on until cancelled."""
        complaint = ""
        while True:
            try:
                async with self._turn:
                    await self._look()
                    if self._is_due():
                        await self._commit()
                complaint = ""
            except Exception as error:
                if str(error) != complaint:
                    log.warning("tallies of resolutions cannot be taken now", exc_info=True)
                complaint = str(error)
            await asyncio.sleep(LOOK_S)

    async def settle(self) -> None:
        """Take and commit everything that workers have handed on. Raises `Refusal` and `OSError`."""
        async with self._turn:
            await self._look()
            if self._pending:
                await self._commit()

    def day(self, day: str) -> Counts:
        """What is counted of one day, committed or not yet."""
        return _sum(self._stored(day), self._pending.get(day, {}))

    def total(self) -> Counts:
        """What is counted of all days there ever were."""
        total = self._stored_total()
        for pending in self._pending.values():
            total = _sum(total, pending)
        return total

    def _stored_total(self) -> Counts:
        """The sum of all rows; worked out when one has changed, which TAKEN does with every other."""
        version = _row(self._reader, TAKEN).version
        if version != self._total_of:
            total: dict[str, Count] = {}
            for name in self._reader.images(Table.RESOLUTIONS):
                for prefix, count in self._stored(name).items():
                    total[prefix] = total.get(prefix, NO_COUNT).plus(count)
            self._total, self._total_of = total, version
        return self._total

    def _stored(self, name: str) -> Counts:
        return _row(self._reader, name).prefixes

    def _is_due(self) -> bool:
        if not self._pending:
            return False
        is_over = min(self._pending) < day_of(self._executor.clock.now_ms())
        return is_over or self._executor.clock.monotonic() - self._committed_s >= COMMIT_S

    async def _look(self) -> None:
        """Read what is new in the files."""
        if not self._pending:
            await self._executor.catch_up()
            taken = _row(self._reader, TAKEN)
            self._version, self._read = taken.version, dict(taken.taken)
        for path in self._files():
            end = -1
            while (offset := self._read.get(path.name, 0)) != end:
                # A disk may be slow: the loop goes on meanwhile.
                tallies, end = await in_thread(_read_file, path, offset)
                for tally in tallies:
                    self._add(tally)
                self._read[path.name] = end

    def _add(self, tally: Tally) -> None:
        # A worker asks the machine's clock, which may be years ahead of the registry's time: no count is of a day to come.
        day = min(tally.day, day_of(self._executor.clock.now_ms()))
        is_room = day in self._pending or len(self._pending) < MAX_DAYS_AT_ONCE
        counts = self._pending.setdefault(day if is_room else max(self._pending), {})
        for prefix, count in tally.prefixes.items():
            name = prefix if prefix in counts or len(counts) < MAX_PREFIXES_OF_A_DAY else OTHERS
            counts[name] = counts.get(name, NO_COUNT).plus(count)

    async def _commit(self) -> None:
        """Make one change of what has come together, and delete the files that are done with."""
        files = {path.name for path in self._files()}
        marks = {name: size for name, size in self._read.items() if name in files}
        pending, version = self._pending, self._version

        def plan(now_ms: int) -> Plan:
            return plan_resolutions(self._reader, pending, marks, version, now_ms)

        try:
            await self._executor.execute(_NODE, plan)
        except Refusal as refusal:
            if refusal.reason is Reason.VERSION_CONFLICT:
                self._pending = {}  # an attempt that nobody heard of again had come true
            raise
        self._pending = {}
        self._committed_s = self._executor.clock.monotonic()
        now_ms = self._executor.clock.now_ms()
        for path in self._files():
            await in_thread(_delete_if_done, path, marks.get(path.name, 0), now_ms)

    def _files(self) -> list[Path]:
        if self._folder is None:
            return []
        try:
            return sorted(self._folder.iterdir())
        except FileNotFoundError:
            return []


def plan_resolutions(
    reader: RecordReader, days: Mapping[str, Counts], marks: Mapping[str, int], version: int, now_ms: int
) -> Plan:
    """Add counts to the rows of days, keep how far each file is counted, and make one sum of days that are long past.

    Raises `Refusal(VERSION_CONFLICT)` unless the marks so far are of this version.
    """
    rows = {name: _unpack(image) for name, image in reader.images(Table.RESOLUTIONS).items()}
    if _of(rows, TAKEN).version != version:
        raise Refusal(Reason.VERSION_CONFLICT, "what is to be counted has been counted")
    after = [_next(_of(rows, day), prefixes=_sum(_of(rows, day).prefixes, counts)) for day, counts in days.items()]
    after.append(_next(_of(rows, TAKEN), taken=marks))
    plan = Plan()
    oldest = days_before(day_of(now_ms), KEPT_DAYS)
    past = sorted(day for day in rows.keys() - days.keys() - {BEFORE, TAKEN} if day < oldest)[:MAX_DAYS_AT_ONCE]
    if past:
        total: Counts = _of(rows, BEFORE).prefixes
        for day in past:
            total = _sum(total, rows[day].prefixes)
            plan.rows.append(Row(Table.RESOLUTIONS, day, b"", rows[day].version + 1, rows[day].version))
        after.append(_next(_of(rows, BEFORE), prefixes=total))
    plan.rows += [Row(Table.RESOLUTIONS, row.name, pack_resolutions(row), row.version, row.version - 1) for row in after]
    return plan


def _of(rows: Mapping[str, Resolutions], name: str) -> Resolutions:
    return rows.get(name) or Resolutions(name, 0)


def _next(row: Resolutions, prefixes: Counts | None = None, taken: Mapping[str, int] | None = None) -> Resolutions:
    return Resolutions(row.name, row.version + 1, prefixes or {}, taken or {})


def _row(reader: RecordReader, name: str) -> Resolutions:
    image = reader.image(Table.RESOLUTIONS, name)
    return _unpack(image) if image is not None else Resolutions(name, 0)


def _sum(one: Counts, other: Counts) -> Counts:
    if not one or not other:
        return one or other
    both = dict(one)
    for prefix, count in other.items():
        both[prefix] = both.get(prefix, NO_COUNT).plus(count)
    return both


def _read_file(path: Path, offset: int) -> tuple[list[Tally], int]:
    """The next tallies of a file and where they end: `offset` if there is no whole one."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(READ_BYTES)
            tallies, end = _parse_all(data)
            if not tallies and len(data) == READ_BYTES:
                data += file.read(MAX_TALLY_BYTES)
                tallies, end = _parse_all(data)
    except FileNotFoundError:
        return [], offset
    except TornTally as torn:
        log.error("a file of tallies is damaged; the rest of it is given up", extra={"file": path.name, "error": str(torn)})
        return [], path.stat().st_size
    return tallies, offset + end


def _parse_all(data: bytes) -> tuple[list[Tally], int]:
    tallies: list[Tally] = []
    end = 0
    while True:
        try:
            found = parse_tally(data, end)
        except TornTally:
            if tallies:
                return tallies, end  # what stands before it is whole
            raise
        if found is None:
            return tallies, end
        tally, end = found
        tallies.append(tally)


def _delete_if_done(path: Path, taken: int, now_ms: int) -> None:
    """Delete a file that nobody writes any more, if there is nothing in it that is not counted."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(descriptor).st_size
        # Half a tally at the end of a file that its worker has left was never whole.
        is_done = size <= taken or not _read_file(path, taken)[0]
        if is_done and (size or now_ms - begun_ms(path.name) > _EMPTY_MS):
            path.unlink()
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)


def begun_ms(name: str) -> int:
    """When a file of this name was begun (UTC ms); for a name that is none of ours, never."""
    _, _, rest = name.rpartition("-")[0].rpartition("-")
    try:
        return int(rest, 16)
    except ValueError:
        return sys.maxsize
