"""One planning process, as the registry has it: given a task at a time, answered, and given up if it is stuck."""

import asyncio
from typing import Any, Final

from proto.errors import Reason, Refusal
from proto.model.change import Table
from proto.ports import RecordReader
from proto.stream import parse_payload
from registry.service.beside.parent import ProcessBeside, ProcessEnded
from registry.service.beside.talk import Failed, Refused
from registry.service.imports.chunks import Chunk, ChunkTask
from registry.service.imports.talk import Answer, Question, Task

# A chunk is some 50 ms of work, the largest a second; but the processes are nice, and others may leave them a tenth of the
# processors. One that is silent about its task this long is stuck.
TASK_LIMIT_S: Final = 120.0

# Keys of records looked up before others get their turn: well under a millisecond.
_LOOKUP_SLICE: Final = 200


class PlanningProcess(ProcessBeside):
    """A process that plans."""

    async def plan(self, task: ChunkTask, reader: RecordReader) -> Chunk:
        """Have it plan a chunk. Raises `ProcessEnded`, and what `ChunkPlanner.plan` does.

        It is unfit from then on if it did not come to an outcome: nobody knows what it is at.
        """
        prefix = reader.prefix(task.prefix)
        registrant = reader.image(Table.REGISTRANT, prefix.registrant) if prefix is not None else None
        self.is_at_work = True
        try:
            async with asyncio.timeout(TASK_LIMIT_S):
                outcome = await self._outcome(Task(task, prefix, registrant), reader)
        except TimeoutError:
            raise ProcessEnded(f"it was at one task for {TASK_LIMIT_S:.0f} s") from None
        self.is_at_work = False
        match outcome:
            case Chunk():
                return outcome._replace(rows=parse_payload(outcome.payload))
            case Refused():
                raise outcome.refusal()
            case Failed():
                raise RuntimeError(f"planning failed:\n{outcome.trace}")

    async def _outcome(self, task: Task, reader: RecordReader) -> Chunk | Refused | Failed:
        await self.send(task)
        while True:
            message = await self.receive()
            match message:
                case Question():
                    try:
                        answer = Answer(await _look_up(message, reader))
                    except Refusal as refusal:
                        await self.send(Answer(None, is_lost=True))
                        return Refused(refusal.reason, refusal.detail, refusal.field)
                    await self.send(answer)
                case Chunk() | Refused() | Failed():
                    return message
                case _:
                    raise RuntimeError(f"a planning process says {type(message).__name__}")


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
