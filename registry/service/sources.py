"""Sources: how far each enterprise's system was read, and what came of the last run.

The registrant's own account runs a source: it commits the bookmark, behind what is registered by then, in one change with the
report of the run. Everybody who may run it asks for a run at once; that a plan pass the brake only the operator allows, by the
plan's digest and for that one run. Whoever is running finds that out by the source's version.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import DEFAULT_PAGE
from proto.model.account import Caller, Role
from proto.model.change import Table
from proto.model.source import RowFault, RunCounts, Source, SourceState
from proto.ports import RecordReader
from proto.tables import pack_source, unpack_source
from registry.policy.rules import Action, Reach, enter, judge, require
from registry.service.context import Context
from registry.service.execute import Executor, Written
from registry.service.listing import Page, page_of, plan_nothing, plan_row
from registry.service.plan import Plan, check_version

# A name stands in paths, keys, metrics and events.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

# Each is a row in the memory of every process and a label of the metrics; a region has some hundred enterprises that connect.
MAX_SOURCES: Final = 256
# Of one registrant: the systems of an enterprise, and no more of the node's.
MAX_SOURCES_OF_ONE: Final = 16

# Of a folder of files it names a thousand; of a table it is a key.
MAX_BOOKMARK_CHARS: Final = 16_384

# The first faults show what is wrong; whoever wants all of them plans the source by hand.
MAX_FAULTS: Final = 20

# What names a plan: the adapters' digest.
_DIGEST: Final = re.compile(r"[0-9a-f]{16}")

# A sentence about a run, about a row, and what names the row.
MAX_SENTENCE_CHARS: Final = 300

# Counts are unsigned 64-bit integers in the store; no run has so many rows.
MAX_COUNT: Final = 2**53


@dataclass(frozen=True, slots=True)
class RunReport:
    """What came of a run, and the bookmark to read on behind. Without counts those of the run before stay, and its faults."""

    state: SourceState
    bookmark: str
    message: str = ""
    counts: RunCounts | None = None
    faults: Sequence[RowFault] = ()
    plan_digest: str = ""


def plan_source(reader: RecordReader, caller: Caller, name: str, account: str, now_ms: int) -> Plan:
    """A new source that `account` (empty: the caller's) runs; the same again changes nothing.

    Raises `Refusal`: PERMISSION_DENIED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS if another account runs it, QUOTA_EXCEEDED.
    """
    enter(caller, Action.RUN_SOURCE)
    if not _NAME.fullmatch(name):
        raise Refusal(Reason.INVALID_ARGUMENT, "a name is 1 to 64 lower-case letters, digits and '-'", "name")
    runner = reader.account(account or caller.account)
    if runner is None:
        raise Refusal(Reason.NOT_FOUND, f"there is no account {account}", "account")
    require(caller, Action.RUN_SOURCE, runner.registrant)
    if runner.role not in (Role.REGISTRANT, Role.OPERATOR):
        raise Refusal(Reason.INVALID_ARGUMENT, f"account {runner.name} registers nothing", "account")
    image = reader.image(Table.SOURCE, name)
    if image is not None:
        there = unpack_source(image)
        if there.account != runner.name:
            raise Refusal(Reason.ALREADY_EXISTS, f"there is a source {name}", "name")
        return plan_nothing(name, image, there.version, there.state)
    images = reader.images(Table.SOURCE)
    of_one = sum(unpack_source(each).registrant == runner.registrant for each in images.values())
    if len(images) >= MAX_SOURCES or (runner.registrant and of_one >= MAX_SOURCES_OF_ONE):
        why = (
            f"there are {len(images)} sources, {of_one} of this registrant; {MAX_SOURCES} and {MAX_SOURCES_OF_ONE} are the most"
        )
        raise Refusal(Reason.QUOTA_EXCEEDED, why, "name")
    new, counts = SourceState.NEW, RunCounts()
    source = Source(name, runner.name, runner.registrant, new, "", False, "", "", "", counts, (), 0, 0, 1, now_ms, now_ms)
    return plan_row(Table.SOURCE, name, pack_source(source), 1, source.state)


def plan_report(
    reader: RecordReader, caller: Caller, name: str, report: RunReport, expected_version: int | None, now_ms: int
) -> Plan:
    """A source after a run: what was asked for is done. Raises `Refusal`: NOT_FOUND, VERSION_CONFLICT, INVALID_ARGUMENT."""
    before = find_source(reader, caller, name)
    check_version(before.version, expected_version)
    _check_report(report)
    after = replace(
        before,
        state=report.state,
        bookmark=report.bookmark,
        is_requested=False,
        over_brake="",
        message=report.message,
        plan_digest=report.plan_digest,
        counts=before.counts if report.counts is None else report.counts,
        faults=before.faults if report.counts is None else tuple(report.faults),
        ran_ms=now_ms,
        done_ms=now_ms if report.state is SourceState.DONE else before.done_ms,
    )
    return _plan_next(before, after, now_ms)


def plan_request(reader: RecordReader, caller: Caller, name: str, over_brake: str, again: bool, now_ms: int) -> Plan:
    """A source that is to be run at once; `over_brake` is the digest of the plan that may pass the brake in this run (or
    empty), `again` reads it from its beginning."""
    before = find_source(reader, caller, name)
    if over_brake:
        require(caller, Action.LIFT_BRAKE, before.registrant)
        _check_digest(over_brake, "over_brake")
    bookmark = "" if again else before.bookmark
    return _plan_next(before, replace(before, is_requested=True, over_brake=over_brake, bookmark=bookmark), now_ms)


def find_source(reader: RecordReader, caller: Caller, name: str) -> Source:
    """A source that the caller may see. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND."""
    enter(caller, Action.RUN_SOURCE)
    image = reader.image(Table.SOURCE, name)
    source = unpack_source(image) if image is not None else None
    if source is None or not _may_see(caller, source):
        raise Refusal(Reason.NOT_FOUND, f"there is no source {name}", "source")
    return source


def list_sources(reader: RecordReader, caller: Caller, after: str, limit: int) -> Page[Source]:
    """The sources of the caller's registrant, or all for the operator, by name."""
    enter(caller, Action.RUN_SOURCE)
    images = reader.images(Table.SOURCE)

    def item_of(name: str) -> Source | None:
        source = unpack_source(images[name])
        return source if _may_see(caller, source) else None

    return page_of(images, after, limit, item_of)


class Sources:
    """The verbs of sources, as doors see them; like those of `registry.service.registry.Registry`."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._reader = executor.reader

    async def create(self, context: Context, name: str, account: str = "") -> Written:
        """Create a source; the same again changes nothing."""
        reader, caller = self._reader, context.caller
        return await self._executor.execute(context, lambda now_ms: plan_source(reader, caller, name, account, now_ms))

    async def report(self, context: Context, name: str, report: RunReport, expected_version: int | None = None) -> Written:
        """Keep what came of a run."""
        reader, caller = self._reader, context.caller
        return await self._executor.execute(
            context, lambda now_ms: plan_report(reader, caller, name, report, expected_version, now_ms)
        )

    async def request(self, context: Context, name: str, *, over_brake: str = "", again: bool = False) -> Written:
        """Ask for a run at once."""
        reader, caller = self._reader, context.caller
        return await self._executor.execute(
            context, lambda now_ms: plan_request(reader, caller, name, over_brake, again, now_ms)
        )

    async def show(self, context: Context, name: str) -> Source:
        """One source."""
        await self._executor.catch_up()
        return find_source(self._reader, context.caller, name)

    async def list(self, context: Context, after: str = "", limit: int = DEFAULT_PAGE) -> Page[Source]:
        """The sources that the caller may see."""
        await self._executor.catch_up()
        return list_sources(self._reader, context.caller, after, limit)


def _may_see(caller: Caller, source: Source) -> bool:
    return judge(caller, Action.RUN_SOURCE, source.registrant) is Reach.WHOLE


def _check_report(report: RunReport) -> None:
    if report.state is SourceState.NEW:
        raise Refusal(Reason.INVALID_ARGUMENT, "a run has an outcome", "state")
    if len(report.bookmark) > MAX_BOOKMARK_CHARS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_BOOKMARK_CHARS} characters", "bookmark")
    if len(report.faults) > MAX_FAULTS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_FAULTS} faults", "faults")
    if report.plan_digest:
        _check_digest(report.plan_digest, "plan_digest")
    _check_sentence(report.message, "message")
    for place, fault in enumerate(report.faults):
        _check_sentence(fault.row, f"faults[{place}].row")
        _check_sentence(fault.reason, f"faults[{place}].reason")
    if report.faults and report.counts is None:
        raise Refusal(Reason.INVALID_ARGUMENT, "faults come with counts", "faults")
    for field in fields(RunCounts) if report.counts is not None else ():
        if not 0 <= getattr(report.counts, field.name) <= MAX_COUNT:
            raise Refusal(Reason.INVALID_ARGUMENT, f"a count is 0 to {MAX_COUNT}", f"counts.{field.name}")


def _check_digest(text: str, field: str) -> None:
    if not _DIGEST.fullmatch(text):
        raise Refusal(Reason.INVALID_ARGUMENT, "the digest of a plan is 16 hexadecimal digits", field)


def _check_sentence(text: str, field: str) -> None:
    if len(text) > MAX_SENTENCE_CHARS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_SENTENCE_CHARS} characters", field)


def _plan_next(before: Source, after: Source, now_ms: int) -> Plan:
    if after == before:
        return plan_nothing(before.name, pack_source(before), before.version, before.state)
    after = replace(after, version=before.version + 1, changed_ms=max(now_ms, before.changed_ms))
    return plan_row(Table.SOURCE, after.name, pack_source(after), after.version, after.state, before.state)
