"""redis-server holding values of one size under many keys, asked by redis-benchmark."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from load_tests import cores
from load_tests.peers.process import Peer, serving
from node.started import free_port

KEYS: Final = 100_000
CLIENTS: Final = 32
# Random sets leave about one key in 1,000 out.
_SETS: Final = 7 * KEYS


@contextmanager
def filled(size: int, folder: Path) -> Iterator[Peer]:
    """Hold values of `size` bytes."""
    port = free_port()
    with serving(["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"], port, folder) as peer:
        _benchmark(port, "set", _SETS, "-d", str(size), "-P", "64")
        yield peer


def gets(peer: Peer, count: int) -> tuple[float, float]:
    """GETs of random keys by 32 clients, one at a time each: how many, in how many seconds."""
    return count, count / _benchmark(peer.port, "get", count)


def _benchmark(port: int, test: str, count: int, *options: str) -> float:
    command = ["redis-benchmark", "-p", str(port), "-t", test, "-n", str(count), "-r", str(KEYS), "-c", str(CLIENTS), "--csv"]
    printed = subprocess.run(
        cores.pinned([*command, *options], cores.GENERATOR), capture_output=True, text=True, check=True
    ).stdout  # "test","rps",... and a line of figures
    return float(printed.splitlines()[-1].split(",")[1].strip('"'))
