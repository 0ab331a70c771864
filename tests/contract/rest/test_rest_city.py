"""What the city reads over REST, what is kept from it, and what an enterprise learns of it."""

from pathlib import Path
from typing import Any

import pytest

from proto.model.account import GroupGrant
from proto.model.day import DAY_MS, day_of
from proto.model.resolutions import Count
from proto.tally import Tally, compose_tally
from registry.service.access import AccessLog
from registry.service.figures import MAX_DAYS
from registry.service.tallies import TallyDesk
from tests.support.rest import RestNode
from tests.support.world import HOLDER, OPERATOR, OTHER, World, context

CITY = "/api/v1/city"
ACCESSES = "/api/v1/audit/accesses"
NOTHING = {"registered": 0, "active": 0, "resolved": 0, "missed": 0}


@pytest.fixture
async def node(world: World, node: RestNode, tmp_path: Path) -> RestNode:
    """Products of two enterprises, with a public, a shared and a private value each, and a place for the access log."""
    world.registry.access = AccessLog(tmp_path / "access", world.clock)
    await world.registry.create_prefix(context(OPERATOR), "88.118.1000", HOLDER)
    for name in ("88.118.1000/a", "88.118.1001/a", "88.118.1001/b", "88.118.1001/c", "88.118.1002/a"):
        audiences = ("public", "test-lab", "private")
        values = [
            {"index": index, "type": "URL", "data": audience, "audience": audience}
            for index, audience in enumerate(audiences, 1)
        ]
        assert (await node("PUT", f"/api/v1/identifiers/{name}", {"values": values})).status == 201
    return node


async def read(node: RestNode, path: str, by: str = "city") -> Any:
    got = await node("GET", path, by=by)
    assert got.status == 200, got.document
    return got.document


async def accesses(node: RestNode, by: str = "holder", query: str = "") -> list[tuple[str, str, str, int]]:
    found = (await read(node, f"{ACCESSES}?limit=1000{query}", by))["accesses"]
    return [(each["reading"], each["registrant"], each["subject"], each["count"]) for each in found]


async def test_an_enterprise_is_found_by_its_code(node: RestNode) -> None:
    found = await read(node, f"{CITY}/enterprises/{HOLDER}")
    assert (found["name"], found["state"]) == ("许昌变压器有限公司", "approved")
    assert [each["name"] for each in found["prefixes"]] == ["88.118.1000", "88.118.1001"]
    assert (await node("GET", f"{CITY}/enterprises/R-404", by="city")).status == 404
    page = await read(node, f"{CITY}/enterprises?limit=1")
    assert [each["code"] for each in page["enterprises"]] == [HOLDER]
    page = await read(node, f"{CITY}/enterprises?after={page['cursor']}")
    assert [each["code"] for each in page["enterprises"]] == [OTHER]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_products_come_in_pages_over_all_prefixes(node: RestNode, limit: int) -> None:
    found, after = [], ""
    while True:
        page = await read(node, f"{CITY}/enterprises/{HOLDER}/products?limit={limit}&after={after}")
        assert len(page["products"]) <= limit
        found += [each["identifier"] for each in page["products"]]
        after = page.get("cursor", "")
        if not after:
            break
    assert found == ["88.118.1000/a", "88.118.1001/a", "88.118.1001/b", "88.118.1001/c"]
    page = await read(node, f"{CITY}/enterprises/{HOLDER}/products?prefix=88.118.1000")
    assert [each["identifier"] for each in page["products"]] == ["88.118.1000/a"]
    assert (await node("GET", f"{CITY}/enterprises/{HOLDER}/products?prefix=88.118.1002", by="city")).status == 403


async def test_the_city_sees_what_is_public_or_shared_with_it(world: World, node: RestNode) -> None:
    async def audiences() -> set[str]:
        page = await read(node, f"{CITY}/enterprises/{HOLDER}/products")
        changes = (await read(node, f"{CITY}/changes?prefix=88.118.1001"))["changes"]
        listed = {each["audience"] for record in page["products"] for each in record["values"]}
        records = [row["record"] for change in changes for row in change["rows"] if row["kind"] == "record"]
        followed = {each["audience"] for record in records for each in record["values"]}
        assert listed == followed
        return listed

    assert await audiences() == {"public"}
    await world.registry.grant(context(OPERATOR), "city", GroupGrant(HOLDER, "test-lab"))
    assert await audiences() == {"public", "test-lab"}


async def test_a_suspended_product_shows_that_it_is(node: RestNode) -> None:
    assert (await node("POST", "/api/v1/identifiers/88.118.1001/b/suspend")).status == 200
    assert (await node("DELETE", "/api/v1/identifiers/88.118.1001/c")).status == 200
    page = await read(node, f"{CITY}/enterprises/{HOLDER}/products?prefix=88.118.1001")
    assert [(each["state"], len(each["values"])) for each in page["products"]] == [
        ("active", 1),
        ("suspended", 0),
        ("retired", 0),
    ]


async def test_figures_are_given_in_all_by_prefix_by_enterprise_and_by_day(
    world: World, node: RestNode, tmp_path: Path
) -> None:
    yesterday, today = day_of(world.clock.now), day_of(world.clock.now + DAY_MS)
    world.clock.now += DAY_MS
    assert (await node("DELETE", "/api/v1/identifiers/88.118.1001/c")).status == 200
    values = [{"index": 1, "type": "URL", "data": "new"}]
    assert (await node("PUT", "/api/v1/identifiers/88.118.1002/new", {"values": values})).status == 201
    desk = world.registry.figures.resolutions = TallyDesk(world.registry.executor, tmp_path / "tallies")
    (tmp_path / "tallies").mkdir()
    counted = {yesterday: {"88.118.1001": Count(3, 1)}, today: {"88.118.1002": Count(4, 0), "88.118": Count(0, 2)}}
    (tmp_path / "tallies" / "worker-1-0-a").write_bytes(
        b"".join(compose_tally(Tally(day, prefixes)) for day, prefixes in counted.items())
    )
    await desk.settle()
    found = await read(node, f"{CITY}/statistics?by=prefix&days=2")
    assert (found["enterprises"], found["prefixes"]) == (2, 4)
    assert found["total"] == {"registered": 6, "active": 5, "resolved": 7, "missed": 3}
    assert found["groups"] == {
        "88.118": {**NOTHING, "missed": 2},
        "88.118.1000": {**NOTHING, "registered": 1, "active": 1},
        "88.118.1001": {"registered": 3, "active": 2, "resolved": 3, "missed": 1},
        "88.118.1002": {"registered": 2, "active": 2, "resolved": 4, "missed": 0},
    }
    assert found["days"] == [
        {"day": yesterday, "registered": 5, "active": 5, "added": 5, "resolved": 3, "missed": 1},
        {"day": today, "registered": 6, "active": 5, "added": 1, "resolved": 4, "missed": 2},
    ]
    by_enterprise = (await read(node, f"{CITY}/statistics?by=enterprise"))["groups"]
    assert {name: each["registered"] for name, each in by_enterprise.items()} == {"": 0, HOLDER: 4, OTHER: 2}
    own = await read(node, "/api/v1/statistics?by=prefix", by="holder")
    assert own["groups"].keys() == {"88.118.1000", "88.118.1001"}
    assert own["total"] == {"registered": 4, "active": 3, "resolved": 3, "missed": 1}
    assert (await read(node, f"{CITY}/statistics?enterprise={OTHER}"))["total"]["registered"] == 2


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        (f"{CITY}/enterprises", {"nobody": 401, "city": 200, "holder": 403, "operator": 200}),
        (f"{CITY}/enterprises/{HOLDER}", {"nobody": 401, "city": 200, "holder": 200, "stranger": 403, "operator": 200}),
        (f"{CITY}/enterprises/{HOLDER}/products", {"nobody": 401, "city": 200, "holder": 200, "stranger": 403}),
        (f"{CITY}/statistics", {"nobody": 401, "city": 200, "holder": 403, "operator": 200}),
        ("/api/v1/statistics", {"nobody": 401, "city": 200, "holder": 200, "operator": 200}),
        (f"/api/v1/statistics?registrant={HOLDER}", {"holder": 200, "stranger": 403}),
        (f"{CITY}/changes", {"nobody": 401, "city": 200, "operator": 200}),
        (ACCESSES, {"nobody": 401, "city": 403, "holder": 200, "operator": 200}),
        (f"{ACCESSES}?registrant={HOLDER}", {"city": 403, "holder": 200, "stranger": 403, "operator": 200}),
        (f"{CITY}/statistics?by=colour", {"city": 400}),
        (f"{CITY}/statistics?days={MAX_DAYS + 1}", {"city": 400}),
        (f"{CITY}/statistics?days=-1", {"city": 400}),
        (f"{CITY}/statistics?enterprise=R-404", {"city": 404}),
        (f"{ACCESSES}?after=x", {"operator": 400}),
    ],
)  # fmt: skip
async def test_who_may_ask_what(node: RestNode, path: str, statuses: dict[str, int]) -> None:
    assert {who: (await node("GET", path, by=who)).status for who in statuses} == statuses


async def test_an_enterprise_learns_who_of_the_city_has_read_what(world: World, node: RestNode) -> None:
    got = await node("GET", f"{CITY}/enterprises/{HOLDER}", by="city", X_Request_Id="scan-1")
    assert got.status == 200
    first = (await read(node, ACCESSES, "holder"))["accesses"][0]
    assert (first["account"], first["request_id"], first["reading"]) == ("city", "scan-1", "enterprise")

    await read(node, f"{CITY}/enterprises/{HOLDER}/products?limit=3")
    await read(node, f"{CITY}/enterprises/{OTHER}/products")
    await read(node, f"{CITY}/statistics")
    await read(node, "/api/v1/identifiers/88.118.1001/a")
    await read(node, f"{CITY}/changes?prefix=88.118.1001")
    await read(node, f"{CITY}/changes?after={world.view.position.to_cursor()}")
    assert await accesses(node) == [
        ("changes", HOLDER, "88.118.1001", 5),
        ("identifier", HOLDER, "88.118.1001/a", 1),
        ("statistics", "*", "", 1),
        ("identifiers", HOLDER, "", 3),
        ("enterprise", HOLDER, "", 1),
    ]
    assert ("identifiers", OTHER, "", 1) in await accesses(node, "stranger")
    everything = await accesses(node, "operator")
    assert set(await accesses(node)) < set(everything)
    # Who asks for it leaves no trace in it, and neither do refusals.
    await node("GET", f"{CITY}/enterprises/R-404", by="city")
    assert await accesses(node, "operator") == everything


async def test_whatever_case_a_code_is_asked_in_its_enterprise_learns_of_it(node: RestNode) -> None:
    code = HOLDER.lower()
    for path in (f"enterprises/{code}", f"enterprises/{code}/products", f"statistics?enterprise={code}"):
        await read(node, f"{CITY}/{path}")
    assert {each[0] for each in await accesses(node)} == {"enterprise", "identifiers", "statistics"}


async def test_the_access_log_comes_in_pages(node: RestNode) -> None:
    for _ in range(5):
        await read(node, f"{CITY}/enterprises/{HOLDER}")
    found, after = 0, ""
    while True:
        page = await read(node, f"{ACCESSES}?limit=2&after={after}", "holder")
        found += len(page["accesses"])
        after = page.get("cursor", "")
        if not after:
            break
    assert found == 5


async def test_what_cannot_be_written_down_is_not_shown(world: World, node: RestNode, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("in the way")
    world.registry.access = AccessLog(tmp_path / "blocked", world.clock)
    got = await node("GET", f"{CITY}/enterprises/{HOLDER}", by="city")
    assert (got.status, got.document["reason"]) == (503, "store_failed")
    assert (await node("GET", f"{CITY}/enterprises/{HOLDER}")).status == 200
