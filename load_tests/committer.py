"""The committer alone: single durable commands, batches, and what a sync costs when nobody shares it.

    python -m load_tests committer

Payloads are packed before the clock runs, as doors do it. Everything goes the whole way: queue, store, sync, segment, and
back to the sender; no reader is connected.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop
from prometheus_client import CollectorRegistry

from load_tests.figure import Figure
from load_tests.records import commands
from node.clock import SystemClock
from node.metrics import build_metrics
from proto.model.change import Head, Position
from proto.ports import Command
from proto.stream import NO_CHAIN
from registry.commit.primary import Primary
from registry.commit.transaction import prepare
from registry.store.rocksdb import RocksdbStore

SINGLES: Final = 60_000
SYNC_EACH: Final = 5_000
IN_FLIGHT: Final = 64
BATCHES: Final = 300
BATCH_ROWS: Final = 1_000
BATCHES_IN_FLIGHT: Final = 4
# What the registry's process sets as well: see registry.commit.primary.
SWITCH_INTERVAL_S: Final = 0.0005


def run() -> list[Figure]:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with tempfile.TemporaryDirectory(prefix="biaojie-") as folder:
        alone = _sync_for_each(Path(folder) / "alone")
        singles, commands_per_sync = uvloop.run(_singles(Path(folder) / "singles"))
        rows = uvloop.run(_batches(Path(folder) / "batches"))
    return [
        Figure("one sync for each command, no grouping", alone, "/s"),
        Figure("single durable commands, 64 in flight", singles, "/s", 20_000, ratio=singles / alone,
               ratio_of="one sync for each", ratio_limit=5),
        Figure("commands made durable by one sync", commands_per_sync, ""),
        Figure("rows in batches of 1,000 through the committer", rows, "rows/s", 60_000),
    ]  # fmt: skip


def _sync_for_each(folder: Path) -> float:
    folder.mkdir()
    clock = SystemClock()
    store = RocksdbStore(folder / "store", Head("bench", Position(1, 0), 0, NO_CHAIN))
    transactions = [prepare(command, 0).transaction for command in commands(0, SYNC_EACH, rows=1)]
    started = time.perf_counter()
    for transaction in transactions:
        store.apply([transaction], clock.now_ms())
    rate = SYNC_EACH / (time.perf_counter() - started)
    store.close()
    return rate


async def _singles(folder: Path) -> tuple[float, float]:
    registry = CollectorRegistry()
    primary = Primary.open(folder, SystemClock(), build_metrics(registry))
    await primary.start()
    rate = await _commit_all(primary, list(commands(0, SINGLES, rows=1)), IN_FLIGHT)
    syncs = registry.get_sample_value("biaojie_commit_groups_total") or 1.0
    await primary.close()
    return rate, SINGLES / syncs


async def _batches(folder: Path) -> float:
    primary = Primary.open(folder, SystemClock(), build_metrics(CollectorRegistry()))
    await primary.start()
    rate = await _commit_all(primary, list(commands(0, BATCHES * BATCH_ROWS, BATCH_ROWS)), BATCHES_IN_FLIGHT)
    await primary.close()
    return rate * BATCH_ROWS


async def _commit_all(primary: Primary, commands: Sequence[Command], in_flight: int) -> float:
    """Commit everything with so many waiting at any time; commands a second."""
    waiting = iter(commands)

    async def sender() -> None:
        for command in waiting:
            await primary.committer.commit(command)

    started = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(in_flight)))
    return len(commands) / (time.perf_counter() - started)
