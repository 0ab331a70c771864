"""Identifiers over REST: registering, changing, retiring, reading, as a client sees it."""

from typing import Any
from urllib.parse import quote

import pytest

from proto.errors import Reason
from proto.limits import MAX_BATCH_ROWS, MAX_RECORD_BYTES
from tests.support.rest import RestNode
from tests.support.world import World

ONE = "/api/v1/identifiers/88.118.1001/A-1"


def value(index: int = 1, kind: str = "URL", text: str = "https://example.com/1", **more: Any) -> dict[str, Any]:
    return {"index": index, "type": kind, "data": {"format": "string", "value": text}, **more}


def draft(*values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"values": list(values) or [value()], **more}


async def test_a_registration_is_created_then_unchanged_then_replaced(node: RestNode) -> None:
    made = await node("PUT", ONE, draft(), by="holder")
    assert made.status == 201
    assert made.headers["Location"] == ONE
    assert made.headers["ETag"] == '"1"'
    assert made.document == {
        "identifier": "88.118.1001/A-1",
        "version": 1,
        "state": "active",
        "outcome": "created",
        "position": made.headers["Biaojie-Position"],
    }
    again = await node("PUT", ONE, draft(), by="holder")
    assert (again.status, again.document["outcome"], again.document["version"]) == (200, "unchanged", 1)
    other = await node("PUT", ONE, draft(value(text="https://example.com/2")), by="holder")
    assert (other.status, other.document["outcome"], other.document["version"]) == (200, "replaced", 2)
    assert other.document["position"] != made.document["position"]


async def test_what_is_read_can_be_written_back(node: RestNode) -> None:
    values = [
        value(1, "URL"),
        value(2, "TITLE", "S13-M-400/10 油浸式变压器", audience="public"),
        value(3, "PRICE", "12", audience="dealers"),
        value(4, "NOTE", "内部", audience="private", ttl=60, references=[{"handle": "88.118.1001/B", "index": 2}]),
        {"index": 5, "type": "BLOB", "data": {"format": "base64", "value": "AAEC/w=="}},
    ]
    await node("PUT", ONE, draft(*values, template="transformer", aliases=["88.118.1001/别名"]), by="holder")
    read = await node("GET", ONE, by="holder")
    assert read.headers["ETag"] == '"1"'
    assert [each["index"] for each in read.document["values"]] == [1, 2, 5, 3, 4]
    assert read.document["aliases"] == ["88.118.1001/别名"]
    written = await node("PUT", ONE, read.document, by="holder", If_Match=read.headers["ETag"])
    assert written.document["outcome"] == "unchanged"


async def test_an_alias_reads_as_its_record(node: RestNode) -> None:
    await node("PUT", ONE, draft(aliases=["88.118.1001/B"]))
    assert (await node("GET", "/api/v1/identifiers/88.118.1001/B", by="nobody")).document["identifier"] == "88.118.1001/A-1"


@pytest.mark.parametrize(
    ("path", "identifier"),
    [
        ("88.118.1001/a/b//c", "88.118.1001/a/b//c"),
        ("88.118.1001/a%2Fb", "88.118.1001/a/b"),
        ("88.118.1001%2Fslash", "88.118.1001/slash"),
        ("88.118.1001/100%25", "88.118.1001/100%"),
        ("88.118.1001/%2525", "88.118.1001/%25"),
        ("88.118.1001/../x", "88.118.1001/../x"),
        ("88.118.1001/a+b", "88.118.1001/a+b"),
        ("88.118.1001/%E5%8F%98%E5%8E%8B%E5%99%A8", "88.118.1001/变压器"),
        ("88.118.1001/变压器", "88.118.1001/变压器"),
        ("88.118.1001/suspend", "88.118.1001/suspend"),
        ("88.118.1001/x%3Fy", "88.118.1001/x?y"),
    ],
)
async def test_an_identifier_is_everything_after_the_route_decoded_once(node: RestNode, path: str, identifier: str) -> None:
    made = await node("PUT", f"/api/v1/identifiers/{path}", draft(), by="holder")
    assert (made.status, made.document["identifier"]) == (201, identifier)
    assert (await node("GET", f"/api/v1/identifiers/{path}")).document["identifier"] == identifier
    assert (await node("GET", made.headers["Location"])).document["identifier"] == identifier


async def test_patching_sets_and_removes_by_index_and_leaves_the_rest(node: RestNode, world: World) -> None:
    await node("PUT", ONE, draft(value(1), value(2, "TITLE", "a"), value(3, "META", "{}"), template="t"), by="holder")
    world.clock.now += 60_000
    patch = {"set": [value(2, "TITLE", "b"), value(4, "NOTE", "n", audience="private")], "remove": [3, 77]}
    done = await node("PATCH", ONE, patch, by="holder", If_Match='"1"')
    assert (done.status, done.document["version"], done.headers["ETag"]) == (200, 2, '"2"')
    read = (await node("GET", ONE, by="holder")).document
    assert {each["index"]: each["data"]["value"] for each in read["values"]} == {1: "https://example.com/1", 2: "b", 4: "n"}
    assert read["template"] == "t"
    times = {each["index"]: each["timestamp"] for each in read["values"]}
    assert times[2] > times[1]
    assert (await node("PATCH", ONE, {"remove": [77]}, by="holder")).document["outcome"] == "unchanged"
    assert (await node("PATCH", ONE, {"set": [value(5)], "remove": [5]}, by="holder")).document["reason"] == "duplicate_index"


async def test_suspending_hides_and_resuming_shows(node: RestNode) -> None:
    await node("PUT", ONE, draft(), by="holder")
    done = await node("POST", f"{ONE}/suspend", by="holder")
    assert (done.status, done.document["state"], done.document["version"]) == (200, "suspended", 2)
    hidden = await node("GET", ONE, by="nobody")
    assert (hidden.status, hidden.document["reason"]) == (403, "suspended")
    assert (await node("GET", ONE, by="holder")).document["state"] == "suspended"
    assert (await node("POST", f"{ONE}/suspend", by="holder")).document["outcome"] == "unchanged"
    replaced = await node("PUT", ONE, draft(value(text="https://example.com/mended")), by="holder")
    assert replaced.document["state"] == "suspended"
    assert (await node("POST", f"{ONE}/resume", by="holder")).document["state"] == "active"
    assert (await node("GET", ONE, by="nobody")).status == 200


async def test_what_is_retired_is_gone_for_ever(node: RestNode) -> None:
    await node("PUT", ONE, draft(aliases=["88.118.1001/B"]), by="holder")
    done = await node("DELETE", ONE, by="holder", If_Match='"1"')
    assert (done.status, done.document["state"]) == (200, "retired")
    for method, path, document in (
        ("GET", ONE, None),
        ("PUT", ONE, draft()),
        ("PATCH", ONE, {"remove": [1]}),
        ("DELETE", ONE, None),
        ("POST", f"{ONE}/resume", None),
        ("GET", "/api/v1/identifiers/88.118.1001/B", None),
    ):
        gone = await node(method, path, document, by="holder")
        assert (gone.status, gone.document["reason"]) == (410, "retired"), method
    taken = await node("PUT", "/api/v1/identifiers/88.118.1001/C", draft(aliases=["88.118.1001/B"]), by="holder")
    assert (taken.status, taken.document["reason"], taken.document["field"]) == (409, "alias_taken", "aliases[0]")


async def test_versions_guard_writes(node: RestNode) -> None:
    missing = await node("PUT", ONE, draft(), by="holder", If_Match="*")
    assert (missing.status, missing.document["reason"]) == (412, "version_conflict")
    assert (await node("PUT", ONE, draft(), by="holder", If_None_Match="*")).status == 201
    assert (await node("PUT", ONE, draft(value(2)), by="holder", If_None_Match="*")).status == 412
    assert (await node("PUT", ONE, draft(value(2)), by="holder", If_Match='"7"')).status == 412
    assert (await node("PUT", ONE, draft(value(2)), by="holder", If_Match='"1"')).status == 200
    assert (await node("DELETE", ONE, by="holder", If_Match='"1"')).status == 412
    assert (await node("POST", f"{ONE}/suspend", by="holder", If_Match='"1"')).status == 412
    assert node.refused(Reason.VERSION_CONFLICT) == 5
    for wrong in ('W/"2"', '"2", "3"', "2", '""', '"x"', '"99999999999999999999"'):
        assert (await node("PUT", ONE, draft(), by="holder", If_Match=wrong)).document["field"] == "If-Match"
    assert (await node("PUT", ONE, draft(), by="holder", If_None_Match='"2"')).status == 400


async def test_a_reader_who_has_it_is_told_so(node: RestNode) -> None:
    await node("PUT", ONE, draft())
    assert (await node("GET", ONE, If_None_Match='"9", "1"')).status == 304
    assert (await node("GET", ONE, If_None_Match='W/"1"')).status == 304
    assert (await node("GET", ONE, If_None_Match='"2"')).status == 200


async def test_head_is_a_get_without_its_body(node: RestNode) -> None:
    await node("PUT", ONE, draft())
    head, get = await node("HEAD", ONE), await node("GET", ONE)
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", '"1"')
    assert head.headers["Content-Length"] == str(len(get.body))


async def test_who_may_read_what(node: RestNode) -> None:
    await node("PUT", ONE, draft(value(1), value(2, "PRICE", "1", audience="dealers"), value(3, "N", "x", audience="private")))
    seen = {who: {each["index"] for each in (await node("GET", ONE, by=who)).document["values"]} for who in node.tokens}
    assert seen == {"operator": {1, 2, 3}, "holder": {1, 2, 3}, "stranger": {1}, "city": {1}}
    assert [each["index"] for each in (await node("GET", ONE, by="nobody")).document["values"]] == [1]
    grant = "/api/v1/accounts/city/groups/91411000MA40XCDL1K/dealers"
    assert (await node("PUT", grant, by="holder")).status == 200
    assert [each["index"] for each in (await node("GET", ONE, by="city")).document["values"]] == [1, 2]
    assert (await node("DELETE", grant, by="holder")).status == 200
    assert [each["index"] for each in (await node("GET", ONE, by="city")).document["values"]] == [1]


@pytest.mark.parametrize(
    ("by", "status", "reason"),
    [("nobody", 401, "unauthenticated"), ("city", 403, "permission_denied"), ("stranger", 403, "permission_denied")],
)
async def test_who_may_not_write(node: RestNode, by: str, status: int, reason: str) -> None:
    await node("PUT", ONE, draft())
    for method, path, document in (
        ("PUT", ONE, draft(value(2))),
        ("PATCH", ONE, {"remove": [1]}),
        ("DELETE", ONE, None),
        ("POST", f"{ONE}/suspend", None),
        ("POST", f"{ONE}/resume", None),
    ):
        denied = await node(method, path, document, by=by)
        assert (denied.status, denied.document["reason"]) == (status, reason), method
    assert (await node("GET", ONE)).document["version"] == 1


BAD_VALUES: list[tuple[dict[str, Any], str, str]] = [
    ({"values": [value(0)]}, "invalid_value", "values[0].index"),
    ({"values": [value(2**32)]}, "invalid_value", "values[0].index"),
    ({"values": [value(1), value(1, "TITLE")]}, "duplicate_index", "values[1].index"),
    ({"values": [value(1, "")]}, "invalid_value", "values[0].type"),
    ({"values": [value(1, "x" * 256)]}, "invalid_value", "values[0].type"),
    ({"values": [value(1, ttl=-1)]}, "invalid_value", "values[0].ttl"),
    ({"values": [value(1, ttl=31_536_001)]}, "invalid_value", "values[0].ttl"),
    ({"values": [value(1, audience="no good")]}, "invalid_value", "values[0].audience"),
    ({"values": [value(1, audienec="private")]}, "invalid_value", "values[0].audienec"),
    ({"values": [{"index": 1, "type": "URL"}]}, "invalid_value", "values[0].data"),
    ({"values": [{"index": "1", "type": "URL", "data": "x"}]}, "invalid_value", "values[0].index"),
    ({"values": "URL"}, "invalid_value", "values"),
    ({"value": []}, "invalid_argument", "value"),
    ({"values": [], "aliases": "88.118.1001/B"}, "invalid_argument", "aliases"),
    ({"values": [], "aliases": [7]}, "invalid_argument", "aliases[0]"),
    ({"values": [], "aliases": ["88.118.1001/A-1"]}, "invalid_argument", "aliases[0]"),
    ({"values": [], "aliases": ["88.118.1001/B", "88.118.1001/b"]}, "invalid_argument", "aliases[1]"),
    ({"values": [], "aliases": ["88.118.1002/B"]}, "permission_denied", "aliases[0]"),
    ({"values": [], "aliases": ["/"]}, "invalid_identifier", "aliases[0]"),
    ({"values": [], "template": "a\nb"}, "invalid_argument", "template"),
    ({"values": [], "identifier": "88.118.1001/other"}, "invalid_argument", "identifier"),
]


@pytest.mark.parametrize(("document", "reason", "where"), BAD_VALUES)
async def test_a_draft_that_cannot_be_is_refused_by_its_field(
    node: RestNode, document: dict[str, Any], reason: str, where: str
) -> None:
    refused = await node("PUT", ONE, document, by="holder")
    assert refused.status in (400, 403)
    assert (refused.document["reason"], refused.document["field"]) == (reason, where)
    assert node.refused(Reason(reason)) == 1
    assert (await node("GET", ONE)).status == 404


async def test_what_is_too_large_is_refused_by_name(node: RestNode) -> None:
    big = "x" * (MAX_RECORD_BYTES + 1)
    refused = await node("PUT", ONE, draft(value(1, "DATA", big)), by="holder")
    assert (refused.status, refused.document["reason"], refused.document["field"]) == (413, "value_too_large", "values[0].data")
    half = "x" * (MAX_RECORD_BYTES // 2)
    refused = await node("PUT", ONE, draft(value(1, "DATA", half), value(2, "DATA", half)), by="holder")
    assert (refused.status, refused.document["reason"]) == (413, "record_too_large")
    many = [value(index, "N", "") for index in range(1, 2050)]
    refused = await node("PUT", ONE, {"values": many}, by="holder")
    assert (refused.status, refused.document["reason"]) == (413, "too_many_values")


BAD_PATHS = [
    ("88.118.1001/", 400, "invalid_identifier"),
    ("/x", 400, "invalid_identifier"),
    ("88..1/x", 400, "invalid_identifier"),
    ("88.118.1001/a%00b", 400, "invalid_identifier"),
    ("88.118.1001/" + quote("e\u0301"), 400, "invalid_identifier"),
    ("88.118.1001/" + "x" * 2048, 400, "invalid_identifier"),
    ("88.118.1001/%FF", 400, "invalid_encoding"),
    ("88.118.1001/100%", 400, "invalid_encoding"),
    ("88.118.9999/x", 404, "unknown_prefix"),
    ("99.1/x", 404, "not_homed"),
]


@pytest.mark.parametrize(("path", "status", "reason"), BAD_PATHS)
async def test_an_identifier_that_cannot_be_is_refused_by_name(node: RestNode, path: str, status: int, reason: str) -> None:
    refused = await node("PUT", f"/api/v1/identifiers/{path}", draft(), by="operator")
    assert (refused.status, refused.document["reason"], refused.document["field"]) == (status, reason, "identifier")
    assert node.refused(Reason(reason)) == 1


async def test_a_suspended_prefix_takes_nothing_and_shows_nothing(node: RestNode) -> None:
    await node("PUT", ONE, draft(), by="holder")
    await node("POST", "/api/v1/prefixes/88.118.1001/suspend")
    refused = await node("PUT", ONE, draft(value(2)), by="holder")
    assert (refused.status, refused.document["reason"]) == (403, "prefix_suspended")
    assert (await node("GET", ONE, by="nobody")).document["reason"] == "prefix_suspended"
    await node("POST", "/api/v1/prefixes/88.118.1001/resume")
    await node("POST", "/api/v1/registrants/91411000MA40XCDL1K/suspend")
    refused = await node("PUT", ONE, draft(value(2)), by="holder")
    assert (refused.status, refused.document["reason"]) == (403, "prefix_suspended")


async def test_a_batch_has_a_result_for_every_row(node: RestNode) -> None:
    await node("PUT", ONE, draft(), by="holder")
    rows = [
        {"identifier": "88.118.1001/A-1", **draft()},
        {"identifier": "88.118.1001/A-2", **draft()},
        {"identifier": "88.118.1002/X", **draft()},
        {"identifier": "88.118.1001/A-3", "values": [value(0)]},
        {"identifier": "88.118.1001/a-2", **draft(value(5))},
        {"values": []},
        {"identifier": "88.118.1001/A-1x", **draft(), "expected_version": 4},
        "no row",
    ]
    answer = await node.session.post(
        f"http://127.0.0.1:{node.port}/api/v1/identifiers",
        json={"identifiers": rows},
        headers={"Authorization": f"Bearer {node.tokens['holder']}"},
    )
    assert answer.status == 200
    got = await answer.json()
    assert (got["created"], got["replaced"], got["unchanged"], got["refused"]) == (1, 0, 1, 6)
    told = [
        (each["row"], each["identifier"], each["outcome"], each.get("reason"), each.get("field")) for each in got["results"]
    ]
    assert told == [
        (0, "88.118.1001/A-1", "unchanged", None, None),
        (1, "88.118.1001/A-2", "created", None, None),
        (2, "88.118.1002/X", "refused", "permission_denied", "identifier"),
        (3, "88.118.1001/A-3", "refused", "invalid_value", "values[0].index"),
        (4, "88.118.1001/a-2", "refused", "duplicate_identifier", "identifier"),
        (5, "", "refused", "invalid_argument", "identifier"),
        (6, "88.118.1001/A-1x", "refused", "version_conflict", "expected_version"),
        (7, "", "refused", "invalid_argument", ""),
    ]
    assert answer.headers["Biaojie-Position"] == got["position"]
    assert node.refused(Reason.INVALID_ARGUMENT) == 2, "a refused row is counted as a refused request is"


async def test_an_atomic_batch_is_written_whole_or_not_at_all(node: RestNode) -> None:
    good = [{"identifier": f"88.118.1001/B-{number}", **draft()} for number in range(3)]
    bad = {"identifier": "88.118.1002/X", **draft()}
    refused = await node("POST", "/api/v1/identifiers", {"identifiers": [*good, bad], "mode": "atomic"}, by="holder")
    assert (refused.status, refused.document["reason"], refused.document["row"]) == (403, "permission_denied", 3)
    assert [each["outcome"] for each in refused.document["results"]] == ["created"] * 3 + ["refused"]
    assert (await node("GET", "/api/v1/identifiers/88.118.1001/B-0")).status == 404
    done = await node("POST", "/api/v1/identifiers", {"identifiers": good, "mode": "atomic"}, by="holder")
    assert (done.status, done.document["created"]) == (200, 3)


async def test_a_rehearsal_writes_nothing(node: RestNode, world: World) -> None:
    before = world.store.head()
    rows = [{"identifier": "88.118.1001/R", **draft()}]
    told = await node("POST", "/api/v1/identifiers", {"identifiers": rows, "mode": "rehearsal"}, by="holder")
    assert told.document["results"] == [{"row": 0, "identifier": "88.118.1001/R", "outcome": "created", "version": 1}]
    assert world.store.head() == before


async def test_a_batch_beyond_its_limits_is_refused(node: RestNode) -> None:
    row = {"identifier": "88.118.1001/R", "values": []}
    refused = await node("POST", "/api/v1/identifiers", {"identifiers": [row] * (MAX_BATCH_ROWS + 1)}, by="holder")
    assert (refused.status, refused.document["reason"]) == (413, "batch_too_large")
    assert (await node("POST", "/api/v1/identifiers", {"identifiers": []}, by="holder")).status == 400
    assert (await node("POST", "/api/v1/identifiers", {"identifiers": [row], "mode": "some"}, by="holder")).status == 400
    rows = [{"identifier": f"88.118.1001/{n}", "values": [value(1, "D", "x" * 250_000)]} for n in range(17)]
    refused = await node("POST", "/api/v1/identifiers", {"identifiers": rows}, by="holder")
    assert (refused.status, refused.document["reason"]) == (413, "batch_too_large")


async def test_listing_below_a_prefix_goes_page_by_page(node: RestNode) -> None:
    rows = [{"identifier": f"88.118.1001/L-{number}", **draft()} for number in range(7)]
    await node("POST", "/api/v1/identifiers", {"identifiers": rows}, by="holder")
    await node("DELETE", "/api/v1/identifiers/88.118.1001/L-3", by="holder")
    listed: list[dict[str, Any]] = []
    path = "/api/v1/identifiers?prefix=88.118.1001&limit=3"
    page = await node("GET", path, by="holder")
    listed += page.document["identifiers"]
    while "cursor" in page.document:
        page = await node("GET", f"{path}&after={quote(page.document['cursor'], safe='')}", by="holder")
        listed += page.document["identifiers"]
    assert [each["identifier"] for each in listed] == [f"88.118.1001/L-{number}" for number in range(7)]
    assert [each["state"] for each in listed].count("retired") == 1
    for who in ("operator", "city"):
        page = await node("GET", "/api/v1/identifiers?prefix=88.118.1001", by=who)
        assert len(page.document["identifiers"]) == 7
    assert (await node("GET", path, by="stranger")).status == 403
    assert (await node("GET", f"{path}&registrant=91411000MA40XCDL1K", by="stranger")).status == 403
    assert (await node("GET", path, by="nobody")).status == 401


async def test_the_name_of_a_prefix_is_registered_where_the_prefix_lives(node: RestNode) -> None:
    made = await node("PUT", "/api/v1/identifiers/0.NA/88.118.1001", draft(), by="holder")
    assert made.status == 201
    assert (await node("GET", "/api/v1/identifiers/88.118.1001")).document["identifier"] == "0.NA/88.118.1001"
    assert (await node("PUT", "/api/v1/identifiers/0.na/88.118.1001", draft(), by="holder")).document["outcome"] == "unchanged"
    assert (await node("PUT", "/api/v1/identifiers/0.NA/88.118.1002", draft(), by="holder")).status == 403
