"""Import jobs and exports over REST: from a table in a request's body to the line that says what became of each row."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proto.errors import Reason
from proto.sm3 import sm3
from proto.wire.http.target import parse_target
from registry.doors.rest.call import Call
from registry.doors.rest.export import ExportResource
from registry.doors.rest.jobs import JobResource
from registry.service.context import Context
from tests.contract.rest.conftest import make_tokens
from tests.support.imports import PREFIX, Desk, products, table
from tests.support.rest import Got, RestNode
from tests.support.world import OTHER, World, holder

IMPORT = "/api/v1/jobs/import"


@pytest.fixture
async def desk(world: World, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await Desk(world, tmp_path).open(accounts=False)
    yield desk
    await desk.jobs.close()


@pytest.fixture
async def node(desk: Desk) -> AsyncIterator[RestNode]:
    registry = desk.world.registry
    async with RestNode(registry, None, None, JobResource(desk.jobs), ExportResource(registry)) as opened:
        opened.tokens = await make_tokens(desk.world)
        yield opened


async def hand_in(node: RestNode, data: bytes, query: str = "&file_name=rows.csv", by: str = "holder", **headers: str) -> Got:
    return await node("POST", f"{IMPORT}?prefix={PREFIX}{query}", data=data, by=by, **{"Content_Type": "text/csv", **headers})


async def ended(node: RestNode, desk: Desk, taken: Got) -> dict[str, Any]:
    (job,) = [each for each in desk.jobs._jobs() if each.id == taken.document["id"]]
    await desk.finish(job)
    return (await node("GET", taken.headers["Location"], by="holder")).document


async def test_a_table_becomes_a_job_that_can_be_watched(node: RestNode, desk: Desk) -> None:
    taken = await hand_in(node, products(3), "&file_name=%E4%BA%A7%E5%93%81.csv")
    assert taken.status == 202
    assert taken.headers["Location"] == f"/api/v1/jobs/{taken.document['id']}"
    job = await ended(node, desk, taken)
    assert (job["state"], job["rows"], job["created_rows"], job["refused_rows"]) == ("finished", 3, 3, 0)
    assert (job["file_name"], job["file_digest"], job["encoding"]) == ("产品.csv", sm3(products(3)).hex(), "utf-8")
    assert (await node("GET", f"/api/v1/identifiers/{PREFIX}/T-3", by="nobody")).status == 200


@pytest.mark.parametrize(
    "content_type",
    ["text/csv", "text/csv; charset=GB18030", "application/octet-stream", "text/plain", "application/x-www-form-urlencoded"],
)
async def test_what_clients_call_a_table_does_not_matter(node: RestNode, desk: Desk, content_type: str) -> None:
    taken = await hand_in(node, products(2).decode().encode("gb18030"), "", Content_Type=content_type)
    job = await ended(node, desk, taken)
    assert (job["created_rows"], job["encoding"], job["file_format"]) == (2, "gb18030", "csv")


async def test_a_table_of_documents_is_told_by_its_content_type_or_its_content(node: RestNode, desk: Desk) -> None:
    row = json.dumps({"identifier": f"{PREFIX}/N", "values": []}).encode()
    for content_type in ("application/x-ndjson", "application/octet-stream"):
        taken = await hand_in(node, row, "", Content_Type=content_type)
        assert (await ended(node, desk, taken))["file_format"] == "ndjson"


async def test_the_result_is_a_table_of_its_own(node: RestNode, desk: Desk) -> None:
    taken = await hand_in(node, table(f"{PREFIX}/A,u,t", "88.118.1002/B,u,t"), "&file_name=%E4%BA%A7%E5%93%81.csv")
    await ended(node, desk, taken)
    got = await node("GET", f"{taken.headers['Location']}/result", by="holder")
    lines = got.body.decode().splitlines()
    assert lines[:2] == ["row,identifier,outcome,field,message", f"1,{PREFIX}/A,created,,"]
    assert lines[2].startswith("2,88.118.1002/B,refused,identifier,")
    assert got.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert got.headers["Content-Disposition"].endswith("%E4%BA%A7%E5%93%81.csv.result.csv")
    assert int(got.headers["Content-Length"]) == len(got.body)


async def test_a_result_can_be_fetched_in_parts(node: RestNode, desk: Desk) -> None:
    taken = await hand_in(node, products(50))
    await ended(node, desk, taken)
    path = f"{taken.headers['Location']}/result"
    whole = (await node("GET", path, by="holder")).body
    size = len(whole)
    for header, expected in [
        ("bytes=0-9", whole[:10]),
        ("bytes=10-", whole[10:]),
        ("bytes=-7", whole[-7:]),
        (f"bytes=5-{size * 2}", whole[5:]),
    ]:
        part = await node("GET", path, by="holder", Range=header)
        assert (part.status, part.body) == (206, expected)
        assert part.headers["Content-Range"].endswith(f"/{size}")
    for header in ("bytes=0-1,5-6", "rows=1-2", "bytes=9-3", "bytes=-"):
        assert (await node("GET", path, by="holder", Range=header)).status == 200
    beyond = await node("GET", path, by="holder", Range=f"bytes={size}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")


async def test_the_same_file_is_resumed_and_found(node: RestNode, desk: Desk) -> None:
    first = await ended(node, desk, await hand_in(node, products(3)))
    again = await hand_in(node, products(3), "&file_name=rows.csv&resume=true")
    assert (again.status, again.document["id"]) == (200, first["id"])
    digest = first["file_digest"]
    found = await node("GET", f"/api/v1/jobs?file_digest={digest}&prefix={PREFIX}", by="holder")
    assert [job["id"] for job in found.document["jobs"]] == [first["id"]]
    for query in (f"file_digest={digest}&prefix={PREFIX}&dry_run=true", f"file_digest={'0' * 64}&prefix={PREFIX}"):
        assert (await node("GET", f"/api/v1/jobs?{query}", by="holder")).document["jobs"] == []


async def test_a_dry_run_registers_nothing(node: RestNode, desk: Desk) -> None:
    job = await ended(node, desk, await hand_in(node, products(3), "&file_name=a.csv&dry_run=1"))
    assert (job["dry_run"], job["created_rows"]) == (True, 3)
    assert (await node("GET", f"/api/v1/identifiers/{PREFIX}/T-1")).status == 404


async def test_jobs_are_listed_for_those_who_may_see_them(node: RestNode, desk: Desk) -> None:
    made = [(await ended(node, desk, await hand_in(node, products(1))))["id"] for _ in range(3)]
    first = (await node("GET", "/api/v1/jobs?limit=2", by="holder")).document
    rest = (await node("GET", f"/api/v1/jobs?limit=2&after={first['cursor']}", by="operator")).document
    assert sorted(job["id"] for job in (*first["jobs"], *rest["jobs"])) == sorted(made)
    assert (await node("GET", "/api/v1/jobs", by="stranger")).document["jobs"] == []
    assert (await node("GET", f"/api/v1/jobs?registrant={OTHER}", by="holder")).status == 403
    assert (await node("GET", "/api/v1/jobs", by="nobody")).status == 401
    assert (await node("GET", f"/api/v1/jobs/{made[0]}", by="stranger")).status == 404
    assert (await node("GET", f"/api/v1/jobs/{made[0]}/result", by="city")).status == 403


@pytest.mark.parametrize(
    ("query", "by", "status", "reason", "field"),
    [
        (f"prefix={PREFIX}&file_name=a.xlsx", "holder", 415, Reason.UNSUPPORTED_CONTENT_TYPE, "file_name"),
        (f"prefix={PREFIX}&dry_run=perhaps", "holder", 400, Reason.INVALID_ARGUMENT, "dry_run"),
        (f"prefix={PREFIX}&colour=red", "holder", 400, Reason.INVALID_ARGUMENT, "colour"),
        ("", "holder", 400, Reason.INVALID_IDENTIFIER, "identifier"),
        ("prefix=88.118.9", "holder", 404, Reason.UNKNOWN_PREFIX, None),
        (f"prefix={PREFIX}", "stranger", 403, Reason.PERMISSION_DENIED, None),
        (f"prefix={PREFIX}", "nobody", 401, Reason.UNAUTHENTICATED, "authorization"),
    ],
)
async def test_what_cannot_be_imported_is_refused_by_name(
    node: RestNode, query: str, by: str, status: int, reason: Reason, field: str | None
) -> None:
    got = await node("POST", f"{IMPORT}?{query}", data=products(1), by=by, Content_Type="text/csv")
    assert (got.status, got.document["reason"], got.document.get("field")) == (status, reason, field)
    assert node.refused(reason) == 1


@pytest.mark.parametrize(("digest", "status"), [("zz", 400), ("x" * 64, 400)])
async def test_a_digest_that_is_none_is_refused(node: RestNode, digest: str, status: int) -> None:
    got = await node("GET", f"/api/v1/jobs?file_digest={digest}", by="holder")
    assert (got.status, got.document["field"]) == (status, "file_digest")


async def test_pictures_are_not_imported(node: RestNode) -> None:
    assert (await hand_in(node, b"x", Content_Type="image/png")).status == 415


async def test_what_is_exported_can_be_imported_and_changes_nothing(node: RestNode, desk: Desk) -> None:
    values = [
        {"index": 1, "type": "URL", "data": {"format": "string", "value": "https://example.cn"}, "ttl": 60},
        {"index": 9, "type": "KEY", "data": {"format": "base64", "value": "AAEC"}, "audience": "buyers"},
        {"index": 900, "type": "NOTE", "data": {"format": "string", "value": "内部"}, "audience": "private"},
    ]
    body = {"values": values, "template": "transformer", "aliases": [f"{PREFIX}/ALIAS"]}
    await node("PUT", f"/api/v1/identifiers/{PREFIX}/FULL", body, by="holder")
    await node("PUT", f"/api/v1/identifiers/{PREFIX}/GONE", {"values": []}, by="holder")
    await node("DELETE", f"/api/v1/identifiers/{PREFIX}/GONE", by="holder")
    await ended(node, desk, await hand_in(node, products(120)))
    exported = await node("GET", f"/api/v1/export?prefix={PREFIX}", by="holder")
    assert exported.headers["Content-Type"] == "application/x-ndjson"
    assert len(exported.body.splitlines()) == 121
    job = await ended(node, desk, await hand_in(node, exported.body, "&file_name=a.ndjson"))
    assert (job["unchanged_rows"], job["rows"]) == (121, 121)


async def test_an_export_shows_what_the_caller_may_see(node: RestNode) -> None:
    note = {"index": 900, "type": "NOTE", "data": {"format": "string", "value": "内部"}, "audience": "private"}
    await node("PUT", f"/api/v1/identifiers/{PREFIX}/A", {"values": [note]}, by="holder")
    rows = {}
    for by in ("holder", "operator", "city"):
        rows[by] = json.loads((await node("GET", f"/api/v1/export?prefix={PREFIX}", by=by)).body)
    assert [len(rows[by]["values"]) for by in ("holder", "operator", "city")] == [1, 1, 0]
    for by, status in (("stranger", 403), ("nobody", 401)):
        assert (await node("GET", f"/api/v1/export?prefix={PREFIX}", by=by)).status == status
    assert (await node("GET", "/api/v1/export?prefix=88.118.9")).status == 404


async def test_an_export_lets_others_have_their_turn(node: RestNode, desk: Desk) -> None:
    await ended(node, desk, await hand_in(node, products(500)))
    turns, done = 0, asyncio.Event()

    async def count_turns() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    (export,) = [route for route in node.door.routes if route.path == "/api/v1/export"]
    target = parse_target(f"/api/v1/export?prefix={PREFIX}")
    reply = await export.serve(Call(export, target, {}, {}, Context(holder()), desk.world.registry))
    assert reply.chunks is not None
    seen = [(turns, len(chunk.splitlines())) async for chunk in reply.chunks]
    done.set()
    await counting
    assert sum(lines for _, lines in seen) == 500
    assert len({turn for turn, _ in seen}) == len(seen) == 10
