"""Where a demonstration plays: a folder, the nodes and programs that were started in it, and what the audience is told."""

import json
import os
import shlex
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from node.child import SOURCE_ROOT
from node.client.rest import RestClient
from node.folder import PORTS
from node.started import COMMAND, Started, StartedNode, Surroundings, serving

# Far beyond what a slow machine needs for any single step.
STEP_LIMIT_S: Final = 120.0
POLL_S: Final = 0.1
_WIDTH: Final = 100


class DemoFailed(Exception):
    """Something is not as the demonstration says; the message is for people."""


class Node(StartedNode):
    """A node; commands find it by its `name`, the data folder."""

    @property
    def name(self) -> str:
        return self.data.name

    @property
    def handle(self) -> str:
        """Its Handle listener, as `ADDRESS:PORT`."""
        return f"127.0.0.1:{self.ports['resolver.handle_port']}"

    def call(self, method: str, path: str, document: Any = None, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Ask its registry's REST as the operator. Raises `RefusedByServer`, `Unreachable`."""
        with RestClient(self.url("registry.http_port"), self.token) as client:
            return client.call(method, path, document, query)


_S = TypeVar("_S", bound=Started)


class Stage:
    """A context manager: everything that was started ends with it."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environ = {**os.environ, "PYTHONPATH": SOURCE_ROOT, **(environ or {})}
        # In the group of the demonstration: Ctrl-C reaches all of it.
        self._surroundings = Surroundings(self.environ, folder, group=None)
        self._running: list[Started] = []
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
        (self.folder / name / PORTS).unlink(missing_ok=True)  # an earlier life's
        command = serving(Path(name), *settings, workers=workers, sample=sample)
        return self._keep(Node(command, self.folder / name, self._log(name), self._surroundings))

    def start_program(self, name: str, *command: str) -> Started:
        """Start any other program."""
        return self._keep(Started(command, self._log(name), self._surroundings))

    def start_stand_in(self, name: str, *words: str) -> Started:
        """Start a stand-in by a command of ours."""
        return self.start_program(name, *COMMAND, *words)

    def until_ready(self, *nodes: Node) -> None:
        """Wait for nodes to be ready."""
        for node in nodes:
            self.wait(node.is_ready, f"{node.name} does not get ready")

    def end(self, running: Started, number: signal.Signals = signal.SIGTERM) -> None:
        """End something that was started."""
        self._running.remove(running)
        running.end(number)

    def do(self, *words: str) -> None:
        """Show a command of the command line and run it, as people would type it in the stage's folder; it must succeed."""
        self._show(words)
        status, said = self.command(*words)
        if status:
            raise DemoFailed(said)

    def show(self, *words: str) -> tuple[int, str]:
        """Show a command with what it prints: its exit status, and that."""
        self._show(words)
        status, said = self.command(*words)
        print(textwrap.indent(said.rstrip(), "  ") + "\n", flush=True)
        return status, said

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
            [*COMMAND, *words], cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=STEP_LIMIT_S,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def _show(self, words: Sequence[str]) -> None:
        print(f"\n$ biaojie {shlex.join(words)}", flush=True)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _keep(self, running: _S) -> _S:
        self._running.append(running)
        return running

    def _check_alive(self) -> None:
        for running in self._running:
            if running.process.poll() is not None:
                raise DemoFailed(f"{running.log.stem} ended by itself: {running.last_words}")
