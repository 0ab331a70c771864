"""Reconciliation with real systems: what was lost, is stale or should not be there is named and mended, and no more."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from adapters.city.core import reconciliation
from adapters.city.core.profile import Profile
from adapters.city.fake import Consumer
from adapters.city.reconcile import Report, reconcile
from adapters.city.registry_client import RegistryClient
from adapters.city.transports.order import make_transport
from adapters.city.transports.transport import Unknowable
from tests.support.feeds import RunningFeeds, profile, until
from tests.support.redis_server import RedisServer, redis_server
from tests.support.rest import RestNode
from tests.support.rows import make_profile

NAMES = [f"p{number}" for number in range(6)]


async def register(node: RestNode, *names: str, text: str = "x") -> None:
    for name in names:
        document = {"values": [{"index": 1, "type": "URL", "data": text}]}
        assert (await node("PUT", f"/api/v1/identifiers/88.118.1001/{name}", document, by="holder")).status in (200, 201)


async def run(node: RestNode, made: Profile, *, repair: bool = False) -> Report:
    transport = make_transport(made)
    try:
        async with RegistryClient(f"http://127.0.0.1:{node.port}", node.tokens["city"]) as client:
            return await reconcile(made, client, transport, repair=repair, settle_s=0.01)
    finally:
        await transport.close()


def wrong(report: Report) -> dict[str, list[str]]:
    return {
        name: [subject.rpartition("/")[2] for result in report.results for subject in getattr(result, name)]
        for name in ("missing", "different", "ahead", "superfluous")
        if any(getattr(result, name) for result in report.results) or name != "ahead"
    }


def webhook(consumer: Consumer, **sections: Any) -> Profile:
    holdings = consumer.url.replace("/events", "/holdings")
    return profile(consumer.url, transport={"secret": "our secret", "holdings_url": holdings}, **sections)


async def feed(node: RestNode, made: Profile, events: int) -> None:
    async with RunningFeeds(node, [made]) as running:
        await until(lambda: running.outcome("delivered") >= events)


async def test_sides_that_agree_are_said_to(node: RestNode, consumer: Consumer) -> None:
    await register(node, *NAMES)
    made = webhook(consumer, select={"kinds": ["record", "prefix", "registrant"]})
    await feed(node, made, 10)
    report = await run(node, made)
    assert report.agrees
    assert {(result.key.kind, result.here, result.there) for result in report.results} == {
        ("record", 6, 6), ("prefix", 3, 3), ("registrant", 2, 2),
    }  # fmt: skip


async def test_what_is_wrong_is_named_and_just_that_is_mended(node: RestNode, consumer: Consumer) -> None:
    await register(node, *NAMES)
    made = webhook(consumer)
    await feed(node, made, 6)
    await register(node, "p1", text="y")
    consumer.forget("88.118.1001/p0")
    known = consumer.subjects["88.118.1001/p2"]
    consumer.subjects["88.118.1001/ghost"] = {**known, "subject": "88.118.1001/ghost"}
    await node("DELETE", "/api/v1/identifiers/88.118.1001/p3", by="holder")
    found = wrong(await run(node, made))
    # A tombstone is told as such, and p3 is not: the system has it as it was.
    assert found == {"missing": ["p0"], "different": ["p1", "p3"], "superfluous": ["ghost"]}
    consumer.deliveries.clear()
    report = await run(node, made, repair=True)
    assert (report.agrees, report.repaired) == (True, 4)
    sent = sorted(event["subject"].rpartition("/")[2] for batch in consumer.deliveries for event in batch)
    assert sent == ["ghost", "p0", "p1", "p3"]
    # What the feed delivers later changes nothing.
    await feed(node, made, 2)
    assert (await run(node, made)).agrees


async def test_a_damaged_payload_is_found_though_its_version_is_right_and_just_that_is_mended(
    node: RestNode, consumer: Consumer
) -> None:
    await register(node, *NAMES)
    made = webhook(consumer)
    await feed(node, made, 6)
    consumer.subjects["88.118.1001/p2"]["data"]["values"][0]["data"]["value"] = "damaged"
    assert wrong(await run(node, made)) == {"missing": [], "different": ["p2"], "superfluous": []}
    consumer.deliveries.clear()
    report = await run(node, made, repair=True)
    assert (report.agrees, report.repaired) == (True, 1)
    ((event,),) = consumer.deliveries
    assert (event["subject"], event["replaces"]) == ("88.118.1001/p2", 1)


async def test_what_was_sent_under_another_mask_is_found_and_mended(node: RestNode, consumer: Consumer) -> None:
    await register(node, "p0", "p1")
    await feed(node, webhook(consumer), 2)
    masked = webhook(consumer, shape={"fields": ["state"]})
    assert wrong(await run(node, masked))["different"] == ["p0", "p1"]
    report = await run(node, masked, repair=True)
    assert (report.agrees, report.repaired) == (True, 2)
    assert "values" not in consumer.subjects["88.118.1001/p0"]["data"]


async def test_what_this_node_has_not_come_to_is_a_fault_and_gives_way(node: RestNode, consumer: Consumer) -> None:
    """As after a restore: the system was told of changes that the backup does not have."""
    await register(node, *NAMES)
    made = webhook(consumer)
    await feed(node, made, 6)
    for name in ("p1", "later"):
        known = consumer.subjects["88.118.1001/p1"]
        subject = f"88.118.1001/{name}"
        consumer.subjects[subject] = {**known, "subject": subject, "rowversion": 9, "data": {**known["data"], "version": 9}}
    assert wrong(await run(node, made)) == {"missing": [], "different": [], "ahead": ["p1"], "superfluous": ["later"]}
    report = await run(node, made, repair=True)
    assert (report.agrees, report.repaired) == (True, 2)
    assert consumer.subjects["88.118.1001/p1"]["rowversion"] == 1
    # What is registered from now on is taken, also under the name that this node did not know.
    await register(node, "p1", "later", text="y")
    await feed(node, made, 2)
    assert (await run(node, made)).agrees
    assert consumer.subjects["88.118.1001/later"]["rowversion"] == 1


async def test_large_buckets_are_compared_in_parts(node: RestNode, consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "PART_THINGS", 2)
    monkeypatch.setattr(reconciliation, "THINGS_AT_ONCE", 3)
    names = [f"p{number}" for number in range(30)]
    await register(node, *names)
    made = webhook(consumer)
    await feed(node, made, 30)
    assert (await run(node, made)).agrees
    consumer.forget("88.118.1001/p7")
    consumer.subjects["88.118.1001/p9"]["data"]["state"] = "damaged"
    assert wrong(await run(node, made)) == {"missing": ["p7"], "different": ["p9"], "superfluous": []}
    report = await run(node, made, repair=True)
    assert (report.agrees, report.repaired) == (True, 2)


async def test_what_is_no_longer_selected_is_to_be_forgotten(node: RestNode, consumer: Consumer) -> None:
    await register(node, "p0", "p1")
    made = webhook(consumer, select={"states": ["active"]})
    await feed(node, made, 2)
    await node("DELETE", "/api/v1/identifiers/88.118.1001/p0", by="holder")
    assert wrong(await run(node, made)) == {"missing": [], "different": [], "superfluous": ["p0"]}
    report = await run(node, made, repair=True)
    assert (report.agrees, report.repaired) == (True, 1)
    assert consumer.subjects["88.118.1001/p0"]["type"] == "biaojie.record.removed"


async def test_a_system_that_does_not_tell_is_not_said_to_agree(node: RestNode, consumer: Consumer) -> None:
    await register(node, "p0")
    silent = profile(consumer.url, transport={"secret": "our secret"})
    with pytest.raises(Unknowable, match="holdings_url"):
        await run(node, silent)
    stranger = profile(consumer.url, transport={"secret": "x", "holdings_url": consumer.url.replace("/events", "/holdings")})
    with pytest.raises(Unknowable, match="401"):
        await run(node, stranger)
    babbling = profile(consumer.url, transport={"holdings_url": consumer.url.replace("/events", "/state")})
    with pytest.raises(Unknowable, match="KeyError"):
        await run(node, babbling)
    made = webhook(consumer)
    consumer.refused.add("88.118.1001/p0")
    with pytest.raises(Unknowable, match="422"):
        await run(node, made, repair=True)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


async def test_a_stream_that_lacks_entries_is_mended(node: RestNode, server: RedisServer) -> None:
    made = make_profile(transport={"kind": "redis", "url": server.url, "stream": "s"})
    await register(node, *NAMES)
    await feed(node, made, 6)
    assert (await run(node, made)).agrees
    async with Redis.from_url(server.url) as client:
        entries: Any = await client.xrange("s")
        await client.xdel("s", entries[1][0], entries[4][0])
    assert wrong(await run(node, made))["missing"] == ["p1", "p4"]
    report = await run(node, made, repair=True)
    assert (report.agrees, report.repaired) == (True, 2)


@pytest.mark.parametrize(
    "form",
    [{}, {"format": "csv", "columns": ["state"]}, {"format": "csv", "encoding": "gb18030", "columns": ["values.URL"]}],
    ids=["json", "csv", "gb18030"],
)
async def test_files_that_were_lost_are_written_again(node: RestNode, tmp_path: Path, form: dict[str, Any]) -> None:
    folder = tmp_path / "exchange"
    folder.mkdir()
    made = make_profile(transport={"kind": "files", "folder": str(folder), "gather_s": 0, "batch": 2, **form})
    await register(node, *NAMES)
    await feed(node, made, 6)
    assert (await run(node, made)).agrees
    lost = sorted(folder.glob("*.manifest.json"))[1]
    lost.unlink()
    assert len(wrong(await run(node, made))["missing"]) in (1, 2)
    report = await run(node, made, repair=True)
    assert report.agrees


@pytest.mark.parametrize("form", [{}, {"format": "csv", "columns": ["values.URL"]}], ids=["json", "csv"])
async def test_files_with_any_text_are_read_as_they_were_written(node: RestNode, tmp_path: Path, form: dict[str, Any]) -> None:
    made = make_profile(transport={"kind": "files", "folder": str(tmp_path), "gather_s": 0, **form})
    for name, text in (("lines", 'a\u2028b\u0085c\r\nd,";e'), ("large", "x" * 200_000)):
        await register(node, name, text=text)
    await feed(node, made, 2)
    report = await run(node, made)
    assert (report.agrees, sum(result.there for result in report.results)) == (True, 2)
