"""A run of a feed over hours and days, by a clock that passes by itself: what it waits for, holds, repeats and commits."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from adapters.city import run as run_module
from adapters.city.core.event import Event, Key, head_of
from adapters.city.core.page import Page
from adapters.city.core.profile import Profile, parse_profile
from adapters.city.core.receipt import Receipt, Verdict
from adapters.city.core.retry import MAX_RETRY_AFTER_S
from adapters.city.pages import PAGE_CHANGES
from adapters.city.registry_client import StoredFeed, StoredLetter
from adapters.city.run import BACKLOG_EVENTS, HELD_LOOK_S, Run, Stale
from adapters.city.transports.transport import UNCOMMITTED_S, Batch, Forgetful
from adapters.registry_api import NotTaken, Unreachable
from node.metrics import build_metrics
from proto.errors import Reason
from proto.model.change import Position, parse_cursor
from tests.support.passing_time import PassingTime

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S
HEAD = head_of("/test")


def cursor(sequence: int) -> str:
    return Position(1, sequence).to_cursor()


def change(sequence: int) -> dict[str, Any]:
    """The registration of one identifier, as the API tells of it."""
    value = {"index": 1, "type": "URL", "data": {"format": "string", "value": "x"}, "audience": "public"}
    record = {
        "identifier": f"88.118/{sequence}", "state": "active", "version": 1, "values": [value], "registrant": "R",
        "template": "", "aliases": [], "created": "2026-01-01T00:00:00.000Z", "changed": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    row = {"kind": "record", "name": f"88.118/{sequence}", "version": 1, "prior_version": 0, "record": record}
    return {"position": cursor(sequence), "time": "2026-01-01T00:00:00.000Z", "rows": [row]}


@dataclass
class Node:
    """The registry, as far as a run asks it, with `head` changes, one identifier each."""

    head: int
    stored: StoredFeed = field(default_factory=lambda: StoredFeed("platform", False, cursor(0), 0, 1, 0, 0, cursor(0)))
    commits: list[tuple[float, int]] = field(default_factory=list)
    """When, and up to which change."""
    pages: int = 0
    is_there: bool = True
    is_rewound: bool = False

    async def after(self, after: str) -> Page:
        begin = parse_cursor(after).sequence
        if begin >= self.head:
            await asyncio.sleep(2)
            return Page([], after, after, cursor(self.head))
        self.pages += 1
        end = min(begin + PAGE_CHANGES, self.head)
        return Page([change(sequence) for sequence in range(begin + 1, end + 1)], after, cursor(end), cursor(self.head))

    async def letters(self, _name: str, *, requested_only: bool = False) -> list[StoredLetter]:
        return []

    async def progress(
        self,
        feed: StoredFeed,
        reached: str,
        delivered: int,
        refused: Sequence[Mapping[str, Any]],
        settled: Sequence[Key],
        told: Sequence[Mapping[str, Any]],
    ) -> int:
        if not self.is_there:
            raise Unreachable("it is away")
        if self.is_rewound or feed.version != self.stored.version:
            raise NotTaken(Reason.VERSION_CONFLICT, "it was rewound")
        assert feed.delivered == self.stored.delivered
        version, in_all = feed.version + 1, feed.delivered + delivered
        assert sum(each["count"] for each in told) == delivered
        self.stored = StoredFeed("platform", False, reached, in_all, version, 0, 0, cursor(self.head))
        self.commits.append((asyncio.get_running_loop().time(), parse_cursor(reached).sequence))
        return version


class System(Forgetful):
    """Meets each attempt as it is told to; `told` are the subjects that it took."""

    def __init__(self, meet: Callable[[float, Batch], Receipt]) -> None:
        self._meet = meet
        self.attempts: list[float] = []
        self.told: list[str] = []

    async def deliver(self, batch: Batch) -> Receipt:
        await asyncio.sleep(0.01)
        now_s = asyncio.get_running_loop().time()
        self.attempts.append(now_s)
        receipt = self._meet(now_s, batch)
        self.told += [subject_of(event) for event in batch.events if receipt.on(event.id) is Verdict.DELIVERED]
        return receipt

    async def close(self) -> None:
        return None


def subject_of(event: Event) -> str:
    return str(json.loads(HEAD + event.rest)["subject"])


def take(_now_s: float, _batch: Batch) -> Receipt:
    return Receipt(Verdict.DELIVERED)


def away_until(moment_s: float, retry_after_s: float | None = None) -> Callable[[float, Batch], Receipt]:
    def meet(now_s: float, _batch: Batch) -> Receipt:
        if now_s < moment_s:
            return Receipt(Verdict.FAILED, "no answer", retry_after_s)
        return Receipt(Verdict.DELIVERED)

    return meet


def profile(**more: Any) -> Profile:
    document = {"name": "platform", "transport": {"kind": "webhook", "url": "http://127.0.0.1:1/", "batch": 100}, **more}
    return parse_profile(document, lambda said: said)


def make_run(node: Node, system: System, told_by: Profile | None = None) -> Run:
    metrics = build_metrics(CollectorRegistry())
    return Run(told_by or profile(), node.stored, node, node, system, metrics)  # type: ignore[arg-type]  # what it asks of them


async def until(holds: Callable[[], bool], step_s: float = 1.0) -> None:
    """Let time pass until something holds, looking at it every `step_s`; a thousand times at most."""
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(step_s)
    raise AssertionError("it never held")


def gaps_of(system: System) -> list[float]:
    """Seconds between attempts."""
    return [later - earlier for earlier, later in pairwise(system.attempts)]


async def end(running: "asyncio.Task[None]") -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def passing(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=PassingTime) as runner:
        runner.run(test)


def test_a_system_that_is_down_for_days_is_asked_now_and_then_and_is_told_everything_once() -> None:
    async def days() -> None:
        node, system = Node(8 * PAGE_CHANGES), System(away_until(4 * DAY_S))
        run = make_run(node, system)
        running = asyncio.create_task(run.run())
        await asyncio.sleep(3 * DAY_S)
        # What is held stays what it was after a minute: the backlog is the node's matter.
        assert (node.pages, node.commits, system.told) == (BACKLOG_EVENTS // PAGE_CHANGES, [], [])
        assert "no answer" in run.hindrance
        # With another event, too, each time: it might be the first one that is at fault.
        gaps = [gap for gap in gaps_of(system) if gap > 1]
        assert max(gaps) <= 301
        assert min(gaps[10:]) >= 150
        await until(lambda: node.stored.cursor == cursor(node.head), HOUR_S)
        await end(running)
        assert system.told == [f"88.118/{sequence}" for sequence in range(1, node.head + 1)]
        assert node.stored.delivered == node.head
        assert run.hindrance == ""

    passing(days())


def test_who_says_when_to_come_again_is_not_asked_before() -> None:
    async def busy() -> None:
        node, system = Node(3), System(away_until(2 * DAY_S, retry_after_s=6 * HOUR_S))
        running = asyncio.create_task(make_run(node, system).run())
        await until(lambda: len(system.told) == 3, HOUR_S)
        await end(running)
        away = [gap for gap in gaps_of(system) if gap > 1]
        assert min(away) >= 6 * HOUR_S
        assert len(system.attempts) <= len(away) + 3

    passing(busy())


def test_deliveries_that_follow_one_another_share_a_commit_and_the_last_does_not_wait_for_another() -> None:
    async def many() -> None:
        node, system = Node(3_000), System(take)
        running = asyncio.create_task(make_run(node, system).run())
        await until(lambda: len(system.told) == node.head)
        await asyncio.sleep(2 * UNCOMMITTED_S)
        assert len(system.attempts) == 30
        assert node.commits[0][1] == 100
        assert [sequence for _, sequence in node.commits] == [100, 3_000]
        node.head += 1
        await until(lambda: node.stored.cursor == cursor(node.head))
        await end(running)
        assert len(system.told) == node.head

    passing(many())


def test_a_run_that_ends_commits_what_it_has_delivered() -> None:
    async def ended() -> None:
        node, system = Node(1_000), System(take)
        running = asyncio.create_task(make_run(node, system).run())
        await until(lambda: len(system.told) >= 500, 0.001)
        assert node.stored.delivered == 100
        await end(running)
        assert node.stored.delivered == len(system.told)
        assert node.stored.cursor == cursor(len(system.told))

    passing(ended())


def test_a_run_that_ends_does_not_wait_for_a_registry_that_is_gone() -> None:
    async def gone() -> None:
        node, system = Node(1_000), System(take)
        running = asyncio.create_task(make_run(node, system).run())
        await until(lambda: len(system.told) >= 500, 0.001)
        node.is_there = False
        await end(running)
        assert node.stored.delivered == 100
        # The next life tells the rest again.
        node.is_there = True
        again = asyncio.create_task(make_run(node, system).run())
        await until(lambda: node.stored.cursor == cursor(node.head))
        await end(again)
        assert set(system.told) == {f"88.118/{sequence}" for sequence in range(1, node.head + 1)}

    passing(gone())


def test_a_rewind_under_way_ends_the_run_at_its_next_commit() -> None:
    async def rewound() -> None:
        node, system = Node(50_000), System(take)
        running = asyncio.create_task(make_run(node, system).run())
        await until(lambda: len(system.told) >= 500, 0.001)
        committed, node.is_rewound = len(node.commits), True
        with pytest.raises(Stale):
            await running
        assert len(node.commits) == committed
        assert asyncio.get_running_loop().time() <= 2 * UNCOMMITTED_S

    passing(rewound())


def test_before_a_pause_for_failures_what_was_delivered_is_committed() -> None:
    async def failing() -> None:
        node, system = Node(1_000), System(lambda _, batch: Receipt(Verdict.FAILED if failed(batch) else Verdict.DELIVERED))
        running = asyncio.create_task(make_run(node, system).run())
        await until(lambda: len(system.attempts) > 8)
        assert node.stored.cursor == cursor(500)
        await end(running)

    def failed(batch: Batch) -> bool:
        return any(int(subject_of(event).partition("/")[2]) > 500 for event in batch.events)

    passing(failing())


def test_what_was_passed_over_is_committed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "PASSED_OVER", 1_500)

    async def passed() -> None:
        node, system = Node(4_000), System(take)
        other = profile(select={"prefixes": ["88.200"]})
        running = asyncio.create_task(make_run(node, system, other).run())
        await until(lambda: node.stored.cursor >= cursor(3_000))
        await end(running)
        assert (system.told, len(node.commits)) == ([], 2)

    passing(passed())


def test_an_event_that_is_wanted_later_waits_for_its_time_and_others_do_not() -> None:
    async def busy() -> None:
        node, first = Node(300), f"88.118/{7}"

        def meet(now_s: float, batch: Batch) -> Receipt:
            asked = [event.id for event in batch.events if subject_of(event) == first and now_s < 2 * HOUR_S]
            if not asked:
                return Receipt(Verdict.DELIVERED)
            single = {event.id: Verdict.FAILED if event.id in asked else Verdict.DELIVERED for event in batch.events}
            return Receipt(Verdict.FAILED, "429", None, single, later=dict.fromkeys(asked, HOUR_S))

        system = System(meet)
        running = asyncio.create_task(make_run(node, system).run())
        await until(lambda: len(system.told) == node.head - 1)
        assert first not in system.told
        assert asyncio.get_running_loop().time() < 60
        node.head += 1
        await until(lambda: len(system.told) == node.head - 1)
        await until(lambda: first in system.told, HOUR_S)
        await until(lambda: node.stored.cursor == cursor(node.head))
        await end(running)
        assert node.stored.delivered == node.head
        # It was asked for after one hour and again after another.
        assert len(system.attempts) == 3 + 1 + 2
        assert asyncio.get_running_loop().time() >= 2 * HOUR_S

    passing(busy())


@pytest.mark.parametrize(("asked_s", "attempts", "step_s"), [(0.0, 4, 1.0), (10 * DAY_S, 2, HOUR_S)])
def test_what_an_event_asks_for_is_bounded_on_both_sides(asked_s: float, attempts: int, step_s: float) -> None:
    async def asking() -> None:
        node = Node(1)

        def meet(_now_s: float, batch: Batch) -> Receipt:
            (event,) = batch.events
            return Receipt(Verdict.FAILED, "429", None, {event.id: Verdict.FAILED}, later={event.id: asked_s})

        system = System(meet)
        running = asyncio.create_task(make_run(node, system).run())
        await until(lambda: len(system.attempts) >= attempts, step_s)
        await end(running)
        assert all(0.25 <= gap <= MAX_RETRY_AFTER_S + HELD_LOOK_S for gap in gaps_of(system))

    passing(asking())
