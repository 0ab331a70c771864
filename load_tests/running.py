"""A node to measure: started by the command line in a folder of its own, asked over its own ports."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from load_tests import cores

START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 30.0
_SAMPLE: Final = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)
_LISTENERS: Final = (
    "resolver.http_port", "resolver.handle_port", "resolver.grpc_port", "resolver.dns_port", "registry.http_port",
    "registry.grpc_port", "node.metrics_port",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """A running node: its folder, its ports by configuration key, the operator's token."""

    data: Path
    ports: dict[str, int]
    token: str
    pid: int

    def metrics(self) -> dict[str, dict[str, float]]:
        """All samples of the metrics port: name to {labels: value}."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['node.metrics_port']}/metrics") as answer:
            text = answer.read().decode()
        samples: dict[str, dict[str, float]] = {}
        for name, labels, value in _SAMPLE.findall(text):
            samples.setdefault(name, {})[labels] = float(value)
        return samples

    def status(self) -> dict[str, Any]:
        """What the node tells of its processes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['node.metrics_port']}/status") as answer:
            document: dict[str, Any] = json.loads(answer.read())
        return document

    def processes(self, name: str) -> list[int]:
        """The ids of the processes whose names begin so."""
        return [process["pid"] for process in self.status()["processes"] if process["name"].startswith(name)]

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return self.processes("worker")

    def histogram(self, name: str) -> list[tuple[float, float]]:
        """(upper bound in seconds, cumulative count) of a histogram without labels of its own."""
        buckets = self.metrics().get(f"{name}_bucket", {})
        return sorted((float(labels.split('"')[1]), count) for labels, count in buckets.items())


def since(before: list[tuple[float, float]], after: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """What a histogram gained between two readings."""
    earlier = dict(before)
    return [(bound, count - earlier.get(bound, 0.0)) for bound, count in after]


def quantile(histogram: list[tuple[float, float]], share: float) -> float:
    """The upper bound of the bucket in which the `share` quantile lies; 0 if nothing was observed."""
    total = histogram[-1][1] if histogram else 0.0
    return next((bound for bound, count in histogram if total and count >= share * total), 0.0)


@contextmanager
def running_node(
    *settings: str, data: Path | None = None, sample: bool = True, workers: int = 2, on: Sequence[int] = cores.EVERY
) -> Iterator[Node]:
    """A node on free ports and on these cores, stopped at the end; without `data` in a folder of its own, removed then.

    Raises `RuntimeError` with its log if it does not get ready.
    """
    with tempfile.TemporaryDirectory(prefix="biaojie-bench-") as folder:
        data, log = data or Path(folder) / "data", Path(folder) / "log"
        command = [sys.executable, "-m", "node.cli", "serve", "--data", str(data), "--workers", str(workers)]
        command += ["--sample"] if sample else []
        for setting in (*(f"{key}=0" for key in _LISTENERS), *settings):
            command += ["--set", setting]
        with log.open("wb") as output:
            process = subprocess.Popen(cores.pinned(command, *on), stdout=output, stderr=output, start_new_session=True)
        try:
            yield _wait_until_ready(process, data, log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", data: Path, log: Path) -> Node:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        ports_file = data / "ports.json"
        if ports_file.exists():
            ports = json.loads(ports_file.read_text())
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{ports['node.metrics_port']}/readyz"):
                    return Node(data, ports, (data / "operator-token").read_text().strip(), process.pid)
            except (urllib.error.URLError, ConnectionError):
                pass
        time.sleep(0.05)
    raise RuntimeError(f"the node did not get ready:\n{log.read_text()[-4000:]}")
