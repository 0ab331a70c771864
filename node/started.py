"""A node, or any other program, as a process that somebody started: asked over its own ports, and ended in the end.

For demonstrations, measurements and tests. It stands outside: what it sees, any operator sees. What keeps the processes of a
node is its supervisor (`supervisor.py`).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from node.child import SOURCE_ROOT
from node.config import PORT_KEYS
from node.folder import TOKEN_FILE, read_ports

COMMAND: Final = (sys.executable, "-m", "node.cli")
"""`biaojie`, whatever the path holds."""

# Far beyond what a loaded machine needs to start a node with its sample, or to drain one.
START_LIMIT_S: Final = 60.0
END_LIMIT_S: Final = 60.0
# A request that takes longer than this is not answered any more.
_ANSWER_LIMIT_S: Final = 30.0
_LOOPBACK: Final = "127.0.0.1"
_POLL_S: Final = 0.02
# Of what a program has printed, so much is shown where it did not do what it should.
_LAST_WORDS_BYTES: Final = 6_000


class NotReady(Exception):
    """A node ended, or took too long, before it was ready; the message has its last words."""


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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a program is started in: variables beside those of this process, a working folder, and a process group as
    `subprocess` takes it: None is this process's (Ctrl-C reaches it, too), 0 one of its own."""

    environ: Mapping[str, str] | None = None
    folder: Path | None = None
    group: int | None = 0


class Started:
    """A program that was started; what it prints is added to `log`."""

    def __init__(self, command: Sequence[str], log: Path, within: Surroundings) -> None:
        self.log = log
        self._leads_group = within.group == 0
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603  # commands of demonstrations, measurements and tests alone
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=within.folder,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": SOURCE_ROOT} | dict(within.environ or {}),
                process_group=within.group,
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait until it has ended; returns its exit status. What does not end is killed, with its group if
        that is its own."""
        self.process.send_signal(number)
        try:
            return self.process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            if self._leads_group:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            return self.process.wait()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def last_words(self) -> str:
        return self.log_text()[-_LAST_WORDS_BYTES:]


class StartedNode(Started):
    """A supervisor and its children, over the data folder `data`."""

    def __init__(self, command: Sequence[str], data: Path, log: Path, within: Surroundings) -> None:
        self.data = data
        super().__init__(command, log, within)

    @property
    def ports(self) -> dict[str, Any]:
        """The ports by their configuration keys. Raises `OSError` while it has not opened them."""
        ports = read_ports(self.data)
        if ports is None:
            raise FileNotFoundError(f"{self.data} tells no ports")
        return ports

    @property
    def token(self) -> str:
        """The operator's API key."""
        return (self.data / TOKEN_FILE).read_text().strip()

    def url(self, key: str) -> str:
        """Of the HTTP listener under a configuration key."""
        return f"http://{_LOOPBACK}:{self.ports[key]}"

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
        url = f"{self.url(key)}{path}"
        request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)  # noqa: S310  # ours
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_ANSWER_LIMIT_S) as response:
                return Reply(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, dict(error.headers), error.read())

    def status(self) -> dict[str, Any]:
        """What `/status` says."""
        document: dict[str, Any] = self.fetch("/status").json()
        return document

    def pids(self, name: str = "") -> list[int]:
        """The ids of the children that run and whose names begin so (`registry`, `worker`)."""
        found = self.status()["processes"]
        return [process["pid"] for process in found if process["pid"] and process["name"].startswith(name)]

    def samples(self, name: str, **labels: str) -> list[Sample]:
        """The samples of a metric that have these labels, and maybe others."""
        families = text_string_to_metric_families(self.fetch("/metrics").text)
        every = (sample for family in families for sample in family.samples)
        return [sample for sample in every if sample.name == name and labels.items() <= sample.labels.items()]

    def is_ready(self) -> bool:
        try:
            return self.fetch("/readyz").status == 200
        except (OSError, ValueError):
            return False  # it has not opened its ports yet, or is half gone

    def until_ready(self) -> None:
        """Wait for it. Raises `NotReady`."""
        deadline = time.monotonic() + START_LIMIT_S
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NotReady(f"the node did not get ready:\n{self.last_words}")
            time.sleep(_POLL_S)


def free_port() -> int:
    """A port of loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def serving(data: Path, *settings: str, workers: int, sample: bool = False) -> list[str]:
    """The command that serves a node with every port picked by itself; `settings` are `section.key=value`."""
    words = [word for each in (*(f"{key}=0" for key in PORT_KEYS), *settings) for word in ("--set", each)]
    flags = ["--sample"] if sample else []
    return [*COMMAND, "serve", "--data", str(data), "--workers", str(workers), *flags, *words]
