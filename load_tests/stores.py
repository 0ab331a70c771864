"""A data folder with as many records as a measurement wants, made the way a node makes it: by the committer.

python -m load_tests.stores FOLDER COUNT ROWS_OF_A_COMMAND
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

from load_tests.records import ROWS_OF_A_COMMAND, commands
from load_tests.running import running_node
from node.clock import SystemClock
from node.metrics import build_metrics
from registry.commit.primary import Primary

# Enough for the writer to have the next group at hand: four large batches, dozens of single commands.
ROWS_IN_FLIGHT: Final = 4_000
MAX_IN_FLIGHT: Final = 64
# What the registry's process sets as well: see registry.commit.primary.
SWITCH_INTERVAL_S: Final = 0.0005


@contextmanager
def filled_folder(count: int, rows: int = ROWS_OF_A_COMMAND) -> Iterator[Path]:
    """A node's data folder with the sample and the records 0 to `count`, so many in each change; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="biaojie-store-") as folder:
        data = Path(folder) / "data"
        with running_node(data=data):
            pass  # the sample's prefixes are what the records are homed under
        subprocess.run([sys.executable, "-m", "load_tests.stores", str(data), str(count), str(rows)], check=True)
        yield data


async def _fill(data: Path, count: int, rows: int) -> None:
    primary = Primary.open(data, SystemClock(), build_metrics(CollectorRegistry()))
    await primary.start()
    waiting = commands(0, count, rows)

    async def commit() -> None:
        for command in waiting:
            await primary.committer.commit(command)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(ROWS_IN_FLIGHT // rows, MAX_IN_FLIGHT)):
            group.create_task(commit())
    await primary.close()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    uvloop.run(_fill(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
