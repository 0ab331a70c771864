"""Papers in filings: told as the mapping has them, told again when they change, and kept in clear nowhere on the way."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.upstream.epp.fake import BusinessSystem
from proto.model.account import Role
from proto.sm3 import sm3
from registry.service.registry import Registry
from registry.service.sealing import Seals
from tests.contract.rest.conftest import make_tokens
from tests.support.filings import RunningFilings, until
from tests.support.papers import (
    DOCUMENT,
    EMAIL,
    ID_NUMBER,
    ID_PICTURE,
    KEY,
    LICENCE,
    NAME,
    OTHER_KEY,
    PERSON,
    PHONE,
    found_below,
    found_in,
)
from tests.support.rest import RestNode
from tests.support.world import HOLDER, OPERATOR, OTHER, World, context

pytestmark = pytest.mark.slow

ONE = f"/api/v1/filings/registrant/{HOLDER}"
PAPERS = f"/api/v1/registrants/{HOLDER}/papers"


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await World(tmp_path, Seals(KEY)).furnish()


@pytest.fixture
async def node(world: World) -> AsyncIterator[RestNode]:
    async with RestNode(world.registry) as opened:
        opened.tokens = await make_tokens(world)
        opened.tokens["upstream"] = (await world.registry.create_account(context(OPERATOR), "filings", Role.UPSTREAM)).token
        yield opened


def told(system: BusinessSystem, code: str = HOLDER) -> dict[str, Any]:
    content: dict[str, Any] = system.state()["enterprises"][code]["content"]
    return content


async def test_papers_are_told_with_the_enterprise(
    world: World, node: RestNode, system: BusinessSystem, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await node("PATCH", PAPERS, DOCUMENT)
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        assert not found_in(str(running.filings.describe()).encode())
    content = told(system)
    assert content["contact"] == {"name": NAME, "email": EMAIL, "phone": PHONE}
    person = {"name": PERSON, "id_type": "1", "id_number": ID_NUMBER, "image": f"jpeg {sm3(ID_PICTURE).hex()}"}
    assert content["legal_person"] == person
    assert content["licence"] == f"png {sm3(LICENCE).hex()}"
    assert system.state()["enterprises"][HOLDER]["created"] == 1
    assert "contact" not in told(system, OTHER)
    assert not found_in(repr(world.committer.commands).encode())
    for path in (ONE, "/api/v1/filings", "/api/v1/changes"):
        assert not found_in((await node("GET", path)).body)
    assert not found_in("".join(f"{each.getMessage()} {each.__dict__}" for each in caplog.records).encode())
    assert not found_below(tmp_path)


async def test_what_changes_is_told_by_itself_and_what_is_erased_by_all_that_is_left(
    node: RestNode, system: BusinessSystem
) -> None:
    await node("PATCH", PAPERS, {"contact": DOCUMENT["contact"]})
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        await node("PATCH", PAPERS, {"licence": DOCUMENT["licence"]})
        await until(lambda: system.state()["enterprises"][HOLDER]["updated"] == 1)
        await running.until_states("approved")
        # A change (chg): it has no code, and what was told before stays.
        assert told(system)["user"] == "88.118"
        assert (told(system)["contact"]["name"], told(system)["licence"][:4]) == (NAME, "png ")
        await node("PATCH", PAPERS, {"contact": {"name": "另一人"}})
        await until(lambda: told(system)["contact"]["name"] == "另一人")
        await running.until_states("approved")
        assert "user" in told(system)
        await node("PATCH", PAPERS, {"contact": None})
        await until(lambda: "contact" not in told(system))
        await running.until_states("approved")
        assert "user" not in told(system)
        assert told(system)["licence"] == f"png {sm3(LICENCE).hex()}"
        await node("PATCH", PAPERS, {"licence": DOCUMENT["licence"]})
        assert (await node("GET", ONE)).document["state"] == "approved"
    assert system.state()["enterprises"][HOLDER]["updated"] == 3


async def test_what_was_erased_while_it_was_being_told_is_told_no_more(
    world: World, node: RestNode, system: BusinessSystem
) -> None:
    await node("PATCH", PAPERS, DOCUMENT)
    await node("POST", "/api/v1/filings/draft", {"home": "88.118"})
    await node("POST", f"{ONE}/submit", {"transaction": "bj-interrupted"})
    await node("PATCH", PAPERS, {"legal_person": None, "licence": None})
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        await until(lambda: system.state()["enterprises"][HOLDER]["updated"] == 1)
        await running.until_states("approved")
    assert "legal_person" not in told(system)
    assert "licence" not in told(system)
    assert told(system)["contact"]["name"] == NAME


async def test_an_upstream_that_repeats_what_it_was_told_does_not_bring_it_into_the_history(
    world: World, node: RestNode, system: BusinessSystem, caplog: pytest.LogCaptureFixture
) -> None:
    await node("PATCH", PAPERS, DOCUMENT)
    system.sentence = f"证件号 {ID_NUMBER} 与姓名 {PERSON} 不符"
    system.rejects = {HOLDER}
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="rejected") == 1)
    shown = (await node("GET", ONE)).document
    assert shown["steps"][-1]["message"] == "证件号 … 与姓名 … 不符"
    assert not found_in(repr(world.committer.commands).encode())
    assert not found_in(caplog.text.encode())


async def test_papers_that_do_not_open_hold_up_their_own_filing_alone(
    world: World, node: RestNode, system: BusinessSystem, tmp_path: Path
) -> None:
    await node("PATCH", PAPERS, DOCUMENT)
    parts = (world.view, world.committer, world.stream, world.clock)
    async with RestNode(Registry(*parts, data=tmp_path, seals=Seals(OTHER_KEY))) as lost:
        lost.tokens = node.tokens
        async with RunningFilings(lost, system) as running:
            await until(lambda: system.state()["enterprises"].get(OTHER, {}).get("result") == "1")
            await until(lambda: "node.seal_keys_former" in running.filings.hindrance)
        assert HOLDER not in system.state()["enterprises"]
        assert (await lost("GET", ONE)).document["state"] == "draft"
    # The key is found again.
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
    assert told(system)["contact"]["name"] == NAME


async def test_a_filing_without_papers_is_what_it_was_before_there_were_any(node: RestNode) -> None:
    await node("POST", "/api/v1/filings/draft", {"home": "88.118"})
    assert (await node("GET", ONE)).document["content"] == {"code": HOLDER, "name": "许昌变压器有限公司"}
