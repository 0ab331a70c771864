"""One reader beside one committer: how soon it starts, what it weighs, what a look-up costs, and how long one ever waits.

    python -m load_tests view

A process fills a folder with a million identifiers and with 100,000 changes after the newest checkpoint; another reads it as
a worker does, first alone, then while a third imports more. The reader's waits are its own: how late its event loop came to
a timer that is due every two milliseconds; on a machine with other work most of that is waiting for a processor, so what the
loop itself spent is beside it.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import uvloop
from prometheus_client import CollectorRegistry

from load_tests.cores import private_bytes
from load_tests.figure import Figure
from load_tests.records import commands, name_of
from node.clock import SystemClock
from node.metrics import build_metrics
from proto.keys import record_key
from proto.places import CHECKPOINTS
from proto.ports import Command
from registry.commit import checkpoints
from registry.commit.primary import Primary
from resolver.view.checkpoint import list_checkpoints, open_checkpoint
from resolver.view.view import View

IDENTIFIERS: Final = 1_000_000
OVERLAY_CHANGES: Final = 100_000
IMPORTED: Final = 300_000
SINGLES_IN_FLIGHT: Final = 64
BATCHES_IN_FLIGHT: Final = 4
LOOK_UPS: Final = 200_000
# Between two waits of the loop; a look-up that is measured must not itself be what others wait for.
LOOK_UPS_AT_ONCE: Final = 50
TIMER_S: Final = 0.002
SWITCH_INTERVAL_S: Final = 0.0005
MEBIBYTE: Final = 1024 * 1024


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="biaojie-") as folder:
        subprocess.run(_command("fill", folder), check=True)
        started_s = time.perf_counter()
        reader = subprocess.Popen(_command("read", folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            alone = _answer(reader)
            ready_s = time.perf_counter() - started_s - alone["measured_s"]
            written = json.loads(subprocess.check_output(_command("import", folder)))
            reader.stdin.close() if reader.stdin else None
            beside = _answer(reader)
        finally:
            reader.kill()
            reader.wait()
    return [
        Figure("start of a reader, a million identifiers, 100,000 changes after the checkpoint", ready_s, "s", 3,
               at_least=False),
        Figure("of that, opening and applying", alone["open_s"], "s"),
        Figure("private memory of a reader then", alone["anonymous_bytes"] / MEBIBYTE, "MiB", 200, at_least=False),
        Figure("a look-up by the view, random identifiers", alone["look_up_s"] * 1e6, "µs", 7, at_least=False,
               ratio=alone["look_up_s"] / alone["get_s"], ratio_of="a get from the checkpoint alone"),
        Figure("rows imported beside it", written["rows_per_s"], "rows/s"),
        Figure("checkpoints moved to meanwhile", beside["switches"], "switches", 2),
        Figure("worst wait of its loop meanwhile", beside["worst_wait_s"] * 1000, "ms", 30, at_least=False),
        Figure("99.9 % of those waits below", beside["p999_wait_s"] * 1000, "ms"),
        Figure("of a wait, most that the loop was busy by itself (processor time)", beside["busiest_s"] * 1000, "ms", 30,
               at_least=False),
        Figure("private memory of the reader then (median)", beside["anonymous_bytes"] / MEBIBYTE, "MiB", 200, at_least=False),
    ]  # fmt: skip


def _command(role: str, folder: str) -> list[str]:
    return [sys.executable, "-m", "load_tests.view", role, folder]


def _answer(reader: "subprocess.Popen[str]") -> dict[str, Any]:
    line = reader.stdout.readline() if reader.stdout else ""
    if not line:
        raise RuntimeError("the reader ended")
    document: dict[str, Any] = json.loads(line)
    return document


async def _commit_all(primary: Primary, commands: Iterator[Command], in_flight: int) -> None:
    async def commit() -> None:
        for command in commands:
            await primary.committer.commit(command)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(commit())


async def _fill(data: Path) -> None:
    """Leave the folder as a killed node would: with a million identifiers, the last of them only in the segments."""
    primary = Primary.open(data, SystemClock(), build_metrics(CollectorRegistry()))
    await primary.start()
    settled = IDENTIFIERS - OVERLAY_CHANGES
    await _commit_all(primary, commands(0, settled), BATCHES_IN_FLIGHT)
    await primary.close()
    checkpoints.OVERLAY_ENTRIES = IDENTIFIERS  # type: ignore[misc]  # no checkpoint from here on
    checkpoints.OVERLAY_BYTES = IDENTIFIERS * 4096  # type: ignore[misc]  # nor for their size
    primary = Primary.open(data, SystemClock(), build_metrics(CollectorRegistry()))
    await primary.start()
    await _commit_all(primary, commands(settled, OVERLAY_CHANGES, rows=1), SINGLES_IN_FLIGHT)
    os._exit(0)


async def _import(data: Path) -> None:
    """Import more; prints how fast."""
    primary = Primary.open(data, SystemClock(), build_metrics(CollectorRegistry()))
    await primary.start()
    started_s = time.perf_counter()
    await _commit_all(primary, commands(IDENTIFIERS, IMPORTED), BATCHES_IN_FLIGHT)
    rate = IMPORTED / (time.perf_counter() - started_s)
    await asyncio.sleep(1.0)  # the last checkpoint, and the move to it
    print(json.dumps({"rows_per_s": rate}))
    os._exit(0)


async def _read(data: Path) -> None:
    """Open a view and measure; print once alone, and once when the standard input ends."""
    metrics = build_metrics(CollectorRegistry())
    started_s = time.perf_counter()
    view = View(data, SystemClock(), metrics)
    await view.open()
    ready_s = time.perf_counter()
    anonymous_bytes = private_bytes(os.getpid())
    look_up_s, get_s = _look_up_s(view, LOOK_UPS), _get_s(data, LOOK_UPS)
    _print(
        open_s=ready_s - started_s, anonymous_bytes=anonymous_bytes, look_up_s=look_up_s, get_s=get_s,
        measured_s=time.perf_counter() - ready_s,
    )  # fmt: skip
    waits: list[tuple[float, float]] = []
    weights: list[int] = []
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    async with asyncio.TaskGroup() as group:
        group.create_task(_wait_often(waits, stop))
        group.create_task(_look_up_often(view, weights, stop))
    waits.sort()
    _print(
        worst_wait_s=waits[-1][0], p999_wait_s=waits[len(waits) * 999 // 1000][0], busiest_s=max(busy for _, busy in waits),
        anonymous_bytes=sorted(weights)[len(weights) // 2],
        switches=int(metrics.view_switches._value.get()),  # type: ignore[attr-defined]  # prometheus-client's counter
    )  # fmt: skip
    await view.close()


async def _wait_often(waits: list[tuple[float, float]], stop: asyncio.Event) -> None:
    """Collect (how late the timer came, processor time since it was set)."""
    while not stop.is_set():
        due_s, busy_s = time.monotonic() + TIMER_S, time.thread_time()
        await asyncio.sleep(TIMER_S)
        waits.append((time.monotonic() - due_s, time.thread_time() - busy_s))


async def _look_up_often(view: View, weights: list[int], stop: asyncio.Event) -> None:
    while not stop.is_set():
        for _ in range(100):
            _look_up_s(view, LOOK_UPS_AT_ONCE)
            await asyncio.sleep(TIMER_S)
        weights.append(private_bytes(os.getpid()))


def _look_up_s(view: View, count: int) -> float:
    """Seconds for one look-up of a random identifier that is registered."""
    names = [name_of(number) for number in random.choices(range(IDENTIFIERS), k=count)]
    record = view.record
    for name in names if count == LOOK_UPS else ():
        record(name)  # the pages come into this process's memory once
    started_s = time.perf_counter()
    missing = sum(record(name) is None for name in names)
    spent_s = time.perf_counter() - started_s
    if missing:
        raise RuntimeError(f"{missing} of {count} identifiers were not found at {view.position}")
    return spent_s / count


def _get_s(data: Path, count: int) -> float:
    """Seconds for one get of a random key of the newest checkpoint, without a view."""
    folder = data / CHECKPOINTS
    checkpoint = open_checkpoint(folder, list_checkpoints(folder)[0])
    settled = range(IDENTIFIERS - OVERLAY_CHANGES)
    keys = [record_key(name_of(number)) for number in random.choices(settled, k=count)]
    spent_s = 0.0
    for _ in range(2):  # the second time the pages are there
        started_s = time.perf_counter()
        missing = sum(checkpoint.get_record(key) is None for key in keys)
        spent_s = time.perf_counter() - started_s
        if missing:
            raise RuntimeError(f"{missing} of {count} keys were not found")
    checkpoint.close()
    return spent_s / count


def _print(**figures: float) -> None:
    print(json.dumps(figures), flush=True)


def main(arguments: Sequence[str]) -> None:
    """One of the processes of `run`: `fill`, `read` or `import`, and the data folder."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    role, data = arguments[0], Path(arguments[1])
    uvloop.run({"fill": _fill, "read": _read, "import": _import}[role](data))


if __name__ == "__main__":
    main(sys.argv[1:])
