"""Pages of changes from the process beside the registry: the same as its own, and none is missing when that process dies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proto.errors import Reason
from proto.model.change import Position
from proto.places import STREAM
from registry.doors.rest import pages as pages_module
from registry.doors.rest.pages import PagesBeside
from tests.support.control_plane import ACME, ACME_CODE, ControlPlane
from tests.support.grpc_calls import until
from tests.support.node import is_alive
from tests.support.rest import RestNode

CHANGES = "/api/v1/changes"
LIMIT_S = 60.0


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with ControlPlane(tmp_path) as opened:
        yield opened


@pytest.fixture
async def pages(plane: ControlPlane) -> AsyncIterator[PagesBeside]:
    beside = PagesBeside(plane.data / STREAM)
    yield beside
    await beside.close()


@pytest.fixture
async def node(plane: ControlPlane, pages: PagesBeside) -> AsyncIterator[RestNode]:
    async with RestNode(plane.registry, pages=pages) as opened:
        opened.tokens = {"operator": plane.operator, "acme": plane.acme, "city": plane.city}
        yield opened


async def begun(node: RestNode, pages: PagesBeside) -> int:
    """Follow, until there is a process."""
    assert (await node("GET", f"{CHANGES}?wait_s=0.01")).status == 200
    await until(lambda: pages.pid is not None, LIMIT_S)
    assert pages.pid is not None
    return pages.pid


async def write(node: RestNode, name: str, text: str) -> str:
    values = [
        {"index": 1, "type": "URL", "data": text},
        {"index": 2, "type": "PRICE", "data": "1", "audience": "dealers"},
        {"index": 3, "type": "NOTE", "data": "secret", "audience": "private"},
    ]
    answer = await node("PUT", f"/api/v1/identifiers/{ACME}/{name}", {"values": values}, by="acme")
    assert answer.status in (200, 201)
    return str(answer.document["position"])


async def follow(node: RestNode, by: str, query: str = "") -> list[Any]:
    """Everything that one may see, page by page, and how it ends."""
    seen, cursor = [], ""
    while True:
        page = (await node("GET", f"{CHANGES}?limit=3&wait_s=0{query}{cursor}", by=by)).document
        seen += page["changes"]
        cursor = f"&after={page['cursor']}"
        if not page["changes"] and page["cursor"] == page["head"]:
            return [*seen, page["cursor"], page["head"]]


async def test_everybody_sees_the_same_as_in_pages_of_the_registrys_own(node: RestNode, pages: PagesBeside) -> None:
    for number in range(8):
        await write(node, f"P-{number % 5}", str(number))
    await node("PUT", f"/api/v1/accounts/city/groups/{ACME_CODE}/dealers", by="acme")
    queries = ("", f"&prefix={ACME}")
    assert pages.pid is None
    own = {(by, query): await follow(node, by, query) for by in node.tokens for query in queries}
    await begun(node, pages)
    assert {(by, query): await follow(node, by, query) for by in node.tokens for query in queries} == own
    assert len({str(each) for each in own.values()}) > 3


async def test_who_waits_gets_a_change_from_the_process(node: RestNode, pages: PagesBeside) -> None:
    pid = await begun(node, pages)
    start = (await node("GET", CHANGES)).document["head"]
    waiting = asyncio.create_task(node("GET", f"{CHANGES}?after={start}&wait_s=30", by="city"))
    position = await write(node, "NEWS", "x")
    assert (await waiting).document["changes"][0]["position"] == position
    assert pages.pid == pid


async def test_what_the_stream_refuses_is_refused_by_name(node: RestNode, pages: PagesBeside) -> None:
    await begun(node, pages)
    foreign = Position(7, 1_000_000).to_cursor()
    refused = await node("GET", f"{CHANGES}?after={foreign}&wait_s=1")
    assert (refused.status, refused.document["reason"]) == (400, Reason.INVALID_ARGUMENT)
    assert node.refused(Reason.INVALID_ARGUMENT) == 1
    assert pages.pid is not None


async def test_nobody_in_particular_gets_no_page(node: RestNode, pages: PagesBeside) -> None:
    await begun(node, pages)
    assert (await node("GET", f"{CHANGES}?wait_s=1", by="nobody")).status == 401


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_process_that_dies_or_hangs_costs_no_answer(
    node: RestNode, pages: PagesBeside, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    await write(node, "A", "x")
    expected = await follow(node, "city")
    monkeypatch.setattr(pages_module, "PAGE_LIMIT_S", 0.5)
    monkeypatch.setattr(pages_module, "START_AGAIN_S", 0.0)
    pid = await begun(node, pages)
    os.kill(pid, number)
    assert await follow(node, "city") == expected
    await until(lambda: pages.pid is None, LIMIT_S)
    assert await begun(node, pages) != pid
    assert await follow(node, "city") == expected


async def test_the_process_ends_when_nobody_follows_any_more(
    node: RestNode, pages: PagesBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_module, "IDLE_S", 0.1)
    pid = await begun_once(pages)
    await until(lambda: pages.pid is None and not is_alive(pid), LIMIT_S)


async def begun_once(pages: PagesBeside) -> int:
    """The process, while it may end at any moment."""
    found: list[int] = []

    def seen() -> bool:
        pages.start()
        found.extend([pages.pid] if pages.pid is not None else [])
        return bool(found)

    await until(seen, LIMIT_S)
    return found[0]
