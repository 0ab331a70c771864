"""A whole import, from the command to the last line of its result: a table in GB 18030 into a node with two workers.

Beside it stands what Python's own csv module takes only to read the same table: the ratio moves little with the machine.
"""

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from load_tests.figure import Figure
from load_tests.running import Node, running_node

ROWS: Final = 200_000
PREFIX: Final = "88.118.1002"
# Values of a nameplate: 4 to 5 of them, as enterprises send them.
HEADER: Final = "identifier,1:URL,2:TITLE,3:META,4:SERIAL_NUMBER,5:PRODUCTION_DATE"


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="biaojie-bench-") as folder:
        table = Path(folder) / "products.csv"
        _write(table)
        return _measure(table)


def _measure(table: Path) -> list[Figure]:
    reading = ROWS / _timed(lambda: _read_only(table))
    with running_node("registry.import_processes=0") as node:
        in_one = ROWS / _timed(lambda: _command(node, "import", str(table), "--prefix", PREFIX))
    with running_node() as node:
        created = ROWS / _timed(lambda: _command(node, "import", str(table), "--prefix", PREFIX))
        unchanged = ROWS / _timed(lambda: _command(node, "import", str(table), "--prefix", PREFIX))
        exported = ROWS / _timed(lambda: _command(node, "export", "--prefix", PREFIX, "-o", str(table.with_suffix(".ndjson"))))
        beside = "reading the table with Python's csv module"
        return [
            Figure("biaojie import end to end, rows of 5 values, GB 18030", created, "rows/s", 15_000,
                   ratio=created / reading, ratio_of=beside),
            Figure("the same, planned in the registry's own process", in_one, "rows/s", ratio=in_one / created,
                   ratio_of="in processes beside it"),
            Figure("the same table again: nothing changes", unchanged, "rows/s"),
            Figure("biaojie export of it (NDJSON)", exported, "rows/s"),
        ]  # fmt: skip


def _write(table: Path) -> None:
    lines = [
        f'{PREFIX}/B-{number},https://example.cn/products/{number},干式变压器 SCB13-2500/10 第{number}号,'
        f'"{{""sn_mva"":2.5,""vn_hv_kv"":10,""vn_lv_kv"":0.4}}",{number:08},2026-11-23\n'
        for number in range(ROWS)
    ]  # fmt: skip
    table.write_bytes((HEADER + "\n" + "".join(lines)).encode("gb18030"))


def _read_only(table: Path) -> None:
    with table.open(encoding="gb18030", newline="") as opened:
        rows = sum(1 for _ in csv.reader(opened))
    if rows != ROWS + 1:
        raise RuntimeError(f"{rows} rows were read")


def _command(node: Node, *words: str) -> None:
    """Run a command of the command line to its end; every row of an import must have been accepted."""
    command = [sys.executable, "-m", "node.cli", *words, "--data", str(node.data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")


def _timed(work: Callable[[], None]) -> float:
    """Seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
