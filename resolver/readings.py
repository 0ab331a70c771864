"""What accounts of the city read here that the public does not see, written down before it is shown, and handed on by a file.

The access log is the registry's (`registry.service.access`), and a worker answers while that is away: so a reading is appended
to a file of this worker's own (`proto.access_line`), which the registry takes into the log and deletes when it is done with it.
Nobody waits for anybody. The line is with the kernel before the answer is, so a worker that is killed loses none; it is not
synced, so a power cut loses those that the registry had not taken yet. A reading that cannot be written down is refused, as
at the registry; so is that of an account that has had its part of the day's log, which the registry says in a file.

Whoever shows no key, is not of the city, or gets what everybody gets, never comes here.
"""

import asyncio
import fcntl
import json
import logging
import os
import secrets
from pathlib import Path
from typing import Final, NoReturn

from proto.access_line import MAX_SUBJECT_CHARS, compose_line
from proto.errors import Reason, Refusal
from proto.model.access import Access, Reading
from proto.model.answer import Answer, Found
from proto.model.day import day_of
from proto.model.query import Query
from proto.model.value import PUBLIC_READ
from proto.ports import Clock
from proto.wire.handle.value import permissions_of

log = logging.getLogger(__name__)

# A file is left to the registry, which then deletes it, when it has grown to this or has been written into for so long. So what
# a file holds was read within minutes, and how far it was taken stands in the log of one or two days.
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_FILE_AGE_S: Final = 60.0

# All files that lie there: some 300,000 readings that a registry which is away has still to take. What comes then is refused.
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024

# While that many lie there a file is left by its size alone: a registry that is away for months finds no file for each minute,
# and looking through them takes some milliseconds.
MAX_WAITING_FILES: Final = 1_000

# How soon a worker learns that an account has had its part.
LOOK_S: Final = 1.0

RETRY_S: Final = 5.0
TOMORROW_S: Final = 3_600.0


class Readings:
    """Hands on readings, in files in `folder` that are called after `worker`. `full` is where the registry says who may read
    no more today.

    The file that is being written is locked, so that nobody deletes it.
    """

    def __init__(self, folder: Path, full: Path, worker: str, clock: Clock) -> None:
        self._folder = folder
        self._full = full
        self._worker = worker
        self._clock = clock
        self._descriptor: int | None = None
        self._size = 0
        self._begun_s = 0.0
        self._is_crowded = False
        self._refused: tuple[str, frozenset[str]] = ("", frozenset())
        self._refused_of: tuple[int, int] | None = None

    def note(self, query: Query, answer: Answer) -> Answer:
        """The answer, once it is written down if it shows the caller what the public does not see.

        Raises `Refusal`: STORAGE_FULL, QUOTA_EXCEEDED; then it must not be shown.
        """
        if type(answer) is not Found or not _shows_more(answer):
            return answer
        now_ms, account = self._clock.now_ms(), query.caller.account
        day, accounts = self._refused
        if account in accounts and day == day_of(now_ms):
            why = "the account has read as much today as its part of the day's access log holds"
            raise Refusal(Reason.QUOTA_EXCEEDED, why, retry_after_s=TOMORROW_S)
        subject, way = answer.identifier[:MAX_SUBJECT_CHARS], query.protocol
        access = Access(now_ms, account, Reading.RESOLUTION, answer.registrant, subject, 1, query.request_id, way)
        try:
            self._append(compose_line(access) + b"\n")
        except OSError as error:
            why = f"the reading cannot be written down: {error}"
            raise Refusal(Reason.STORAGE_FULL, why, retry_after_s=RETRY_S) from error
        return answer

    async def run(self) -> NoReturn:
        """Leave files that are old, and see who may read no more, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """One time of that."""
        is_old = self._clock.monotonic() - self._begun_s >= MAX_FILE_AGE_S
        if self._descriptor is not None and is_old and not self._is_crowded:
            self._leave()
        try:
            status = self._full.stat()
            if self._refused_of != (status.st_mtime_ns, status.st_ino):
                document = json.loads(self._full.read_bytes())
                self._refused = (document["day"], frozenset(document["accounts"]))
                self._refused_of = (status.st_mtime_ns, status.st_ino)
        except FileNotFoundError:
            self._refused, self._refused_of = ("", frozenset()), None
        except (OSError, ValueError, KeyError, TypeError):
            # It is put in place whole, so this is damage; the registry writes it anew when it changes.
            log.warning("who may read no more today cannot be read", exc_info=True)

    def close(self) -> None:
        """Leave the file to the registry."""
        self._leave()

    def _append(self, line: bytes) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            descriptor = self._descriptor = self._begin()
        written = os.write(descriptor, line)
        if written != len(line):
            os.ftruncate(descriptor, self._size)
            raise OSError(f"{written} of {len(line)} bytes were written")
        self._size += written
        if self._size >= MAX_FILE_BYTES:
            self._leave()

    def _begin(self) -> int:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        count, size = _waiting_in(self._folder)
        self._is_crowded = count >= MAX_WAITING_FILES
        if size >= MAX_WAITING_BYTES:
            raise OSError(f"{MAX_WAITING_BYTES} bytes wait for the registry already")
        name = f"{self._worker}-{self._clock.now_ms():012x}-{secrets.token_hex(4)}"
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._size, self._begun_s = 0, self._clock.monotonic()
        return descriptor

    def _leave(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _shows_more(answer: Found) -> bool:
    """Whether any value of an answer is not for everybody: the public-read bit says so (`proto.model.value`)."""
    return not all(permissions_of(value) & PUBLIC_READ for value in answer.values)


def _waiting_in(folder: Path) -> tuple[int, int]:
    """How many files there are, and their bytes."""
    count = size = 0
    for each in os.scandir(folder):
        try:
            size += each.stat().st_size
        except FileNotFoundError:
            continue  # the registry has just been done with it
        count += 1
    return count, size
