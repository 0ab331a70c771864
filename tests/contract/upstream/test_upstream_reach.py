"""Who is asked on whose behalf, and how far: recursion, hops, aliases, ages that will do."""

import asyncio

import pytest

from proto.errors import Reason
from proto.limits import MAX_HOPS
from proto.model.answer import Found, Source, ValuesNotFound
from proto.model.value import Value
from proto.wire.handle import codes
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.value import parse_value
from resolver.upstream.limits import MAX_ALIASES
from resolver.upstream.sites import Endpoint
from tests.support.foreign_chain import foreign_chain, refusal
from tests.support.foreign_node import NOT_FOUND, ForeignNode, error, open_nodes, refer, site, site_value
from tests.support.handle import until

URL = Value(1, "URL", b"https://example.org/x", ttl=100)


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("192.0.2.1", Reason.NOT_HOMED),
        ("2001:db8::1", Reason.NOT_HOMED),
        ("", Reason.NOT_HOMED),
        ("not an address", Reason.NOT_HOMED),
    ],
)
async def test_others_are_asked_only_for_allowed_networks(peer: str, reason: str) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        answer = await chain.ask("99.1/x", peer=peer)
        if reason:
            assert refusal(answer) == reason
            assert not node.questions
        else:
            assert isinstance(answer, Found)


async def test_a_copy_is_not_shown_to_networks_that_may_not_ask() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        assert refusal(chain.ask_now("99.1/x", peer="192.0.2.1")) == Reason.NOT_HOMED


async def test_who_wants_no_recursion_gets_none() -> None:
    node = await ForeignNode().open()
    async with foreign_chain(node) as chain:
        assert refusal(chain.ask_now("99.1/x", is_recursive=False)) == Reason.NOT_HOMED
        assert not node.questions


async def test_without_an_upstream_nobody_is_asked() -> None:
    async with foreign_chain() as chain:
        assert refusal(chain.ask_now("99.1/x")) == Reason.NOT_HOMED


async def test_what_is_homed_here_is_never_asked_for_elsewhere() -> None:
    node = await ForeignNode().open()
    async with foreign_chain(node) as chain:
        chain.reader.put_record("88.118/x", URL)
        answer = chain.ask_now("88.118/x")
        assert isinstance(answer, Found)
        assert answer.source is Source.AUTHORITATIVE
        chain.ask_now("88.118/y")
        assert not node.questions


async def test_a_referral_into_an_inner_network_is_refused_and_nobody_there_is_connected_to() -> None:
    root, victim = await open_nodes(2)
    root.answers["99.1/x"] = refer(site_value(victim.site))
    async with foreign_chain(root, others=(victim,), networks=()) as chain:
        trace: list[str] = []
        answer = await chain.ask("99.1/x", explain=trace)
        assert refusal(answer) == Reason.FORBIDDEN_ADDRESS
        assert victim.connections == 0
        assert chain.counts.of("refused_total", reason=Reason.FORBIDDEN_ADDRESS) == 1
        assert f"99.1/x is said to be at {victim.endpoint} (loopback address)" in trace[-1]
        # Nothing is held against the server that said so.
        assert not chain.upstream.servers.is_open(root.endpoint)
        assert chain.requests() == 1


async def test_what_the_record_of_a_prefix_names_is_judged_as_well() -> None:
    root, victim = await open_nodes(2)
    root.answers["99.1/x"] = NOT_FOUND
    root.put("0.NA/99.1", site_value(victim.site))
    async with foreign_chain(root, others=(victim,), networks=()) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.FORBIDDEN_ADDRESS
        assert victim.connections == 0


async def test_of_several_sites_those_are_asked_that_may_be() -> None:
    root, home = await open_nodes(2)
    away = site(Endpoint("169.254.169.254", 2641))
    root.answers["99.1/x"] = refer(site_value(away), site_value(home.site, index=2))
    home.put("99.1/x", URL)
    async with foreign_chain(root, others=(home,)) as chain:
        trace: list[str] = []
        await chain.find("99.1/x", explain=trace)
        assert "99.1/x at 169.254.169.254:2641 (link-local address): not asked" in trace


async def test_who_is_configured_may_be_named_wherever_he_is() -> None:
    first, second = await open_nodes(2)
    first.answers["99.1/x"] = refer(site_value(second.site))
    second.put("99.1/x", URL)
    async with foreign_chain(first, second, networks=()) as chain:
        await chain.find("99.1/x")


async def test_a_question_counts_the_nodes_that_it_passes_and_ends_after_so_many() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x", hops=MAX_HOPS - 1, max_age_s=0)
        assert [message.recursion for message in node.messages] == [MAX_HOPS]
        assert refusal(chain.ask_now("99.1/x", hops=MAX_HOPS)) == Reason.TOO_MANY_HOPS


async def test_questions_with_other_hops_do_not_wait_for_one_another() -> None:
    node = await ForeignNode().open()
    waiting = asyncio.Event()

    async def wait(_message: object, reply: bytes, writer: asyncio.StreamWriter) -> None:
        await waiting.wait()
        writer.write(reply)

    node.put("99.1/x", URL)
    node.misbehave = wait
    async with foreign_chain(node) as chain:
        asking = [asyncio.ensure_future(chain.ask("99.1/x", hops=hops)) for hops in (0, 2, 0, 2)]
        await until(lambda: len(node.questions) == 2)
        waiting.set()
        assert all(isinstance(answer, Found) for answer in await asyncio.gather(*asking))
        assert [message.recursion for message in node.messages] == [1, 3]


async def test_an_answer_that_says_the_question_goes_in_circles_is_passed_on() -> None:
    node = await ForeignNode().open()
    node.answers["99.1/x"] = error(ResponseCode.RECURSION_TOO_HIGH)
    async with foreign_chain(node) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.TOO_MANY_HOPS


async def test_only_public_values_are_asked_for() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL, Value(2, "NOTE", b"n", permissions=0x0C))
    async with foreign_chain(node) as chain:
        answer = await chain.find("99.1/x", wants_private=True)
        assert [parse_value(value)[0].index for value in answer.values] == [1]
        assert node.messages[0].flags & codes.PUBLIC_ONLY


async def test_a_copy_that_is_too_old_for_who_asks_is_fetched_anew() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        chain.pass_s(10)
        assert isinstance(chain.ask_now("99.1/x", max_age_s=11), Found)
        assert (await chain.find("99.1/x", max_age_s=10)).age_s == 0
        assert len(node.questions) == 2
        await chain.find("99.1/x", max_age_s=0)
        assert len(node.questions) == 3


async def test_an_alias_that_leads_home_is_answered_from_here() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", Value(1, "HS_ALIAS", b"88.118/Y", ttl=50))
    async with foreign_chain(node) as chain:
        chain.reader.put_record("88.118/Y", URL)
        await chain.find("99.1/x")
        chain.pass_s(20)
        answer = chain.ask_now("99.1/x", types=("URL",))
        assert isinstance(answer, Found)
        assert (answer.asked, answer.identifier, answer.echo, answer.via_alias) == ("99.1/x", "88.118/Y", "88.118/Y", True)
        assert (answer.source, answer.age_s, answer.ttl_s) == (Source.CACHED, 20, 30)


async def test_an_alias_of_a_foreign_identifier_is_followed() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", Value(1, "HS_ALIAS", b"98.1/y"))
    node.put("98.1/y", URL)
    async with foreign_chain(node) as chain:
        answer = await chain.find("99.1/x")
        assert (answer.asked, answer.identifier, answer.via_alias) == ("99.1/x", "98.1/y", True)


async def test_an_alias_itself_is_shown_to_who_asks_for_it() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", Value(1, "HS_ALIAS", b"98.1/y"))
    async with foreign_chain(node) as chain:
        answer = await chain.find("99.1/x", types=("HS_ALIAS",))
        assert answer.identifier == "99.1/x"
        assert node.questions == ["99.1/x"]


async def test_an_alias_of_nothing_is_nothing() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", Value(1, "HS_ALIAS", b"98.1/y"))
    node.answers["98.1/y"] = NOT_FOUND
    async with foreign_chain(node) as chain:
        answer = await chain.ask("99.1/x")
        assert type(answer).__name__ == "NotFound"
        assert answer.asked == "99.1/x"


async def test_aliases_in_a_circle_end() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", Value(1, "HS_ALIAS", b"99.1/y"))
    node.put("99.1/y", Value(1, "HS_ALIAS", b"99.1/x"))
    async with foreign_chain(node) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.TOO_MANY_HOPS
        assert refusal(chain.ask_now("99.1/x")) == Reason.TOO_MANY_HOPS
        assert sorted(node.questions) == ["99.1/x", "99.1/y"]


async def test_as_many_aliases_as_allowed_are_followed() -> None:
    node = await ForeignNode().open()
    for number in range(MAX_ALIASES):
        node.put(f"99.1/{number}", Value(1, "HS_ALIAS", f"99.1/{number + 1}".encode()))
    node.put(f"99.1/{MAX_ALIASES}", URL)
    async with foreign_chain(node) as chain:
        assert (await chain.find("99.1/0")).identifier == f"99.1/{MAX_ALIASES}"


async def test_an_alias_of_what_is_no_identifier_is_refused() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", Value(1, "HS_ALIAS", b"/"))
    async with foreign_chain(node) as chain:
        assert refusal(await chain.ask("99.1/x")) == Reason.UPSTREAM_FAILED


async def test_a_trace_tells_who_was_asked_and_how_old_a_copy_is() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        trace: list[str] = []
        await chain.find("99.1/x", explain=trace)
        chain.pass_s(7)
        chain.ask_now("99.1/x", explain=trace)
    assert trace == [
        "prefix 99.1: not homed here, the upstream is asked",
        f"99.1/x at {node.endpoint}: success",
        "prefix 99.1: not homed here, the upstream is asked",
        "copy: 7 s old, holds for 93 s",
    ]


async def test_what_is_answered_about_other_nodes_is_counted() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        await chain.find("99.1/x")
        assert chain.counts.of("foreign_answers_total", source="cached") == 2
        assert (
            chain.requests(),
            chain.counts.of("resolve_requests_total", protocol="http", outcome="found", scheme="handle"),
        ) == (1, 2)


async def test_the_answer_leaves_nothing_for_the_answer_cache_to_keep() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    node.answers["99.1/y"] = NOT_FOUND
    async with foreign_chain(node) as chain:
        for identifier in ("99.1/x", "99.1/y"):
            query = chain.query(identifier)
            query.reads = []
            await chain.resolve(query)
            assert query.reads is None


async def test_a_record_without_public_values_is_one_without_values() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", Value(2, "NOTE", b"n", permissions=0x0C))
    async with foreign_chain(node) as chain:
        assert isinstance(await chain.ask("99.1/x"), ValuesNotFound)
