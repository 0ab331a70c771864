"""A stand-in system of the city as a process of its own."""

import urllib.error
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.stand_in import StandIn


class System(StandIn):
    """`biaojie feed stand-in` on a port that it keeps over all its lives."""

    def __init__(self, folder: Path, secret: str = "", name: str = "webhook", *more: str) -> None:
        super().__init__()
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
        words = ("feed", "stand-in", self._name, "--port", str(self.port), "--secret", self._secret, *self._more)
        self._begin(*words, "--journal", str(self._folder / "journal"))
        self.port = self.control_port = self._said_port()

    def knows(self, subject: str, version: int) -> bool:
        return bool(self.state()["subjects"].get(subject, [0])[0] == version)

    def dislike(self, refused: Sequence[str] = (), broken: Sequence[str] = ()) -> None:
        """Subjects that it refuses or breaks at from now on."""
        self._tell("/dislikes", {"refused": list(refused), "broken": list(broken)})

    def forget(self, *subjects: str) -> None:
        """Lose these."""
        self._tell("/forget", list(subjects))

    def ask(self, path: str) -> Any:
        """What it answers as the system that it stands for; None if it does not know."""
        try:
            return self._tell(path)
        except urllib.error.HTTPError as error:
            with error:
                return None
