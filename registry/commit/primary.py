"""The writing side of a node, composed: store, segments, checkpoints, wake server, committer."""

import asyncio
from pathlib import Path

from proto.metrics import Metrics
from proto.model.change import Head
from proto.ports import Clock, Committer


class Primary:
    """Everything that writes in a data folder; one per process and per folder."""

    committer: Committer
    failure: asyncio.Future[None]
    """Fails if the writer thread dies: the process must end then (the supervisor starts it again). Await or watch it."""

    @classmethod
    def open(cls, data: Path, clock: Clock, metrics: Metrics) -> "Primary":
        """Lock, open and settle the data folder (created if missing). Blocks: call it before the event loop serves.

        Raises `registry.store.port.Unusable` with a sentence for people: another process has the folder, or the
        write-ahead log lost acknowledged changes, or files are damaged. Nothing is changed then.
        """
        raise NotImplementedError

    @property
    def head(self) -> Head:
        """The last acknowledged change, and whose stream it is. An empty store is at (1, 0)."""
        raise NotImplementedError

    async def start(self) -> None:
        """Open the wake-up socket and begin to commit."""
        raise NotImplementedError

    async def close(self) -> None:
        """Refuse new commands, commit what is queued, make a last checkpoint, let the folder go."""
        raise NotImplementedError
