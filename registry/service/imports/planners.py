"""Who plans chunks: the registry's own process, or a few others beside it.

A planning process (`planning_process`) is started with the first table that has more than one piece, and ends when there
has been nothing to plan for a while. Until one is there, and if none can be had, chunks are planned here, by the same code.
A process that dies, or is stuck, takes nothing with it: its chunk is planned again.
"""

import asyncio
import logging
from typing import Final, Protocol

from proto.ports import RecordReader
from registry.service.beside.parent import ProcessEnded
from registry.service.imports.chunks import SLICE_ROWS, Chunk, ChunkTask, plan_chunk
from registry.service.imports.planning import PlanningProcess

log = logging.getLogger(__name__)

MODULE: Final = "registry.service.imports.planning_process"

# More would wait for the one committer: it takes the rows of about three.
MAX_DEFAULT_PROCESSES: Final = 3

# A chunk that ended so many processes would end the next one, too.
MAX_DEATHS: Final = 3

# Nothing to plan for so long: the processes end. A client that sends table after table finds them.
IDLE_S: Final = 30.0

# Processes that ended before they had begun: no more are started until this has passed.
START_AGAIN_S: Final = 30.0


class PlanningFailed(Exception):
    """A chunk cannot be planned, now or later; the message says why, for people."""


class ChunkPlanner(Protocol):
    """Plans chunks."""

    @property
    def width(self) -> int:
        """How many chunks it has use for at once."""

    async def plan(self, task: ChunkTask) -> Chunk:
        """Plan one. Raises as `plan_chunk` does, and `PlanningFailed`; whatever else it raises is a mistake of the program."""


class LocalPlanner:
    """Plans in this process's event loop, slice by slice."""

    width = 1

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader

    async def plan(self, task: ChunkTask) -> Chunk:
        """See `ChunkPlanner`."""
        steps = plan_chunk(task, self._reader, SLICE_ROWS)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                chunk: Chunk = done.value
                return chunk
            await asyncio.sleep(0)


def default_processes(cores: int) -> int:
    """How many processes plan, unless the configuration says. They are nice: they take what nobody else wants."""
    return min(cores, MAX_DEFAULT_PROCESSES)


class PlannerPool:
    """Plans in up to `processes` processes beside this one; 0: in this one."""

    def __init__(self, reader: RecordReader, processes: int, module: str = MODULE) -> None:
        self._reader = reader
        self._local = LocalPlanner(reader)
        self._limit = processes
        self._module = module
        self._processes: set[PlanningProcess] = set()
        self._free: list[PlanningProcess] = []
        self._changed = asyncio.Condition()
        self._working: set[asyncio.Task[Chunk]] = set()
        self._retiring: asyncio.TimerHandle | None = None
        self._starts_again_s = 0.0
        self._is_closed = False

    @property
    def width(self) -> int:
        """One chunk for each process, and one to go on with."""
        return self._limit + 1 if self._limit else self._local.width

    @property
    def pids(self) -> list[int]:
        """The processes that can be given tasks, or are at one."""
        return [each.pid for each in self._processes if each.has_begun and each.pid is not None]

    async def plan(self, task: ChunkTask) -> Chunk:
        """See `ChunkPlanner`."""
        if self._limit and not task.piece.is_last:
            self.start()
        for _ in range(MAX_DEATHS):
            process = await self._take()
            if process is None:
                return await self._local.plan(task)
            # A process is at its task to the end, whether or not anybody waits for that.
            working = asyncio.create_task(self._work(process, task))
            self._working.add(working)
            working.add_done_callback(self._worked)
            try:
                return await asyncio.shield(working)
            except ProcessEnded as error:
                log.warning("a chunk is planned again", extra={"offset": task.piece.offset, "why": str(error)})
                await self._replace(process)
        raise PlanningFailed(f"the rows from byte {task.piece.offset} on ended {MAX_DEATHS} planning processes")

    def start(self) -> None:
        """Begin to start the processes that are missing."""
        loop = asyncio.get_running_loop()
        if self._is_closed or loop.time() < self._starts_again_s:
            return
        while len(self._processes) < self._limit:
            process = PlanningProcess(self._module)
            self._processes.add(process)
            process.ended = loop.create_task(self._keep(process))

    async def close(self) -> None:
        """End all processes."""
        self._is_closed = True
        self._rest()
        ending = list(self._processes)
        for process in ending:
            process.end()
        await asyncio.gather(*(process.ended for process in ending))
        if self._working:
            await asyncio.wait(self._working)

    # Tasks

    async def _take(self) -> PlanningProcess | None:
        """A process without a task; None if there is none at all that has begun."""
        async with self._changed:
            while True:
                while self._free:
                    # What ended at rest is not the fault of this task.
                    if (process := self._free.pop()).is_fit:
                        return process
                if not self.pids:
                    return None
                await self._changed.wait()

    async def _work(self, process: PlanningProcess, task: ChunkTask) -> Chunk:
        self._rest()
        try:
            return await process.plan(task, self._reader)
        finally:
            if process.is_fit:
                await self._release(process)
            else:
                process.end()

    def _worked(self, working: asyncio.Task[Chunk]) -> None:
        self._working.discard(working)
        if not working.cancelled():
            working.exception()  # whoever waits gets it, too; if nobody does, nobody shall be warned of it

    async def _replace(self, process: PlanningProcess) -> None:
        """A process has ended at a task: the task waits for another one to have begun, or for none to be had."""
        await asyncio.wait((process.ended,))
        self.start()
        async with self._changed:
            await self._changed.wait_for(lambda: not self._processes or self.pids)

    async def _release(self, process: PlanningProcess) -> None:
        async with self._changed:
            self._free.append(process)
            self._changed.notify_all()
        self._rest()

    # Lives

    async def _keep(self, process: PlanningProcess) -> None:
        """The life of one process."""
        try:
            await process.begin()
            await self._release(process)
            await process.wait()
            if not process.is_over:
                log.warning("a planning process ended by itself", extra={"child_pid": process.pid})
        except (OSError, ProcessEnded) as error:
            if not process.is_over:
                log.warning("no planning process: chunks are planned in the registry's own", extra={"why": str(error)})
                self._starts_again_s = asyncio.get_running_loop().time() + START_AGAIN_S
        finally:
            process.end()
            await process.wait()
            await self._bury(process)

    async def _bury(self, process: PlanningProcess) -> None:
        async with self._changed:
            self._processes.discard(process)
            if process in self._free:
                self._free.remove(process)
            self._changed.notify_all()
        self._rest()

    def _rest(self) -> None:
        """Let the processes end in a while, unless one of them is at work then."""
        if self._retiring is not None:
            self._retiring.cancel()
            self._retiring = None
        if self._free and len(self._free) == len(self._processes) and not self._is_closed:
            self._retiring = asyncio.get_running_loop().call_later(IDLE_S, self._retire)

    def _retire(self) -> None:
        for process in self._free:
            process.end()
        self._free.clear()
