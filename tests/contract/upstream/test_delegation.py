"""What this node has handed to another: referred to it, or asked for there; and moves in both directions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proto.errors import Reason
from proto.model.answer import Answer, Found, NotFound, Referral, Source, Suspended
from proto.model.prefix import Delegation, PrefixState
from proto.model.value import Value
from proto.wire.handle.typed import compose_site
from proto.wire.handle.value import parse_value
from resolver.chain.delegation import FIRST_SITE_INDEX, SITE_TTL_S
from resolver.chain.plain import PlainLookups
from resolver.chain.together import resolve_together
from resolver.upstream.breaker import FAILURES
from resolver.upstream.watch import DelegateWatch
from tests.support.foreign_chain import ForeignChain, foreign_chain, refusal
from tests.support.foreign_node import NOT_FOUND, ForeignNode, open_nodes, packed, refer, site, site_value
from tests.support.handle import until

URL = Value(1, "URL", b"https://example.org/x", ttl=100, timestamp=1)
HERE = Value(1, "URL", b"https://example.org/here", ttl=100, timestamp=1)
PREFIX = "88.118.7"


@asynccontextmanager
async def delegated() -> AsyncIterator[tuple[ForeignChain, ForeignNode]]:
    """A chain without an upstream that has handed `PREFIX` to a node."""
    node = await ForeignNode().open()
    try:
        async with foreign_chain() as chain:
            hand_over(chain, node)
            yield chain, node
    finally:
        await node.end()


def hand_over(chain: ForeignChain, node: ForeignNode, state: PrefixState = PrefixState.APPROVED) -> None:
    delegation = Delegation((compose_site(site(node.endpoint)),), "https://node.example")
    chain.reader.put_prefix(PREFIX, state, delegation=delegation)
    chain.upstream.forget_all()


def take_back(chain: ForeignChain) -> None:
    chain.reader.put_prefix(PREFIX)
    chain.upstream.forget_all()


def is_referral(answer: Answer, node: ForeignNode) -> bool:
    if not isinstance(answer, Referral) or answer.prefix != PREFIX or answer.url != "https://node.example":
        return False
    (value,) = (parse_value(packed)[0] for packed in answer.values)
    return (value.type, value.data, value.ttl) == ("HS_SITE", compose_site(site(node.endpoint)), SITE_TTL_S)


@pytest.mark.parametrize("identifier", [f"{PREFIX}/x", f"{PREFIX}.1/x", f"0.NA/{PREFIX}.1", f"{PREFIX}.1"])
async def test_what_lies_below_is_referred_to_its_node(identifier: str) -> None:
    async with delegated() as (chain, node):
        for is_recursive in (None, False):
            assert is_referral(chain.ask_now(identifier, is_recursive=is_recursive), node)
        assert not node.questions


async def test_a_referral_says_what_was_selected() -> None:
    async with delegated() as (chain, _):
        answer = chain.ask_now(f"{PREFIX}/x", indexes=(1,), types=("URL",))
        assert isinstance(answer, Referral)
        assert (answer.indexes, answer.types) == ((1,), ("URL",))


async def test_who_asks_for_recursion_gets_the_record() -> None:
    async with delegated() as (chain, node):
        node.put(f"{PREFIX}/x", URL)
        answer = await chain.find(f"{PREFIX}/x", is_recursive=True)
        assert (answer.values, answer.source) == (packed(URL), Source.CACHED)
        assert isinstance(chain.ask_now(f"{PREFIX}/x", is_recursive=True), Found)
        assert node.questions == [f"{PREFIX}/x"]


async def test_the_node_that_is_configured_is_asked_wherever_it_is_but_nobody_that_it_names() -> None:
    node, victim = await open_nodes(2)
    node.put(f"{PREFIX}/x", URL)
    node.answers[f"{PREFIX}/y"] = refer(site_value(victim.site))
    async with foreign_chain(others=(node, victim), networks=()) as chain:
        hand_over(chain, node)
        await chain.find(f"{PREFIX}/x", is_recursive=True)
        assert refusal(await chain.ask(f"{PREFIX}/y", is_recursive=True)) == Reason.FORBIDDEN_ADDRESS
        assert victim.connections == 0


async def test_networks_that_may_not_ask_are_referred_all_the_same() -> None:
    async with delegated() as (chain, node):
        assert is_referral(chain.ask_now(f"{PREFIX}/x", is_recursive=True, peer="192.0.2.1"), node)


async def test_nobody_but_its_node_is_asked() -> None:
    upstream = await ForeignNode().open()
    node = await ForeignNode().open()
    upstream.put(f"{PREFIX}/x", HERE)
    async with foreign_chain(upstream) as chain:
        hand_over(chain, node)
        await node.close()
        assert refusal(await chain.ask(f"{PREFIX}/x", is_recursive=True)) == Reason.UPSTREAM_FAILED
        assert not upstream.questions


async def test_the_short_ways_for_plain_questions_and_batches_know_of_a_delegation() -> None:
    async with delegated() as (chain, node):
        chain.reader.put_record(f"{PREFIX}/x", HERE)
        chain.reader.put_record("88.118/y", HERE)
        plain = PlainLookups(chain.reader, chain.clock, chain.counts.metrics, "handle")
        assert plain.look_up(f"{PREFIX}/x") is None
        assert [found is None for found in plain.look_up_many([f"{PREFIX}/x", "88.118/y"])] == [True, False]
        first, second = resolve_together(chain.chain, chain.reader)([chain.query(f"{PREFIX}/x"), chain.query("88.118/y")])
        assert isinstance(first, Referral)
        assert is_referral(first, node)
        assert isinstance(second, Found)


async def test_what_was_registered_here_before_is_not_shown() -> None:
    async with delegated() as (chain, node):
        chain.reader.put_record(f"{PREFIX}/x", HERE)
        node.answers[f"{PREFIX}/x"] = NOT_FOUND
        assert is_referral(chain.ask_now(f"{PREFIX}/x"), node)
        assert isinstance(await chain.ask(f"{PREFIX}/x", is_recursive=True), NotFound)


async def test_a_longer_prefix_that_is_hosted_here_is_answered_here() -> None:
    async with delegated() as (chain, _):
        chain.reader.put_prefix(f"{PREFIX}.9")
        chain.reader.put_record(f"{PREFIX}.9/x", HERE)
        answer = chain.ask_now(f"{PREFIX}.9/x", is_recursive=True)
        assert isinstance(answer, Found)
        assert answer.source is Source.AUTHORITATIVE


async def test_the_name_of_the_prefix_is_answered_here_with_its_sites() -> None:
    async with delegated() as (chain, node):
        for name in (f"0.NA/{PREFIX}", PREFIX):
            answer = chain.ask_now(name, is_recursive=True)
            assert isinstance(answer, Found)
            assert answer.source is Source.AUTHORITATIVE
            assert [parse_value(value)[0].data for value in answer.values] == [compose_site(site(node.endpoint))]
            assert answer.ttl_s == SITE_TTL_S
        assert isinstance(chain.ask_now(f"0.NA/{PREFIX}", types=("URL",)), NotFound)
        assert isinstance(chain.ask_now(f"0.NA/{PREFIX}", types=("hs_site",)), Found)


async def test_beside_its_sites_the_name_of_the_prefix_has_what_is_registered_for_it() -> None:
    async with delegated() as (chain, node):
        elsewhere = Value(2, "HS_SITE", compose_site(site()))
        chain.reader.put_record(f"0.NA/{PREFIX}", URL, elsewhere, version=5)
        answer = chain.ask_now(f"0.NA/{PREFIX}")
        assert isinstance(answer, Found)
        assert [parse_value(value)[0].index for value in answer.values] == [1, FIRST_SITE_INDEX]
        assert parse_value(answer.values[1])[0].data == compose_site(site(node.endpoint))
        assert (answer.version, answer.ttl_s) == (5, 100)


async def test_a_suspended_prefix_is_suspended_wherever_it_is_served() -> None:
    async with delegated() as (chain, node):
        hand_over(chain, node, PrefixState.SUSPENDED)
        for is_recursive in (True, False):
            assert chain.ask_now(f"{PREFIX}/x", is_recursive=is_recursive) == Suspended(f"{PREFIX}/x", "prefix")


async def test_an_alias_whose_record_is_elsewhere_names_it() -> None:
    async with delegated() as (chain, node):
        chain.reader.put_record(f"{PREFIX}/X", HERE, aliases=("88.118/alias",))
        node.put(f"{PREFIX}/x", URL)
        answer = chain.ask_now("88.118/alias")
        assert isinstance(answer, Found)
        (value,) = (parse_value(packed)[0] for packed in answer.values)
        assert (value.type, value.data) == ("HS_ALIAS", f"{PREFIX}/x".encode())


async def test_an_alias_of_another_node_that_leads_to_a_delegated_prefix_is_followed_there() -> None:
    upstream, node = await ForeignNode().open(), await ForeignNode().open()
    upstream.put("99.1/old", Value(1, "HS_ALIAS", f"{PREFIX}/x".encode()))
    node.put(f"{PREFIX}/x", URL)
    async with foreign_chain(upstream) as chain:
        hand_over(chain, node)
        answer = await chain.find("99.1/old")
        assert (answer.identifier, answer.values) == (f"{PREFIX}/x", packed(URL))
    await node.close()


async def test_there_and_back_and_there_again_every_answer_is_true() -> None:
    async with delegated() as (chain, node):
        take_back(chain)
        chain.reader.put_record(f"{PREFIX}/x", HERE)
        first = chain.ask_now(f"{PREFIX}/x", is_recursive=True)
        assert isinstance(first, Found)
        assert first.values == packed(HERE)

        hand_over(chain, node)
        node.put(f"{PREFIX}/x", URL)
        node.answers[f"{PREFIX}/y"] = NOT_FOUND
        assert (await chain.find(f"{PREFIX}/x", is_recursive=True)).values == packed(URL)
        assert isinstance(await chain.ask(f"{PREFIX}/y", is_recursive=True), NotFound)

        take_back(chain)
        chain.reader.put_record(f"{PREFIX}/y", HERE)
        for name in ("x", "y"):
            answer = chain.ask_now(f"{PREFIX}/{name}", is_recursive=True)
            assert isinstance(answer, Found)
            assert (answer.values, answer.source) == (packed(HERE), Source.AUTHORITATIVE)

        # What was fetched under the delegation before is not taken for what is true under this one.
        chain.pass_s(1)
        hand_over(chain, node)
        node.put(f"{PREFIX}/x", HERE)
        node.put(f"{PREFIX}/y", URL)
        assert (await chain.find(f"{PREFIX}/x", is_recursive=True)).values == packed(HERE)
        assert (await chain.find(f"{PREFIX}/y", is_recursive=True)).values == packed(URL)


async def test_while_its_node_is_away_its_records_are_shown_stale() -> None:
    async with delegated() as (chain, node):
        node.put(f"{PREFIX}/x", URL)
        await chain.find(f"{PREFIX}/x", is_recursive=True)
        await node.close()
        chain.pass_s(300)
        answer = await chain.find(f"{PREFIX}/x", is_recursive=True)
        assert (answer.source, answer.age_s) == (Source.STALE, 300)


async def test_the_watch_tells_which_node_is_away_and_which_is_back() -> None:
    async with delegated() as (chain, node):
        watch = DelegateWatch(chain.reader, chain.upstream.servers, chain.counts.metrics)
        await watch.look()
        assert chain.counts.of("delegate_down", prefix=PREFIX) == 0
        assert node.questions == [f"0.NA/{PREFIX}"]
        await node.close()
        for _ in range(FAILURES):
            await watch.look()
        assert chain.counts.of("delegate_down", prefix=PREFIX) == 1
        # Whoever asks now need not find out: nobody is asked, and the caller hears it at once.
        tried = chain.requests("unreachable")
        assert refusal(await chain.ask(f"{PREFIX}/x", is_recursive=True)) == Reason.UPSTREAM_FAILED
        assert chain.requests("unreachable") == tried
        await node.open()
        chain.pass_s(60)
        await watch.look()
        assert chain.counts.of("delegate_down", prefix=PREFIX) == 0


async def test_a_prefix_that_was_taken_back_is_watched_no_more() -> None:
    async with delegated() as (chain, node):
        watch = DelegateWatch(chain.reader, chain.upstream.servers, chain.counts.metrics)
        await node.close()
        await watch.look()
        assert chain.counts.of("delegate_down", prefix=PREFIX) == 1
        take_back(chain)
        await watch.look()
        assert chain.counts.of("delegate_down", prefix=PREFIX) == 0
        asked = chain.requests("unreachable")
        await watch.look()
        assert chain.requests("unreachable") == asked


async def test_the_watch_goes_on_until_it_is_ended() -> None:
    async with delegated() as (chain, node):
        watch = DelegateWatch(chain.reader, chain.upstream.servers, chain.counts.metrics, interval_s=0.001)
        task = asyncio.create_task(watch.run())
        await until(lambda: len(node.questions) >= 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
