"""Resolving what lives on other nodes: over real sockets, through the whole chain."""

import asyncio
from dataclasses import replace

import pytest

from proto.errors import Reason
from proto.model.answer import Found, NotFound, Refused, Retired, Source, Suspended, ValuesNotFound
from proto.model.record import State
from proto.model.value import Value
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.trailer import LifeCycle
from proto.wire.handle.value import parse_value
from resolver.upstream.copies import Terms
from tests.support.foreign_chain import PATIENT, foreign_chain, refusal
from tests.support.foreign_node import NOT_FOUND, ForeignNode, error, open_nodes, packed, refer, site, site_value

URL = Value(1, "URL", b"https://example.org/x", ttl=100)
TITLE = Value(2, "TITLE", "变压器".encode(), ttl=200)


async def test_a_foreign_identifier_is_found_and_its_copy_serves_until_its_ttl_ends() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL, TITLE)
    async with foreign_chain(node) as chain:
        first = await chain.find("99.1/x")
        assert first.values == packed(URL, TITLE)
        assert (first.source, first.age_s, first.ttl_s) == (Source.CACHED, 0, 100)

        chain.pass_s(40)
        copy = chain.ask_now("99.1/x")
        assert isinstance(copy, Found)
        assert (copy.source, copy.age_s, copy.ttl_s) == (Source.CACHED, 40, 60)
        assert [parse_value(value)[0].ttl for value in copy.values] == [60, 160]
        assert node.questions == ["99.1/x"]

        chain.pass_s(60)
        node.put("99.1/x", TITLE)
        assert (await chain.find("99.1/x")).values == packed(TITLE)
        assert node.questions == ["99.1/x", "99.1/x"]


async def test_a_thousand_who_ask_for_one_identifier_at_once_cause_one_request() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        answers = await asyncio.gather(*(chain.ask("99.1/x") for _ in range(1_000)))
        assert all(isinstance(answer, Found) for answer in answers)
        assert node.questions == ["99.1/x"]
        assert chain.requests() == 1


async def test_filters_select_from_the_copy() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL, TITLE)
    async with foreign_chain(node) as chain:
        assert (await chain.find("99.1/x", types=("URL",))).values == packed(URL)
        assert (await chain.find("99.1/x", indexes=(2,))).values == packed(TITLE)
        assert isinstance(chain.ask_now("99.1/x", types=("EMAIL",)), ValuesNotFound)
        assert len(node.questions) == 1


async def test_one_connection_serves_one_question_after_another() -> None:
    node = await ForeignNode().open()
    async with foreign_chain(node) as chain:
        for number in range(5):
            node.put(f"99.1/{number}", URL)
            await chain.find(f"99.1/{number}")
        assert node.connections == 1


async def test_a_server_that_closes_after_every_answer_is_served_as_well() -> None:
    node = await ForeignNode().open()
    node.closes_after_answer = True
    async with foreign_chain(node) as chain:
        for number in range(5):
            node.put(f"99.1/{number}", URL)
            await chain.find(f"99.1/{number}")
        assert chain.requests("closed") == 0


async def test_questions_side_by_side_share_a_bounded_number_of_connections() -> None:
    node = await ForeignNode().open()
    for number in range(200):
        node.put(f"99.1/{number}", URL)
    async with foreign_chain(node, limits=replace(PATIENT, max_connections=4)) as chain:
        answers = await asyncio.gather(*(chain.ask(f"99.1/{number}") for number in range(200)))
        assert all(isinstance(answer, Found) for answer in answers)
        assert node.connections <= 4


async def test_referrals_lead_over_two_levels_and_the_way_is_remembered() -> None:
    top, second, enterprise = await open_nodes(3)
    top.answers["99.1.2/x"] = refer(site_value(second.site))
    second.answers["99.1.2/x"] = refer(site_value(enterprise.site))
    enterprise.put("99.1.2/x", URL)
    enterprise.put("99.1.2/y", URL)
    async with foreign_chain(top) as chain:
        await chain.find("99.1.2/x")
        await chain.find("99.1.2/y")
        assert (top.questions, second.questions) == (["99.1.2/x"], ["99.1.2/x"])
        assert enterprise.questions == ["99.1.2/x", "99.1.2/y"]
    for node in (second, enterprise):
        await node.close()


async def test_the_server_that_the_hash_chooses_is_asked() -> None:
    top, *servers = await open_nodes(4)
    names = [f"99.1/{number}" for number in range(20)]
    for name in names:
        top.answers[name] = refer(site_value(site(*(server.endpoint for server in servers))))
        for server in servers:
            server.put(name, URL)
    async with foreign_chain(top) as chain:
        for name in names:
            await chain.find(name)
    asked = [set(server.questions) for server in servers]
    assert all(asked)
    assert sum(map(len, asked)) == len(names)
    for server in servers:
        await server.close()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (NOT_FOUND, NotFound),
        (error(ResponseCode.VALUES_NOT_FOUND), ValuesNotFound),
        (error(ResponseCode.AUTHENTICATION_NEEDED), ValuesNotFound),
        (error(ResponseCode.NOT_RESPONSIBLE), Refused),
    ],
)
async def test_that_there_is_nothing_is_kept_for_a_while(body: tuple[int, tuple[bytes, ...]], kind: type) -> None:
    node = await ForeignNode().open()
    node.answers["99.1/x"] = body
    async with foreign_chain(node, terms=Terms(negative_ttl_s=30)) as chain:
        assert isinstance(await chain.ask("99.1/x"), kind)
        asked = len(node.questions)
        chain.pass_s(29)
        assert isinstance(chain.ask_now("99.1/x"), kind)
        assert len(node.questions) == asked
        node.put("99.1/x", URL)
        chain.pass_s(1)
        assert (await chain.find("99.1/x")).values == packed(URL)


async def test_a_registration_here_ends_at_once_that_there_was_nothing() -> None:
    node = await ForeignNode().open()
    node.answers["99.1/x"] = NOT_FOUND
    async with foreign_chain(node) as chain:
        assert isinstance(await chain.ask("99.1/x"), NotFound)
        chain.reader.put_prefix("99.1")
        chain.reader.put_record("99.1/x", URL)
        answer = chain.ask_now("99.1/x")
        assert isinstance(answer, Found)
        assert answer.source is Source.AUTHORITATIVE


async def test_a_change_of_the_prefixes_ends_every_absence() -> None:
    node = await ForeignNode().open()
    node.answers["99.1/x"] = NOT_FOUND
    node.put("99.1/y", URL)
    async with foreign_chain(node) as chain:
        await chain.ask("99.1/x")
        await chain.find("99.1/y")
        chain.upstream.forget_all()
        node.put("99.1/x", URL)
        assert isinstance(await chain.ask("99.1/x"), Found)
        assert isinstance(chain.ask_now("99.1/y"), Found)


async def test_a_change_of_the_prefixes_ends_that_nobody_knew() -> None:
    node = await ForeignNode().open()
    async with foreign_chain(node) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.NOT_HOMED
        chain.upstream.forget_all()
        node.put("99.1/x", URL)
        assert isinstance(await chain.ask("99.1/x"), Found)


async def test_suspended_and_retired_come_through_as_what_they_are() -> None:
    node = await ForeignNode().open()
    node.answers["99.1/s"], node.answers["99.1/r"] = error(ResponseCode.VALUES_NOT_FOUND), NOT_FOUND
    node.trailers["99.1/s"] = LifeCycle(State.SUSPENDED, 0, "")
    node.trailers["99.1/r"] = LifeCycle(State.RETIRED, 4, "")
    async with foreign_chain(node) as chain:
        assert await chain.ask("99.1/s") == Suspended("99.1/s", "identifier")
        assert await chain.ask("99.1/r") == Retired("99.1/r", 4)


async def test_what_another_node_had_only_copied_is_as_old_as_it_says() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    node.trailers["99.1/x"] = LifeCycle(State.ACTIVE, 3, "99.1/X", Source.STALE, 500)
    async with foreign_chain(node) as chain:
        answer = await chain.find("99.1/x")
        assert (answer.source, answer.age_s, answer.version, answer.identifier) == (Source.STALE, 500, 3, "99.1/X")
        assert answer.echo == "99.1/x"
