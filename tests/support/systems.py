"""A stand-in system of the city as a process of its own, with a journal: it may be killed, and comes back with what it took."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.node import DEADLINE_S, biaojie


class System:
    """`biaojie feed stand-in` on a port that it keeps over all its lives."""

    def __init__(self, folder: Path, secret: str = "", name: str = "webhook", *more: str) -> None:
        self._name = name
        self._more = more
        self._folder = folder
        self._secret = secret
        self.port = 0
        self.lives = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def start(self) -> None:
        """Begin a life; returns when it serves."""
        self.lives += 1
        command = [*biaojie(), "feed", "stand-in", self._name, "--port", str(self.port), "--secret", self._secret, *self._more]
        self._process = subprocess.Popen(
            [*command, "--journal", str(self._folder / "journal")], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.port = int(line.rpartition(":")[2].partition("/")[0])

    def kill(self) -> None:
        """End a life at once."""
        self._process.kill()
        self.destroy()

    def destroy(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def state(self) -> dict[str, Any]:
        """What it holds."""
        document: dict[str, Any] = self._ask("/state")
        return document

    def knows(self, subject: str, version: int) -> bool:
        return bool(self.state()["subjects"].get(subject, [0])[0] == version)

    def misbehave(self, *how: str) -> None:
        """How it meets its next deliveries."""
        self._ask("/misbehave", list(how))

    def dislike(self, refused: Sequence[str] = (), broken: Sequence[str] = ()) -> None:
        """Subjects that it refuses or breaks at from now on."""
        self._ask("/dislikes", {"refused": list(refused), "broken": list(broken)})

    def forget(self, *subjects: str) -> None:
        """Lose these."""
        self._ask("/forget", list(subjects))

    def ask(self, path: str) -> Any:
        """What it answers as the system that it stands for; None if it does not know."""
        try:
            return self._ask(path)
        except urllib.error.HTTPError as error:
            with error:
                return None

    def _ask(self, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                with opener.open(f"http://127.0.0.1:{self.port}{path}", data=body, timeout=10) as answer:
                    raw = answer.read()
                    return json.loads(raw) if raw else None
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
