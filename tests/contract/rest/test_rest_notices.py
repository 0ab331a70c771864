"""What a feed is to tell of the node itself, over REST: stored once, seen by whom it concerns, ordered whatever clocks do."""

from typing import Any

import pytest

from proto.errors import Reason
from registry.service import notices
from tests.support.rest import Got, RestNode
from tests.support.world import World

ONE = "/api/v1/feeds/brain"
RAISED = {"state": "raised"}
CLEARED = {"state": "cleared"}


@pytest.fixture
async def brain(node: RestNode) -> RestNode:
    assert (await node("POST", "/api/v1/feeds", {"name": "brain"}, by="city")).status == 201
    return node


def new(kind: str, name: str, **data: Any) -> dict[str, Any]:
    return {"kind": kind, "name": name, "data": data}


async def store(node: RestNode, *wanted: dict[str, Any], by: str = "city") -> Got:
    return await node("POST", f"{ONE}/notices", {"notices": list(wanted)}, by=by)


async def stored(node: RestNode) -> list[tuple[str, str, Any, int]]:
    found = (await node("GET", f"{ONE}/notices", by="city")).document["notices"]
    return [(each["kind"], each["name"], each["data"], each["version"]) for each in found]


async def changed(node: RestNode, by: str = "city") -> list[dict[str, Any]]:
    """The notices in the stream, as somebody sees them."""
    page = (await node("GET", "/api/v1/changes?limit=1000", by=by)).document
    return [row["notice"] for change in page["changes"] for row in change["rows"] if row["kind"] == "notice"]


async def test_what_says_the_same_is_stored_once_but_for_figures_of_a_moment(brain: RestNode) -> None:
    look = (new("alarm", "a/b", **RAISED), new("day", "2026-01-31", added=1), new("indicators", "node", active=1))
    for _ in range(2):
        assert (await store(brain, *look)).status == 200
    assert await stored(brain) == [
        ("alarm", "a/b", RAISED, 1), ("day", "2026-01-31", {"added": 1}, 1), ("indicators", "node", {"active": 1}, 2),
    ]  # fmt: skip
    await store(brain, new("alarm", "a/b", **CLEARED))
    told = await changed(brain)
    assert [(each["name"], each["data"]) for each in told if each["kind"] == "alarm"] == [("a/b", RAISED), ("a/b", CLEARED)]


async def test_a_later_image_is_later_though_the_clock_was_set_back(brain: RestNode, world: World) -> None:
    await store(brain, new("alarm", "a", **RAISED))
    world.clock.now -= 3_600_000
    await store(brain, new("alarm", "a", **CLEARED))
    raised, cleared = await changed(brain)
    assert cleared["at_ms"] > raised["at_ms"]


async def test_notices_are_seen_by_who_delivers_the_feed_and_the_operator(brain: RestNode) -> None:
    await store(brain, new("alarm", "a", **RAISED))
    assert len(await changed(brain)) == len(await changed(brain, by="operator")) == 1
    assert await changed(brain, by="holder") == []
    assert (await store(brain, new("alarm", "a", **CLEARED), by="holder")).document["reason"] == Reason.PERMISSION_DENIED
    unknown = await brain("POST", "/api/v1/feeds/other/notices", {"notices": []}, by="city")
    assert unknown.document["reason"] == Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([new("rumour", "a")], Reason.INVALID_ARGUMENT),
        ([new("alarm", "")], Reason.INVALID_ARGUMENT),
        ([new("alarm", "x" * 3_000)], Reason.INVALID_ARGUMENT),
        ([new("alarm", "a", text="x" * 600_000)], Reason.INVALID_ARGUMENT),
        ([new("alarm", "a"), new("alarm", "a")], Reason.DUPLICATE_IDENTIFIER),
        ([{"kind": "alarm", "name": "a", "data": []}], Reason.INVALID_ARGUMENT),
    ],
)
async def test_what_is_no_notice_is_refused_and_nothing_of_it_stored(
    brain: RestNode, wanted: list[dict[str, Any]], reason: Reason
) -> None:
    got = await store(brain, *wanted)
    assert got.document["reason"] == reason
    assert await stored(brain) == []


async def test_old_days_go_and_alarms_beyond_their_limit_are_refused(brain: RestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "MAX_DAYS", 2)
    monkeypatch.setattr(notices, "MAX_ALARMS", 2)
    for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
        await store(brain, new("day", day, added=1))
    assert [name for _, name, _, _ in await stored(brain)] == ["2026-01-02", "2026-01-03"]
    # The stream has them all, and whoever was away is told of each.
    assert len(await changed(brain)) == 3
    await store(brain, new("alarm", "a"), new("alarm", "b"))
    assert (await store(brain, new("alarm", "c"))).document["reason"] == Reason.QUOTA_EXCEEDED
    assert (await store(brain, new("alarm", "b", **CLEARED))).status == 200
