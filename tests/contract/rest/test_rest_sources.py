"""Sources over REST: whose they are, what a report keeps, what a request does to who is running, who lifts the brake."""

import json
from typing import Any

import pytest

from proto.errors import Reason
from proto.model.account import Role
from registry.service.sources import MAX_FAULTS, MAX_SOURCES_OF_ONE
from tests.support.rest import Got, RestNode
from tests.support.world import HOLDER, OPERATOR, World, context

SOURCES = "/api/v1/sources"
ONE = f"{SOURCES}/erp"
DIGEST = "0123456789abcdef"
COUNTS = {"rows": 3, "created": 1, "replaced": 1, "faulty": 1}


@pytest.fixture
async def source(node: RestNode) -> Got:
    """A source of the holder's account."""
    made = await node("POST", SOURCES, {"name": "erp"}, by="holder")
    assert made.status == 201
    return made


async def report(
    node: RestNode, version: int, state: str = "done", bookmark: str = "b", by: str = "holder", **more: Any
) -> Got:
    body = {"state": state, "bookmark": bookmark, **more}
    return await node("POST", f"{ONE}/report", body, by=by, If_Match=f'"{version}"')


def refused(got: Got, reason: Reason) -> bool:
    return got.document.get("reason") == reason


async def test_a_new_source_has_not_run_and_making_it_again_changes_nothing(node: RestNode, source: Got) -> None:
    document = source.document
    assert (document["state"], document["bookmark"], document["ran"], document["done"]) == ("new", "", None, None)
    assert (document["account"], document["registrant"]) == ("holder", HOLDER)
    again = await node("POST", SOURCES, {"name": "erp"}, by="holder")
    assert (again.status, again.document["outcome"]) == (200, "unchanged")


async def test_a_report_keeps_bookmark_counts_and_faults(node: RestNode, source: Got) -> None:
    fault = {"row": "products.csv, line 3", "reason": "serial: 空"}
    await report(node, 1, bookmark="7", counts=COUNTS, faults=[fault], message="1 row is faulty")
    kept = (await node("GET", ONE, by="holder")).document
    assert (kept["state"], kept["bookmark"], kept["faults"]) == ("done", "7", [fault])
    assert kept["counts"] == {**COUNTS, "unchanged": 0, "suspended": 0, "retired": 0, "resumed": 0}
    assert kept["ran"] == kept["done"] is not None


async def test_a_run_that_was_stopped_or_failed_is_not_the_last_that_ended_well(node: RestNode, source: Got) -> None:
    await report(node, 1)
    well = (await node("GET", ONE)).document["done"]
    stopped = await report(node, 2, "stopped", message="the brake", plan_digest=DIGEST)
    assert (stopped.document["state"], stopped.document["done"]) == ("stopped", well)
    assert stopped.document["plan_digest"] == DIGEST
    failed = await report(node, 3, "failed")
    assert (failed.document["state"], failed.document["done"], failed.document["plan_digest"]) == ("failed", well, "")


async def test_a_run_that_found_nothing_new_leaves_counts_and_faults_as_they_were(node: RestNode, source: Got) -> None:
    fault = {"row": "3", "reason": "x"}
    first = (await report(node, 1, counts=COUNTS, faults=[fault], message="1 row is faulty")).document
    second = (await report(node, 2, bookmark="8")).document
    assert (second["counts"], second["faults"], second["bookmark"]) == (first["counts"], [fault], "8")


async def test_who_runs_under_an_old_version_learns_that_it_was_asked_for(node: RestNode, source: Got) -> None:
    asked = await node("POST", f"{ONE}/run", {}, by="holder")
    assert (asked.document["is_requested"], asked.document["over_brake"]) == (True, "")
    assert refused(await report(node, 1), Reason.VERSION_CONFLICT)
    done = await report(node, 2)
    assert (done.document["is_requested"], done.document["bookmark"]) == (False, "b")


async def test_the_brake_is_lifted_by_the_operator_alone_and_for_one_run(node: RestNode, source: Got) -> None:
    assert refused(await node("POST", f"{ONE}/run", {"over_brake": DIGEST}, by="holder"), Reason.PERMISSION_DENIED)
    assert (await node("POST", f"{ONE}/run", {"over_brake": DIGEST})).document["over_brake"] == DIGEST
    assert (await report(node, 2)).document["over_brake"] == ""


async def test_reading_it_again_forgets_the_bookmark(node: RestNode, source: Got) -> None:
    await report(node, 1, bookmark="7")
    assert (await node("POST", f"{ONE}/run", {"again": True}, by="holder")).document["bookmark"] == ""


async def test_a_source_is_its_registrants_and_the_operators(node: RestNode, world: World, source: Got) -> None:
    assert (await node("GET", SOURCES, by="stranger")).document["sources"] == []
    assert refused(await report(node, 1, by="stranger"), Reason.NOT_FOUND)
    assert refused(await node("GET", ONE, by="stranger"), Reason.NOT_FOUND)
    assert refused(await node("POST", f"{ONE}/run", {}, by="stranger"), Reason.NOT_FOUND)
    assert refused(await node("POST", SOURCES, {"name": "erp"}, by="stranger"), Reason.ALREADY_EXISTS)
    assert refused(await node("POST", SOURCES, {"name": "x", "account": "holder"}, by="stranger"), Reason.PERMISSION_DENIED)
    for by, reason in (("city", Reason.PERMISSION_DENIED), ("nobody", Reason.UNAUTHENTICATED)):
        assert refused(await node("GET", SOURCES, by=by), reason)
    node.tokens["colleague"] = (
        await world.registry.create_account(context(OPERATOR), "colleague", Role.REGISTRANT, HOLDER)
    ).token
    assert (await report(node, 1, by="colleague")).status == 200
    (seen,) = (await node("GET", SOURCES)).document["sources"]
    assert (seen["name"], seen["account"]) == ("erp", "holder")


async def test_the_operator_makes_a_source_for_an_account_that_registers(node: RestNode) -> None:
    made = await node("POST", SOURCES, {"name": "mes", "account": "holder"})
    assert (made.document["account"], made.document["registrant"]) == ("holder", HOLDER)
    assert refused(await node("POST", SOURCES, {"name": "x", "account": "city"}), Reason.INVALID_ARGUMENT)
    assert refused(await node("POST", SOURCES, {"name": "x", "account": "nobody"}), Reason.NOT_FOUND)


async def test_sources_of_one_registrant_are_bounded(node: RestNode) -> None:
    for number in range(MAX_SOURCES_OF_ONE):
        await node("POST", SOURCES, {"name": f"source-{number}"}, by="holder")
    assert refused(await node("POST", SOURCES, {"name": "more"}, by="holder"), Reason.QUOTA_EXCEEDED)
    assert (await node("POST", SOURCES, {"name": "theirs"}, by="stranger")).status == 201


async def test_what_is_wrong_is_named(node: RestNode, source: Got) -> None:
    fault = {"row": "1", "reason": "x"}
    whole = {"state": "done", "bookmark": ""}
    for path, body, field in (
        (SOURCES, {"name": "Has Blanks"}, "name"),
        (f"{ONE}/report", whole | {"state": "new"}, "state"),
        (f"{ONE}/report", whole | {"state": "lost"}, "state"),
        (f"{ONE}/report", whole | {"bookmark": "x" * 20_000}, "bookmark"),
        (f"{ONE}/report", whole | {"message": "x" * 301}, "message"),
        (f"{ONE}/report", whole | {"counts": {}, "faults": [fault] * (MAX_FAULTS + 1)}, "faults"),
        (f"{ONE}/report", whole | {"counts": {}, "faults": [fault | {"reason": "x" * 301}]}, "faults[0].reason"),
        (f"{ONE}/report", whole | {"faults": [fault]}, "faults"),
        (f"{ONE}/report", whole | {"counts": {"rows": -1}}, "counts.rows"),
        (f"{ONE}/report", whole | {"plan_digest": "0"}, "plan_digest"),
        (f"{ONE}/run", {"over_brake": True}, "over_brake"),
        (f"{ONE}/run", {"over_brake": "the last one"}, "over_brake"),
    ):
        got = await node("POST", path, data=json.dumps(body).encode())
        assert (got.status, got.document["field"]) == (400, field), (path, body)


async def test_runs_are_not_news_to_those_who_follow(node: RestNode, source: Got) -> None:
    head = (await node("GET", "/api/v1/changes?after=")).document["head"]
    await report(node, 1)
    page = (await node("GET", f"/api/v1/changes?after={head}")).document
    assert page["changes"] == []
    assert page["cursor"] == page["head"] != head
