"""A data folder with as many records as a measurement wants, made the way a node makes it: by the committer.

python -m load_tests.stores FOLDER COUNT
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvloop
from prometheus_client import CollectorRegistry

from load_tests.records import commands
from load_tests.running import running_node
from node.clock import SystemClock
from node.metrics import build_metrics
from registry.commit.primary import Primary

BATCHES_IN_FLIGHT: Final = 4
# What the registry's process sets as well: see registry.commit.primary.
SWITCH_INTERVAL_S: Final = 0.0005


@contextmanager
def filled_folder(count: int) -> Iterator[Path]:
    """A node's data folder with the sample and the records 0 to `count`; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="biaojie-store-") as folder:
        data = Path(folder) / "data"
        with running_node(data=data):
            pass  # the sample's prefixes are what the records are homed under
        subprocess.run([sys.executable, "-m", "load_tests.stores", str(data), str(count)], check=True)
        yield data


async def _fill(data: Path, count: int) -> None:
    primary = Primary.open(data, SystemClock(), build_metrics(CollectorRegistry()))
    await primary.start()
    waiting = commands(0, count)

    async def commit() -> None:
        for command in waiting:
            await primary.committer.commit(command)

    async with asyncio.TaskGroup() as group:
        for _ in range(BATCHES_IN_FLIGHT):
            group.create_task(commit())
    await primary.close()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    uvloop.run(_fill(Path(sys.argv[1]), int(sys.argv[2])))
