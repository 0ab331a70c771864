"""A stand-in of somebody's system as a process of its own, with a journal: it may be killed, and comes back as it was."""

import json
import subprocess
import time
import urllib.request
from typing import Any

from tests.support.node import DEADLINE_S, biaojie


class StandIn:
    """A command of ours that serves a system until it is killed, and says in its first lines where."""

    def __init__(self) -> None:
        self.control_port = 0
        self._process: subprocess.Popen[str]

    def kill(self) -> None:
        """End a life at once."""
        self.destroy()

    def destroy(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def state(self) -> dict[str, Any]:
        """What it holds."""
        document: dict[str, Any] = self._tell("/state")
        return document

    def misbehave(self, *how: str) -> None:
        """How it meets what comes next."""
        self._tell("/misbehave", list(how))

    def _begin(self, *words: str) -> None:
        self._process = subprocess.Popen([*biaojie(), *words], stdout=subprocess.PIPE, text=True)

    def _said_port(self) -> int:
        """The port in the next line that it says."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline().rpartition(":")[2].partition("/")[0])

    def _tell(self, path: str, document: Any = None) -> Any:
        """Ask or tell it something behind the back of the node."""
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
