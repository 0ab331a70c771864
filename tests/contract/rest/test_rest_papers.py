"""Papers over REST: given, read by few, changed, erased, and in clear nowhere but in the answer to who may read them."""

import base64
import errno
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proto.model.account import Role
from proto.model.change import Row, Table
from proto.model.papers import MAX_PICTURE_BYTES, Contact, Paper
from proto.model.prefix import PrefixState, Registrant
from proto.ports import Command
from proto.tables import pack_registrant, split_image, unpack_registrant
from proto.v1 import tables_pb2
from registry.commit.transaction import prepare
from registry.service import paper_files
from registry.service.sealing import Seals
from tests.contract.rest.conftest import make_tokens
from tests.support.papers import DOCUMENT, EMAIL, KEY, LICENCE, OTHER_KEY, found_below, found_in
from tests.support.reader import NOW_MS
from tests.support.rest import RestNode
from tests.support.world import HOLDER, OPERATOR, OTHER, World, context

NOTHING: dict[str, Any] = {paper.value: None for paper in Paper}
ONE = f"/api/v1/registrants/{HOLDER}/papers"


@pytest.fixture
async def world(tmp_path: Path) -> World:
    return await World(tmp_path, Seals(KEY)).furnish()


@pytest.fixture
async def node(world: World) -> AsyncIterator[RestNode]:
    async with RestNode(world.registry) as opened:
        opened.tokens = await make_tokens(world)
        opened.tokens["upstream"] = (await world.registry.create_account(context(OPERATOR), "filings", Role.UPSTREAM)).token
        yield opened


def files_in(folder: Path) -> set[str]:
    return {file.name for file in (folder / "papers").iterdir()} if (folder / "papers").is_dir() else set()


async def test_papers_are_given_and_read_and_lie_sealed(world: World, node: RestNode, tmp_path: Path) -> None:
    given = await node("PATCH", ONE, DOCUMENT)
    assert (given.status, given.document["outcome"], given.document["version"]) == (200, "replaced", 2)
    assert not found_in(given.body)
    for who in ("operator", "upstream", "holder"):
        read = await node("GET", ONE, by=who)
        assert read.document == {"code": HOLDER, "version": 2, **DOCUMENT}
        assert read.headers["Cache-Control"] == "no-store"
    assert len(files_in(tmp_path)) == 3
    assert all((file.stat().st_mode & 0o777) == 0o600 for file in (tmp_path / "papers").iterdir())
    assert not found_below(tmp_path)
    assert not found_in(repr(world.committer.commands).encode())
    assert not found_in(repr(await world.registry.papers.show(context(OPERATOR), HOLDER)).encode())


@pytest.mark.parametrize(("who", "status"), [("nobody", 401), ("city", 403), ("stranger", 403)])
async def test_others_do_not_read_them(node: RestNode, who: str, status: int) -> None:
    await node("PATCH", ONE, DOCUMENT)
    refused = await node("GET", ONE, by=who)
    assert refused.status == status
    assert not found_in(refused.body)


@pytest.mark.parametrize("who", ["nobody", "city", "stranger", "holder", "upstream"])
async def test_the_operator_alone_gives_and_erases(node: RestNode, tmp_path: Path, who: str) -> None:
    await node("PATCH", ONE, DOCUMENT)
    assert (await node("PATCH", ONE, {"contact": None}, by=who)).status in (401, 403)
    assert (await node("DELETE", ONE, by=who)).status in (401, 403)
    assert len(files_in(tmp_path)) == 3


async def test_giving_the_same_again_changes_nothing(node: RestNode, tmp_path: Path) -> None:
    await node("PATCH", ONE, DOCUMENT)
    before = files_in(tmp_path)
    again = await node("PATCH", ONE, DOCUMENT, Idempotency_Key="key-1")
    assert (again.document["outcome"], again.document["version"]) == ("unchanged", 2)
    assert files_in(tmp_path) == before


async def test_no_idempotency_key_keeps_a_digest_of_papers(world: World, node: RestNode) -> None:
    await node("PATCH", ONE, {"contact": DOCUMENT["contact"]}, Idempotency_Key="key-1")
    await node("PATCH", ONE, {"contact": {"phone": 1}}, Idempotency_Key="key-2")
    assert [each.idempotency_key for each in world.committer.commands[-2:]] == ["", ""]
    assert all(not each.body_digest for each in world.committer.commands[-2:])


async def test_what_is_changed_leaves_nothing_of_what_it_was(node: RestNode, tmp_path: Path) -> None:
    await node("PATCH", ONE, DOCUMENT)
    before = files_in(tmp_path)
    await node("PATCH", ONE, {"contact": {"name": "别人"}})
    after = files_in(tmp_path)
    assert (len(after), len(before & after)) == (3, 2)
    read = (await node("GET", ONE)).document
    assert read["contact"] == {"name": "别人", "email": "", "phone": ""}
    assert read["licence"] == DOCUMENT["licence"]


async def test_old_and_new_are_on_the_disk_when_the_row_is_written(world: World, node: RestNode, tmp_path: Path) -> None:
    await node("PATCH", ONE, {"contact": DOCUMENT["contact"]})
    (old,) = files_in(tmp_path)
    seen = list[set[str]]()
    world.committer.before_commit = lambda: seen.append(files_in(tmp_path))
    await node("PATCH", ONE, {"contact": {"name": "别人"}})
    world.committer.before_commit = None
    ((new,),) = (files_in(tmp_path),)
    assert seen == [{old, new}]


async def test_what_is_erased_is_gone_from_the_disk(node: RestNode, tmp_path: Path) -> None:
    await node("PATCH", ONE, DOCUMENT)
    await node("PATCH", ONE, {"legal_person": None})
    assert (await node("GET", ONE)).document["legal_person"] is None
    assert len(files_in(tmp_path)) == 2
    erased = await node("DELETE", ONE)
    assert (erased.document["outcome"], files_in(tmp_path)) == ("replaced", set())
    assert (await node("GET", ONE)).document == {"code": HOLDER, "version": 4, **NOTHING}
    assert (await node("DELETE", ONE)).document["outcome"] == "unchanged"


async def test_a_write_that_expects_another_version_keeps_nothing(world: World, node: RestNode, tmp_path: Path) -> None:
    assert (await node("PATCH", ONE, DOCUMENT, If_Match='"7"')).status == 412

    def meddle() -> None:
        world.committer.before_commit = None
        image = pack_registrant(Registrant(HOLDER, "别的名字", PrefixState.APPROVED, 2, NOW_MS, NOW_MS))
        row = Row(Table.REGISTRANT, HOLDER, image, 2, 1, PrefixState.APPROVED, PrefixState.APPROVED)
        world.store.apply([prepare(Command("operator", "", (row,)), 0).transaction], NOW_MS)

    world.committer.before_commit = meddle
    assert (await node("PATCH", ONE, DOCUMENT, If_Match='"1"')).status == 412
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"contact": {}}, 400, "contact"),
        ({"contact": {"name": "x" * 256}}, 400, "contact.name"),
        ({"contact": {"phone": "1\n2"}}, 400, "contact.phone"),
        ({"contact": {"wechat": "x"}}, 400, "contact.wechat"),
        ({"legal_person": {"name": "x", "id_type": "1"}}, 400, "legal_person.id_number"),
        ({"legal_person": {"name": "", "id_type": "1", "id_number": "2"}}, 400, "legal_person.name"),
        ({"legal_person": {"name": "x", "id_type": "passport", "id_number": "2"}}, 400, "legal_person.id_type"),
        ({"licence": "%%%"}, 400, "licence"),
        ({"licence": base64.b64encode(b"%PDF-1.7 ...").decode()}, 400, "licence"),
        ({"licence": ""}, 400, "licence"),
        ({"licence": base64.b64encode(LICENCE[:8] + bytes(MAX_PICTURE_BYTES)).decode()}, 413, "licence"),
        ({"portrait": "x"}, 400, "portrait"),
    ],
)
async def test_what_cannot_be_filed_is_refused_by_its_field(
    world: World, node: RestNode, tmp_path: Path, given: dict[str, Any], status: int, field: str
) -> None:
    # Not held against the document's schema: it is meant to be wrong.
    refused = await node("PATCH", ONE, data=json.dumps(given).encode())
    assert (refused.status, refused.document.get("field")) == (status, field)
    assert files_in(tmp_path) == set()


async def test_the_largest_pictures_are_taken(node: RestNode) -> None:
    picture = base64.b64encode((LICENCE[:8] + bytes(MAX_PICTURE_BYTES))[:MAX_PICTURE_BYTES]).decode()
    person = {**DOCUMENT["legal_person"], "picture": picture}
    assert (await node("PATCH", ONE, {"licence": picture, "legal_person": person})).status == 200


async def test_a_node_without_a_key_refuses_papers_and_does_all_else(tmp_path: Path) -> None:
    world = await World(tmp_path).furnish()
    async with RestNode(world.registry) as node:
        node.tokens = await make_tokens(world)
        refused = await node("PATCH", ONE, DOCUMENT)
        assert refused.status == 409
        assert "node.seal_key" in refused.document["detail"]
        assert (await node("GET", ONE)).document["contact"] is None
        assert (await node("DELETE", ONE)).status == 200
        assert (await node("GET", f"/api/v1/registrants/{HOLDER}")).document["version"] == 1


async def test_a_key_that_was_changed_opens_old_seals_and_makes_them_anew(world: World, node: RestNode, tmp_path: Path) -> None:
    await node("PATCH", ONE, DOCUMENT)
    before, version = files_in(tmp_path), world.stream.head()
    parts = (world.view, world.committer, world.stream, world.clock)

    def registry(seals: Seals | None) -> Any:
        return type(world.registry)(*parts, data=tmp_path, seals=seals)

    lost = registry(Seals(OTHER_KEY))
    await lost.papers.tidy()
    with pytest.raises(Exception, match=r"node\.seal_keys_former"):
        await lost.papers.show(context(OPERATOR), HOLDER)
    await registry(Seals(OTHER_KEY, [KEY])).papers.tidy()
    _, papers = await registry(Seals(OTHER_KEY)).papers.show(context(OPERATOR), HOLDER)
    assert papers.licence == LICENCE
    # The store has seen nothing of it: references stay.
    assert (files_in(tmp_path), world.stream.head()) == (before, version)


async def test_a_start_removes_what_a_kill_left_and_nothing_else(world: World, node: RestNode, tmp_path: Path) -> None:
    await node("PATCH", ONE, DOCUMENT)
    kept = files_in(tmp_path)
    for name in ("0" * 32, f"{'1' * 32}.new", "a-file-of-somebody-else"):
        (tmp_path / "papers" / name).write_bytes(b"left")
    await world.registry.papers.tidy()
    assert files_in(tmp_path) == kept | {"a-file-of-somebody-else"}


async def test_a_seal_moved_to_another_registrant_does_not_open(world: World, node: RestNode, tmp_path: Path) -> None:
    other = f"/api/v1/registrants/{OTHER}/papers"
    await node("PATCH", ONE, {"contact": DOCUMENT["contact"]})
    (mine,) = files_in(tmp_path)
    await node("PATCH", other, {"contact": {"name": "另一个"}})
    (theirs,) = files_in(tmp_path) - {mine}
    (tmp_path / "papers" / theirs).write_bytes((tmp_path / "papers" / mine).read_bytes())
    refused = await node("GET", other)
    assert refused.status == 409
    assert EMAIL not in refused.body.decode()
    # It can still be replaced.
    assert (await node("PATCH", other, {"contact": {"name": "另一个"}})).status == 200
    assert (await node("GET", other)).document["contact"]["name"] == "另一个"


async def test_nothing_of_them_is_logged_or_told_to_who_follows(
    world: World, node: RestNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await node("PATCH", ONE, DOCUMENT)
    await node("PATCH", ONE, {"contact": {"name": DOCUMENT["contact"]["name"] + "x" * 255}})
    await node("GET", ONE)
    assert [each.message for each in caplog.records].count("papers were read") == 1
    assert not found_in("".join(f"{each.getMessage()} {each.__dict__}" for each in caplog.records).encode())
    for who in ("operator", "holder", "city"):
        for path in ("/api/v1/changes", "/api/v1/registrants", "/api/v1/audit", "/api/v1/filings"):
            got = await node("GET", path, by=who)
            assert not found_in(got.body), (who, path)


def test_a_row_of_before_there_were_papers_is_read_as_one_without() -> None:
    old = tables_pb2.RegistrantImage(code="R-1", name="甲", state=1, created_ms=5, changed_ms=6).SerializeToString()
    row = Registrant("R-1", "甲", PrefixState(1), 3, 5, 6)
    assert split_image(pack_registrant(row)) == (3, old)
    assert unpack_registrant(pack_registrant(row)) == row
    with_papers = Registrant("R-1", "甲", PrefixState(1), 3, 5, 6, (("contact", "ab"), ("licence", "cd")))
    assert unpack_registrant(pack_registrant(with_papers)) == with_papers


def test_people_do_not_show_in_representations() -> None:
    assert "某" not in repr(Contact("某人"))


async def test_a_full_disk_refuses_papers_and_keeps_none(
    node: RestNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node("PATCH", ONE, {"contact": DOCUMENT["contact"]})
    before = files_in(tmp_path)

    def full(_: int, __: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(paper_files, "check_room", full)
    refused = await node("PATCH", ONE, DOCUMENT)
    assert (refused.status, refused.document["reason"]) == (507, "storage_full")
    assert files_in(tmp_path) == before
    # To erase takes no room.
    assert (await node("DELETE", ONE)).status == 200
    assert files_in(tmp_path) == set()
