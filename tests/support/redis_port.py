"""A Redis server of a test's own, on a free port of loopback, with or without anything on disk."""

import socket
import subprocess
import time
from pathlib import Path

from tests.support.machine import need_program

_STARTS = 10
DEADLINE_S = 30.0


class RedisServer:
    """A server process in `folder`; its port stays over all its lives. It forgets everything with each unless it saves."""

    def __init__(self, folder: Path) -> None:
        self._program = need_program("redis-server")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = 0
        for _ in range(_STARTS):
            self.port = free_port()
            if self._try_start():
                return
        raise AssertionError(f"redis-server does not start:\n{self._log.read_text()}")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Begin another life."""
        assert self._try_start(), self._log.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)

    @property
    def _log(self) -> Path:
        return self._folder / "redis.log"

    def _try_start(self) -> bool:
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                    line.sendall(b"PING\r\n")
                    # Another program that took the port first does not answer so, or it is not ours that does.
                    if line.recv(16) == b"+PONG\r\n" and self._process.poll() is None:
                        return True
            except OSError:
                time.sleep(0.02)
        self._process.kill()
        self._process.wait(DEADLINE_S)
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
