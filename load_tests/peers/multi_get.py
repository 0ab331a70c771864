"""rocksdict alone: multi-gets of random records from a node's newest checkpoint, opened as a worker opens it.

python -m load_tests.peers.multi_get DATA_FOLDER RECORDS SEED SECONDS
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from load_tests import cores
from load_tests.alternation import Speed
from load_tests.records import name_of
from load_tests.workloads import uniform
from proto.keys import record_key
from proto.places import CHECKPOINTS
from resolver.view.checkpoint import list_checkpoints, open_checkpoint

KEYS: Final = 100
# A worker has been asked for a while when it is measured; this process has just begun.
WARM_BATCHES: Final = 1_000


def speed(data: Path, records: int, seed: int, seconds: float) -> Speed:
    """Keys, 100 in a multi-get, in a process of its own on the core of servers."""
    command = [sys.executable, "-m", "load_tests.peers.multi_get", str(data), str(records), str(seed), str(seconds)]
    printed = subprocess.run(cores.pinned(command, cores.SERVER), capture_output=True, text=True, check=True).stdout
    per_s, per_processor_s = map(float, printed.split())
    return Speed(per_s, per_processor_s)


def _measure(data: Path, records: int, seed: int, seconds: float) -> Speed:
    folder = data / CHECKPOINTS
    checkpoint = open_checkpoint(folder, list_checkpoints(folder)[0])
    numbers = uniform(records, seed)
    for _ in range(WARM_BATCHES):
        checkpoint.get_many(_keys(numbers))
    spent_s, processor_s, count = 0.0, 0.0, 0
    while spent_s < seconds:
        keys = _keys(numbers)
        started_s, processor_before_s = time.perf_counter(), time.process_time()
        values = checkpoint.get_many(keys)
        spent_s += time.perf_counter() - started_s
        processor_s += time.process_time() - processor_before_s
        if None in values:
            raise RuntimeError("a record was not found")
        count += KEYS
    checkpoint.close()
    return Speed(count / spent_s, count / processor_s)


def _keys(numbers: Iterator[int]) -> list[bytes]:
    return [record_key(name_of(number)) for number in islice(numbers, KEYS)]


if __name__ == "__main__":
    measured = _measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    print(measured.per_s, measured.per_processor_s)
