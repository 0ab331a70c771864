"""Where a demonstration plays: a folder, the nodes and programs that were started in it, and what the audience is told."""

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from node.child import SOURCE_ROOT
from node.client.rest import RestClient
from node.config import PORT_KEYS
from node.folder import TOKEN_FILE, read_ports

# Far beyond what a slow machine needs for any single step.
STEP_LIMIT_S: Final = 120.0
# A program that was told to end, and does not, is killed after this.
END_LIMIT_S: Final = 30.0
POLL_S: Final = 0.1
# Of what a program says, so much is shown if it ends unasked.
_LOG_TAIL_BYTES: Final = 4_000
_WIDTH: Final = 100
_COMMAND: Final = (sys.executable, "-m", "node.cli")


class DemoFailed(Exception):
    """Something is not as the demonstration says; the message is for people."""


class Running:
    """A program that was started, with its log in the stage's folder."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as output:
            # In the group of the demonstration: Ctrl-C reaches all of it.
            self.process = subprocess.Popen(  # noqa: S603  # commands of the demonstrations alone
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=environ
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to end, and wait until it has."""
        self.process.send_signal(number)
        try:
            self.process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def last_words(self) -> str:
        return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")


class Node(Running):
    """A node; commands find it by its `name`, the data folder."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.data = folder / name
        super().__init__(name, command, folder, environ)

    def port(self, key: str) -> int:
        """The port of a listener, by its configuration key."""
        return int((read_ports(self.data) or {})[key])

    @property
    def handle(self) -> str:
        """Its Handle listener, as `ADDRESS:PORT`."""
        return f"127.0.0.1:{self.port('resolver.handle_port')}"

    @property
    def url(self) -> str:
        """Its HTTP listener."""
        return f"http://127.0.0.1:{self.port('resolver.http_port')}"

    def is_ready(self) -> bool:
        try:
            self._fetch("/readyz")
        except (OSError, KeyError):
            return False  # it has not opened its ports yet, or says that it is not
        return True

    def metric(self, sample: str) -> float | None:
        """A sample of its metrics, named with its labels; None while there is none."""
        lines = self._fetch("/metrics").decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} ")), None)

    def call(self, method: str, path: str, document: Any = None, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Ask its registry's REST as the operator. Raises `RefusedByServer`, `Unreachable`."""
        token = (self.data / TOKEN_FILE).read_text().strip()
        with RestClient(f"http://127.0.0.1:{self.port('registry.http_port')}", token) as client:
            return client.call(method, path, document, query)

    def _fetch(self, path: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://127.0.0.1:{self.port('node.metrics_port')}{path}"
        with opener.open(url, timeout=STEP_LIMIT_S) as answer:
            body: bytes = answer.read()
        return body


_R = TypeVar("_R", bound=Running)


class Stage:
    """A context manager: everything that was started ends with it."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environ = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": SOURCE_ROOT, **(environ or {})}
        self._running: list[Running] = []
        self._shown: list[str] = []
        self._at_end: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for running in reversed(self._running):
            running.end()
        for callback in self._at_end:
            callback()

    def at_end(self, callback: Callable[[], object]) -> None:
        """Call this when everything that was started has ended."""
        self._at_end.append(callback)

    # Telling

    def chapter(self, title: str) -> None:
        print(f"\n== {title}", flush=True)

    def say(self, text: str) -> None:
        print(textwrap.fill(" ".join(text.split()), _WIDTH), flush=True)

    def check(self, holds: bool, sentence: str) -> None:
        """Show a sentence that is true. Raises `DemoFailed` if it is not."""
        if not holds:
            raise DemoFailed(f"not so: {sentence}")
        self._shown.append(sentence)
        print(textwrap.fill(f"-> {sentence}", _WIDTH, subsequent_indent="   "), flush=True)

    def until(self, holds: Callable[[], bool], sentence: str, limit_s: float = STEP_LIMIT_S) -> None:
        """Wait until a sentence is true, and show it. Raises `DemoFailed` if that takes too long."""
        self.wait(holds, f"not so: {sentence}", limit_s)
        self.check(True, sentence)

    def wait(self, holds: Callable[[], bool], otherwise: str, limit_s: float = STEP_LIMIT_S) -> None:
        """Wait for something. Raises `DemoFailed` with what is to be said if it takes too long."""
        deadline = time.monotonic() + limit_s
        while not holds():
            self._check_alive()
            if time.monotonic() > deadline:
                raise DemoFailed(f"{otherwise} (within {limit_s:g} s)")
            time.sleep(POLL_S)

    def conclude(self) -> None:
        """Say once more all that was shown."""
        self.chapter("What this showed")
        for sentence in self._shown:
            print(textwrap.fill(f"* {sentence}", _WIDTH, subsequent_indent="  "), flush=True)

    # Doing

    def start(self, name: str, *settings: str, workers: int = 1, sample: bool = False) -> Node:
        """Start a node in the folder `name`, on free ports; it is not ready yet."""
        words = [word for each in (*(f"{key}=0" for key in PORT_KEYS), *settings) for word in ("--set", each)]
        words += ["--sample"] if sample else []
        (self.folder / name / "ports.json").unlink(missing_ok=True)  # an earlier life's
        command = [*_COMMAND, "serve", "--data", name, "--workers", str(workers), *words]
        return self._keep(Node(name, command, self.folder, self.environ))

    def start_program(self, name: str, *command: str) -> Running:
        """Start any other program."""
        return self._keep(Running(name, command, self.folder, self.environ))

    def start_stand_in(self, name: str, *words: str) -> Running:
        """Start a stand-in by a command of ours."""
        return self.start_program(name, *_COMMAND, *words)

    def until_ready(self, *nodes: Node) -> None:
        """Wait for nodes to be ready."""
        for node in nodes:
            self.wait(node.is_ready, f"{node.name} does not get ready")

    def end(self, running: Running, number: signal.Signals = signal.SIGTERM) -> None:
        """End something that was started."""
        self._running.remove(running)
        running.end(number)

    def do(self, *words: str) -> None:
        """Show a command of the command line and run it, as people would type it in the stage's folder; it must succeed."""
        self._show(words)
        status, said = self.command(*words)
        if status:
            raise DemoFailed(said)

    def show(self, *words: str) -> int:
        """Show a command with what it prints; returns its exit status."""
        self._show(words)
        status, said = self.command(*words)
        print(textwrap.indent(said.rstrip(), "  ") + "\n", flush=True)
        return status

    def resolve(self, identifier: str, node: Node, *words: str) -> dict[str, Any]:
        """What `biaojie resolve` gets from a node, as its JSON."""
        _, said = self.command("resolve", identifier, "--data", node.name, "--json", *words)
        try:
            document: dict[str, Any] = json.loads(said)
        except ValueError:
            raise DemoFailed(said) from None
        return document

    def command(self, *words: str) -> tuple[int, str]:
        """Run a command of the command line without showing it: its exit status, and what it printed."""
        done = subprocess.run(  # noqa: S603  # words of the demonstrations alone
            [*_COMMAND, *words], cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=STEP_LIMIT_S,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def _show(self, words: Sequence[str]) -> None:
        print(f"\n$ biaojie {shlex.join(words)}", flush=True)

    def _keep(self, running: _R) -> _R:
        self._running.append(running)
        return running

    def _check_alive(self) -> None:
        for running in self._running:
            if running.process.poll() is not None:
                raise DemoFailed(f"{running.name} ended by itself: {running.last_words}")
