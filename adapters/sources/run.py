"""One run of a source: populate, plan, apply, and a report of it.

    read rows → compare with what is registered → the brake → register in batches → report (bookmark, counts, faults) → read on

The bookmark moves only with the report, after everything before it is registered or named as a fault. So a kill at any moment
costs a repetition, and a repetition finds unchanged what was registered before. Every write names the version that the plan was
made from: what somebody else wrote meanwhile is never overwritten unseen, but read, compared and planned anew. A batch whose
outcome is unknown is sent again under its idempotency key.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from adapters.registry_api import NotTaken, Unreachable
from adapters.sources.core.plan import Doing, Fault, Plan, Sheet, Step, TooMuch, held_by
from adapters.sources.core.profile import Profile
from adapters.sources.readers.reader import Reader, Unreadable
from adapters.sources.registry_client import RegistryClient, StoredSource, row_of
from proto.errors import Reason

log = logging.getLogger(__name__)

Done = TypeVar("Done")

# A batch is one change of at most 4 MiB and one turn at the committer, where others wait as well.
BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 1024 * 1024

# Records that are read one by one, at once.
READS_AT_ONCE: Final = 8

# The registry comes back within seconds; if it does not, the run is over and the next begins where this one did. Seconds.
PATIENCE_S: Final = (0.1, 0.3, 1.0, 2.0, 5.0, 5.0)

# How often a run is planned anew because others write the same identifiers; beyond, somebody works against the source.
ATTEMPTS: Final = 3

# As the registry keeps them.
MAX_FAULTS: Final = 20
MAX_SENTENCE_CHARS: Final = 300

COUNTED: Final[Mapping[Doing, str]] = {
    Doing.CREATE: "created",
    Doing.REPLACE: "replaced",
    Doing.SUSPEND: "suspended",
    Doing.RETIRE: "retired",
    Doing.RESUME: "resumed",
}
"""What a step is counted as, once it is taken."""

COUNTS: Final = ("rows", *COUNTED.values(), "unchanged", "faulty")

# Why the registry would refuse whatever is asked, a report as well.
_SHUT_OUT: Final = frozenset({Reason.UNAUTHENTICATED})


class Stale(Exception):
    """The source is no longer as this run found it: somebody asked for another run, or ran it."""


class _Moved(Exception):
    """Identifiers are no longer as they were when the plan was made."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run: `state` is done, stopped or failed, `message` says why or how, and `plan_digest` names the plan that
    stopped it."""

    state: str
    message: str
    counts: Mapping[str, int]
    faults: Sequence[Fault]
    plan_digest: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether all was well and there was nothing to do."""
        return self.state == "done" and not _has_news(self.counts)


class Run:
    """A run of a source, as it is `stored`, from its bookmark on.

    `over_brake` is the digest of the plan that may pass the brake. The run begins with exactly that plan or is stopped; what it
    reads behind it is held to the brake as always.
    """

    def __init__(
        self, profile: Profile, reader: Reader, client: RegistryClient, stored: StoredSource, *, over_brake: str = ""
    ) -> None:
        self._profile = profile
        self._reader = reader
        self._client = client
        self._stored = stored
        self._over_brake = over_brake
        self._key = f"source-{profile.name}-{secrets.token_hex(8)}"
        self._writes = 0
        self._counts: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._touched = 0
        # What the parts before the one at hand came to: where it is planned anew from.
        self._reported = self._counts.copy(), list(self._faults), self._touched

    async def run(self) -> RunResult:
        """Run it to its end, and report that.

        Raises `Stale`, `Unreachable` if the registry does not come back, and `NotTaken` if it does not let the account work.
        """
        for _ in range(ATTEMPTS):
            try:
                return await self._run()
            except _Moved as moved:
                log.info("a source is planned anew", extra={"source": self._profile.name, "why": str(moved)})
                counts, faults, self._touched = self._reported
                self._counts, self._faults = counts.copy(), list(faults)
                why = str(moved)
            except (Unreadable, TooMuch) as failure:
                why = str(failure)
                break
            except NotTaken as not_taken:
                if not_taken.reason in _SHUT_OUT:
                    raise
                why = f"the registry refuses: {not_taken}"
                break
        return await self._report("failed", why, self._stored.bookmark)

    async def plans(self) -> AsyncGenerator[tuple[Plan, str], None]:
        """What is to be done, in parts that can be held, each with the bookmark behind it; nothing is written.

        Raises `Unreadable`, `TooMuch`, `NotTaken`, `Unreachable`.
        """
        profile, bookmark = self._profile, self._stored.bookmark
        rule = await self._persist(lambda: self._client.suffix_rule(profile.prefix))
        sheet: Sheet | None = None
        async with aclosing(self._reader.read(bookmark)) as portions:
            async for portion in portions:
                sheet = sheet or Sheet(profile, rule)
                _check_columns(profile, portion.columns)
                for row in portion.rows:
                    sheet.add(row)
                bookmark = portion.bookmark
                if sheet.is_full and profile.place.is_whole:
                    raise Unreadable(
                        f"{sheet.plan.rows} rows and more cannot be compared at once: have it read with a bookmark"
                    )
                if sheet.is_full:
                    yield await self._plan(sheet), bookmark
                    sheet = None
        if sheet is not None:
            yield await self._plan(sheet), bookmark

    async def _run(self) -> RunResult:
        result = None
        async with aclosing(self.plans()) as plans:
            async for plan, bookmark in plans:
                self._counts["rows"] += plan.rows
                self._counts["unchanged"] += plan.unchanged
                self._counts["faulty"] += plan.faults.count
                self._faults += plan.faults.first
                if why := self._stopped_by(plan):
                    return await self._report("stopped", why, self._stored.bookmark, plan.digest)
                await self._apply(plan)
                if self._over_brake:
                    self._over_brake, self._touched = "", 0  # what was meant to be touched does not count against the rest
                result = await self._report("done", plan.note, bookmark)
                self._reported = self._counts.copy(), list(self._faults), self._touched
        gone = f"plan {self._over_brake} may pass, and there is nothing left to do" if self._over_brake else ""
        return result or await self._report("done", gone, self._stored.bookmark)

    def _stopped_by(self, plan: Plan) -> str:
        """Why a plan is not applied; empty if it is. Whoever reads it finds what has to be known to let it pass."""
        if self._over_brake:
            if plan.digest == self._over_brake:
                return ""
            held = plan.held or "nothing holds it"
            return f"plan {self._over_brake} may pass, and this is another, {plan.digest}: {plan.summary}; {held}"
        return f"{plan.held} (plan {plan.digest})" if plan.held else ""

    async def _plan(self, sheet: Sheet) -> Plan:
        """Compare what was read with what is registered."""
        if not sheet.has_names:
            first = sheet.plan.faults.first[0]
            raise Unreadable(f"not one of {sheet.plan.rows} rows has a name; {first.row}: {first.reason}")
        profile, client = self._profile, self._client
        if profile.place.is_whole:
            async with aclosing(client.records(profile.prefix)) as records:
                async for record in records:
                    sheet.meet(record)
        there = await self._rehearse(sheet)
        for keys in _pieces(there, READS_AT_ONCE):
            await asyncio.gather(*(self._meet(sheet, key, name) for key, name in keys))
        plan = sheet.finish()
        if not profile.place.is_whole and plan.touched + self._touched > profile.brake.least:
            plan.existing = await self._count_existing(sheet, plan.touched + self._touched)
        plan.held = held_by(profile.brake, plan, touched_before=self._touched, is_whole=profile.place.is_whole)
        return plan

    async def _rehearse(self, sheet: Sheet) -> list[tuple[str, str]]:
        """Ask what would become of rows as new identifiers; returns keys and names of those that exist."""
        there = []
        for part in _pieces(sheet.expected(), BATCH_ROWS):
            rows = [{"identifier": name, "only_if_absent": True, **sheet.draft(key)} for key, name in part]
            results = []
            for few in _weighed(rows, lambda row: len(str(row))):
                results += await self._persist(lambda few=few: self._client.rehearse(few))  # type: ignore[misc]  # bound at once
            for (key, name), result in zip(part, results, strict=True):
                if not result.is_refused:
                    sheet.create(key)
                elif result.has_moved:
                    there.append((key, name))
                else:
                    sheet.refuse(key, f"{result.reason}: {result.detail}")
        return there

    async def _meet(self, sheet: Sheet, key: str, name: str) -> None:
        """Compare a row with the record that is there."""
        try:
            record = await self._persist(lambda: self._client.record(name))
        except NotTaken as not_taken:
            sheet.refuse(key, str(not_taken))
            return
        if not sheet.meets(key, record):
            sheet.refuse(key, f"it is an alias of {record['identifier']}")

    async def _count_existing(self, sheet: Sheet, touched: int) -> int:
        """How many identifiers are the source's, as far as the brake has to know."""
        share, found = self._profile.brake.share, 0
        async with aclosing(self._client.records(self._profile.prefix)) as records:
            async for record in records:
                found += sheet.owns(record)
                if found * share >= touched:
                    break
        return found

    async def _apply(self, plan: Plan) -> None:
        """Take the steps of a plan. Raises `_Moved` if some cannot be taken because others wrote meanwhile."""
        versions: dict[str, int] = {}
        moved = 0
        self._touched += plan.touched
        bodied = [step for step in plan.steps if step.body]
        for steps in _weighed(bodied, lambda step: len(step.body)):
            moved += await self._register(steps, versions)
        bare = [step for step in plan.steps if not step.body]
        for few in _pieces(bare, READS_AT_ONCE):
            moved += sum(await asyncio.gather(*(self._move(step, versions) for step in few)))
        if moved:
            raise _Moved(f"{moved} identifiers were changed by others while they were planned")

    async def _register(self, steps: Sequence[Step], versions: dict[str, int]) -> int:
        """Register a batch; returns how many were no longer as they were."""
        moved, key = 0, self._next_key()
        rows = [row_of(step) for step in steps]
        for step, result in zip(steps, await self._persist(lambda: self._client.register(rows, key)), strict=True):
            if not result.is_refused:
                self._counts[result.outcome] += 1
                versions[step.identifier] = result.version
            elif result.has_moved:
                moved += 1
            else:
                self._fail(step, f"{result.reason}: {result.detail}")
        return moved

    async def _move(self, step: Step, versions: Mapping[str, int]) -> int:
        """Suspend, resume or retire; 1 if the identifier was no longer as it was."""
        key, version = self._next_key(), versions.get(step.identifier, step.version)
        try:
            await self._persist(lambda: self._client.move(step, version, key))
        except NotTaken as not_taken:
            if not_taken.reason in _SHUT_OUT:
                raise
            if not_taken.reason == Reason.VERSION_CONFLICT:
                return 1
            self._fail(step, str(not_taken))
            return 0
        self._counts[COUNTED[step.doing]] += 1
        return 0

    def _fail(self, step: Step, reason: str) -> None:
        self._counts["faulty"] += 1
        self._faults.append(Fault(step.row or step.identifier, reason))

    def _next_key(self) -> str:
        """An idempotency key of this run alone: what an earlier run was told must not be told to this one."""
        self._writes += 1
        return f"{self._key}-{self._writes}"

    async def _report(self, state: str, message: str, bookmark: str, plan_digest: str = "") -> RunResult:
        """Keep what came of the run; a run that found nothing new leaves the counts and faults of the one before."""
        document: dict[str, Any] = {"state": state, "bookmark": bookmark, "message": message[:MAX_SENTENCE_CHARS]}
        document |= {"plan_digest": plan_digest} if plan_digest else {}
        if _has_news(self._counts) or (self._profile.place.is_whole and self._counts["rows"]) or state == "stopped":
            faults = [
                {"row": fault.row[:MAX_SENTENCE_CHARS], "reason": fault.reason[:MAX_SENTENCE_CHARS]}
                for fault in self._faults[:MAX_FAULTS]
            ]
            document |= {"counts": dict(self._counts), "faults": faults}
        try:
            self._stored = await self._persist(lambda: self._client.report(self._stored, document))
        except NotTaken as not_taken:
            if not_taken.reason == Reason.VERSION_CONFLICT:
                raise Stale from None
            raise
        return RunResult(state, message, {name: self._counts[name] for name in COUNTS}, tuple(self._faults), plan_digest)

    async def _persist(self, ask: Callable[[], Awaitable[Done]]) -> Done:
        """Ask the registry until it answers, for a while. Raises `NotTaken`, `Unreachable`."""
        for delay_s in PATIENCE_S:
            try:
                return await ask()
            except Unreachable as unreachable:
                log.warning("the registry cannot be reached", extra={"source": self._profile.name, "why": str(unreachable)})
                await asyncio.sleep(delay_s)
        return await ask()


def _has_news(counts: Mapping[str, int]) -> bool:
    return any(count for name, count in counts.items() if name not in ("rows", "unchanged"))


def _check_columns(profile: Profile, columns: Collection[str] | None) -> None:
    """Raise `Unreadable` if the mapping names a column that the source does not have: it was renamed, or is misspelt."""
    missing = sorted(profile.mapping.columns - set(columns)) if columns is not None else []
    if missing:
        there = ", ".join(columns or ())
        raise Unreadable(f"there is no column {', '.join(missing)}; there are {there}")


def _pieces(things: Sequence[Done], size: int) -> Iterator[Sequence[Done]]:
    for at in range(0, len(things), size):
        yield things[at : at + size]


def _weighed(things: Iterable[Done], weigh: Callable[[Done], int]) -> Iterator[list[Done]]:
    """Batches of so many rows and bytes; a heavier thing goes alone."""
    batch: list[Done] = []
    size = 0
    for thing in things:
        weight = weigh(thing)
        if batch and (len(batch) == BATCH_ROWS or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(thing)
        size += weight
    if batch:
        yield batch
