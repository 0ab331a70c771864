"""Counts of identifiers: exact from any beginning, kept in a file that nobody depends on."""

import contextlib
import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason, Refusal
from proto.model.change import START, Change, Position
from proto.model.day import DAY_MS, day_of, days_before
from proto.model.value import Value
from proto.stream import parse_images
from registry.service import record_counts as module
from registry.service.plan import Draft
from registry.service.record_counts import KEPT_DAYS, RecordCounts, Standing
from tests.support.world import HOLDER, World, context
from tests.support.world import OTHER as OTHER_CODE

ACME, OTHER = "88.118.1001", "88.118.1002"
HOLDERS = {ACME: HOLDER, OTHER: OTHER_CODE}


@pytest.fixture
async def world() -> World:
    return await World().furnish()


async def register(world: World, name: str) -> None:
    await world.registry.register(context(), Draft(name, (Value(1, "URL", b"https://example.com", 86_400),)))


def counts_of(world: World, file: Path | None = None) -> RecordCounts:
    return RecordCounts(world.stream, world.clock, file)


def counted(counts: RecordCounts) -> tuple[object, ...]:
    return counts.position, counts.standing(), counts._counts.days


async def live(world: World, steps: int = 40, seed: int = 7) -> None:
    """Let identifiers come, be replaced, suspended, resumed and retired, over some days."""
    draw = random.Random(seed)
    registry, names = world.registry, [f"{prefix}/{number}" for prefix in (ACME, OTHER) for number in range(6)]
    for _ in range(steps):
        do = draw.choice([registry.suspend, registry.resume, registry.retire, None, None])
        name = draw.choice(names)
        with contextlib.suppress(Refusal):
            await (do(context(), name) if do is not None else register(world, name))
        world.clock.now += draw.choice([0, DAY_MS // 3])


async def test_they_are_what_is_there(world: World) -> None:
    await live(world)
    counts = counts_of(world)
    await counts.reach(world.stream.head())
    expected = {}
    for prefix in (ACME, OTHER):
        page = await world.registry.list_identifiers(context(), HOLDERS[prefix], prefix)
        expected[prefix] = Standing(len(page.items), sum(record.state.name == "ACTIVE" for record in page.items))
    assert counts.standing() == expected


async def test_they_are_the_same_told_read_or_both(world: World) -> None:
    told, both = counts_of(world), counts_of(world)
    changes = iter_changes(world)
    await live(world, 10)
    await both.reach(world.stream.head())
    await live(world, 30, seed=8)
    for number, change in enumerate(changes):
        rows = parse_images(change.payload)
        told.see(change.position, change.time_ms, rows)
        if number % 3:
            both.see(change.position, change.time_ms, rows)
            both.see(change.position, change.time_ms, rows)  # again, which must not count
    read = counts_of(world)
    for each in (read, both):
        await each.reach(world.stream.head())
    assert counted(told) == counted(read) == counted(both)


def iter_changes(world: World) -> Iterator[Change]:
    position = START
    while found := world.stream.read(position, 1):
        position = found[0].position
        yield found[0]


async def test_names_of_prefixes_are_no_products(world: World) -> None:
    await register(world, f"0.NA/{ACME}")
    await register(world, f"{ACME}/a")
    counts = counts_of(world)
    await counts.reach(world.stream.head())
    assert counts.standing() == {ACME: Standing(1, 1)}


async def test_the_end_of_every_day_is_known(world: World) -> None:
    counts, ends = counts_of(world), {}
    await register(world, f"{ACME}/first")
    for number in range(5):
        await register(world, f"{ACME}/{number}")
        if number == 2:
            await world.registry.retire(context(), f"{ACME}/0")
        await counts.reach(world.stream.head())
        ends[day_of(world.clock.now)] = counts.standing()
        world.clock.now += DAY_MS
    days = list(ends)
    assert [standing for standing, _ in counts.by_day(days, {ACME})] == [end[ACME] for end in ends.values()]
    assert [added for _, added in counts.by_day(days, {ACME})] == [2, 1, 1, 1, 1]
    # Any days will do, also those on which nothing came, and those before there was anything.
    assert counts.by_day([days_before(days[0], 1), days[2]], {ACME}) == [(Standing(0, 0), 0), (ends[days[2]][ACME], 1)]
    assert counts.by_day(days, {OTHER}) == [(Standing(0, 0), 0)] * len(days)


async def test_only_so_many_days_are_told_apart(world: World) -> None:
    for number in range(KEPT_DAYS + 5):
        await register(world, f"{ACME}/{number}")
        world.clock.now += DAY_MS
    counts = counts_of(world)
    await counts.reach(world.stream.head())
    assert len(counts._counts.days) == KEPT_DAYS + 1
    assert counts.standing() == {ACME: Standing(KEPT_DAYS + 5, KEPT_DAYS + 5)}


async def test_a_start_goes_on_from_the_file(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "projections" / "records"
    await live(world)
    counts = counts_of(world, file)
    await counts.reach(world.stream.head())
    kept_at = counts.position
    counts.close()
    await register(world, f"{ACME}/later")
    read, asked = world.stream.read, list[Position]()

    def note(after: Position, limit: int) -> Any:
        asked.append(after)
        return read(after, limit)

    monkeypatch.setattr(world.stream, "read", note)
    again, anew = counts_of(world, file), counts_of(world)
    await again.reach(world.stream.head())
    assert min(asked) == Position(kept_at.epoch, kept_at.sequence - 1), "only to see that it is the same history"
    await anew.reach(world.stream.head())
    assert counted(again) == counted(anew)


def with_chain(data: bytes) -> bytes:
    document = json.loads(data.partition(b"\n")[2])
    body = json.dumps({**document, "chain": "00" * 32, "prefixes": {ACME: [99, 99]}}).encode()
    return b"%08x\n" % zlib.crc32(body) + body


def with_position(data: bytes) -> bytes:
    document = json.loads(data.partition(b"\n")[2])
    body = json.dumps({**document, "position": [1, 9_999], "prefixes": {ACME: [99, 99]}}).encode()
    return b"%08x\n" % zlib.crc32(body) + body


@pytest.mark.parametrize(
    "harm",
    [lambda data: b"", lambda data: data[:-1], lambda data: data.replace(b"[", b"{", 1), lambda data: b"\xff\n{}", with_chain,
     with_position],
)  # fmt: skip
async def test_a_file_that_is_no_use_costs_time_only(world: World, tmp_path: Path, harm: Any) -> None:
    file = tmp_path / "records"
    await live(world, 20)
    counts = counts_of(world, file)
    await counts.reach(world.stream.head())
    counts.close()
    file.write_bytes(harm(file.read_bytes()))
    again = counts_of(world, file)
    await again.reach(world.stream.head())
    assert counted(again) == counted(counts)


async def test_who_asks_while_they_are_counted_is_told_how_far_it_is(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESHNESS_WAIT_S", 0.0)
    scrape = CollectorRegistry()
    counts = RecordCounts(world.stream, world.clock, None, build_metrics(scrape).counts_lag_changes)
    with pytest.raises(Refusal) as refused:
        await counts.reach(world.stream.head())
    assert refused.value.reason is Reason.NOT_READY
    assert f"of {world.stream.head().sequence} changes" in refused.value.detail
    monkeypatch.undo()
    await counts.reach(world.stream.head())
    assert scrape.get_sample_value("biaojie_counts_lag_changes", {}) == 0


async def test_a_stream_that_cannot_be_read_is_said_to_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(after: Position, limit: int) -> Any:
        raise Refusal(Reason.INVALID_ARGUMENT, "the changes after this position are no longer kept", "after")

    monkeypatch.setattr(world.stream, "read", refuse)
    with pytest.raises(Refusal, match="no longer kept") as refused:
        await counts_of(world).reach(world.stream.head())
    assert refused.value.reason is Reason.NOT_READY
