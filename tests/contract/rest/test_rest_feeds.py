"""Feeds over REST: who moves a cursor, what a rewind does to who is delivering, dead letters from refusal to settlement."""

import json
from pathlib import Path
from typing import Any

import pytest

from proto.errors import Reason
from proto.model.account import Role
from proto.model.change import START
from registry.service.access import AccessLog
from registry.service.feeds import MAX_FEEDS, MAX_LETTERS
from registry.service.told import MAX_TOLD
from tests.support.rest import Got, RestNode
from tests.support.world import HOLDER, OPERATOR, World, context

FEEDS = "/api/v1/feeds"
ONE = f"{FEEDS}/platform"


@pytest.fixture
async def cursor(node: RestNode) -> str:
    """A feed of the city's account, and a cursor to move it to."""
    made = await node("POST", FEEDS, {"name": "platform"}, by="city")
    assert made.status == 201
    head: str = (await node("GET", ONE, by="city")).document["head"]
    return head


async def move(node: RestNode, version: int, cursor: str, by: str = "city", **more: Any) -> Got:
    return await node("POST", f"{ONE}/progress", {"cursor": cursor, **more}, by=by, If_Match=f'"{version}"')


def letter(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "record", "name": name, "before": START.to_cursor(), "row_version": 2, "reason": "422: no", **more}


def refused(got: Got, reason: Reason) -> bool:
    return got.document.get("reason") == reason


async def test_a_feed_begins_where_it_is_told_and_making_it_again_changes_nothing(node: RestNode, cursor: str) -> None:
    again = await node("POST", FEEDS, {"name": "platform", "after": cursor}, by="city")
    assert (again.status, again.document["outcome"]) == (200, "unchanged")
    assert again.document["cursor"] == START.to_cursor()
    later = await node("POST", FEEDS, {"name": "later", "after": cursor}, by="city")
    assert later.document["cursor"] == cursor


async def test_progress_moves_the_cursor_and_counts(node: RestNode, cursor: str) -> None:
    moved = await move(node, 1, cursor, delivered=3)
    assert (moved.status, moved.document["cursor"], moved.document["delivered"]) == (200, cursor, 3)
    again = await move(node, moved.document["version"], cursor, delivered=2)
    assert again.document["delivered"] == 5


async def test_of_whom_a_feed_has_told_stands_in_the_access_log(
    world: World, node: RestNode, cursor: str, tmp_path: Path
) -> None:
    log = world.registry.access = AccessLog(tmp_path / "access", world.clock)
    told = [{"registrant": HOLDER, "count": 3, "prefixes": ["88.118.1001"]}, {"registrant": "", "count": 1}]
    assert (await move(node, 1, cursor, delivered=4, told=told)).status == 200
    # What is refused was not told by this commit, and of whom nobody knows is no registrant.
    assert refused(await move(node, 1, cursor, told=told), Reason.VERSION_CONFLICT)
    strange = await move(node, 2, cursor, told=[{"registrant": "R-404", "count": 1}])
    assert (strange.status, strange.document["field"]) == (400, "told.registrant")
    for broken in ({"registrant": HOLDER}, {"count": 1}, {"registrant": HOLDER, "count": 1, "prefixes": [1]}):
        assert (await move(node, 2, cursor, told=[broken])).status == 400
    assert (await move(node, 2, cursor, told=[told[1]] * (MAX_TOLD + 1))).status == 400
    await log.keep_told()
    page = await node("GET", "/api/v1/audit/accesses", by="holder")
    assert [
        (each["account"], each["reading"], each["registrant"], each["subject"], each["count"], each["way"])
        for each in page.document["accesses"]
    ] == [("city", "delivery", HOLDER, "88.118.1001", 3, f"platform up to {cursor}")]


async def test_who_delivers_under_an_old_version_learns_of_the_rewind(node: RestNode, cursor: str) -> None:
    await move(node, 1, cursor, delivered=3)
    rewound = await node("POST", f"{ONE}/replay", {"after": ""})
    assert rewound.document["cursor"] == START.to_cursor()
    assert refused(await move(node, 2, cursor), Reason.VERSION_CONFLICT)
    assert (await node("GET", ONE, by="city")).document["cursor"] == START.to_cursor()


async def test_a_rewind_to_where_it_is_still_is_one(node: RestNode, cursor: str) -> None:
    rewound = await node("POST", f"{ONE}/replay", {"after": START.to_cursor()})
    assert (rewound.document["outcome"], rewound.document["version"]) == ("replaced", 2)


async def test_a_paused_feed_does_not_move(node: RestNode, cursor: str) -> None:
    paused = await node("POST", f"{ONE}/pause", {"note": "it moves house"})
    assert (paused.document["state"], paused.document["note"]) == ("paused", "it moves house")
    assert refused(await move(node, paused.document["version"], cursor), Reason.INVALID_STATE)
    resumed = await node("POST", f"{ONE}/resume")
    assert (resumed.document["state"], resumed.document["note"]) == ("running", "")
    assert (await move(node, resumed.document["version"], cursor)).status == 200


async def test_a_letter_lives_from_its_refusal_until_it_is_settled(node: RestNode, cursor: str) -> None:
    await move(node, 1, cursor, refused=[letter("88.118.1001/a"), letter("88.118.1001/b")])
    listed = (await node("GET", f"{ONE}/letters", by="city")).document["letters"]
    assert [(each["name"], each["reason"], each["is_requested"]) for each in listed] == [
        ("88.118.1001/a", "422: no", False),
        ("88.118.1001/b", "422: no", False),
    ]
    asked = await node("POST", f"{ONE}/letters/replay", {"letters": [{"kind": "record", "name": "88.118.1001/b"}]})
    assert asked.document["outcome"] == "unchanged"
    standing = (await node("GET", ONE, by="city")).document
    assert (standing["letters"], standing["requested"]) == (2, 1)
    wanted = (await node("GET", f"{ONE}/letters?requested=true", by="city")).document["letters"]
    assert [each["name"] for each in wanted] == ["88.118.1001/b"]
    settled = [{"kind": "record", "name": name} for name in ("88.118.1001/b", "88.118.1001/never-was")]
    await move(node, 2, cursor, settled=settled, refused=[letter("88.118.1001/a", attempts=4)])
    (left,) = (await node("GET", f"{ONE}/letters")).document["letters"]
    assert (left["name"], left["attempts"], left["row_version"]) == ("88.118.1001/a", 4, 2)
    # It may be refused again after it was settled.
    assert (await move(node, 3, cursor, refused=[letter("88.118.1001/b")])).status == 200


async def test_all_letters_can_be_asked_for_at_once(node: RestNode, cursor: str) -> None:
    await move(node, 1, cursor, refused=[letter("a"), letter("b")])
    await node("POST", f"{ONE}/letters/replay", {})
    assert (await node("GET", ONE)).document["requested"] == 2
    unknown = await node("POST", f"{ONE}/letters/replay", {"letters": [{"kind": "prefix", "name": "a"}]})
    assert refused(unknown, Reason.NOT_FOUND)


async def test_letters_are_bounded_and_nothing_moves_beyond(node: RestNode, cursor: str) -> None:
    await move(node, 1, cursor, refused=[letter(str(number)) for number in range(MAX_LETTERS)])
    assert refused(await move(node, 2, cursor, delivered=1, refused=[letter("one too many")]), Reason.INVALID_STATE)
    assert (await move(node, 2, cursor, delivered=1, refused=[letter("7", attempts=2)])).status == 200


async def test_a_feed_is_its_accounts_and_the_operators(node: RestNode, world: World, cursor: str) -> None:
    node.tokens["neighbour"] = (await world.registry.create_account(context(OPERATOR), "neighbour", Role.CITY, "")).token
    assert (await node("GET", FEEDS, by="neighbour")).document["feeds"] == []
    assert refused(await move(node, 1, cursor, by="neighbour"), Reason.NOT_FOUND)
    assert refused(await node("POST", FEEDS, {"name": "platform"}, by="neighbour"), Reason.ALREADY_EXISTS)
    assert refused(await node("POST", FEEDS, {"name": "x", "account": "city"}, by="neighbour"), Reason.PERMISSION_DENIED)
    for by, reason in (("holder", Reason.PERMISSION_DENIED), ("nobody", Reason.UNAUTHENTICATED)):
        assert refused(await node("GET", FEEDS, by=by), reason)
    for verb, body in (("resume", None), ("replay", {"after": ""}), ("letters/replay", {})):
        assert refused(await node("POST", f"{ONE}/{verb}", body, by="city"), Reason.PERMISSION_DENIED)
    (seen,) = (await node("GET", FEEDS)).document["feeds"]
    assert (seen["name"], seen["account"]) == ("platform", "city")


async def test_feeds_are_bounded(node: RestNode) -> None:
    for number in range(MAX_FEEDS):
        await node("POST", FEEDS, {"name": f"feed-{number}"}, by="city")
    assert refused(await node("POST", FEEDS, {"name": "more"}, by="city"), Reason.QUOTA_EXCEEDED)


async def test_what_is_wrong_is_named(node: RestNode, cursor: str) -> None:
    for path, body, field in (
        (FEEDS, {"name": "Has Blanks"}, "name"),
        (FEEDS, {"name": "x", "after": "nonsense"}, "after"),
        (f"{ONE}/replay", {"after": "nonsense"}, "after"),
        (f"{ONE}/pause", {"note": "x" * 301}, "note"),
        (f"{ONE}/progress", {"cursor": cursor, "refused": [letter("a") | {"kind": "account"}]}, "refused[0].kind"),
        (f"{ONE}/progress", {"cursor": cursor, "settled": [{"kind": "record"}]}, "settled[0].name"),
    ):
        got = await node("POST", path, data=json.dumps(body).encode())
        assert (got.status, got.document["field"]) == (400, field), path


async def test_cursors_are_not_news_to_those_who_follow(node: RestNode, cursor: str) -> None:
    await move(node, 1, cursor, refused=[letter("a")])
    page = (await node("GET", f"/api/v1/changes?after={cursor}")).document
    assert page["changes"] == []
    assert page["cursor"] == page["head"] != cursor


async def test_the_letter_of_a_newer_image_stays(node: RestNode, cursor: str) -> None:
    await move(node, 1, cursor, refused=[letter("a", row_version=4)])
    await move(node, 2, cursor, refused=[letter("a", row_version=3, reason="older")])
    (left,) = (await node("GET", f"{ONE}/letters")).document["letters"]
    assert (left["row_version"], left["reason"]) == (4, "422: no")
