"""A stand-in of the business management system as a process of its own."""

from collections.abc import Sequence
from pathlib import Path

from tests.support.stand_in import StandIn


class BusinessSystemProcess(StandIn):
    """`biaojie filing stand-in` on ports that it keeps over all its lives."""

    def __init__(self, folder: Path, password: str = "", *, holds: bool = False, forgets: bool = False) -> None:
        super().__init__()
        self._folder = folder
        self._words = ["--password", password, *(["--hold"] if holds else []), *(["--forget"] if forgets else [])]
        self.port = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Begin a life; returns when it serves."""
        ports = ["--port", str(self.port), "--control-port", str(self.control_port)]
        self._begin("filing", "stand-in", *ports, "--journal", str(self._folder / "journal"), *self._words)
        self.port, self.control_port = self._said_port(), self._said_port()

    def settings(self, home: str = "88.118", password: str = "our secret") -> Sequence[str]:
        """What a node is configured with to file here."""
        return (
            f"filing.server=127.0.0.1:{self.port}", "filing.line=tcp", "filing.client=node-1",
            f"filing.password={password}", f"filing.home={home}", "filing.poll_s=0.2",
        )  # fmt: skip

    def instruct(self, *, hold: bool = False, rejects: Sequence[str] = ()) -> None:
        """Tell the auditor what to do."""
        self._tell("/auditor", {"hold": hold, "rejects": list(rejects)})
