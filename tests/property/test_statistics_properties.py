"""Figures against counting by hand: whatever happens to identifiers and prefixes, they are what is there, day by day.

A history of some days is played by a seed: registrations alone and in batches with the same identifier twice, aliases that
come, go and become identifiers, suspensions, retirements, prefixes that are suspended or handed to another node and taken back,
and a clock that is set back by an hour. After each change everything is listed and counted, by nothing that makes figures.
"""

import asyncio
import contextlib
import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from proto.errors import Refusal
from proto.model.account import Caller, Role
from proto.model.day import DAY_MS, day_of, days_before
from proto.model.filing import FilingKind
from proto.model.identifier import PREFIX_OF_PREFIXES
from proto.model.prefix import Delegation, PrefixState
from proto.model.record import State
from proto.model.value import Value
from proto.packing import PackedRecord
from proto.wire.handle.typed import compose_site
from registry.policy.rules import EVERY_REGISTRANT
from registry.service.figures import Grouping
from registry.service.patch import Patch
from registry.service.plan import Draft
from registry.service.record_counts import RecordCounts
from registry.service.statistics import GRACE_MS
from resolver.upstream.sites import Endpoint
from tests.support.foreign_node import site
from tests.support.world import HOLDER, OTHER, World, context

HOLDERS = {"88.118.1001": HOLDER, "88.118.1002": OTHER}
SITE = compose_site(site(Endpoint("10.0.0.7", 2641)))
HOUR_MS = DAY_MS // 24
STEPS = 60
UPSTREAM = Caller("upstream", Role.UPSTREAM)

Counts = dict[str, tuple[int, int]]


class History:
    """A registry whose identifiers are counted by hand after every change."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.draw = random.Random(seed)
        self.names = [f"{prefix}/{number}" for prefix in HOLDERS for number in range(5)]
        self.ends: dict[str, Counts] = {}
        """How it stood after the last change of each day that had one."""
        self._seen = world.stream.head()
        self._changed_ms = 0

    async def live(self) -> None:
        for _ in range(STEPS):
            with contextlib.suppress(Refusal):
                await self._do()
            if self.world.stream.head() != self._seen:
                self._seen = self.world.stream.head()
                # The time of a change is never before that of another.
                self._changed_ms = max(self._changed_ms, self.world.clock.now)
                self.ends[day_of(self._changed_ms)] = self.count()
            self.world.clock.now += self.draw.choice([0, HOUR_MS, 9 * HOUR_MS, -HOUR_MS])

    def count(self) -> Counts:
        """Registered and active below each prefix."""
        found: Counts = {}
        for prefix in HOLDERS:
            states = [record.state for record in self._records(prefix)]
            found[prefix] = (len(states), states.count(State.ACTIVE))
        return found

    def end_of(self, day: str) -> Counts:
        past = [each for each in self.ends if each <= day]
        return self.ends[max(past)] if past else dict.fromkeys(HOLDERS, (0, 0))

    def _records(self, prefix: str) -> list[PackedRecord]:
        return [PackedRecord(raw) for _, raw in self.world.view.scan(prefix, "", 1_000)]

    def _drafted(self, name: str) -> Draft:
        aliases = tuple(self.draw.sample(self.names, self.draw.choice([0, 0, 1, 2])))
        return Draft(name, (Value(1, "URL", b"%d" % self.draw.randrange(3), 86_400),), aliases=aliases)

    async def _do(self) -> None:
        registry, name = self.world.registry, self.draw.choice(self.names)
        prefix = name.partition("/")[0]
        match self.draw.randrange(11):
            case 0 | 1 | 2:
                await registry.register(context(), self._drafted(name))
            case 3 | 4:
                await registry.register_batch(context(), [self._drafted(each) for each in self.draw.choices(self.names, k=6)])
            case 5:
                await registry.suspend(context(), name)
            case 6:
                await registry.resume(context(), name)
            case 7:
                await registry.retire(context(), name)
            case 8:
                await registry.patch(context(), name, Patch(aliases=tuple(self.draw.sample(self.names, 1))))
            case 9:
                await registry.set_delegation(context(), prefix, self.draw.choice([None, Delegation((SITE,))]))
                await registry.register(context(), self._drafted(f"{PREFIX_OF_PREFIXES}/{prefix}"))
            case 10:
                state = self.draw.choice([PrefixState.SUSPENDED, *[PrefixState.APPROVED] * 3])
                await registry.move_prefix(context(), prefix, state)


async def _check(seed: int) -> None:
    world = await World().furnish()
    world.registry.figures.records = told = RecordCounts(world.stream, world.clock)
    history = History(world, seed)
    await history.live()
    world.clock.now = max(world.clock.now, history._changed_ms)
    today = day_of(world.clock.now)
    days = [days_before(today, back) for back in reversed(range(40))]
    for holder in (*HOLDERS.values(), EVERY_REGISTRANT):
        prefixes = [prefix for prefix, whose in HOLDERS.items() if holder in (whose, EVERY_REGISTRANT)]
        found = await world.registry.statistics(context(), holder, Grouping.PREFIX, len(days))
        now = history.count()
        assert {name: (found.groups[name].registered, found.groups[name].active) for name in prefixes} == {
            name: now[name] for name in prefixes
        }
        assert (found.total.registered, found.total.active) == _sum(now, prefixes)
        before = _sum(history.end_of(days_before(days[0], 1)), prefixes)
        for day in found.days:
            end = _sum(history.end_of(day.day), prefixes)
            assert (day.registered, day.active, day.added) == (*end, end[0] - before[0]), day.day
            before = end
    assert told.position == world.stream.head()
    await _check_reports(world, history, today)


async def _check_reports(world: World, history: History, today: str) -> None:
    """The reports of the last days, each carried on from the one before, tell the same."""
    ahead = 3
    world.clock.now += GRACE_MS
    for _ in range(ahead):
        await world.registry.report_day(context(UPSTREAM))
        world.clock.now += DAY_MS
    for back in range(ahead):
        day = days_before(today, 1 - back)
        filing = await world.registry.show_filing(context(UPSTREAM), FilingKind.STATISTICS, day)
        told = json.loads(filing.content)["prefixes"]
        end, before = history.end_of(day), history.end_of(days_before(day, 1))
        for prefix in HOLDERS:
            registered, active, added, resolved = told.get(prefix, (0, 0, 0, 0))
            assert (registered, active) == end[prefix], day
            assert (added, resolved) == (end[prefix][0] - before[prefix][0], 0), day


def _sum(counts: Counts, prefixes: list[str]) -> tuple[int, int]:
    return sum(counts[prefix][0] for prefix in prefixes), sum(counts[prefix][1] for prefix in prefixes)


@given(st.integers(0, 1_000_000))
@settings(max_examples=8)
def test_figures_are_what_is_there_whatever_came_before(seed: int) -> None:
    asyncio.run(_check(seed))
