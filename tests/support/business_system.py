"""A stand-in of the business management system as a process of its own, with a journal: it may be killed, and comes back."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.node import DEADLINE_S, biaojie


class BusinessSystemProcess:
    """`biaojie filing stand-in` on ports that it keeps over all its lives."""

    def __init__(self, folder: Path, password: str = "", *, holds: bool = False) -> None:
        self._folder = folder
        self._words = ["--password", password, *(["--hold"] if holds else [])]
        self.port = 0
        self.control_port = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Begin a life; returns when it serves."""
        ports = ["--port", str(self.port), "--control-port", str(self.control_port)]
        self._process = subprocess.Popen(
            [*biaojie(), "filing", "stand-in", *ports, "--journal", str(self._folder / "journal"), *self._words],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().rpartition(":")[2])
        self.control_port = int(self._process.stdout.readline().rpartition(":")[2].partition("/")[0])

    def kill(self) -> None:
        """End a life at once."""
        self.destroy()

    def destroy(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def settings(self, home: str = "88.118", password: str = "our secret") -> Sequence[str]:
        """What a node is configured with to file here."""
        return (
            f"filing.server=127.0.0.1:{self.port}", "filing.line=tcp", "filing.client=node-1",
            f"filing.password={password}", f"filing.home={home}", "filing.poll_s=0.2",
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """What it holds."""
        document: dict[str, Any] = self._ask("/state")
        return document

    def misbehave(self, *how: str) -> None:
        """How it meets its next greetings and commands."""
        self._ask("/misbehave", list(how))

    def instruct(self, *, hold: bool = False, rejects: Sequence[str] = ()) -> None:
        """Tell the auditor what to do."""
        self._ask("/auditor", {"hold": hold, "rejects": list(rejects)})

    def _ask(self, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                with opener.open(f"http://127.0.0.1:{self.control_port}{path}", data=body, timeout=10) as answer:
                    raw = answer.read()
                    return json.loads(raw) if raw else None
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
