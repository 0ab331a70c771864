"""A node that is away: what was copied is shown with its true age and without waiting, and its return is noticed.

Nothing here looks at elapsed time: that nobody waited is seen from answers that are there at once, and from the questions that
the other node has got.
"""

import asyncio
from dataclasses import replace

from proto.errors import Reason
from proto.model.answer import Found, NotFound, Source
from proto.model.value import Value
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.value import parse_value
from resolver.upstream.breaker import FAILURES, FIRST_PAUSE_S, LAST_PAUSE_S
from resolver.upstream.copies import Terms
from tests.support.foreign_chain import PATIENT, ForeignChain, foreign_chain, refusal
from tests.support.foreign_node import NOT_FOUND, ForeignNode, error, packed, refer, site_value
from tests.support.handle import until

URL = Value(1, "URL", b"https://example.org/x", ttl=100)
NEWER = Value(1, "URL", b"https://example.org/newer", ttl=100)
WEEK_S = 7 * 86_400


async def break_it(chain: ForeignChain) -> None:
    """Ask until the upstream, which does not answer, is taken for dead."""
    for number in range(FAILURES):
        assert refusal(await chain.ask(f"99.9/{number}")) == Reason.UPSTREAM_FAILED
    assert chain.counts.of("upstream_breakers_open") == 1


async def test_when_its_node_is_gone_a_record_is_shown_with_its_age() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        await node.close()
        chain.pass_s(250)
        answer = await chain.find("99.1/x")
        assert (answer.source, answer.age_s, answer.ttl_s) == (Source.STALE, 250, 0)
        assert parse_value(answer.values[0])[0].ttl == 0
        chain.pass_s(50)
        again = chain.ask_now("99.1/x")
        assert isinstance(again, Found)
        assert again.age_s == 300


async def test_with_a_dead_upstream_stale_answers_wait_for_nobody() -> None:
    node = await ForeignNode().open()
    for number in range(50):
        node.put(f"99.1/{number}", URL)
    async with foreign_chain(node) as chain:
        for number in range(50):
            await chain.find(f"99.1/{number}")
        await node.close()
        await break_it(chain)
        for _ in range(20):  # each probe that fails doubles the pause, up to the longest
            chain.pass_s(LAST_PAUSE_S)
            await chain.ask(f"99.8/{chain.clock.now}")
        tried = chain.requests("unreachable")
        for number in range(50):
            answer = chain.ask_now(f"99.1/{number}")
            assert isinstance(answer, Found)
            assert answer.source is Source.STALE
        # The walks behind those answers find the breaker open: nobody is asked.
        await asyncio.sleep(0)
        await until(lambda: chain.upstream.walks == 0)
        assert chain.requests("unreachable") == tried


async def test_with_a_dead_upstream_fresh_copies_are_answered_without_a_question() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        await node.close()
        await break_it(chain)
        tried = chain.requests("unreachable")
        for _ in range(100):
            answer = chain.ask_now("99.1/x")
            assert isinstance(answer, Found)
            assert answer.source is Source.CACHED
        assert chain.requests("unreachable") == tried


async def test_a_dead_upstream_is_probed_by_one_question_at_a_time() -> None:
    node = await ForeignNode().open()
    async with foreign_chain(node) as chain:
        await node.close()
        await break_it(chain)
        chain.pass_s(FIRST_PAUSE_S)
        tried = chain.requests("unreachable")
        await asyncio.gather(*(chain.ask(f"99.1/{number}") for number in range(20)))
        assert chain.requests("unreachable") == tried + 1


async def test_a_node_that_is_back_is_asked_again() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        await node.close()
        await break_it(chain)
        chain.pass_s(200)
        stale = chain.ask_now("99.1/x")
        assert isinstance(stale, Found)
        await until(lambda: chain.upstream.walks == 0)
        node.put("99.1/x", NEWER)
        await node.open()
        chain.pass_s(60)
        assert chain.ask_now("99.1/x").__class__ is Found
        await until(lambda: chain.upstream.walks == 0)
        answer = chain.ask_now("99.1/x")
        assert isinstance(answer, Found)
        assert (answer.values, answer.source, answer.age_s) == (packed(NEWER), Source.CACHED, 0)
        assert chain.counts.of("upstream_breakers_open") == 0


async def test_after_a_week_a_copy_is_no_answer_any_more_and_the_node_that_is_back_is() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        await node.close()
        chain.pass_s(WEEK_S + 99)
        assert (await chain.find("99.1/x")).age_s == WEEK_S + 99
        chain.pass_s(10)
        assert refusal(await chain.ask("99.1/x")) == Reason.UPSTREAM_FAILED
        node.put("99.1/x", NEWER)
        await node.open()
        chain.pass_s(60)
        answer = await chain.find("99.1/x")
        assert (answer.values, answer.age_s) == (packed(NEWER), 0)


async def test_that_there_is_nothing_is_never_shown_stale() -> None:
    node = await ForeignNode().open()
    node.answers["99.1/x"] = NOT_FOUND
    async with foreign_chain(node, terms=Terms(negative_ttl_s=30)) as chain:
        assert isinstance(await chain.ask("99.1/x"), NotFound)
        await node.close()
        chain.pass_s(31)
        assert refusal(await chain.ask("99.1/x")) == Reason.UPSTREAM_FAILED


async def test_a_slow_node_is_waited_for_a_moment_only_and_what_it_says_is_kept() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    answering = asyncio.Event()

    async def wait(_message: object, reply: bytes, writer: asyncio.StreamWriter) -> None:
        await answering.wait()
        writer.write(reply)

    async with foreign_chain(node, limits=replace(PATIENT, stale_wait_s=0.05)) as chain:
        await chain.find("99.1/x")
        node.put("99.1/x", NEWER)
        node.misbehave = wait
        chain.pass_s(150)
        answer = await chain.find("99.1/x")
        assert (answer.source, answer.age_s) == (Source.STALE, 150)
        # The walk is old by now: nobody else waits for it.
        chain.pass_s(1)
        assert chain.ask_now("99.1/x").__class__ is Found
        answering.set()
        await until(lambda: chain.upstream.walks == 0)
        late = chain.ask_now("99.1/x")
        assert isinstance(late, Found)
        assert late.values == packed(NEWER)
        assert len(node.questions) == 2


async def test_a_copy_that_nears_its_end_is_fetched_anew_while_it_is_shown() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        chain.pass_s(80)
        chain.ask_now("99.1/x")
        assert chain.upstream.walks == 0
        node.put("99.1/x", NEWER)
        chain.pass_s(15)
        shown = chain.ask_now("99.1/x")
        assert isinstance(shown, Found)
        assert (shown.values[0] != packed(NEWER)[0], shown.age_s) == (True, 95)
        await until(lambda: chain.upstream.walks == 0)
        renewed = chain.ask_now("99.1/x")
        assert isinstance(renewed, Found)
        assert (renewed.values, renewed.age_s) == (packed(NEWER), 0)
        assert node.questions == ["99.1/x", "99.1/x"]


async def test_the_breaker_is_of_one_server_and_not_of_all() -> None:
    top, dead, alive = [await ForeignNode().open() for _ in range(3)]
    for number in range(FAILURES + 1):
        top.answers[f"99.1/{number}"] = refer(site_value(dead.site))
        top.answers[f"98.1/{number}"] = refer(site_value(alive.site))
        alive.put(f"98.1/{number}", URL)
    await dead.close()
    async with foreign_chain(top, limits=PATIENT) as chain:
        for number in range(FAILURES):
            assert refusal(await chain.ask(f"99.1/{number}")) == Reason.UPSTREAM_FAILED
        assert chain.counts.of("upstream_breakers_open") == 1
        tried = chain.requests("unreachable")
        assert refusal(await chain.ask(f"99.1/{FAILURES}")) == Reason.UPSTREAM_FAILED
        assert chain.requests("unreachable") == tried
        assert isinstance(await chain.ask("98.1/0"), Found)
    await alive.close()


async def test_a_node_that_asks_a_dead_one_in_vain_is_not_taken_for_dead() -> None:
    """A recursive node in between says code 3 of what lies behind it: all else that it answers is there as before."""
    middle = await ForeignNode().open()
    for number in range(FAILURES + 1):
        middle.answers[f"99.1/{number}"] = error(ResponseCode.TOO_BUSY, "the node that knows has not answered")
        middle.put(f"98.1/{number}", URL)
    async with foreign_chain(middle) as chain:
        await chain.find("98.1/0")
        chain.pass_s(150)
        for number in range(FAILURES + 1):
            assert refusal(await chain.ask(f"99.1/{number}")) == Reason.UPSTREAM_FAILED
        assert chain.requests("refused") == FAILURES + 1
        assert chain.counts.of("upstream_breakers_open") == 0
        assert not chain.upstream.servers.are_suspect((middle.endpoint,))
        # Neither is a copy past its TTL shown as if nobody could be asked, nor is what was never asked for refused.
        assert (await chain.find("98.1/0")).source is not Source.STALE
        assert (await chain.find("98.1/1")).values == packed(URL)


async def test_a_node_that_is_back_and_still_busy_is_back() -> None:
    node = await ForeignNode().open()
    await node.close()
    async with foreign_chain(node) as chain:
        await break_it(chain)
        node.answers["99.1/x"] = error(ResponseCode.TOO_BUSY, "later")
        node.put("98.1/x", URL)
        await node.open()
        chain.pass_s(FIRST_PAUSE_S)
        assert refusal(await chain.ask("99.1/x")) == Reason.UPSTREAM_FAILED
        assert chain.counts.of("upstream_breakers_open") == 0
        assert (await chain.find("98.1/x")).values == packed(URL)


async def test_stale_answers_are_counted() -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node) as chain:
        await chain.find("99.1/x")
        await node.close()
        chain.pass_s(150)
        await chain.find("99.1/x")
        await chain.ask("99.1/y")
        assert chain.counts.of("foreign_answers_total", source="stale") == 1
        assert chain.counts.of("foreign_answers_total", source="failed") == 1
