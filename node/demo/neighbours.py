"""Programs of others that a demonstration starts: Redis and PostgreSQL, each with a folder and a port of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from node.demo.stage import DemoFailed, Stage
from node.started import Started, free_port

# Debian does not put the server's programs on the path: they are of one version each.
_POSTGRES_FOLDERS: Final = "/usr/lib/postgresql"
# The server refuses to run as root; this is the account that its package makes.
_POSTGRES_ACCOUNT: Final = "postgres"
_ROOT: Final = 0


class Redis:
    """A server that forgets everything with each of its lives."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._port = free_port()
        self._program = _find("redis-server", "redis-server")
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._running = self._start()

    def kill(self) -> None:
        """End it at once."""
        self._stage.end(self._running, signal.SIGKILL)

    def start_again(self) -> None:
        """Begin another life."""
        self._running = self._start()

    def _start(self) -> Started:
        command = (self._program, "--port", str(self._port), "--bind", "127.0.0.1", "--save", "")
        running = self._stage.start_program("redis", *command)
        self._stage.wait(lambda: _takes_connections(self._port), "redis-server does not come up")
        return running


class Postgres:
    """A server with one empty database."""

    def __init__(self, stage: Stage) -> None:
        self._bin = _postgres_programs()
        # Its account has to reach it, and must not reach the demonstration's own folder.
        self._folder = Path(tempfile.mkdtemp(prefix="biaojie-postgres-"))
        stage.at_end(lambda: shutil.rmtree(self._folder, ignore_errors=True))
        self._as_account: tuple[str, ...] = ()
        if os.geteuid() == _ROOT:
            shutil.chown(self._folder, _POSTGRES_ACCOUNT)
            self._as_account = (_find("setpriv", "util-linux"), f"--reuid={_POSTGRES_ACCOUNT}", "--regid", _POSTGRES_ACCOUNT)
            self._as_account += ("--init-groups",)
        port, data = free_port(), str(self._folder / "data")
        self._run("initdb", "-D", data, "-U", "demo", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
        options = ("-c", f"port={port}", "-c", f"unix_socket_directories={self._folder}", "-c", "listen_addresses=127.0.0.1")
        stage.start_program("postgres", *self._as_account, str(self._bin / "postgres"), "-D", data, *options)
        self._where = ("-h", "127.0.0.1", "-p", str(port), "-U", "demo", "-d", "postgres")
        stage.wait(self._is_ready, "PostgreSQL does not come up")
        self.address = f"demo@127.0.0.1:{port}/postgres"

    def execute(self, statements: str) -> None:
        """Run SQL."""
        self._run("psql", "-q", "-v", "ON_ERROR_STOP=1", *self._where, text=statements)

    def _is_ready(self) -> bool:
        return subprocess.run([self._bin / "pg_isready", "-q", *self._where], check=False).returncode == 0  # noqa: S603  # ours

    def _run(self, program: str, *words: str, text: str = "") -> None:
        done = subprocess.run(  # noqa: S603  # words of the demonstrations alone
            [*self._as_account, str(self._bin / program), *words], input=text, capture_output=True, text=True, check=False,
            cwd=self._folder,
        )  # fmt: skip
        if done.returncode:
            raise DemoFailed(f"{program}: {done.stderr}")


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _find(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise DemoFailed(f"{program} is not installed (Debian package {package})")
    return found


def _postgres_programs() -> Path:
    """The folder of the newest server's programs."""
    found = sorted(Path(_POSTGRES_FOLDERS).glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if not found:
        raise DemoFailed("PostgreSQL is not installed (Debian package postgresql)")
    return found[-1].parent
