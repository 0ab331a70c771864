"""A planning process: tasks in, chunks out, over one inherited socket. It has no files and no view of its own.

    python -m registry.service.imports.planning_process DESCRIPTOR

What it must know of the registry's view it asks: so there is one view, one memory for it, and no lag of another. It ends
when the socket does, whatever it is at: nothing that it has begun is of any use then.
"""

import sys
import traceback
from collections.abc import Sequence
from typing import Any

from proto.errors import Refusal
from proto.model.account import Account
from proto.model.change import Position, Table
from proto.model.prefix import Prefix
from registry.service.beside.child import Pipe, live
from registry.service.beside.talk import READY, Failed, Refused
from registry.service.imports.chunks import CHUNK_ROWS, Chunk, ChunkTask, plan_chunk
from registry.service.imports.talk import Answer, Question, Task


class _ViewLost(Exception):
    """The registry's view does not answer now: it has given this task up."""


class AskingReader:
    """A `proto.ports.RecordReader` that asks the registry, for the length of one task. Small things it asks for once."""

    def __init__(self, pipe: Pipe, task: Task) -> None:
        self._pipe = pipe
        name = task.chunk.prefix
        self._known: dict[Question, Any] = {Question("prefix", (name,)): task.prefix}
        if task.prefix is not None:
            self._known[Question("homing", (name,))] = task.prefix
            self._known[Question("image", (Table.REGISTRANT, task.prefix.registrant))] = task.registrant

    @property
    def position(self) -> Position:
        position: Position = self._ask("position")
        return position

    def record(self, normalised: str) -> bytes | None:
        return self.records([normalised])[0]

    def records(self, normalised: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = self._ask("records", list(normalised))
        return found

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = self._ask("scan", prefix, after, limit)
        return found

    def prefix(self, name: str) -> Prefix | None:
        found: Prefix | None = self._ask_once("prefix", name)
        return found

    def homing(self, name: str) -> Prefix | None:
        found: Prefix | None = self._ask_once("homing", name)
        return found

    def account(self, name: str) -> Account | None:
        found: Account | None = self._ask_once("account", name)
        return found

    def image(self, table: Table, name: str) -> bytes | None:
        found: bytes | None = self._ask_once("image", table, name)
        return found

    def images(self, table: Table) -> dict[str, bytes]:
        found: dict[str, bytes] = self._ask("images", table)
        return found

    def _ask_once(self, method: str, *arguments: Any) -> Any:
        question = Question(method, arguments)
        if question not in self._known:
            self._known[question] = self._ask(method, *arguments)
        return self._known[question]

    def _ask(self, method: str, *arguments: Any) -> Any:
        self._pipe.send(Question(method, arguments))
        answer: Answer = self._pipe.receive()
        if answer.is_lost:
            raise _ViewLost
        return answer.value


def serve(pipe: Pipe) -> None:
    """Plan task after task. Returns when the registry is gone."""
    try:
        pipe.send(READY)
        while True:
            task = pipe.receive()
            outcome = _outcome(task.chunk, AskingReader(pipe, task))
            if outcome is not None:
                pipe.send(outcome)
    except (EOFError, OSError):
        return


def _outcome(task: ChunkTask, reader: AskingReader) -> Chunk | Refused | Failed | None:
    steps = plan_chunk(task, reader, CHUNK_ROWS)
    try:
        while True:
            next(steps)
    except StopIteration as done:
        chunk: Chunk = done.value
        # The rows are in the payload: there they are quicker to read than as objects, and cross the socket once.
        return chunk._replace(rows=())
    except Refusal as refusal:
        return Refused(refusal.reason, refusal.detail, refusal.field)
    except _ViewLost:
        return None
    except (EOFError, OSError):
        raise
    except Exception:  # noqa: BLE001 - the registry logs it, and fails the job by its name
        return Failed(traceback.format_exc())


def main() -> int:
    """See `beside.child.live`."""
    return live(serve)


if __name__ == "__main__":
    sys.exit(main())
