"""A node as a process tree of its own, started and spoken to from outside, as an operator would."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from node.config import PORT_KEYS

# Far beyond what a loaded machine needs for anything that these tests wait for.
DEADLINE_S: Final = 60.0
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class ProcessTree:
    """A supervisor and its children, started by `command` in a session of their own; the log goes to `log`."""

    def __init__(self, command: Sequence[str], data: Path, log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.log = log
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                # Compiled modules are kept, whatever the environment says: every process of every test starts faster.
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": ""} | dict(environ or {}),
                start_new_session=True,
            )

    @property
    def ports(self) -> dict[str, Any]:
        """What `ports.json` says."""
        document: dict[str, Any] = json.loads((self.data / "ports.json").read_text())
        return document

    def fetch(
        self,
        path: str,
        key: str = "node.metrics_port",
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """An HTTP request to the listener under a configuration key."""
        url = f"http://127.0.0.1:{self.ports[key]}{path}"
        request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                return Reply(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, dict(error.headers), error.read())

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = self.fetch("/status").json()
        return document

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels. Raises `LookupError` if there is none."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.fetch("/metrics").text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        if not found:
            raise LookupError(f"no {name} with {labels}")
        return sum(found)

    def child(self, name: str) -> dict[str, Any]:
        """What `/status` says of one process (`registry`, `worker-1`)."""
        return next(process for process in self.status()["processes"] if process["name"] == name)

    def pids(self) -> list[int]:
        """The children that run."""
        return [process["pid"] for process in self.status()["processes"] if process["pid"]]

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
        raise AssertionError(f"it did not come to pass; the log ends:\n{self.log_text()[-6_000:]}")

    def until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.log_text()[-6_000:]}"
            return self.fetch("/readyz").status == 200

        self.until(is_ready)

    def until_whole(self) -> None:
        """Wait for every child; `/readyz` asks for the registry and one worker."""
        self.until(lambda: all(process["state"] == "ready" for process in self.status()["processes"]))

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def end(self) -> int:
        """Tell it to stop; returns its exit status."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)

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
        ports = [f"{key}=0" for key in PORT_KEYS]
        words = [word for setting in (*ports, *settings) for word in ("--set", setting)]
        flags = ["--sample"] if sample else []
        data.parent.mkdir(parents=True, exist_ok=True)
        command = [*biaojie(), "serve", "--data", str(data), "--workers", str(workers), *flags, *words]
        super().__init__(command, data, data.with_name(f"{data.name}.log"), environ)

    @property
    def token(self) -> str:
        """The operator's API key."""
        return (self.data / "operator-token").read_text().strip()

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
    return [sys.executable, "-m", "node.cli"]


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
