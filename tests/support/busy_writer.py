"""A process that writes until it is killed: `python -m tests.support.busy_writer DATA FIRST COUNT [calm [stay]]`.

Sender i writes change n = FIRST + i, then the next that nobody has taken, up to COUNT of them: three records, an alias, one
more version of the sender's own record, and an idempotency key, all or nothing. Every acknowledgement goes to standard
output in one system call: `ack N SENDER VERSION`. Unless it is to be calm, segments and checkpoints are small, so that all
kinds of work are always under way. When it is to stay it waits, with all it wrote acknowledged, instead of closing.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from proto.keys import record_key
from proto.packing import version_of
from proto.ports import Claim, Command
from registry.commit import checkpoints, segment_files
from registry.commit.primary import Primary
from tests.support.commits import PREFIX, hold_prefix
from tests.support.history import record_row

IN_FLIGHT = 64
ROWS = 3


def names(number: int) -> list[str]:
    return [f"{PREFIX}/n-{number:08d}-{row}" for row in range(ROWS)]


def alias(number: int) -> str:
    return f"{PREFIX}/alias-{number:08d}"


def key(number: int) -> str:
    return f"key-{number:08d}"


def own_record(sender: int) -> str:
    return f"{PREFIX}/sender-{sender:03d}"


def command(number: int, sender: int, version: int) -> Command:
    first, *others = names(number)
    rows = [record_row(first, 1, aliases=[alias(number)]), *(record_row(name, 1) for name in others)]
    rows.append(record_row(own_record(sender), version))
    return Command(
        f"account-{sender % 5}", f"request-{number:08d}", rows, [Claim(alias(number), first)],
        idempotency_key=key(number), body_digest=b"b" * 32, outcome=str(number).encode(),
    )  # fmt: skip


async def write(data: Path, first: int, total: int, stays: bool) -> None:
    opened = Primary.open(data, SystemClock(), build_metrics(CollectorRegistry()))
    await opened.start()
    if opened.head.position.sequence == 0:
        await opened.committer.commit(hold_prefix())
    os.write(1, b"ready\n")
    numbers = iter(range(first, first + total)) if total else count(first)
    await asyncio.gather(*(send(opened, numbers, sender) for sender in range(IN_FLIGHT)))
    if stays:
        await asyncio.Event().wait()
    await opened.close()


async def send(opened: Primary, numbers: Iterator[int], sender: int) -> None:
    [stored] = opened._store.get([record_key(own_record(sender))])
    version = version_of(stored[1]) if stored else 0
    for number in numbers:
        version += 1
        await opened.committer.commit(command(number, sender, version))
        os.write(1, f"ack {number} {sender} {version}\n".encode())


def main() -> None:
    sys.setswitchinterval(0.0005)
    data, first, total, *manner = sys.argv[1:]
    if "calm" not in manner:
        segment_files.SEGMENT_BYTES = 256 * 1024  # type: ignore[misc]  # a constant for all but this test
        checkpoints.OVERLAY_ENTRIES = 2_000  # type: ignore[misc]  # likewise
    uvloop.run(write(Path(data), int(first), int(total), "stay" in manner))


if __name__ == "__main__":
    main()
