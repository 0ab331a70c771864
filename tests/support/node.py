"""A node as a process tree of its own, as an operator would start it, with the waiting and killing that tests do."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from node.started import COMMAND, Reply, StartedNode, Surroundings, serving

# Far beyond what a loaded machine needs for anything that these tests wait for.
DEADLINE_S: Final = 60.0
_POLL_S: Final = 0.02
# Compiled modules are kept, whatever the environment says: every process of every test starts faster.
_KEEP_COMPILED: Final = {"PYTHONDONTWRITEBYTECODE": ""}


class ProcessTree(StartedNode):
    """A supervisor and its children, started by `command` in a process group of their own; the log goes to `log`."""

    def __init__(self, command: Sequence[str], data: Path, log: Path, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(command, data, log, Surroundings(_KEEP_COMPILED | dict(environ or {})))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels. Raises `LookupError` if there is none."""
        found = self.samples(name, **labels)
        if not found:
            raise LookupError(f"no {name} with {labels}")
        return sum(sample.value for sample in found)

    def child(self, name: str) -> dict[str, Any]:
        """What `/status` says of one process (`registry`, `worker-1`)."""
        return next(process for process in self.status()["processes"] if process["name"] == name)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a child, as soon as there is one (it may be between two lives); returns the process id it had."""
        self.until(lambda: self.child(name)["pid"] is not None)
        pid: int = self.child(name)["pid"]
        os.kill(pid, number)
        return pid

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what must come to pass; fails with the end of the log if it does not."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                if holds():
                    return
            except (OSError, ValueError):
                pass  # not there yet, or half gone
            time.sleep(_POLL_S)
        raise AssertionError(f"it did not come to pass; the log ends:\n{self.last_words}")

    def until_whole(self) -> None:
        """Wait for every child; `/readyz` asks for the registry and one worker."""
        self.until(lambda: all(process["state"] == "ready" for process in self.status()["processes"]))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop; returns its exit status. Fails if it had to be killed."""
        status = super().end(number)
        assert status != -signal.SIGKILL, f"it did not end; the log ends:\n{self.last_words}"
        return status

    def destroy(self) -> None:
        """Kill the supervisor and wait until the last of its children is gone."""
        self.process.kill()
        self.process.wait()
        group = self.process.pid
        self.until(lambda: not group_lives(group))


class RunningNode(ProcessTree):
    """`biaojie serve` with every port picked by itself; `settings` are `section.key=value`."""

    def __init__(
        self, data: Path, *settings: str, sample: bool = False, workers: int = 2, environ: Mapping[str, str] | None = None
    ) -> None:
        data.parent.mkdir(parents=True, exist_ok=True)
        command = serving(data, *settings, workers=workers, sample=sample)
        super().__init__(command, data, data.with_name(f"{data.name}.log"), environ)

    def run(
        self, *words: str, environ: Mapping[str, str] | None = None, limit_s: float = DEADLINE_S
    ) -> subprocess.CompletedProcess[str]:
        """A command of the command line that finds this node by its data folder."""
        return run_biaojie(*words, "--data", str(self.data), environ=environ, limit_s=limit_s)

    def resolve(self, identifier: str, query: str = "") -> Reply:
        """A resolution through the Handle JSON API."""
        return self.fetch(f"/api/handles/{identifier}{query}", "resolver.http_port")

    def call(self, method: str, path: str, document: Any = None, **headers: str) -> Reply:
        """A request to the registry's REST as the operator."""
        every = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        every |= {name.replace("_", "-"): value for name, value in headers.items()}
        body = None if document is None else json.dumps(document, ensure_ascii=False).encode()
        return self.fetch(path, "registry.http_port", method=method, headers=every, body=body)


def biaojie() -> list[str]:
    """The command, as installed beside this interpreter."""
    return list(COMMAND)


def run_biaojie(
    *words: str, environ: Mapping[str, str] | None = None, limit_s: float = DEADLINE_S
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*biaojie(), *words],
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
        env=os.environ | dict(environ or {}),
    )


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def group_lives(group: int) -> bool:
    """Whether a process group still has a running process."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                return True
    return False
