"""A real Redis of a test's own, on a socket in a folder."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.foreign import find_program

_DEADLINE_S = 30.0


class RedisServer:
    """Keeps nothing on disk. `stop`, `go_on` and `kill` do that to its process."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._program = find_program("redis-server", "redis-server")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self, *options: str) -> None:
        words = [
            "--port",
            "0",
            "--unixsocket",
            str(self._socket),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            "/tmp",
            *options,
        ]
        self._process = subprocess.Popen([self._program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _DEADLINE_S
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not come up"
            time.sleep(0.01)

    def stop(self) -> None:
        """Let it hang: connections are taken, and nothing is said."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
            return True


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running Redis that ends with the block."""
    # A socket's path has to be short: a test's own folder may not be.
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
