"""kill -9 of any process of a running node, at random moments, with 64 registrations in flight.

After each kill every acknowledged registration resolves and no unacknowledged one is there by half (a registration here is a
record and an alias: two keys). After the last one `biaojie verify` finds nothing.
"""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import grpc
import pytest
from grpc import aio

from proto.v1 import model_pb2, registry_pb2, registry_pb2_grpc, resolver_pb2, resolver_pb2_grpc
from tests.support.grpc_calls import bearer
from tests.support.node import RunningNode, group_lives, run_biaojie

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

IN_FLIGHT = 64
KILLS_OF_EACH = 8
BATCH = 1_000
KEPT = 2_000
PREFIX = "88.118.77"
REGISTRANT = "91411000MA40XCDL1K"
# What a caller is told whose connection breaks.
MAY_END_AS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)


@dataclass(slots=True)
class Tally:
    """What writers were told: `acknowledged` is done, `open` was asked for and never answered."""

    acknowledged: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    written: int = 0
    numbers: "count[int]" = field(default_factory=count)


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(2**32)))
    print(f"KILL_SEED={chosen}")
    return chosen


def start(data: Path) -> RunningNode:
    node = RunningNode(data, "node.homed=88.118", workers=2)
    node.until_ready()
    return node


def test_no_kill_loses_or_halves_a_registration(tmp_path: Path, seed: int) -> None:
    moments, data, tally = random.Random(seed), tmp_path / "data", Tally()
    node = start(data)
    try:
        asyncio.run(hold_a_prefix(node))
        victims = ["registry", "worker-1", "supervisor"] * KILLS_OF_EACH
        moments.shuffle(victims)
        for victim in victims:
            delay_s = moments.uniform(0.02, 0.5)
            asyncio.run(write_and_kill(node, tally, delay_s, partial(kill, node, victim)))
            if victim == "supervisor":
                node.process.wait()
                node.until(partial(is_gone, node.process.pid))
                node = start(data)
            node.until_ready()
            asyncio.run(check_all(node, tally))
            node.until_whole()  # or the next victim may be one that has not come back yet
        assert tally.written > len(victims) * IN_FLIGHT / 2, "too little was written to prove anything"
        assert node.end() == 0
    finally:
        node.destroy()
    verified = run_biaojie("verify", "--data", str(data))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def kill(node: RunningNode, victim: str) -> None:
    if victim == "supervisor":
        node.process.send_signal(signal.SIGKILL)
    else:
        node.kill(victim)


def is_gone(group: int) -> bool:
    return not group_lives(group)


async def hold_a_prefix(node: RunningNode) -> None:
    async with channel_to(node, "registry") as channel:
        registry, metadata = registry_pb2_grpc.RegistryStub(channel), bearer(node.token)
        await registry.CreateRegistrant(
            registry_pb2.CreateRegistrantRequest(code=REGISTRANT, name="许昌某变压器有限公司"), metadata=metadata
        )
        await registry.CreatePrefix(registry_pb2.CreatePrefixRequest(name=PREFIX, registrant=REGISTRANT), metadata=metadata)


async def write_and_kill(node: RunningNode, tally: Tally, delay_s: float, strike: Callable[[], None]) -> None:
    """Keep 64 registrations in flight, strike in their midst, and let those that are under way end as they may."""
    over = asyncio.Event()
    async with channel_to(node, "registry") as channel:
        writers = [asyncio.create_task(write_until(channel, node.token, tally, over)) for _ in range(IN_FLIGHT)]
        await asyncio.sleep(delay_s)
        await asyncio.to_thread(strike)
        over.set()
        await asyncio.gather(*writers)


async def write_until(channel: aio.Channel, token: str, tally: Tally, over: asyncio.Event) -> None:
    registry = registry_pb2_grpc.RegistryStub(channel)
    while not over.is_set():
        number = next(tally.numbers)
        name = f"{PREFIX}/P-{number}"
        tally.open.add(name)
        value = model_pb2.Value(index=1, type="URL", data=f"https://example.cn/{number}".encode())
        draft = registry_pb2.Draft(identifier=name, values=[value], aliases=[alias_of(name)])
        try:
            await registry.Register(registry_pb2.RegisterRequest(draft=draft), metadata=bearer(token), timeout=30)
        except aio.AioRpcError as error:
            if error.code() not in MAY_END_AS:
                raise
            return
        tally.open.discard(name)
        tally.acknowledged.add(name)
        tally.written += 1


async def check_all(node: RunningNode, tally: Tally) -> None:
    """Every acknowledged name and its alias resolve; an open one with its alias, or neither."""
    names = sorted(tally.acknowledged | tally.open)
    after = await mark(node, next(tally.numbers))
    found = await resolve(node, names, after)
    aliases = await resolve(node, [alias_of(name) for name in names], after)
    assert [name for name in names if name in tally.acknowledged and name not in found] == []
    assert [name for name in names if (name in found) != (alias_of(name) in aliases)] == []
    # What is known by now is not asked again, whole, after every later kill: a sample is, and `verify` reads everything.
    tally.open.clear()
    tally.acknowledged = set(names[:: max(1, len(names) // KEPT)]) & found


async def mark(node: RunningNode, number: int) -> str:
    """Register once more; the cursor of that is after everything that may have been committed before."""
    async with channel_to(node, "registry") as channel:
        registry = registry_pb2_grpc.RegistryStub(channel)
        request = registry_pb2.RegisterRequest(draft=registry_pb2.Draft(identifier=f"{PREFIX}/M-{number}"))
        written = await registry.Register(request, metadata=bearer(node.token), wait_for_ready=True, timeout=30)
    return written.position


async def resolve(node: RunningNode, names: list[str], after: str) -> set[str]:
    """Those of `names` that are registered, at or after a cursor."""
    found: set[str] = set()
    async with channel_to(node, "resolver") as channel:
        resolver = resolver_pb2_grpc.ResolverStub(channel)
        for start_at in range(0, len(names), BATCH):
            part = names[start_at : start_at + BATCH]
            request = resolver_pb2.BatchResolveRequest(identifiers=part, after=after)
            answer = await resolver.BatchResolve(request, wait_for_ready=True, timeout=30)
            assert len(answer.results) == len(part)
            for result in answer.results:
                assert result.HasField("answer") or result.failure.reason == "NOT_FOUND", result
            found |= {name for name, result in zip(part, answer.results, strict=True) if result.HasField("answer")}
    return found


def alias_of(name: str) -> str:
    return name.replace("/P-", "/A-")


def channel_to(node: RunningNode, part: str) -> aio.Channel:
    # A channel of its own each time: another one's connection may still lead to the process that was killed.
    options = [("grpc.use_local_subchannel_pool", 1)]
    return aio.insecure_channel(f"127.0.0.1:{node.ports[f'{part}.grpc_port']}", options=options)
