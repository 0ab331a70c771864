"""A real PostgreSQL of a test's own, in a folder and on a socket of its own, with nothing durable about it."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.machine import miss

_DEADLINE_S = 60.0
_DEBIAN = Path("/usr/lib/postgresql")
# It refuses to run as root; the package makes a user of its own.
_USERS = ("postgres", "nobody")


class PostgresServer:
    """`dsn` is for psycopg, `url` for SQLAlchemy. `stop` and `start` are the end and the beginning of a life; data stay."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _user()
        self.dsn = f"host={folder} user=tester dbname=postgres"
        self.url = f"postgresql://tester@/postgres?host={folder}"
        if self._user is not None:
            os.chown(folder, self._user, -1)
        self._run(
            "initdb", "--pgdata", str(folder / "data"), "--username", "tester", "--auth", "trust", "--no-sync", "-E", "UTF8"
        )

    def start(self) -> None:
        """Begin a life, and wait until it takes connections."""
        log = (self._folder / "postgres.log").open("ab")
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-k", str(self._folder)]
        with log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", str(self._folder / "data"), *options],
                stdout=log, stderr=log, user=self._user, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _DEADLINE_S
        while not self._answers():
            said = (self._folder / "postgres.log").read_text
            assert self._process.poll() is None, f"postgres ended:\n{said()}"
            assert time.monotonic() < deadline, f"postgres does not come up:\n{said()}"
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_DEADLINE_S)
            self._process = None

    def execute(self, statement: str, *rows: tuple[object, ...]) -> None:
        """Execute a statement, once or for each of the rows, and commit."""
        with psycopg.connect(self.dsn) as connection, connection.cursor() as cursor:
            if rows:
                cursor.executemany(statement.encode(), rows)
            else:
                cursor.execute(statement.encode())

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run([_program(name), *words], capture_output=True, text=True, user=self._user, check=False)
        assert done.returncode == 0, done.stderr


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL that ends with the block."""
    _program("initdb")
    # A socket's path has to be short: a test's own folder may not be, and other users may not enter it.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server: PostgresServer | None = None
    try:
        server = PostgresServer(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder)


def _program(name: str) -> str:
    """A program of PostgreSQL; Debian keeps those of a server beside the path."""
    beside = sorted(_DEBIAN.glob(f"*/bin/{name}"))
    found = shutil.which(name) or (str(beside[-1]) if beside else None)
    if found is None:
        miss(f"{name} is not installed (Debian package postgresql)")
    return str(found)


def _user() -> int | None:
    """Whom to run as: somebody else than root."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    miss("there is no user postgres or nobody to run PostgreSQL as")
    return None
