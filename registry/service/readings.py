"""Readings that workers have shown, taken from their files into the access log (`resolver.readings`).

Each line is written into the log with the place where it ended in the worker's file, in one write with those beside it. So the
log says how far each file was taken, whoever is killed when: no reading is lost and none is written twice. A file is deleted
when all of it is in the log and its worker has left it (holds no lock on it any more).

The other way goes a file that says which accounts have had their part of the day's log: workers refuse them. Until they have
seen it they go on, so a day's files may grow beyond their limit by what was shown meanwhile.
"""

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from proto.access_line import MAX_LINE_BYTES, Taken, TornLine, parse_line
from proto.errors import Reason, Refusal
from proto.model.day import day_of
from proto.ports import Clock
from registry.service.access import AccessLog
from registry.service.imports.threads import in_thread
from registry.service.tallies import begun_ms

log = logging.getLogger(__name__)

# An enterprise that asks has them taken at once; that an account has had its part is known this late.
LOOK_S: Final = 2.0

# What feeds have told is written down this often: a registry that is killed loses what came since.
KEEP_S: Final = 10.0

# Read of one file, and written with one sync, at a time: a thousand lines.
READ_BYTES: Final = 256 * 1024

# A file without a byte may have been made this moment; its worker locks it in the next.
_EMPTY_MS: Final = 3_600_000


class ReadingDesk:
    """Takes readings in `folder` into `access`, and says in the file `full` who may read no more."""

    def __init__(self, access: AccessLog, folder: Path, full: Path, clock: Clock) -> None:
        self._access = access
        self._folder = folder
        self._full = full
        self._clock = clock
        self._ends: dict[str, int] | None = None
        self._said: tuple[str, frozenset[str]] | None = None
        self._kept_s = clock.monotonic()
        self._turn = asyncio.Lock()

    async def run(self) -> NoReturn:
        """Go on until cancelled."""
        complaint = ""
        while True:
            try:
                await self.take()
                await self._say_who_is_full()
                if self._clock.monotonic() - self._kept_s >= KEEP_S:
                    self._kept_s = self._clock.monotonic()
                    await self._access.keep_told()
                complaint = ""
            except Exception as error:
                if str(error) != complaint:
                    log.warning("readings cannot be written down now", exc_info=True)
                complaint = str(error)
            await asyncio.sleep(LOOK_S)

    async def settle(self) -> None:
        """Have everything in the log that was shown and told so far. Raises `Refusal(STORE_FAILED)`."""
        try:
            await self.take()
            await self._access.keep_told()
        except OSError as error:
            raise Refusal(Reason.STORE_FAILED, f"what was read cannot be written down: {error}") from error

    async def take(self) -> None:
        """Take what is new in the files. Raises `OSError`."""
        async with self._turn:
            paths = await in_thread(self._paths)
            if not paths:
                self._ends = self._ends or {}
                return
            ends = await self._known(paths)
            for path in paths:
                while True:
                    taken, end = await in_thread(_read_file, path, ends.get(path.name, 0))
                    await self._access.keep_taken(taken)
                    if end == ends.get(path.name, 0):
                        break
                    ends[path.name] = end
                if await in_thread(_delete_if_done, path, ends.get(path.name, 0), self._clock.now_ms()):
                    ends.pop(path.name, None)

    async def _known(self, paths: list[Path]) -> dict[str, int]:
        """How far each file was taken: what the log says, the first time."""
        if self._ends is None:
            days = {path.name: day_of(min(begun_ms(path.name), self._clock.now_ms())) for path in paths}
            self._ends = await self._access.ends_of(days)
        return self._ends

    async def _say_who_is_full(self) -> None:
        said = await self._access.full()
        if said is not None and said != self._said:
            await in_thread(_write_whole, self._full, {"day": said[0], "accounts": sorted(said[1])})
            self._said = said

    def _paths(self) -> list[Path]:
        try:
            return sorted(self._folder.iterdir())
        except FileNotFoundError:
            return []


def _read_file(path: Path, offset: int) -> tuple[list[Taken], int]:
    """The next lines of a file and where they end: `offset` if there is no whole one."""
    taken: list[Taken] = []
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(READ_BYTES)
    except FileNotFoundError:
        return [], offset
    whole = data.rfind(b"\n") + 1
    if not whole and len(data) > MAX_LINE_BYTES:
        whole = len(data)  # no line of ours is as long: damage, as a power cut leaves it
    end = offset
    for line in data[:whole].splitlines(keepends=True):
        end += len(line)
        try:
            taken.append(Taken(parse_line(line), path.name, end))
        except TornLine as torn:
            log.error("a reading is damaged", extra={"file": path.name, "end": end, "error": str(torn)})
    return taken, end


def _delete_if_done(path: Path, taken: int, now_ms: int) -> bool:
    """Delete a file that its worker has left, if there is nothing in it that is not in the log. Whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(descriptor).st_size
        # Half a line at the end of a file that its worker has left was never shown.
        is_done = size <= taken or _read_file(path, taken)[1] == taken
        if is_done and (size or now_ms - begun_ms(path.name) > _EMPTY_MS):
            path.unlink()
            return True
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return False


def _write_whole(path: Path, document: Mapping[str, object]) -> None:
    """Put a file in place that readers see whole or not at all."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(document), encoding="utf-8")
    beside.replace(path)
