"""A real committer in a process of its own that flushes, checkpoints and rolls its segments all the time. Made to be killed.

python -m tests.support.flush_happy_writer DATA SEED
"""

import asyncio
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from registry.commit import checkpoints
from registry.commit.primary import Primary
from registry.commit.segments import SegmentWriter
from resolver.view import database
from tests.support.history import Workload

IN_FLIGHT = 32
CHECKPOINT_ENTRIES = 500
SEGMENT_BYTES = 256 * 1024
MEMTABLE_BYTES = 64 * 1024


async def write(data: Path, seed: int) -> None:
    """Commit the workload from where the store ends, for ever."""
    primary = Primary.open(data, SystemClock(), build_metrics(CollectorRegistry()))
    await primary.start()
    workload = Workload(seed)
    while workload.done < primary.head.position.sequence:
        workload.next()
    print("writing", flush=True)
    free = asyncio.Semaphore(IN_FLIGHT)
    async with asyncio.TaskGroup() as group:

        async def commit() -> None:
            await primary.committer.commit(workload.next())
            free.release()

        while True:
            await free.acquire()
            group.create_task(commit())


def main() -> None:
    checkpoints.OVERLAY_ENTRIES = CHECKPOINT_ENTRIES  # type: ignore[misc]  # a constant for everybody but this
    for family in database.Family:
        database._WRITE_BUFFER_BYTES[family] = MEMTABLE_BYTES
    SegmentWriter.__init__.__defaults__ = (SEGMENT_BYTES,)
    sys.setswitchinterval(0.0005)
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
