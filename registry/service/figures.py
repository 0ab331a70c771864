"""Figures: how much is registered, active and resolved, in all, by prefix or enterprise, and by day.

Two counts stand behind them, each right by itself: identifiers are counted from the stream (`record_counts`), resolutions by
the workers (`tallies`). Here they are put together for whoever may see them. An enterprise is a registrant that is approved;
its figures are those of the prefixes it holds. Days are those of Asia/Shanghai; of a day that is past, registered and active
are as of its end. An answer is of one moment for what is registered, and for what is resolved at most some seconds older.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NoReturn

from proto import places
from proto.errors import Reason, Refusal
from proto.metrics import Gauge
from proto.model.change import Position, Table
from proto.model.day import day_of, days_before
from proto.model.prefix import PrefixState
from proto.model.resolutions import NO_COUNT, Count
from proto.ports import RecordReader, Stream
from proto.tables import unpack_registrant
from registry.policy.rules import EVERY_REGISTRANT, Action, require
from registry.service.context import Context
from registry.service.execute import Executor
from registry.service.prefixes import holder_of
from registry.service.record_counts import KEPT_DAYS, RecordCounts, Standing
from registry.service.registrants import parse_whose
from registry.service.tallies import TallyDesk

RECORDS_FILE: Final = "records"

# As many as are kept.
MAX_DAYS: Final = KEPT_DAYS

# A node is planned for some thousands; an answer of more would be megabytes.
MAX_GROUPS: Final = 20_000


class Grouping(StrEnum):
    """What figures are told apart by."""

    NOTHING = "nothing"
    PREFIX = "prefix"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, slots=True)
class Sum:
    """Identifiers registered in all and active; questions answered with a record, and answered otherwise."""

    registered: int = 0
    active: int = 0
    resolved: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Day:
    """One day: what was `added` on it, how often identifiers were resolved on it, and how it stood at its end."""

    day: str
    registered: int
    active: int
    added: int
    resolved: int
    missed: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """The figures of one registrant, or of all: `groups` by prefix or by registrant's code, `days` from the oldest on."""

    position: Position
    at_ms: int
    enterprises: int
    prefixes: int
    total: Sum
    groups: Mapping[str, Sum]
    days: tuple[Day, ...]


class Figures:
    """What is counted, and the use case that shows it. `data` and `lag` as `Registry` has them."""

    def __init__(self, executor: Executor, stream: Stream, data: Path | None, lag: Gauge | None) -> None:
        self._executor = executor
        self._reader = executor.reader
        kept = data / places.PROJECTIONS / RECORDS_FILE if data is not None else None
        self.records = RecordCounts(stream, executor.clock, kept, lag)
        self.resolutions = TallyDesk(executor, data / places.TALLIES if data is not None else None)

    async def run(self) -> NoReturn:
        """Count until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.resolutions.run())
            await self.records.run()

    def close(self) -> None:
        """Keep what is counted."""
        self.records.close()

    async def resolved_on(self, day: str) -> dict[str, int]:
        """By prefix, how often identifiers were resolved on a day, as far as workers have handed it on. Raises `Refusal`."""
        try:
            await self.resolutions.settle()
        except OSError as error:
            raise Refusal(Reason.STORE_FAILED, f"tallies cannot be read: {error}") from error
        return {prefix: count.found for prefix, count in self.resolutions.day(day).items()}

    async def show(self, context: Context, registrant: str, grouping: Grouping = Grouping.NOTHING, days: int = 0) -> Statistics:
        """The figures of `registrant` (`EVERY_REGISTRANT`: of all), and those of the last so many days, today's the last.

        Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT, NOT_FOUND for a registrant that there is not,
        NOT_READY while identifiers are still being counted.
        """
        holder = parse_whose(registrant)
        require(context.caller, Action.READ_STATISTICS, holder)
        if not 0 <= days <= MAX_DAYS:
            raise Refusal(Reason.INVALID_ARGUMENT, f"figures of 0 to {MAX_DAYS} days are kept", "days")
        await self._executor.catch_up()
        await self.records.reach(self._reader.position)
        return self._compose(holder, grouping, days)

    def _compose(self, holder: str, grouping: Grouping, days: int) -> Statistics:
        holders = _holders(self._reader, holder)
        standing, resolved = self.records.standing(), self.resolutions.total()
        now_ms = self._executor.clock.now_ms()
        today = day_of(now_ms)
        return Statistics(
            position=self.records.position,
            at_ms=now_ms,
            enterprises=_count_enterprises(self._reader, holder),
            prefixes=len(holders),
            total=_sum(holders, standing, resolved),
            groups=_groups(holders, grouping, standing, resolved),
            days=tuple(self._days([days_before(today, back) for back in reversed(range(days))], holders)),
        )

    def _days(self, days: Sequence[str], prefixes: Mapping[str, str]) -> Iterator[Day]:
        for day, (standing, added) in zip(days, self.records.by_day(days, prefixes), strict=True):
            asked = [count for prefix, count in self.resolutions.day(day).items() if prefix in prefixes]
            found, missed = sum(count.found for count in asked), sum(count.missed for count in asked)
            yield Day(day, standing.registered, standing.active, added, found, missed)


def _holders(reader: RecordReader, holder: str) -> dict[str, str]:
    """The registrant's code of every prefix that is `holder`'s, by the prefix."""
    found = {name: holder_of(image) for name, image in reader.images(Table.PREFIX).items()}
    if holder == EVERY_REGISTRANT:
        return found
    if holder and reader.image(Table.REGISTRANT, holder) is None:
        raise Refusal(Reason.NOT_FOUND, f"there is no registrant {holder}", "registrant")
    return {name: whose for name, whose in found.items() if whose == holder}


def _count_enterprises(reader: RecordReader, holder: str) -> int:
    images = reader.images(Table.REGISTRANT)
    shown = images.values() if holder == EVERY_REGISTRANT else [images[holder]] if holder in images else []
    return sum(unpack_registrant(image).state is PrefixState.APPROVED for image in shown)


def _groups(
    holders: Mapping[str, str], grouping: Grouping, standing: Mapping[str, Standing], resolved: Mapping[str, Count]
) -> dict[str, Sum]:
    if grouping is Grouping.NOTHING:
        return {}
    name_of: Callable[[str], str] = (lambda prefix: prefix) if grouping is Grouping.PREFIX else holders.__getitem__
    members: dict[str, list[str]] = {}
    for prefix in sorted(holders, key=name_of):
        members.setdefault(name_of(prefix), []).append(prefix)
    if len(members) > MAX_GROUPS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"there are more than {MAX_GROUPS}: ask for one enterprise at a time", "by")
    return {name: _sum(prefixes, standing, resolved) for name, prefixes in members.items()}


def _sum(prefixes: Iterable[str], standing: Mapping[str, Standing], resolved: Mapping[str, Count]) -> Sum:
    registered = active = found = missed = 0
    nothing = Standing(0, 0)
    for prefix in prefixes:
        stands, asked = standing.get(prefix, nothing), resolved.get(prefix, NO_COUNT)
        registered += stands.registered
        active += stands.active
        found += asked.found
        missed += asked.missed
    return Sum(registered, active, found, missed)
