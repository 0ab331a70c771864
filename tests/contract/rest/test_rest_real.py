"""The REST door over the real thing: RocksDB, the committer's groups, segments and a view that follows them."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.support.control_plane import ACME, ControlPlane
from tests.support.rest import Got, RestNode

IN_FLIGHT = 64


def draft(text: str) -> dict[str, Any]:
    return {"values": [{"index": 1, "type": "URL", "data": text}]}


async def patiently(node: RestNode, *request: Any, **more: Any) -> Got:
    """Send a request, again as long as the node says that it is not ready for it: its view may be behind on a busy machine."""
    while (answer := await node(*request, **more)).status == HTTPStatus.SERVICE_UNAVAILABLE:
        assert answer.headers["Retry-After"]
    return answer


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(tmp_path) as opened:
        yield opened


@pytest.fixture
async def node(plane: ControlPlane) -> AsyncIterator[RestNode]:
    async with RestNode(plane.registry) as opened:
        opened.tokens = {"operator": plane.operator, "acme": plane.acme, "city": plane.city}
        yield opened


async def test_many_first_registrations_at_once_all_succeed(node: RestNode) -> None:
    # Each of them wants to mark the prefix as used; one does, the others plan again.
    paths = [f"/api/v1/identifiers/{ACME}/F-{number}" for number in range(IN_FLIGHT)]
    answers = await asyncio.gather(*(patiently(node, "PUT", path, draft("x"), by="acme") for path in paths))
    assert [answer.status for answer in answers] == [201] * IN_FLIGHT
    assert (await node("GET", f"/api/v1/prefixes/{ACME}")).document["version"] == 2


async def test_every_acknowledged_write_is_read_at_once_and_followed_once(node: RestNode) -> None:
    start = (await node("GET", "/api/v1/changes")).document["head"]

    async def write_and_read(number: int) -> None:
        path = f"/api/v1/identifiers/{ACME}/W-{number}"
        assert (await patiently(node, "PUT", path, draft(str(number)), by="acme")).status == 201
        read = await patiently(node, "GET", path, by="city")
        assert read.document["values"][0]["data"]["value"] == str(number)

    await asyncio.gather(*(write_and_read(number) for number in range(IN_FLIGHT)))
    seen: list[tuple[int, str]] = []
    while True:
        page = (await node("GET", f"/api/v1/changes?after={start}&limit=7", by="city")).document
        if not page["changes"]:
            break
        start = page["cursor"]
        seen += [
            (change["sequence"], row["name"]) for change in page["changes"] for row in change["rows"] if row["kind"] == "record"
        ]
    assert sorted(name for _, name in seen) == sorted(f"{ACME}/w-{number}" for number in range(IN_FLIGHT))
    assert [sequence for sequence, _ in seen] == sorted(sequence for sequence, _ in seen)


async def test_of_many_who_replace_one_version_one_does(node: RestNode) -> None:
    path = f"/api/v1/identifiers/{ACME}/ONE"
    await patiently(node, "PUT", path, draft("0"), by="acme")
    writes = (patiently(node, "PUT", path, draft(str(number)), by="acme", If_Match='"1"') for number in range(1, IN_FLIGHT))
    statuses = sorted(answer.status for answer in await asyncio.gather(*writes))
    assert statuses == [200] + [412] * (IN_FLIGHT - 2)
    assert (await node("GET", path)).document["version"] == 2


async def test_many_who_patch_one_identifier_all_do(node: RestNode) -> None:
    path = f"/api/v1/identifiers/{ACME}/SHARED"
    await node("PUT", path, draft("0"), by="acme")

    async def patch(index: int) -> Got:
        value = {"index": index, "type": "T", "data": str(index)}
        return await patiently(node, "PATCH", path, {"set": [value]}, by="acme")

    answers = await asyncio.gather(*(patch(index) for index in range(2, 26)))
    assert {answer.status for answer in answers} == {200}
    read = (await node("GET", path, by="acme")).document
    assert (read["version"], {value["index"] for value in read["values"]}) == (25, set(range(1, 26)))


async def test_one_request_sent_twice_at_once_is_done_once(node: RestNode) -> None:
    path = f"/api/v1/identifiers/{ACME}/TWICE"
    twice = (patiently(node, "PUT", path, draft("x"), by="acme", Idempotency_Key="same") for _ in range(8))
    answers = await asyncio.gather(*twice)
    assert {answer.status for answer in answers} == {201}
    assert len({answer.document["position"] for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1


async def test_who_waits_for_a_change_gets_it_from_the_segments(node: RestNode) -> None:
    start = (await node("GET", "/api/v1/changes")).document["head"]
    waiting = asyncio.create_task(node("GET", f"/api/v1/changes?after={start}&wait_s=30", by="acme"))
    written = await node("PUT", f"/api/v1/identifiers/{ACME}/NEWS", draft("x"), by="acme")
    page = (await waiting).document
    assert page["changes"][0]["position"] == written.document["position"]


async def test_a_position_is_waited_for_anywhere(node: RestNode) -> None:
    written = await node("PUT", f"/api/v1/identifiers/{ACME}/A", draft("x"), by="acme")
    position = written.headers["Biaojie-Position"]
    assert (await node("GET", f"/api/v1/identifiers/{ACME}/A?after={position}")).status == 200
