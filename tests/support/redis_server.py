"""A real Redis of a test's own, on a socket in a folder of its own."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.machine import need_program

_DEADLINE_S = 30.0


class RedisServer:
    """It forgets everything with each of its lives, unless it was told to save. `stop`, `go_on` and `kill` do that to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "redis.sock"
        self._program = need_program("redis-server", "redis-server")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self, *options: str) -> None:
        """Begin a life."""
        command = [self._program, "--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._folder), "--save", ""]
        log = self._folder / "redis.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen([*command, *options], stdout=output, stderr=output)
        deadline = time.monotonic() + _DEADLINE_S
        while not self._answers():
            assert self._process.poll() is None, f"redis-server ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"redis-server does not come up:\n{log.read_text()}"
            time.sleep(0.01)

    def stop(self) -> None:
        """Let it hang: connections are taken, and nothing is said."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_DEADLINE_S)
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        """Whether it serves: while it reads what it saved it takes connections, and refuses."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
                probe.sendall(b"PING\r\n")
                heard = probe.recv(16)
                return bool(heard) and not heard.startswith(b"-LOADING")
            except OSError:
                return False


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
