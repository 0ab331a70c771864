"""Feeds into a real Redis: every event is in the stream, also after the server was killed, flushed or trimmed."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError

from adapters.city.core.profile import Profile
from tests.support.feeds import RunningFeeds, until, until_so
from tests.support.redis_server import RedisServer, redis_server
from tests.support.rest import RestNode
from tests.support.rows import make_profile

pytestmark = pytest.mark.slow

STREAM = "biaojie:platform"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Redis]:
    opened: Redis = Redis.from_url(server.url)
    yield opened
    await opened.aclose()


def into(server: RedisServer, **transport: Any) -> Profile:
    place = {"kind": "redis", "url": server.url, "stream": STREAM, "timeout_s": 2, **transport}
    return make_profile(transport=place, retry={"first_s": 0.05, "last_s": 0.2})


async def register(node: RestNode, *names: str, text: str = "x") -> None:
    for name in names:
        document = {"values": [{"index": 1, "type": "URL", "data": text}]}
        assert (await node("PUT", f"/api/v1/identifiers/88.118.1001/{name}", document, by="holder")).status in (200, 201)


async def told(client: Redis) -> list[tuple[str, int]]:
    """The subjects and versions in the stream; each entry's id is its event's."""
    found = []
    entries: Any = await client.xrange(STREAM)
    for _, fields in entries:
        event = json.loads(fields[b"event"])
        assert fields[b"id"].decode() == event["id"]
        found.append((event["subject"].rpartition("/")[2], event["rowversion"]))
    return found


async def until_told(client: Redis, *expected: tuple[str, int]) -> None:
    async def knows() -> bool:
        try:
            return set(await told(client)) == set(expected)
        except ConnectionError:
            return False  # it begins another life

    await until_so(knows)


async def test_every_event_is_an_entry_in_order(node: RestNode, server: RedisServer, client: Redis) -> None:
    async with RunningFeeds(node, [into(server)]):
        await register(node, "a", "b")
        await register(node, "a", text="y")
        await until_told(client, ("a", 1), ("b", 1), ("a", 2))
        assert await told(client) == [("a", 1), ("b", 1), ("a", 2)]


async def test_a_stream_keeps_the_newest(node: RestNode, server: RedisServer, client: Redis) -> None:
    names = [f"p{number}" for number in range(1_300)]
    for start in range(0, len(names), 650):
        rows = [
            {"identifier": f"88.118.1001/{name}", "values": [{"index": 1, "type": "URL", "data": "x"}]}
            for name in names[start : start + 650]
        ]
        assert (await node("POST", "/api/v1/identifiers", {"identifiers": rows}, by="holder")).status == 200
    async with RunningFeeds(node, [into(server, max_length=1_000)]) as running:
        await until(lambda: running.outcome("delivered") == 1_300)
        # Redis trims whole nodes of its tree: a little more than asked for stays.
        assert 1_000 <= await client.xlen(STREAM) < 1_200
        assert (await told(client))[-1] == ("p1299", 1)


@pytest.mark.parametrize("how", ["flushed", "deleted", "killed"])
async def test_a_stream_that_is_lost_is_rebuilt_though_nothing_changes(
    node: RestNode, server: RedisServer, client: Redis, how: str
) -> None:
    async with RunningFeeds(node, [into(server)]) as running:
        await register(node, "a", "b")
        await until_told(client, ("a", 1), ("b", 1))
        await until_committed(running, 2)
        if how == "flushed":
            await client.flushall()
        elif how == "deleted":
            await client.delete(STREAM, f"{STREAM}:feed")
        else:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await until_told(client, ("a", 1), ("b", 1))
        await register(node, "c")
        await until_told(client, ("a", 1), ("b", 1), ("c", 1))


async def test_what_an_older_snapshot_lacks_is_told_again_and_no_more(
    node: RestNode, server: RedisServer, client: Redis
) -> None:
    async with RunningFeeds(node, [into(server)]) as running:
        await register(node, "a")
        await until_told(client, ("a", 1))
        await until_committed(running, 1)
        stream, mark = await client.dump(STREAM) or b"", await client.dump(f"{STREAM}:feed") or b""
        await register(node, "b", "c")
        await until_told(client, ("a", 1), ("b", 1), ("c", 1))
        await until_committed(running, 3)
        await client.restore(STREAM, 0, stream, replace=True)
        await client.restore(f"{STREAM}:feed", 0, mark, replace=True)
        await register(node, "d")
        await until_told(client, ("a", 1), ("b", 1), ("c", 1), ("d", 1))
        assert (await told(client)).count(("a", 1)) == 1


async def test_a_server_that_is_away_misses_nothing(node: RestNode, server: RedisServer, client: Redis) -> None:
    await asyncio.to_thread(server.kill)
    async with RunningFeeds(node, [into(server)]) as running:
        await register(node, "a", "b")
        await until(lambda: running.outcome("failed") >= 4)
        await asyncio.to_thread(server.start)
        await until_told(client, ("a", 1), ("b", 1))
        assert (await running.stored())["letters"] == 0


async def until_committed(running: RunningFeeds, delivered: int) -> None:
    async def is_committed() -> bool:
        return bool((await running.stored()).get("delivered", 0) >= delivered)

    await until_so(is_committed)
