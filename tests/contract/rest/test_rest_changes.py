"""Following changes over REST: everything once, in order, to whom it is open, without asking all the time."""

import asyncio
from typing import Any

import pytest

from proto.errors import Reason
from proto.model.change import Position
from tests.support.rest import RestNode
from tests.support.world import HOLDER, World

CHANGES = "/api/v1/changes"


def values(text: str) -> dict[str, Any]:
    return {
        "values": [
            {"index": 1, "type": "URL", "data": text},
            {"index": 2, "type": "PRICE", "data": "1", "audience": "dealers"},
            {"index": 3, "type": "NOTE", "data": "secret", "audience": "private"},
        ]
    }


async def start(node: RestNode) -> str:
    cursor: str = (await node("GET", CHANGES)).document["head"]
    return cursor


async def test_an_operator_sees_everything_from_the_first_change_on(node: RestNode, world: World) -> None:
    seen: list[dict[str, Any]] = []
    page = await node("GET", f"{CHANGES}?limit=2")
    while page.document["changes"]:
        seen += page.document["changes"]
        page = await node("GET", f"{CHANGES}?limit=2&after={page.document['cursor']}")
    assert [change["sequence"] for change in seen] == list(range(1, world.store.head().position.sequence + 1))
    assert page.document["cursor"] == page.document["head"]
    kinds = [row["kind"] for change in seen for row in change["rows"]]
    assert kinds == ["prefix", "registrant", "prefix", "registrant", "prefix", "account", "account", "account", "account"]
    assert seen[0]["rows"][0]["prefix"]["name"] == "88.118"
    assert "digest" not in str(seen)


async def test_each_role_sees_what_is_open_to_it(node: RestNode) -> None:
    cursor = await start(node)
    await node("PUT", "/api/v1/identifiers/88.118.1001/A", values("x"), by="holder", X_Request_Id="mine")
    await node("PUT", f"/api/v1/accounts/city/groups/{HOLDER}/dealers", by="holder")
    pages = {by: (await node("GET", f"{CHANGES}?after={cursor}", by=by)).document for by in node.tokens}
    assert pages["stranger"]["changes"] == []
    assert pages["stranger"]["cursor"] == pages["operator"]["cursor"]
    assert [len(page["changes"]) for page in pages.values()] == [2, 1, 0, 1]
    indexes = {
        by: [
            value["index"] for row in page["changes"][0]["rows"] if row["kind"] == "record" for value in row["record"]["values"]
        ]
        for by, page in pages.items()
        if page["changes"]
    }
    assert indexes == {"operator": [1, 2, 3], "holder": [1, 2, 3], "city": [1, 2]}
    assert pages["holder"]["changes"][0]["request_id"] == "mine"
    assert "actor" not in pages["city"]["changes"][0]
    assert (await node("GET", CHANGES, by="nobody")).status == 401


async def test_what_is_hidden_is_told_without_its_values(node: RestNode) -> None:
    one = "/api/v1/identifiers/88.118.1001/A"
    await node("PUT", one, values("x"), by="holder")
    cursor = await start(node)
    await node("POST", f"{one}/suspend", by="holder")
    await node("DELETE", one, by="holder")
    told = [change["rows"][0] for change in (await node("GET", f"{CHANGES}?after={cursor}", by="city")).document["changes"]]
    assert [(row["prior_state"], row["record"]["state"], row["record"]["values"]) for row in told] == [
        ("active", "suspended", []),
        ("suspended", "retired", []),
    ]


async def test_a_follower_may_keep_to_one_prefix(node: RestNode) -> None:
    cursor = await start(node)
    for name in ("88.118.1001/A", "88.118.1002/B", "0.NA/88.118.1002"):
        await node("PUT", f"/api/v1/identifiers/{name}", {"values": []})
    page = await node("GET", f"{CHANGES}?after={cursor}&prefix=88.118.1002")
    names = [row["name"] for change in page.document["changes"] for row in change["rows"]]
    assert names == ["88.118.1002/b", "88.118.1002", "0.na/88.118.1002"]
    assert (await node("GET", f"{CHANGES}?after={cursor}&prefix=88.118")).document["changes"][0]["rows"]


async def test_who_waits_is_told_as_soon_as_there_is_something(node: RestNode) -> None:
    cursor = await start(node)
    waiting = asyncio.create_task(node("GET", f"{CHANGES}?after={cursor}&wait_s=30", by="holder"))
    await node("PUT", "/api/v1/identifiers/88.118.1002/not-yours", values("x"))
    await node("PUT", "/api/v1/identifiers/88.118.1001/A", values("x"))
    page = await waiting
    assert [row["name"] for row in page.document["changes"][0]["rows"] if row["kind"] == "record"] == ["88.118.1001/a"]


async def test_who_waits_in_vain_gets_an_empty_page_and_a_place_to_go_on(node: RestNode) -> None:
    cursor = await start(node)
    page = await node("GET", f"{CHANGES}?after={cursor}&wait_s=0.05")
    assert page.document == {"changes": [], "cursor": cursor, "head": cursor}


async def test_who_waits_while_its_account_is_closed_is_told_nothing_more(
    node: RestNode, somebody_waits: asyncio.Event
) -> None:
    cursor = await start(node)
    waiting = asyncio.create_task(node("GET", f"{CHANGES}?after={cursor}&wait_s=30", by="holder"))
    await somebody_waits.wait()
    await node("POST", "/api/v1/accounts/holder/disable")
    await node("PUT", "/api/v1/identifiers/88.118.1001/A", values("x"))
    assert (await waiting).status == 401


async def test_who_waits_is_told_by_the_rights_of_then(node: RestNode, somebody_waits: asyncio.Event) -> None:
    grant = f"/api/v1/accounts/city/groups/{HOLDER}/dealers"
    await node("PUT", grant, by="holder")
    cursor = await start(node)
    waiting = asyncio.create_task(node("GET", f"{CHANGES}?after={cursor}&wait_s=30", by="city"))
    await somebody_waits.wait()
    await node("DELETE", grant, by="holder")
    await node("PUT", "/api/v1/identifiers/88.118.1001/A", values("x"), by="holder")
    [change] = (await waiting).document["changes"]
    assert [value["index"] for value in change["rows"][0]["record"]["values"]] == [1]


async def test_rights_that_end_while_a_page_is_made_end_for_that_page(
    node: RestNode, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node("PUT", "/api/v1/identifiers/88.118.1001/A", values("x"), by="holder")
    grant = f"/api/v1/accounts/city/groups/{HOLDER}/dealers"
    await node("PUT", grant, by="holder")
    read, made = world.registry.read_changes, []

    async def made_slowly(see: Any, after: Position, limit: int) -> Any:
        made.append(await read(see, after, limit))
        if len(made) == 1:
            await node("DELETE", grant, by="holder")
        return made[-1]

    monkeypatch.setattr(world.registry, "read_changes", made_slowly)
    rows = [row for change in (await node("GET", CHANGES, by="city")).document["changes"] for row in change["rows"]]
    [record] = [row["record"] for row in rows if row["kind"] == "record"]
    assert [value["index"] for value in record["values"]] == [1]
    assert len(made) == 2


@pytest.fixture
def somebody_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once a long poll has come to its wait for the next change."""
    comes, reach = asyncio.Event(), world.view.reach

    async def reach_and_tell(position: Position, timeout_s: float) -> bool:
        if position > world.store.head().position:
            comes.set()
        return await reach(position, timeout_s)

    monkeypatch.setattr(world.view, "reach", reach_and_tell)
    return comes


async def test_a_door_that_closes_lets_nobody_wait(node: RestNode) -> None:
    cursor = await start(node)
    waiting = asyncio.create_task(node("GET", f"{CHANGES}?after={cursor}&wait_s=60"))
    while node.scrape.get_sample_value("biaojie_connections", {"protocol": "registry-http"}) != 2:
        await asyncio.sleep(0.01)
        if waiting.done():
            break
        await node("GET", "/healthz")
    await node.door.close(5.0)
    assert (await waiting).document["changes"] == []


@pytest.mark.parametrize("cursor", ["nonsense", "AQ", Position(1, 2).to_cursor()[:-2]])
async def test_a_cursor_of_nobody_is_refused(node: RestNode, cursor: str) -> None:
    got = await node("GET", f"{CHANGES}?after={cursor}")
    assert (got.status, got.document["field"]) == (400, "after")
    assert node.refused(Reason.INVALID_ARGUMENT) == 1
