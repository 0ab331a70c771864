"""Webhook feeds against a system that misbehaves: everything arrives, nothing is given up that should not be."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from adapters.city.fake import Consumer, Misbehaviour
from tests.support.feeds import RunningFeeds, profile, until
from tests.support.rest import RestNode
from tests.support.world import HOLDER

pytestmark = pytest.mark.slow

SECRET = {"secret": "our secret"}


def values(text: str) -> dict[str, Any]:
    return {
        "values": [
            {"index": 1, "type": "URL", "data": text},
            {"index": 2, "type": "PRICE", "data": "1", "audience": "dealers"},
            {"index": 3, "type": "NOTE", "data": "hidden", "audience": "private"},
        ]
    }


async def register(node: RestNode, *names: str, text: str = "x") -> None:
    for name in names:
        got = await node("PUT", f"/api/v1/identifiers/88.118.1001/{name}", values(text), by="holder")
        assert got.status in (200, 201), got


def feeding(node: RestNode, consumer: Consumer, **sections: Any) -> RunningFeeds:
    transport = SECRET | sections.pop("transport", {})
    return RunningFeeds(node, [profile(consumer.url, transport=transport, **sections)])


def knows(consumer: Consumer, *names: str, text: str = "x") -> bool:
    """Whether it knows these as they were registered last, and nothing that was hidden."""
    assert "hidden" not in str(consumer.deliveries)
    found = [consumer.subjects.get(f"88.118.1001/{name}", {}).get("data", {}).get("values", []) for name in names]
    return all(each and each[0]["data"]["value"] == text for each in found)


async def settled(running: RunningFeeds, least: int = 1) -> None:
    """Wait until so many deliveries and all that were counted are committed."""
    async with asyncio.timeout(30):
        while True:
            delivered = (await running.stored()).get("delivered", 0)
            if delivered >= least and delivered == running.outcome("delivered"):
                return
            await asyncio.sleep(0.02)


async def test_what_changes_is_told_signed_in_order_and_once(node: RestNode, consumer: Consumer) -> None:
    await register(node, "a", "b")
    async with feeding(node, consumer) as running:
        await until(lambda: knows(consumer, "a", "b"))
        await register(node, "a", text="y")
        await until(lambda: knows(consumer, "a", text="y"))
        await settled(running)
        told = [(event["subject"], event["rowversion"]) for batch in consumer.deliveries for event in batch]
        assert told == [("88.118.1001/a", 1), ("88.118.1001/b", 1), ("88.118.1001/a", 2)]
        assert (await running.stored())["delivered"] == running.outcome("delivered") == 3
        event = consumer.subjects["88.118.1001/a"]
        assert {name: event[name] for name in ("specversion", "type", "source", "datacontenttype")} == {
            "specversion": "1.0",
            "type": "biaojie.record.changed",
            "source": "/biaojie/feeds/platform",
            "datacontenttype": "application/json",
        }
        assert [value["share"] for value in event["data"]["values"]] == ["unconditional"]
        # The cursor's own commits are passed over, too.
        await until(lambda: running.lag() == 0)


async def test_what_a_registrant_opens_to_the_city_is_shared_on_condition(node: RestNode, consumer: Consumer) -> None:
    await node("PUT", f"/api/v1/accounts/city/groups/{HOLDER}/dealers", by="holder")
    async with feeding(node, consumer, select={"share": ["unconditional", "conditional"]}):
        await register(node, "a")
        await until(lambda: knows(consumer, "a"))
        found = consumer.subjects["88.118.1001/a"]["data"]["values"]
        assert [(value["type"], value["share"]) for value in found] == [("URL", "unconditional"), ("PRICE", "conditional")]
        assert "dealers" not in str(found)


async def test_what_leaves_the_selection_is_told_as_removed(node: RestNode, consumer: Consumer) -> None:
    async with feeding(node, consumer, select={"states": ["active"]}):
        await register(node, "a")
        await until(lambda: knows(consumer, "a"))
        await node("DELETE", "/api/v1/identifiers/88.118.1001/a", by="holder")
        await until(lambda: consumer.subjects["88.118.1001/a"]["type"] == "biaojie.record.removed")
        gone = consumer.subjects["88.118.1001/a"]["data"]
        assert gone == {"kind": "record", "identifier": "88.118.1001/a", "version": 2, "state": "retired"}


@pytest.mark.parametrize("how", Misbehaviour)
async def test_after_any_misbehaviour_everything_arrives(node: RestNode, consumer: Consumer, how: Misbehaviour) -> None:
    names = [f"p{number}" for number in range(7)]
    await register(node, *names)
    consumer.misbehaviours.extend([how, how])
    async with feeding(node, consumer, transport={"timeout_s": 0.3}) as running:
        await until(lambda: knows(consumer, *names))
        await settled(running, len(names))
        assert running.outcome("failed") > 0
        assert (await running.stored())["letters"] == 0
    assert consumer.distinct == 7


async def test_a_wrong_secret_gives_nothing_up(node: RestNode, consumer: Consumer) -> None:
    await register(node, "a", "b")
    async with feeding(node, consumer, transport={"secret": "another"}) as running:
        await until(lambda: running.outcome("failed") >= 16)
        stored = await running.stored()
        assert (stored["letters"], stored["delivered"]) == (0, 0)
        assert "401" in running.feeds.describe()["platform"]
    assert consumer.subjects == {}
    async with feeding(node, consumer):
        await until(lambda: knows(consumer, "a", "b"))


async def test_a_system_that_is_away_misses_nothing(node: RestNode, consumer: Consumer) -> None:
    port = consumer.port
    async with feeding(node, consumer) as running:
        await register(node, "a")
        await until(lambda: knows(consumer, "a"))
        await settled(running)
        await consumer.close()
        await register(node, "a", "b", text="y")
        await until(lambda: running.outcome("failed") >= 8)
        assert (running.lag() or 0) >= 2
        await consumer.open(port)
        await until(lambda: knows(consumer, "a", "b", text="y"))
        await settled(running)
        assert (await running.stored())["letters"] == 0


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


async def changed_s(node: RestNode, name: str) -> float:
    """When it was last registered."""
    record = (await node("GET", f"/api/v1/identifiers/88.118.1001/{name}", by="holder")).document
    return datetime.fromisoformat(record["changed"]).timestamp()


async def test_how_long_a_system_has_not_been_told_grows_while_it_is_away_and_outlives_a_start(
    node: RestNode, consumer: Consumer
) -> None:
    port = consumer.port
    await register(node, "a")
    clock = Clock(await changed_s(node, "a"))
    running = feeding(node, consumer)
    running.now_s = clock
    async with running:
        await until(lambda: knows(consumer, "a"))
        await until(lambda: running.gauge("lag_seconds") == 0)
        await consumer.close()
        await register(node, "b")
        clock.now_s += 3_600
        await until(lambda: (running.gauge("lag_seconds") or 0) >= 3_600)
        clock.now_s += 86_400
        await until(lambda: (running.gauge("lag_seconds") or 0) >= 90_000)
    again = feeding(node, consumer)
    again.now_s = clock
    async with again:
        await until(lambda: (again.gauge("lag_seconds") or 0) >= 90_000)
        await consumer.open(port)
        await until(lambda: knows(consumer, "b"))
        await until(lambda: again.gauge("lag_seconds") == 0)


async def test_a_paused_feed_says_so_and_how_long_what_is_for_it_has_waited(node: RestNode, consumer: Consumer) -> None:
    await register(node, "a")
    running = feeding(node, consumer, select={"prefixes": ["88.118.1001"], "types": ["SPECIAL"]})
    running.now_s = clock = Clock(await changed_s(node, "a"))
    async with running:
        await until(lambda: running.gauge("lag_seconds") == 0)
        await node("POST", "/api/v1/feeds/platform/pause", {"note": "it moves house"})
        await until(lambda: running.gauge("paused") == 1)
        # What others are told does not wait for this one.
        await register(node, "b")
        clock.now_s += 3_600
        await until(lambda: running.gauge("lag_seconds") == 0)
        special = {"values": [{"index": 1, "type": "SPECIAL", "data": "x"}]}
        await node("PUT", "/api/v1/identifiers/88.118.1001/c", special, by="holder")
        await until(lambda: (running.gauge("lag_seconds") or 0) >= 3_600)
        await node("POST", "/api/v1/feeds/platform/resume")
        await until(lambda: running.gauge("lag_seconds") == 0)
        assert running.gauge("paused") == 0
        assert knows(consumer, "c")


@pytest.mark.parametrize("dislike", ["refused", "broken"])
async def test_one_event_that_is_not_wanted_does_not_stop_the_others(node: RestNode, consumer: Consumer, dislike: str) -> None:
    names = [f"p{number}" for number in range(9)]
    getattr(consumer, dislike).add("88.118.1001/p4")
    await register(node, *names)
    async with feeding(node, consumer) as running:
        await until(lambda: knows(consumer, *names[:4], *names[5:]))
        await settled(running)
        (letter,) = (await node("GET", "/api/v1/feeds/platform/letters")).document["letters"]
        assert (letter["name"], letter["row_version"]) == ("88.118.1001/p4", 1)
        assert letter["reason"] == {"refused": "422 not this one", "broken": "500 it broke"}[dislike]
        assert not knows(consumer, "p4")
        await until(lambda: running.gauge("dead_letters") == 1)
        # Asked for too early it stays a letter; asked for later it is delivered.
        await node("POST", "/api/v1/feeds/platform/letters/replay", {})
        await until_letters(running, letters=1, requested=0, attempts=letter["attempts"] + 1)
        getattr(consumer, dislike).clear()
        await node("POST", "/api/v1/feeds/platform/letters/replay", {})
        await until(lambda: knows(consumer, "p4"))
        await until_letters(running, letters=0, requested=0)
        await until(lambda: running.gauge("dead_letters") == 0)


@pytest.mark.parametrize("failures", range(4, 10))
async def test_a_system_that_comes_back_between_two_attempts_gives_no_event_up(
    node: RestNode, consumer: Consumer, failures: int
) -> None:
    names = [f"p{number}" for number in range(4)]
    await register(node, *names)
    consumer.misbehaviours.extend([Misbehaviour.FAIL] * failures)
    async with feeding(node, consumer) as running:
        await until(lambda: knows(consumer, *names))
        await settled(running, len(names))
        assert (await running.stored())["letters"] == 0


async def until_letters(running: RunningFeeds, letters: int, requested: int, attempts: int | None = None) -> None:
    async with asyncio.timeout(30):
        while True:
            stored = await running.stored()
            found = (await running.node("GET", "/api/v1/feeds/platform/letters")).document.get("letters", [])
            tried = attempts is None or [each["attempts"] for each in found] == [attempts]
            if (stored.get("letters"), stored.get("requested")) == (letters, requested) and tried:
                return
            await asyncio.sleep(0.02)


async def test_a_newer_image_that_is_taken_settles_the_letter_of_an_older_one(node: RestNode, consumer: Consumer) -> None:
    consumer.refused.add("88.118.1001/a")
    await register(node, "a", "b")
    async with feeding(node, consumer) as running:
        await until_letters(running, letters=1, requested=0)
        consumer.refused.clear()
        await register(node, "a", text="y")
        await until(lambda: knows(consumer, "a", text="y"))
        await until_letters(running, letters=0, requested=0)
    assert [event["rowversion"] for batch in consumer.deliveries for event in batch if event["subject"].endswith("/a")] == [2]


async def test_a_paused_feed_waits_and_a_resumed_one_goes_on(node: RestNode, consumer: Consumer) -> None:
    async with feeding(node, consumer) as running:
        await register(node, "a")
        await until(lambda: knows(consumer, "a"))
        await node("POST", "/api/v1/feeds/platform/pause", {"note": "it moves house"})
        await until(lambda: running.feeds.describe()["platform"].startswith("paused"))
        attempts = consumer.attempts
        await register(node, "b")
        await until(lambda: (running.lag() or 0) > 0)
        assert consumer.attempts == attempts
        await node("POST", "/api/v1/feeds/platform/resume")
        await until(lambda: knows(consumer, "b"))


async def test_a_rewound_feed_tells_everything_again_under_the_same_ids(node: RestNode, consumer: Consumer) -> None:
    async with feeding(node, consumer) as running:
        await register(node, "a", "b")
        await until(lambda: knows(consumer, "a", "b"))
        await settled(running)
        await node("POST", "/api/v1/feeds/platform/replay", {"after": ""})
        await until(lambda: sum(map(len, consumer.deliveries)) == 4)
        assert consumer.distinct == 2
        await settled(running)


async def test_feeds_of_one_node_do_not_hinder_one_another(node: RestNode, consumer: Consumer) -> None:
    away = profile("http://127.0.0.1:9/events", name="away")
    async with RunningFeeds(node, [away, profile(consumer.url, transport=SECRET)]) as running:
        await register(node, "a")
        await until(lambda: knows(consumer, "a"))
        await until(lambda: running.outcome("failed", "away") >= 2)
        assert (running.lag("away") or 0) > 0


async def test_records_of_any_size_arrive_each_in_time(node: RestNode, consumer: Consumer) -> None:
    async with feeding(node, consumer) as running:
        text = "许昌" * 40_000
        await register(node, *[f"large-{number}" for number in range(6)], text=text)
        await until(lambda: knows(consumer, *[f"large-{number}" for number in range(6)], text=text))
        await settled(running)
