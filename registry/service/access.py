"""The access log: who of the city has read what of an enterprise, or was told of it. The enterprise can read it.

Every reading that the registry answers to an account of the city is written down before the answer leaves, a line for each
registrant whose things it holds; an answer that cannot be written down is refused. Readings that wait share one sync of the
disk. What an account of the city was shown by a worker that the public does not see comes by the worker's files
(`registry.service.readings`); what a feed has told is summed for some seconds, a line for each feed and registrant. The account
by which the node's own feeds are delivered is not written down when it reads, but when it has told.
"""

import asyncio
import base64
import binascii
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from proto.access_line import MAX_SUBJECT_CHARS, Taken
from proto.errors import Reason, Refusal
from proto.model.access import Access, Reading
from proto.model.account import Caller, Role
from proto.model.change import Position
from proto.ports import Clock
from registry.policy.rules import EVERY_REGISTRANT, Action, require
from registry.service.access_files import LAST, AccessFiles, Place
from registry.service.bootstrap import FEEDS_ACCOUNT
from registry.service.context import Context
from registry.service.imports.blobs import is_full
from registry.service.imports.threads import in_thread
from registry.service.listing import Page, check_limit
from registry.service.registrants import parse_whose
from registry.service.told import Told, ToldSums, accesses_of

log = logging.getLogger(__name__)

# Readings that wait for the disk; far more than it takes to be slow. A page holds those of as many registrants as it has items.
MAX_WAITING: Final = 20_000

RETRY_S: Final = 5.0
TOMORROW_S: Final = 3_600.0

_CURSOR_CHARS: Final = 64


class AccessLog:
    """The log in `folder`; without one there is none, and nothing is written down (for tests of other things)."""

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        self._files = AccessFiles(folder) if folder is not None else None
        self._clock = clock
        self._waiting: list[Access] = []
        self._writing: asyncio.Task[frozenset[str]] | None = None
        self._turn = asyncio.Lock()
        self._told = ToldSums()

    async def note(self, context: Context, reading: Reading, registrants: Iterable[str], subject: str = "") -> None:
        """Write down that the caller has read things of these registrants, each as often as it comes, if it is the city.

        Raises `Refusal`: STORAGE_FULL, STORE_FAILED, QUOTA_EXCEEDED, OVERLOADED; then nothing must be shown.
        """
        caller = context.caller
        if self._files is None or caller.role is not Role.CITY or caller.account == FEEDS_ACCOUNT:
            return
        at_ms, asked = self._clock.now_ms(), subject[:MAX_SUBJECT_CHARS]
        accesses = [
            Access(at_ms, caller.account, reading, registrant, asked, count, context.request_id)
            for registrant, count in Counter(registrants).items()
        ]
        if not accesses:
            return
        if len(self._waiting) >= MAX_WAITING:
            raise Refusal(Reason.OVERLOADED, "too many readings wait to be written down", retry_after_s=RETRY_S)
        self._waiting += accesses
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(self._files))
            # Whoever waited may have gone away: then nobody is left to be told.
            self._writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        # One reader that goes away must not take the others' writing with it.
        if caller.account in await asyncio.shield(self._writing):
            why = "the account has read as much today as its part of the day's access log holds"
            raise Refusal(Reason.QUOTA_EXCEEDED, why, retry_after_s=TOMORROW_S)

    def tell(self, account: str, feed: str, cursor: Position, told: Sequence[Told]) -> None:
        """A feed of this account has told of things of these registrants, up to a cursor; `keep_told` writes it down."""
        if self._files is not None:
            self._told.add(account, feed, cursor.to_cursor(), told)

    async def keep_told(self) -> None:
        """Write down what feeds have told since the last time. Raises `OSError`; then it is kept for the next time."""
        if self._files is None or not self._told:
            return
        async with self._turn:
            sums, now_ms = self._told.take(), self._clock.now_ms()
            try:
                await in_thread(self._files.append_shown, accesses_of(sums, now_ms), now_ms)
            except OSError:
                self._told.give_back(sums)
                raise

    async def keep_taken(self, taken: Sequence[Taken]) -> None:
        """Write down what workers have shown. Raises `OSError`."""
        if self._files is not None and taken:
            async with self._turn:
                await in_thread(self._files.append_shown, taken, self._clock.now_ms())

    async def full(self) -> tuple[str, frozenset[str]] | None:
        """The day, and the accounts that may read no more in it; None while nothing was written down."""
        async with self._turn:
            return self._files.full() if self._files is not None else None

    async def ends_of(self, files: Mapping[str, str]) -> dict[str, int]:
        """How far workers' files were taken, each given with the day it was begun on. Raises `OSError`."""
        async with self._turn:
            return await in_thread(self._files.ends_of, files) if self._files is not None else {}

    async def page(self, caller: Caller, registrant: str, after: str, limit: int) -> Page[Access]:
        """The readings of a registrant's things, newest first, with those of everybody's together.

        Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT, STORE_FAILED.
        """
        holder = parse_whose(registrant)
        require(caller, Action.READ_ACCESS, holder)
        check_limit(limit)
        if self._files is None:
            return Page(())
        wanted = None if holder == EVERY_REGISTRANT else frozenset({holder, EVERY_REGISTRANT})
        try:
            found = await in_thread(self._files.read, wanted, _parse_place(after), limit)
        except OSError as error:
            raise Refusal(Reason.STORE_FAILED, f"the access log cannot be read: {error}") from error
        return Page(tuple(found.accesses), _compose_place(found.next) if found.next is not None else "")

    async def close(self) -> None:
        """Let the files go, once everything is written."""
        if self._writing is not None:
            await asyncio.wait((self._writing,))
        try:
            await self.keep_told()
        except OSError:
            log.exception("what feeds have told could not be written down at the end")
        if self._files is not None:
            self._files.close()

    async def _write(self, files: AccessFiles) -> frozenset[str]:
        """Write down what waits; what comes meanwhile waits for the next. Returns the accounts that may read no more today."""
        async with self._turn:
            accesses, self._waiting, self._writing = self._waiting, [], None
            try:
                return await in_thread(files.append, accesses, self._clock.now_ms())
            except OSError as error:
                reason = Reason.STORAGE_FULL if is_full(error) else Reason.STORE_FAILED
                raise Refusal(reason, f"the reading cannot be written down: {error}", retry_after_s=RETRY_S) from error


def _compose_place(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place.day}:{place.offset}".encode()).rstrip(b"=").decode()


def _parse_place(text: str) -> Place:
    """The place behind a cursor; the end for an empty one. Raises `Refusal(INVALID_ARGUMENT)`."""
    if not text:
        return LAST
    try:
        if len(text) > _CURSOR_CHARS:
            raise ValueError
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
        day, _, offset = raw.partition(":")
        if not offset.isdecimal():
            raise ValueError
        return Place(day, int(offset))
    except (ValueError, binascii.Error):
        raise Refusal(Reason.INVALID_ARGUMENT, "not a cursor of this node", "after") from None
