"""nghttpd, an HTTP/2 server in C++, serving a small file: what framing alone costs where nothing is looked up."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from load_tests import cores
from load_tests.generator.loop import WrongAnswerError
from load_tests.peers.process import HOST, Peer, serving
from node.started import free_port

CONNECTIONS: Final = 32
_RATE: Final = re.compile(r", ([\d.]+) req/s")
_SUCCEEDED: Final = re.compile(r"(\d+) succeeded, (\d+) failed")


@contextmanager
def constant(size: int, folder: Path) -> Iterator[Peer]:
    """Serve a file of `size` bytes."""
    port = free_port()
    (folder / "message").write_bytes(b"x" * size)
    with serving(["nghttpd", "--no-tls", "-a", HOST, "-d", str(folder), str(port)], port, folder) as peer:
        yield peer


def gets(peer: Peer, count: int) -> tuple[float, float]:
    """GETs of the file by h2load, one at a time on each of 32 connections: how many, in how many seconds."""
    command = ["h2load", "-n", str(count), "-c", str(CONNECTIONS), "-m", "1", f"http://{HOST}:{peer.port}/message"]
    printed = subprocess.run(cores.pinned(command, cores.GENERATOR), capture_output=True, text=True, check=True).stdout
    rate, succeeded = _RATE.search(printed), _SUCCEEDED.search(printed)
    if rate is None or succeeded is None or int(succeeded.group(1)) != count:
        raise WrongAnswerError(printed)
    return count, count / float(rate.group(1))
