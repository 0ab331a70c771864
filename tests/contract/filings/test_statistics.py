"""Daily statistics: the figures of each day of Asia/Shanghai, once, whatever happens in between."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.upstream.epp.core.document import ENT, PREFIX, STATISTICS
from adapters.upstream.epp.core.objects import DayReport
from adapters.upstream.epp.fake import BusinessSystem
from adapters.upstream.epp.fake_books import Misbehaviour
from adapters.upstream.epp.mapping import create_of
from proto.errors import Reason, Refusal
from proto.model.day import DAY_MS, day_of, start_of
from proto.model.filing import FilingKind
from proto.model.resolutions import Count
from proto.tally import Tally, compose_tally
from registry.service import filings
from registry.service.statistics import GRACE_MS, MAX_DAYS, MAX_UNTOLD_DAYS
from registry.service.tallies import TallyDesk
from tests.support.filings import PASSWORD, RunningFilings, counted_once, until
from tests.support.rest import RestNode
from tests.support.world import World

FILINGS = "/api/v1/filings"
MIDNIGHT = start_of("2026-11-25")


@pytest.fixture
async def node(world: World, node: RestNode) -> RestNode:
    """A node on whose first day, 2026-11-24, there are two products of one registrant."""
    world.clock.now = MIDNIGHT - DAY_MS // 2
    for name in ("88.118.1001/a", "88.118.1001/b"):
        await register(node, name)
    return node


async def register(node: RestNode, name: str, text: str = "x") -> None:
    values = [{"index": 1, "type": "URL", "data": {"format": "string", "value": text}}]
    got = await node("PUT", f"/api/v1/identifiers/{name}", {"values": values})
    assert got.status in (200, 201), got.document


async def report(node: RestNode) -> list[str]:
    got = await node("POST", f"{FILINGS}/report", by="upstream")
    assert got.status == 200, got.document
    names: list[str] = got.document["drafted"]
    return names


async def figures(node: RestNode, day: str) -> dict[str, list[int]]:
    """Registered, active, added and resolved by prefix."""
    content: dict[str, Any] = (await node("GET", f"{FILINGS}/statistics/{day}")).document["content"]
    found: dict[str, list[int]] = content["prefixes"]
    return found


async def settle(node: RestNode, day: str, state: str = "approved") -> None:
    one = f"{FILINGS}/statistics/{day}"
    await node("POST", f"{one}/submit", {"transaction": f"t-{day}"}, by="upstream")
    answer = {"transaction": f"t-{day}", "state": state, "code": 1000 if state == "approved" else 2306}
    assert (await node("POST", f"{one}/answer", answer, by="upstream")).status == 200


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-24T15:59:59.999+00:00", "2026-11-24"),
        ("2026-11-24T16:00:00.000+00:00", "2026-11-25"),
        ("2026-12-31T15:59:59+00:00", "2026-12-31"),
        ("2026-12-31T16:00:00+00:00", "2027-01-01"),
        ("2028-02-28T16:00:00+00:00", "2028-02-29"),
    ],
)
def test_days_are_those_of_shanghai(moment: str, day: str) -> None:
    at_ms = int(datetime.fromisoformat(moment).timestamp() * 1000)
    assert day_of(at_ms) == day
    assert start_of(day) <= at_ms < start_of(day) + DAY_MS
    assert datetime.fromtimestamp(start_of(day) / 1000, UTC).hour == 16


async def test_a_day_is_reported_once_it_is_over_and_once(world: World, node: RestNode) -> None:
    world.clock.now = MIDNIGHT + GRACE_MS
    assert await report(node) == ["statistics/2026-11-24"]
    assert await report(node) == []
    assert await figures(node, "2026-11-24") == {"88.118.1001": [2, 2, 2, 0]}
    world.clock.now = MIDNIGHT + DAY_MS + GRACE_MS - 1
    assert await report(node) == []
    world.clock.now += 1
    assert await report(node) == ["statistics/2026-11-25"]
    assert await figures(node, "2026-11-25") == {"88.118.1001": [2, 2, 0, 0]}


async def test_figures_follow_what_becomes_of_identifiers(world: World, node: RestNode) -> None:
    world.clock.now = MIDNIGHT + GRACE_MS
    await register(node, "88.118.1001/a", "replaced")
    await register(node, "88.118.1001/c")
    await register(node, "88.118.1002/a")
    assert (await node("POST", "/api/v1/identifiers/88.118.1001/b/suspend")).status == 200
    assert (await node("DELETE", "/api/v1/identifiers/88.118.1002/a")).status == 200
    await register(node, "88.118.1001/d")
    assert await report(node) == ["statistics/2026-11-24"]
    # What came after midnight is of the next day.
    assert await figures(node, "2026-11-24") == {"88.118.1001": [2, 2, 2, 0]}
    world.clock.now += DAY_MS
    assert await report(node) == ["statistics/2026-11-25"]
    assert await figures(node, "2026-11-25") == {"88.118.1001": [4, 3, 2, 0], "88.118.1002": [1, 0, 1, 0]}


async def test_days_that_were_missed_are_made_up_one_by_one(world: World, node: RestNode) -> None:
    world.clock.now = MIDNIGHT + GRACE_MS
    await report(node)
    for number in range(3):
        await register(node, f"88.118.1001/day-{number}")
        world.clock.now += DAY_MS
    assert [await report(node) for _ in range(4)] == [
        ["statistics/2026-11-25"], ["statistics/2026-11-26"], ["statistics/2026-11-27"], [],
    ]  # fmt: skip
    assert [(await figures(node, f"2026-11-{day}"))["88.118.1001"] for day in (25, 26, 27)] == [
        [3, 3, 1, 0], [4, 4, 1, 0], [5, 5, 1, 0],
    ]  # fmt: skip


async def test_reports_that_nothing_builds_on_give_up_their_figures_and_old_ones_go(world: World, node: RestNode) -> None:
    world.clock.now = MIDNIGHT + GRACE_MS
    await report(node)
    await settle(node, "2026-11-24")
    assert await figures(node, "2026-11-24") == {"88.118.1001": [2, 2, 2, 0]}
    world.clock.now += DAY_MS
    await report(node)
    old = (await node("GET", f"{FILINGS}/statistics/2026-11-24")).document
    assert (old["state"], old["content"]) == ("approved", {"day": "2026-11-24"})
    await node("POST", f"{FILINGS}/statistics/2026-11-25/submit", {"transaction": "t-1"}, by="upstream")
    for _ in range(MAX_DAYS):
        world.clock.now += DAY_MS
        (key,) = await report(node)
    page = (await node("GET", f"{FILINGS}?limit=1000")).document["filings"]
    days = [each["name"] for each in page if each["kind"] == FilingKind.STATISTICS]
    # The one that was decided is gone; the one whose answer is awaited is there, however old, and of the untold the newest.
    assert "2026-11-24" not in days
    assert days[0] == "2026-11-25"
    assert len(days) == 1 + MAX_UNTOLD_DAYS + 1
    assert await figures(node, key.partition("/")[2]) == {"88.118.1001": [2, 2, 0, 0]}


async def test_a_report_that_was_rejected_is_tried_again_with_its_figures(world: World, node: RestNode) -> None:
    for _ in range(3):
        world.clock.now = max(world.clock.now + DAY_MS, MIDNIGHT + GRACE_MS)
        await report(node)
    first = "2026-11-24"
    await settle(node, first, "rejected")
    before = await figures(node, first)
    for _ in range(2):
        world.clock.now += DAY_MS
        await report(node)
    assert (await node("POST", f"{FILINGS}/statistics/{first}/redraft")).status == 200
    content = (await node("GET", f"{FILINGS}/statistics/{first}")).document["content"]
    assert content["prefixes"] == before == {"88.118.1001": [2, 2, 2, 0]}
    assert isinstance(create_of("statistics", content, "88.118", ""), DayReport)


async def test_a_report_without_its_figures_is_not_tried_again(
    world: World, node: RestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.clock.now = MIDNIGHT + GRACE_MS
    await report(node)
    await settle(node, "2026-11-24", "rejected")
    monkeypatch.setattr(filings, "has_figures", lambda _: False)  # as earlier releases left them
    got = await node("POST", f"{FILINGS}/statistics/2026-11-24/redraft")
    assert (got.status, got.document["reason"]) == (409, "invalid_state")


async def test_after_a_restore_everything_is_counted_anew(world: World, node: RestNode) -> None:
    world.clock.now = MIDNIGHT + GRACE_MS
    await report(node)
    elsewhere = json.loads((await node("GET", f"{FILINGS}/statistics/2026-11-24")).body)["content"]["cursor"]
    assert elsewhere
    world.clock.now += DAY_MS

    read, asked = world.stream.read, list[Any]()

    def refuse_once(after: Any, limit: int) -> Any:
        asked.append(after)
        if len(asked) == 1:
            raise Refusal(Reason.INVALID_ARGUMENT, "a position of another history", "after")
        return read(after, limit)

    world.stream.read = refuse_once  # type: ignore[method-assign]  # a history that was given up
    assert await report(node) == ["statistics/2026-11-25"]
    assert await figures(node, "2026-11-25") == {"88.118.1001": [2, 2, 0, 0]}


async def test_figures_reach_a_system_that_takes_them_once(world: World, node: RestNode) -> None:
    world.clock.now = MIDNIGHT + GRACE_MS
    system = await BusinessSystem(PASSWORD).open()
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        await until(lambda: "2026-11-24" in system.state()["reports"])
    state = system.state()
    assert state["reports"]["2026-11-24"] == {"created": 1, "content": {"88.118.1001": [2, 2, 2, 0]}}
    assert counted_once(state)
    await system.close()


async def days_of(node: RestNode) -> dict[str, str]:
    """The state of every day that has a report."""
    page = (await node("GET", f"{FILINGS}?kind=statistics")).document["filings"]
    return {each["name"]: each["state"] for each in page}


async def test_figures_that_nobody_takes_are_kept_and_told_to_who_begins_to_take_them(
    world: World, node: RestNode, system: BusinessSystem
) -> None:
    """It is no trouble meanwhile: nothing is waited for, and nobody is asked about it."""
    world.clock.now = MIDNIGHT + GRACE_MS
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        world.clock.now += 2 * DAY_MS
        running.filings._report_at = 0.0
        await until(lambda: running.counted("filings", state="draft") == 3)
        await until(lambda: running.counted("filing_waiting_seconds") == 0)
        assert await days_of(node) == {"2026-11-24": "draft", "2026-11-25": "draft", "2026-11-26": "draft"}
        assert await figures(node, "2026-11-24") == {"88.118.1001": [2, 2, 2, 0]}
        assert running.filings.hindrance == ""
        assert system.state()["reports"] == {}
    system.objects = (ENT, PREFIX, STATISTICS)
    async with RunningFilings(node, system) as running:
        await until(lambda: len(system.state()["reports"]) == 3)
        await until(lambda: running.counted("filings", state="draft") == 0)
    assert set((await days_of(node)).values()) == {"approved"}
    assert counted_once(system.state())
    assert system.state()["reports"]["2026-11-24"]["content"] == {"88.118.1001": [2, 2, 2, 0]}


async def test_days_are_kept_while_the_upstream_is_away(world: World, node: RestNode, system: BusinessSystem) -> None:
    await system.close()
    world.clock.now = MIDNIGHT + DAY_MS + GRACE_MS
    async with RunningFilings(node, system) as running:
        await until(lambda: running.filings.hindrance != "")
        await until(lambda: running.counted("filings", state="draft") == 5)
    assert await days_of(node) == {"2026-11-25": "draft"}


async def test_a_day_whose_answer_is_lost_is_known_again_by_its_figures(world: World, node: RestNode) -> None:
    world.clock.now = MIDNIGHT + GRACE_MS
    system = await BusinessSystem(PASSWORD, forgets=True).open()
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        await until(lambda: "2026-11-24" in system.state()["reports"])
        world.clock.now += DAY_MS
        system.misbehaviours.extend([Misbehaviour.CLOSE] * 3)
        running.filings._report_at = 0.0
        await until(lambda: running.counted("filings", state="approved") == 6)
    assert not system.misbehaviours
    assert await days_of(node) == {"2026-11-24": "approved", "2026-11-25": "approved"}
    assert counted_once(system.state())
    await system.close()


@pytest.mark.parametrize(("held", "state"), [([2, 2, 2, 0], "approved"), ([9, 9, 9, 0], "rejected")])
async def test_a_day_that_was_reported_in_another_life_is_compared(
    world: World, node: RestNode, held: list[int], state: str
) -> None:
    """The registry was restored from before that day's report."""
    world.clock.now = MIDNIGHT + GRACE_MS
    system = await BusinessSystem(PASSWORD).open()
    system._write({
        "do": "take", "what": "report", "name": "2026-11-24", "entity": "", "transaction": "of-another-life",
        "server_transaction": "s-0", "is_update": False, "content": {"88.118.1001": held},
    })  # fmt: skip
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state=state) >= 1)
        await running.until_states("approved")
    shown = (await node("GET", f"{FILINGS}/statistics/2026-11-24")).document
    assert (shown["state"], shown["steps"][-1]["code"]) == (state, 2302)
    assert "figures" in shown["steps"][-1]["message"]
    assert counted_once(system.state())
    await system.close()


async def test_only_who_files_may_have_a_day_reported(world: World, node: RestNode) -> None:
    for who, status in (("nobody", 401), ("city", 403), ("holder", 403), ("operator", 200)):
        assert (await node("POST", f"{FILINGS}/report", by=who)).status == status


async def test_what_workers_counted_of_a_day_is_in_its_report(world: World, node: RestNode, tmp_path: Path) -> None:
    figures_of = world.registry.figures
    figures_of.resolutions = TallyDesk(world.registry.executor, tmp_path)
    for day, found in (("2026-11-24", 5), ("2026-11-25", 2), ("2026-11-24", 2)):
        tally = Tally(day, {"88.118.1001": Count(found, 1), "88.118": Count(0, 9)})
        with (tmp_path / "worker-1-0-a").open("ab") as file:
            file.write(compose_tally(tally))
    world.clock.now = MIDNIGHT + GRACE_MS
    assert await report(node) == ["statistics/2026-11-24"]
    assert await figures(node, "2026-11-24") == {"88.118.1001": [2, 2, 2, 7]}
    world.clock.now += DAY_MS
    assert await report(node) == ["statistics/2026-11-25"]
    assert await figures(node, "2026-11-25") == {"88.118.1001": [2, 2, 0, 2]}


async def test_a_report_of_before_there_were_counts_of_resolutions_is_told_without(system: BusinessSystem) -> None:
    content = {"day": "2026-11-24", "prefixes": {"88.118.1001": [2, 2, 2], "88.118.1002": [1, 1, 1, 4]}}
    command = create_of("statistics", content, "88.118", "")
    assert isinstance(command, DayReport)
    assert [each.resolved for each in command.figures] == [None, 4]
