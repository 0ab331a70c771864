"""A peer's process: started, waited for until it accepts, stopped."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load_tests import cores

START_LIMIT_S: Final = 20.0
STOP_LIMIT_S: Final = 10.0
HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs."""

    port: int
    pid: int


class MissingPeerError(Exception):
    """The program of a peer is not installed."""


@contextmanager
def serving(command: list[str], port: int, folder: Path) -> Iterator[Peer]:
    """Run a server on the core of servers until the end of the block; gives it once it accepts.

    Raises `MissingPeerError`, and `RuntimeError` with what it printed if it does not come up.
    """
    if shutil.which(command[0]) is None:
        raise MissingPeerError(command[0])
    log = folder / f"{Path(command[0]).name}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(cores.pinned(command, cores.SERVER), stdout=output, stderr=output)
    try:
        _wait_until_accepting(process, port, log)
        yield Peer(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_accepting(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"a peer did not come up:\n{log.read_text(errors='replace')[-2_000:]}")
