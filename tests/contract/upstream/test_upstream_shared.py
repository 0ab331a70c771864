"""Copies shared in a real Redis: they save questions, and whatever becomes of Redis, every answer stays."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from proto.errors import Reason
from proto.model.answer import Found, NotFound, Source
from proto.model.value import Value
from resolver.upstream.breaker import FAILURES
from resolver.upstream.shared_copies import SharedCopies
from tests.support.foreign_chain import ForeignChain, foreign_chain, refusal
from tests.support.foreign_node import NOT_FOUND, ForeignNode, packed
from tests.support.handle import until
from tests.support.redis_server import RedisServer, redis_server

URL = Value(1, "URL", b"https://example.org/x", ttl=100)
PATIENT_S = 20.0
"""What a look-up may take where a loaded machine is not the point."""


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


def share(redis: RedisServer, look_up_s: float = PATIENT_S) -> Callable[[ForeignChain], SharedCopies]:
    """What gives a chain its share in a Redis."""

    def make(chain: ForeignChain) -> SharedCopies:
        return SharedCopies(redis.url, "upstream", chain.terms, chain.clock, chain.counts.metrics, look_up_s)

    return make


def shared(chain: ForeignChain, outcome: str) -> float:
    return chain.counts.of("shared_copies_total", outcome=outcome)


async def stored(chain: ForeignChain, number: int = 1) -> None:
    """Wait until so many copies are in Redis."""
    await until(lambda: shared(chain, "stored") >= number)


async def test_what_one_has_fetched_another_need_not_ask_for() -> None:
    with redis_server() as redis:
        node = await ForeignNode().open()
        node.put("99.1/x", URL)
        async with foreign_chain(node, share=share(redis)) as first, AsyncExitStack() as stack:
            await first.find("99.1/x")
            await stored(first)
            second = ForeignChain(node.endpoint, share=share(redis))
            stack.push_async_callback(second.upstream.close)
            second.pass_s(30)
            answer = await second.find("99.1/x")
            assert (answer.values[0][:8], answer.source, answer.age_s, answer.ttl_s) == (
                packed(URL)[0][:8], Source.CACHED, 30, 70,
            )  # fmt: skip
            assert node.questions == ["99.1/x"]
            assert isinstance(second.ask_now("99.1/x"), Found)
            assert shared(second, "found") == 1


async def test_a_copy_that_is_too_old_for_who_asks_is_not_taken_from_there(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node, share=share(redis)) as chain:
        await chain.find("99.1/x")
        await stored(chain)
        chain.pass_s(30)
        assert (await chain.find("99.1/x", max_age_s=10)).age_s == 0
        assert len(node.questions) == 2


async def test_that_there_is_nothing_is_shared_too_until_prefixes_change(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    node.answers["99.1/x"] = NOT_FOUND
    async with foreign_chain(node, share=share(redis)) as chain:
        await chain.ask("99.1/x")
        await stored(chain)
        chain.upstream.forget_all()
        asked = len(node.questions)
        assert isinstance(await chain.ask("99.1/x"), NotFound)
        assert len(node.questions) > asked


async def test_a_worker_that_starts_while_the_upstream_is_away_has_stale_copies(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node, share=share(redis)) as chain, AsyncExitStack() as stack:
        await chain.find("99.1/x")
        await stored(chain)
        await node.close()
        fresh = ForeignChain(node.endpoint, share=share(redis))
        stack.push_async_callback(fresh.upstream.close)
        fresh.pass_s(250)
        answer = await fresh.find("99.1/x")
        assert (answer.source, answer.age_s) == (Source.STALE, 250)


async def test_other_upstreams_have_copies_of_their_own(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)

    def elsewhere(chain: ForeignChain) -> SharedCopies:
        return SharedCopies(redis.url, "another", chain.terms, chain.clock, chain.counts.metrics, PATIENT_S)

    async with foreign_chain(node, share=share(redis)) as chain, AsyncExitStack() as stack:
        await chain.find("99.1/x")
        await stored(chain)
        other = ForeignChain(node.endpoint, share=elsewhere)
        stack.push_async_callback(other.upstream.close)
        await other.find("99.1/x")
        assert len(node.questions) == 2


async def test_a_redis_that_dies_costs_no_answer(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    for number in range(20):
        node.put(f"99.1/{number}", URL)
    async with foreign_chain(node, share=share(redis)) as chain:
        await chain.find("99.1/0")
        await stored(chain)
        redis.kill()
        for number in range(20):
            await chain.find(f"99.1/{number}")
        assert len(node.questions) == 20
        assert FAILURES <= shared(chain, "failed") < 20
        assert shared(chain, "skipped") > 0


async def test_a_redis_that_hangs_is_left_alone_and_mixes_nothing_up_afterwards(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    for number in range(10):
        node.put(f"99.1/{number}", Value(1, "URL", f"https://example.org/{number}".encode()))
    async with foreign_chain(node, share=share(redis, 0.05)) as chain, AsyncExitStack() as stack:
        for number in range(10):
            await chain.find(f"99.1/{number}")
        await until(lambda: shared(chain, "stored") + shared(chain, "failed") + shared(chain, "skipped") >= 10)
        other = ForeignChain(node.endpoint, share=share(redis, 0.05))
        stack.push_async_callback(other.upstream.close)
        redis.stop()
        for number in range(FAILURES):
            await other.find(f"99.1/{number}")
        assert shared(other, "failed") >= FAILURES
        skipped = shared(other, "skipped")
        await other.find("99.1/5")
        assert shared(other, "skipped") > skipped
        redis.go_on()
        other.pass_s(60)
        for number in range(10):
            answer = await other.find(f"99.1/{number}")
            assert f"https://example.org/{number}".encode() in answer.values[0]


async def test_a_redis_that_was_flushed_or_restarted_is_filled_again(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node, share=share(redis)) as chain:
        await chain.find("99.1/x")
        await stored(chain)
        redis.kill()
        redis.start()
        chain.pass_s(120)
        await chain.find("99.1/x")
        # The connection that the restart ended is found out by one failure at most.
        chain.pass_s(120)
        await chain.find("99.1/x")
        await stored(chain, 2)


@pytest.mark.parametrize("garbage", [b"garbage", b"", b"\x01\x01", bytes(300_000)])
async def test_garbage_in_redis_is_no_answer(redis: RedisServer, garbage: bytes) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    client = Redis.from_url(redis.url)
    await client.set("biaojie:copy:1:upstream:\099.1/x", garbage)
    async with foreign_chain(node, share=share(redis)) as chain:
        assert (await chain.find("99.1/x")).values == packed(URL)
        assert node.questions == ["99.1/x"]
    await client.aclose()


async def test_a_key_of_another_type_is_no_answer(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    client = Redis.from_url(redis.url)
    await client.rpush("biaojie:copy:1:upstream:\099.1/x", b"a", b"b")
    async with foreign_chain(node, share=share(redis)) as chain:
        assert isinstance(await chain.ask("99.1/x"), Found)
    await client.aclose()


async def test_a_redis_that_wants_a_password_is_no_obstacle(redis: RedisServer) -> None:
    redis.kill()
    redis.start("--requirepass", "secret")
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node, share=share(redis)) as chain:
        assert isinstance(await chain.ask("99.1/x"), Found)
        assert shared(chain, "failed") >= 1


async def test_with_neither_upstream_nor_redis_a_copy_is_still_shown(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    async with foreign_chain(node, share=share(redis)) as chain:
        await chain.find("99.1/x")
        await node.close()
        redis.kill()
        chain.pass_s(250)
        assert (await chain.find("99.1/x")).source is Source.STALE
        assert refusal(await chain.ask("99.1/y")) == Reason.UPSTREAM_FAILED


async def test_copies_leave_redis_with_the_time_that_they_may_be_shown(redis: RedisServer) -> None:
    node = await ForeignNode().open()
    node.put("99.1/x", URL)
    node.answers["99.1/y"] = NOT_FOUND
    async with foreign_chain(node, share=share(redis)) as chain:
        await asyncio.gather(chain.ask("99.1/x"), chain.ask("99.1/y"))
        await stored(chain, 2)
        client = Redis.from_url(redis.url)
        lasts_s = [await client.ttl(f"biaojie:copy:1:upstream:\0{name}") for name in ("99.1/x", "99.1/y")]
        assert chain.terms.stale_s < lasts_s[0] <= 100 + chain.terms.stale_s
        assert 0 < lasts_s[1] <= chain.terms.negative_ttl_s
        await client.aclose()
