"""The figures of a day: identifiers registered and active by prefix, as a filing that tells the upstream.

A day's figures are the figures of the day before, carried on by the changes of the day: nothing is counted beside the stream,
so nothing can be counted twice or missed, however often the work is begun again. Days are those of Asia/Shanghai. A report
names where its day ends in the stream; the next one begins there. How often identifiers were resolved on the day is what
workers have handed on by the time the report is made (`registry.service.tallies`): what a worker hands on later than a minute
after midnight is in the day's row of the store, and no longer in the report.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.change import START, Change, Position, Row, Table, parse_cursor
from proto.model.day import DAY_MS, day_of, start_of
from proto.model.filing import SETTLED, Filing, FilingKind, FilingState, Step, filing_key
from proto.model.identifier import PREFIX_OF_PREFIXES
from proto.model.record import State
from proto.ports import RecordReader, Stream
from proto.stream import parse_payload
from proto.tables import pack_filing, unpack_filing
from registry.policy.rules import Action, enter
from registry.service.listing import plan_nothing, plan_row
from registry.service.plan import Plan

# A change gets its time before it can be read: so long after the end of a day none of that day is still to come.
GRACE_MS: Final = 60_000

# Changes are read in portions, and others get their turn in between.
PORTION: Final = 16

# Reports are kept for longer than a year; those that are approved and that no other builds on lose their figures before that,
# because every process holds them in memory (the change log has them all). One that was rejected may be tried again.
MAX_DAYS: Final = 400

# Reports that nobody has taken yet are kept for a quarter, with their figures: a system that begins to take them, or is back,
# is told that much. With a thousand prefixes that is some 5 MB in every process; a year would be 20.
MAX_UNTOLD_DAYS: Final = 100


@dataclass(slots=True)
class Figures:
    """Figures up to `cursor`: by prefix, identifiers registered in all, active now, and registered on the day at hand."""

    cursor: Position = START
    prefixes: dict[str, list[int]] = field(default_factory=dict)

    def carry_on(self, change: Change, day_start_ms: int) -> None:
        """Count a change; what came before the day is not of the day."""
        for row in parse_payload(change.payload):
            if row.table is Table.RECORD:
                self._count(row, change.time_ms >= day_start_ms)
        self.cursor = change.position

    def _count(self, row: Row, is_of_day: bool) -> None:
        prefix, _, _ = row.name.partition("/")
        if prefix == PREFIX_OF_PREFIXES:
            return  # records of prefixes themselves are no products
        counts = self.prefixes.setdefault(prefix, [0, 0, 0])
        is_new = row.prior_version == 0
        counts[0] += is_new
        counts[2] += is_new and is_of_day
        counts[1] += (row.state == State.ACTIVE) - (not is_new and row.prior_state == State.ACTIVE)


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The figures of a whole day, as they are counted from the stream."""

    day: str
    figures: Figures

    def content(self, resolved: Mapping[str, int]) -> str:
        """What is reported: by prefix registered, active, added, and how often it was `resolved` on the day."""
        prefixes = {name: [*counts, resolved.get(name, 0)] for name, counts in self.figures.prefixes.items()}
        told = {"day": self.day, "cursor": self.figures.cursor.to_cursor(), "prefixes": prefixes}
        return json.dumps(told, sort_keys=True, separators=(",", ":"))


def next_day(reader: RecordReader, now_ms: int) -> str:
    """The next day to be reported; empty if it is not over. The first is yesterday: nobody awaits those before."""
    newest = _newest(reader)
    over = day_of(now_ms - GRACE_MS - DAY_MS)
    if not newest:
        return over
    following = (date.fromisoformat(newest) + timedelta(1)).isoformat()
    return following if following <= over else ""


async def count_day(reader: RecordReader, stream: Stream, day: str) -> DayFigures:
    """The figures of a day that is over. Raises `Refusal` if the changes since the last report cannot be read any more."""
    start_ms = start_of(day)
    try:
        return DayFigures(day, await _carry_on(_base(reader), stream, start_ms))
    except Refusal as refusal:
        if refusal.reason is not Reason.INVALID_ARGUMENT:
            raise
        # After a restore the last report may end in another history: everything is counted anew.
        return DayFigures(day, await _carry_on(Figures(), stream, start_ms))


def plan_report(reader: RecordReader, caller: Caller, counted: DayFigures, resolved: Mapping[str, int], now_ms: int) -> Plan:
    """The draft of a day's report; a day that has one keeps it. Raises `Refusal(PERMISSION_DENIED)`."""
    enter(caller, Action.RUN_FILING)
    key = filing_key(FilingKind.STATISTICS, counted.day)
    images = _images(reader)
    if key in images:
        there = unpack_filing(images[key])
        return plan_nothing(key, images[key], there.version, there.state)
    step, content = Step(now_ms, FilingState.DRAFT), counted.content(resolved)
    filing = Filing(FilingKind.STATISTICS, counted.day, "", FilingState.DRAFT, content, (step,), 0, 1, now_ms, now_ms)
    plan = plan_row(Table.FILING, key, pack_filing(filing), 1, filing.state)
    plan.rows += _make_room(images, counted.day)
    return plan


def has_figures(filing: Filing) -> bool:
    """Whether a report has its figures still."""
    return "prefixes" in json.loads(filing.content)


def _make_room(images: Mapping[str, bytes], day: str) -> Iterable[Row]:
    newest = date.fromisoformat(day)
    oldest = {state: (newest - timedelta(MAX_DAYS)).isoformat() for state in SETTLED}
    oldest[FilingState.DRAFT] = (newest - timedelta(MAX_UNTOLD_DAYS)).isoformat()
    for key, image in images.items():
        filing = unpack_filing(image)
        if filing.state not in oldest:
            continue  # the upstream may have it: the answer is awaited, however long it takes
        if filing.name < oldest[filing.state]:
            yield Row(Table.FILING, key, b"", filing.version + 1, filing.version, 0, filing.state)
        elif filing.state is FilingState.APPROVED and has_figures(filing):
            after = replace(filing, content=json.dumps({"day": filing.name}), version=filing.version + 1)
            yield Row(Table.FILING, key, pack_filing(after), after.version, filing.version, after.state, filing.state)


async def _carry_on(figures: Figures, stream: Stream, start_ms: int) -> Figures:
    while portion := stream.read(figures.cursor, PORTION):
        for change in portion:
            if change.time_ms >= start_ms + DAY_MS:
                return figures
            figures.carry_on(change, start_ms)
            await asyncio.sleep(0)
    return figures


def _base(reader: RecordReader) -> Figures:
    """The figures of the last report, with nothing of the day yet."""
    newest = _newest(reader)
    image = reader.image(Table.FILING, filing_key(FilingKind.STATISTICS, newest)) if newest else None
    if image is None:
        return Figures()
    content: dict[str, Any] = json.loads(unpack_filing(image).content)
    prefixes = {name: [registered, active, 0] for name, (registered, active, *_) in content["prefixes"].items()}
    return Figures(parse_cursor(content["cursor"]), prefixes)


def _images(reader: RecordReader) -> dict[str, bytes]:
    head = filing_key(FilingKind.STATISTICS, "")
    return {key: image for key, image in reader.images(Table.FILING).items() if key.startswith(head)}


def _newest(reader: RecordReader) -> str:
    """The last day that has a report."""
    return max((key.partition("/")[2] for key in _images(reader)), default="")
