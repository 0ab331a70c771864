"""One run of a feed: from its stored cursor on, until it is paused or rewound, or the process ends.

    read a page ahead → deliver the first batch → commit the cursor with what became of it → ...

A page is asked for as soon as the one before it has come: it is made and sent while that is composed and delivered.

The cursor is committed after the system has acknowledged a delivery, never before: what is lost at any moment is the
knowledge that something was delivered, and it is delivered again. A commit costs the node as much as a registration, so
deliveries that follow one another share one: at once after a pause, then one for all of a second (`Transport.uncommitted_s`).
It names the feed's version: if the operator has rewound or paused the feed meanwhile it is refused, and this run is over.

Length: what is read ahead, delivered, held, committed and told again is one loop over one state; parted, each part would hand
the whole of it to the others.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import random
from typing import Any, Final, TypeVar

from adapters.city.core.backlog import Backlog, Entry
from adapters.city.core.event import Event, Key, event_of, head_of, key_of
from adapters.city.core.pace import Pace, Suspicion
from adapters.city.core.page import Page, entry_of
from adapters.city.core.profile import Profile
from adapters.city.core.receipt import Receipt, Settlement, Verdict, letters_settled, settle
from adapters.city.core.retry import RetryPolicy
from adapters.city.core.telling import Telling
from adapters.city.pages import Pages
from adapters.city.registry_client import RegistryClient, StoredFeed, StoredLetter
from adapters.city.transports.transport import Batch, Transport
from adapters.registry_api import NotTaken, Unreachable
from proto.errors import Reason
from proto.metrics import Metrics
from proto.model.change import parse_cursor

log = logging.getLogger(__name__)

Done = TypeVar("Done")

# Read ahead while a system works: enough for the next batches, little enough for dozens of feeds.
BACKLOG_EVENTS: Final = 3_000
BACKLOG_BYTES: Final = 4 * 1024 * 1024
# The body of one delivery: below what web servers take by default would be smaller still, but one record may have 256 kB.
BATCH_BYTES: Final = 1024 * 1024

# While all that is read waits for a time that the system asked for, what comes in the meantime is looked for so often.
HELD_LOOK_S: Final = 1.0
# What is due sooner is due now: timers are no finer, and a rest of no length would be begun again without end.
HELD_LEAST_S: Final = 0.001

# Passed-over changes after which the cursor is committed although nothing was delivered: what a new start reads once more.
PASSED_OVER: Final = 20_000

# Pages read to find a letter's change: the one that it was found in may have begun with thousands that are not for us.
LETTER_PAGES: Final = 3

# The registry comes back within seconds.
REGISTRY_RETRY: Final = RetryPolicy(0.1, 5.0)

# A run that ends tries to commit what it has delivered; a registry that goes away at the same time is not waited for.
LAST_COMMIT_S: Final = 1.0

# As the registry keeps it.
MAX_SENTENCE_CHARS: Final = 300


class Stale(Exception):
    """The feed is no longer as this run found it."""


class Run:
    """A run of `profile`'s feed as it is `stored`."""

    def __init__(
        self,
        profile: Profile,
        stored: StoredFeed,
        client: RegistryClient,
        pages: Pages,
        transport: Transport,
        metrics: Metrics,
    ) -> None:
        self._profile = profile
        self._stored = stored
        self._client = client
        self._pages = pages
        self._transport = transport
        self._deliveries = {verdict: metrics.feed_deliveries.labels(profile.name, verdict) for verdict in Verdict}
        self._backlog = Backlog(stored.cursor)
        self._place = profile.place
        self._each_bytes = len(head_of(profile.source)) + 1  # and a comma
        self._pace = Pace(profile.place.batch)
        self._suspicion = Suspicion()
        # Until when things wait because the system wants them later; no more of them than there are events read ahead.
        self._held: dict[Key, float] = {}
        self._now = asyncio.get_running_loop().time
        self._since = self._now()
        self._letters: dict[Key, int] = {}
        self._fetching: asyncio.Task[Page] | None = None
        self._wake = asyncio.Event()
        self._wants_letters = stored.requested > 0
        self._uncommitted = 0
        self._telling = Telling()
        self._commit_due_s = self._since
        self._passed: str | None = None
        self.is_committing = False
        self.hindrance = ""
        """Why nothing is delivered at the moment, for people; empty if all is well."""

    @property
    def version(self) -> int:
        """The version of the feed that this run stands on."""
        return self._stored.version

    @property
    def cursor(self) -> str:
        """Behind everything that is settled, whether that is committed or not."""
        return self._backlog.cursor

    def oldest(self, head: str) -> str | None:
        """The time of the oldest change that waits, if the stream ends at `head`; empty: none does; None: not known yet.

        Of what is not read it is known that it is younger than what was read last.
        """
        if self._backlog:
            return self._backlog.oldest
        return "" if parse_cursor(self._backlog.cursor) >= parse_cursor(head) else self._passed

    @property
    def _delivered(self) -> int:
        """What the feed has delivered, whether that is committed or not."""
        return self._stored.delivered + self._uncommitted

    def request_letters(self) -> None:
        """Letters are to be delivered again."""
        self._wants_letters = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled. Raises `Stale`."""
        try:
            letters = await self._persist(lambda: self._client.letters(self._profile.name))
            self._letters = {letter.key: letter.row_version for letter in letters}
            while True:
                if self._wants_letters:
                    await self._deliver_letters()
                await self._read_ahead()
                if self._uncommitted and self._now() >= self._commit_due_s:
                    await self._commit(0, (), ())
                if self._is_due():
                    await self._deliver()
                elif self._backlog:
                    continue
                elif _sequence(self._backlog.cursor) - _sequence(self._stored.cursor) >= PASSED_OVER:
                    await self._commit(0, (), ())
                else:
                    await self._look_for_losses()
        finally:
            if self._fetching is not None:
                self._fetching.cancel()
                await asyncio.gather(self._fetching, return_exceptions=True)
            if self._uncommitted:
                with suppress(NotTaken, Unreachable, TimeoutError):
                    async with asyncio.timeout(LAST_COMMIT_S):
                        told = self._telling.take()
                        await self._client.progress(self._stored, self._backlog.cursor, self._uncommitted, (), (), told)

    async def _read_ahead(self) -> None:
        """Take in what was read, and begin to read what comes next; waits only if there is nothing to deliver yet."""
        fetching = self._fetch(self._backlog.end)
        if fetching is None:
            return
        if not self._is_due():
            self._wake.clear()
            waking = asyncio.create_task(self._wake.wait())
            await asyncio.wait((fetching, waking), return_when=asyncio.FIRST_COMPLETED, timeout=self._left_s())
            waking.cancel()
        if fetching.done():
            self._fetching = None
            page = fetching.result()
            self._passed = page.changes[-1]["time"] if page.changes else self._passed
            if not self._backlog:
                self._since = self._now()
            self._fetch(page.cursor, len(page.changes))
            for entries, cursor in page.told(self._profile):
                self._backlog.add(entries, cursor)
                if cursor != page.cursor:
                    await asyncio.sleep(0)  # the turn of who asks for the next page, and of other feeds

    def _left_s(self) -> float | None:
        """Until a batch has been gathered for long enough, or a commit is due; None: there is neither."""
        due_s = [self._since + self._place.gather_s] if self._backlog else []
        if self._uncommitted:
            due_s.append(self._commit_due_s)
        return max(0.0, min(due_s) - self._now()) if due_s else None

    def _is_due(self) -> bool:
        """Whether there is something to deliver, and it was gathered for long enough."""
        backlog, place = self._backlog, self._place
        is_full = len(backlog) >= place.batch or backlog.size_bytes >= BATCH_BYTES
        waited = self._pace.attempts > 0 or self._now() >= self._since + place.gather_s
        return len(backlog) > 0 and (is_full or waited)

    async def _look_for_losses(self) -> None:
        """A system that was emptied is told again, also if nothing changes."""
        after = await self._transport.missing_after(self._delivered)
        if after is not None:
            await self._tell_again(after)

    async def _tell_again(self, after: str) -> None:
        """Go back to what a system still has."""
        log.warning("a system has lost what it was told", extra={"feed": self._profile.name, "cursor": after})
        if self._fetching is not None:
            self._fetching.cancel()
            self._fetching = None
        self._backlog = Backlog(after)
        await self._commit(0, (), ())
        # If this is not noted the next delivery finds the same loss, and it is told from there once more.
        await self._transport.begin_after(self._delivered, after)

    def _fetch(self, after: str, at_hand: int = 0) -> asyncio.Task[Page] | None:
        """The reading of the next page; none while there is enough to deliver, with `at_hand` more that are not composed."""
        backlog = self._backlog
        if self._fetching is None and len(backlog) + at_hand < BACKLOG_EVENTS and backlog.size_bytes < BACKLOG_BYTES:
            self._fetching = asyncio.create_task(self._persist(lambda: self._pages.after(after)))
        return self._fetching

    async def _deliver(self) -> None:
        now = self._now()
        self._held = {key: until for key, until in self._held.items() if until > now + HELD_LEAST_S}
        batch = self._backlog.first(self._pace.size, BATCH_BYTES, self._each_bytes, self._held)
        if not batch:
            await self._rest(min(HELD_LOOK_S, min(self._held.values()) - now))
            return
        receipt = await self._hand_over(batch, self._backlog.end_behind(batch[-1]))
        if receipt.missing_after is not None:
            await self._tell_again(receipt.missing_after)
            return
        settlement = settle(batch, receipt)
        if len(batch) > 1 and len(settlement.refused) == len(batch) and not receipt.single:
            self._pace.refuse(len(batch))
            return
        if (
            settlement.left
            and not settlement.delivered
            and self._pace.is_isolating
            and receipt.retry_after_s is None
            and not receipt.later
        ):
            await self._examine(settlement.left[0], receipt)
            return
        await self._settle(settlement, receipt)
        if settlement.delivered or settlement.refused:
            self.hindrance, self._since = "", self._now()
            self._pace.succeed()
        self._hold(settlement.left, receipt)
        if any(entry.event.id not in receipt.later for entry in settlement.left):
            await self._back_off(receipt)

    def _hold(self, left: Sequence[Entry], receipt: Receipt) -> None:
        """Remember what the system wants to be sent later: the thing waits, and all that comes after it of the same thing."""
        now, retry = self._now(), self._profile.retry
        for entry in left:
            asked_s = receipt.later.get(entry.event.id)
            if asked_s is not None:
                self._held[entry.event.key] = now + retry.delay_s(1, asked_s, random())  # noqa: S311 # jitter
                self.hindrance = f"{receipt.detail}; some of it waits for what the system asked for"

    async def _examine(self, first: Entry, receipt: Receipt) -> None:
        """Nothing was taken for long: find out whether it is the first event or the system."""
        if self._suspicion.fail(first.event.id):
            log.warning("one event fails while others are taken", extra={"feed": self._profile.name, "why": receipt.detail})
            await self._settle(Settlement((), [first], (), ()), receipt)
            self._pace.succeed()
            return
        other = self._backlog.first_other(first.event.key, self._held)
        if other is not None:
            probed = await self._hand_over([other], self._backlog.cursor)
            if probed.on(other.event.id) is Verdict.DELIVERED:
                self._suspicion.take_other()
                await self._settle(Settlement([other], (), (), ()), receipt)
                return  # and the first once more, at once: the system is there
        await self._back_off(receipt)

    async def _settle(self, settlement: Settlement, receipt: Receipt) -> None:
        """Commit what a delivery came to, if it came to anything."""
        gone = [*settlement.delivered, *settlement.refused, *settlement.superseded]
        if not gone:
            return
        attempts = self._pace.attempts + 1
        refused = [_letter(entry.event, entry.before, attempts, receipt.detail) for entry in settlement.refused]
        keys = letters_settled(self._letters, settlement.delivered)
        self._backlog.settle(gone)
        self._uncommitted += len(settlement.delivered)
        self._telling.add(settlement.delivered)
        if refused or keys or not settlement.delivered or self._now() >= self._commit_due_s:
            await self._commit(0, refused, sorted(keys))
        for key in keys:
            del self._letters[key]
        for entry in settlement.refused:
            self._letters[entry.event.key] = max(entry.event.version, self._letters.get(entry.event.key, 0))

    async def _commit(self, delivered: int, refused: Sequence[Mapping[str, Any]], settled: Sequence[Key]) -> None:
        """Commit `delivered` more, and what was not committed yet. Raises `Stale` if the feed is not as it was.

        A feed with too many letters is paused.
        """
        cursor, stored, told = self._backlog.cursor, self._stored, self._telling.take()
        delivered, self._uncommitted = delivered + self._uncommitted, 0
        self.is_committing = True
        try:
            version = await self._persist(lambda: self._client.progress(stored, cursor, delivered, refused, settled, told))
        except NotTaken as not_taken:
            if not_taken.reason == Reason.VERSION_CONFLICT:
                raise Stale from None
            await self._stop(not_taken.detail)
        else:
            self._stored = replace(stored, cursor=cursor, version=version, delivered=stored.delivered + delivered)
            self._commit_due_s = self._now() + self._transport.uncommitted_s
        finally:
            self.is_committing = False

    async def _deliver_letters(self) -> None:
        """Deliver each letter that was asked for once; what is not taken stays a letter, with the reason of this time."""
        self._wants_letters = False
        name = self._profile.name
        for letter in await self._persist(lambda: self._client.letters(name, requested_only=True)):
            entry, why = await self._entry_of(letter)
            if entry is None and not why:
                await self._commit(0, (), [letter.key])
                self._letters.pop(letter.key, None)
                continue
            receipt = Receipt(Verdict.REFUSED, why)
            if entry is not None:
                receipt = await self._hand_over([entry], self._backlog.cursor)
            if entry is not None and receipt.on(entry.event.id) is Verdict.DELIVERED:
                self._telling.add([entry])
                await self._commit(1, (), [letter.key])
                self._letters.pop(letter.key, None)
            else:
                again = _letter_again(letter, receipt.detail)
                await self._commit(0, [again], ())

    async def _entry_of(self, letter: StoredLetter) -> tuple[Entry | None, str]:
        """The event of a letter, with its place, read once more. None and no reason: the profile selects it no more."""
        after = letter.before
        for _ in range(LETTER_PAGES):
            try:
                page = await self._persist(partial(self._client.changes, after, 1, 0))
            except NotTaken as not_taken:
                return None, str(not_taken)
            after = page.cursor
            if page.changes:
                break
        for change in page.changes:
            for row in change["rows"]:
                if key_of(row) == letter.key:
                    event = event_of(row, self._profile.selection, self._profile.shape)
                    return (entry_of(event, letter.before, change, row) if event is not None else None), ""
        return None, "its change cannot be read any more"

    async def _hand_over(self, entries: Sequence[Entry], end: str) -> Receipt:
        """Deliver; if it is taken the system has everything up to `end`."""
        events = [entry.event for entry in entries]
        receipt = await self._transport.deliver(Batch(events, self._delivered, entries[0].before, end))
        verdicts = Counter(receipt.on(event.id) for event in events) if receipt.single else {receipt.verdict: len(events)}
        for verdict, count in verdicts.items():
            self._deliveries[verdict].inc(count)
        return receipt

    async def _back_off(self, receipt: Receipt) -> None:
        if self._uncommitted:
            await self._commit(0, (), ())
        self._pace.fail()
        delay_s = self._profile.retry.delay_s(self._pace.attempts, receipt.retry_after_s, random())  # noqa: S311 # jitter
        if self._pace.attempts == 1:
            log.warning("a system takes nothing", extra={"feed": self._profile.name, "why": receipt.detail})
        self.hindrance = f"{receipt.detail}; attempt {self._pace.attempts + 1} after {delay_s:.1f} s"
        await self._rest(delay_s)

    async def _rest(self, delay_s: float) -> None:
        """Wait, unless letters are asked for."""
        self._wake.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), delay_s)

    async def _stop(self, why: str) -> None:
        """Nothing goes on without the operator. Always raises `Stale`."""
        log.error("a feed stops", extra={"feed": self._profile.name, "why": why})
        await self._persist(lambda: self._client.pause(self._profile.name, why[:MAX_SENTENCE_CHARS]))
        raise Stale

    async def _persist(self, ask: Callable[[], Awaitable[Done]]) -> Done:
        """Ask the registry until it answers. Raises `NotTaken`."""
        attempt = 0
        while True:
            try:
                return await ask()
            except Unreachable as unreachable:
                attempt += 1
                if attempt == 1:
                    log.warning("the registry cannot be reached", extra={"feed": self._profile.name, "why": str(unreachable)})
                await asyncio.sleep(REGISTRY_RETRY.delay_s(attempt, None, random()))  # noqa: S311 # jitter


def _letter(event: Event, before: str, attempts: int, reason: str) -> Mapping[str, Any]:
    kind, name = event.key
    return {
        "kind": kind, "name": name, "before": before, "row_version": event.version, "attempts": attempts,
        "reason": reason[:MAX_SENTENCE_CHARS],
    }  # fmt: skip


def _letter_again(letter: StoredLetter, reason: str) -> Mapping[str, Any]:
    kind, name = letter.key
    return {
        "kind": kind, "name": name, "before": letter.before, "row_version": letter.row_version,
        "attempts": letter.attempts + 1, "reason": reason[:MAX_SENTENCE_CHARS],
    }  # fmt: skip


def _sequence(cursor: str) -> int:
    return parse_cursor(cursor).sequence
