"""One planning process, as the registry has it: started, given a task at a time, answered, and ended."""

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

from proto.errors import Reason, Refusal
from proto.model.change import Table
from proto.ports import RecordReader
from proto.stream import parse_payload
from registry.service.imports.chunks import Chunk, ChunkTask
from registry.service.imports.talk import LENGTH, READY, Answer, Failed, Question, Refused, Task, compose, parse, size_of

# A chunk is some 50 ms of work, the largest a second; but the processes are nice, and others may leave them a tenth of the
# processors. One that is silent about its task this long is stuck.
TASK_LIMIT_S: Final = 120.0

# Starting takes a third of a second on a processor of its own.
START_LIMIT_S: Final = 60.0

# Keys of records looked up before others get their turn: well under a millisecond.
_LOOKUP_SLICE: Final = 200

_SOURCE_ROOT: Final = str(Path(__file__).resolve().parents[3])


class ProcessEnded(Exception):
    """A process is gone, or stuck, before its task was done; the message says which."""


class PlanningProcess:
    """A process and the socket to it. `begin` first, and only once; `wait` in the end."""

    ended: "asyncio.Task[None]"
    """Set by who keeps it: done when it is gone."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._is_at_work = False
        self.has_begun = False
        self.is_over = False
        """Whether it was told to end."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def is_fit(self) -> bool:
        """Whether it can be given a task: it has begun, has none, and has not ended as far as is known."""
        if not self.has_begun or self._is_at_work or self.is_over or self._reader is None:
            return False
        return not self._reader.at_eof() and self._reader.exception() is None

    async def begin(self) -> None:
        """Start it, until it can be given tasks. Raises `OSError` if it cannot be started, `ProcessEnded`."""
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            self._reader, self._writer = await asyncio.open_connection(sock=ours)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", self._module, str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                env=os.environ | {"PYTHONPATH": _python_path()},
            )  # fmt: skip
        if self.is_over:
            # It was told so before there was a process to end.
            self.end()
        async with asyncio.timeout(START_LIMIT_S):
            first = await self._receive()
        if first != READY:
            raise ProcessEnded("it does not say that it is ready")
        self.has_begun = True

    async def wait(self) -> None:
        """Wait for its end."""
        if self._process is not None:
            await self._process.wait()
        self._hang_up()

    def end(self) -> None:
        """Let it end at once."""
        self.is_over = True
        self._hang_up()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def plan(self, task: ChunkTask, reader: RecordReader) -> Chunk:
        """Have it plan a chunk. Raises `ProcessEnded`, and what `ChunkPlanner.plan` does.

        It is unfit from then on if it did not come to an outcome: nobody knows what it is at.
        """
        prefix = reader.prefix(task.prefix)
        registrant = reader.image(Table.REGISTRANT, prefix.registrant) if prefix is not None else None
        self._is_at_work = True
        try:
            async with asyncio.timeout(TASK_LIMIT_S):
                outcome = await self._outcome(Task(task, prefix, registrant), reader)
        except TimeoutError:
            raise ProcessEnded(f"it was at one task for {TASK_LIMIT_S:.0f} s") from None
        self._is_at_work = False
        match outcome:
            case Chunk():
                return outcome._replace(rows=parse_payload(outcome.payload))
            case Refused():
                raise outcome.refusal()
            case Failed():
                raise RuntimeError(f"planning failed:\n{outcome.trace}")

    async def _outcome(self, task: Task, reader: RecordReader) -> Chunk | Refused | Failed:
        await self._send(task)
        while True:
            message = await self._receive()
            match message:
                case Question():
                    try:
                        answer = Answer(await _look_up(message, reader))
                    except Refusal as refusal:
                        await self._send(Answer(None, is_lost=True))
                        return Refused(refusal.reason, refusal.detail, refusal.field)
                    await self._send(answer)
                case Chunk() | Refused() | Failed():
                    return message
                case _:
                    raise RuntimeError(f"a planning process says {type(message).__name__}")

    async def _send(self, message: object) -> None:
        if self._writer is None:
            raise ProcessEnded("it has not begun")
        try:
            self._writer.write(compose(message))
            await self._writer.drain()
        except OSError as error:
            raise ProcessEnded(str(error)) from None

    async def _receive(self) -> Any:
        if self._reader is None:
            raise ProcessEnded("it has not begun")
        try:
            size = size_of(await self._reader.readexactly(LENGTH.size))
            return parse(await self._reader.readexactly(size))
        except asyncio.IncompleteReadError:
            raise ProcessEnded("it ended") from None
        except OSError as error:
            raise ProcessEnded(str(error)) from None

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()


async def _look_up(question: Question, reader: RecordReader) -> Any:
    """What the view says to a question; what asks for many records is answered in slices."""
    match question:
        case Question("records", (names,)):
            found: list[bytes | None] = []
            for start in range(0, len(names), _LOOKUP_SLICE):
                found += reader.records(names[start : start + _LOOKUP_SLICE])
                await asyncio.sleep(0)
            return found
        case Question("position", ()):
            return reader.position
        case Question("prefix" | "homing" | "account" | "image" | "images" | "scan", arguments):
            return getattr(reader, question.method)(*arguments)
    raise Refusal(Reason.INTERNAL, f"a planning process asks for {question.method}")


def _python_path() -> str:
    """The process comes from the same place as this one, whatever the working directory holds."""
    inherited = os.environ.get("PYTHONPATH")
    return f"{_SOURCE_ROOT}{os.pathsep}{inherited}" if inherited else _SOURCE_ROOT
