"""Pages of changes as JSON: what is read, what it comes to, and where it is done.

To read, filter and render a change costs a tenth and more of what it costs to make it. That is kept away from the one process
that commits: followers that wait are served from a process beside it (`page_process`), which has the segments and nothing else.
Who asks, and what groups are open to it, is decided in the registry with each page; what of a change that is, by the same
functions in both processes. Without a process (it starts, it died, it cannot be had) pages are made in the registry's own.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from proto.model.account import Caller
from proto.model.change import Position
from registry.doors.rest.packed_changes import RenderedChange
from registry.service.beside.parent import ProcessBeside, ProcessEnded
from registry.service.beside.talk import Failed, Refused
from registry.service.changes import Read

log = logging.getLogger(__name__)

MODULE: Final = "registry.doors.rest.page_process"

# A page is some 20 ms of work, of the largest changes a second; but the process is nice. Silent for longer, it is stuck.
PAGE_LIMIT_S: Final = 60.0

# Nobody has asked for so long: the process ends. The longest poll takes half of it.
IDLE_S: Final = 120.0

# A process that ended by itself: no other is started until this has passed.
START_AGAIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Rendered:
    """Changes as JSON documents with commas between them, `count` of them, and whose things are in them."""

    documents: bytes
    count: int
    holders: Counter[str]

    def __len__(self) -> int:
        return self.count


class PageTask(NamedTuple):
    """A page to make: up to `limit` changes after a position, as `caller` may see them, of what is at or below a prefix."""

    caller: Caller
    after: Position
    limit: int
    below: str


class PageMade(NamedTuple):
    """A page, and where it ends."""

    rendered: Rendered
    cursor: Position


def join(changes: Sequence[RenderedChange]) -> Rendered:
    """The changes of a page together."""
    holders = Counter(holder for change in changes for holder in change.holders)
    return Rendered(b",".join([change.document for change in changes]), len(changes), holders)


class PagesBeside:
    """Makes pages in a process beside this one."""

    def __init__(self, stream: Path, module: str = MODULE) -> None:
        """`stream` is the folder of the segments."""
        self._stream = stream
        self._module = module
        self._process: ProcessBeside | None = None
        self._turn = asyncio.Lock()
        self._working: set[asyncio.Task[PageMade]] = set()
        self._ending: asyncio.TimerHandle | None = None
        self._starts_again_s = 0.0
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """The process, if it makes pages."""
        process = self._process
        return process.pid if process is not None and process.has_begun else None

    def start(self) -> None:
        """Somebody follows: begin to start the process if there is none, and let it live for a while."""
        loop = asyncio.get_running_loop()
        if self._is_closed or loop.time() < self._starts_again_s:
            return
        if self._process is None:
            self._process = process = ProcessBeside(self._module, str(self._stream))
            process.ended = loop.create_task(self._keep(process))
        if self._ending is not None:
            self._ending.cancel()
        self._ending = loop.call_later(IDLE_S, self._process.end)

    def beside(self, here: Read[Rendered]) -> Read[Rendered]:
        """Reads in the process; as `here` does while there is none."""

        async def read(caller: Caller, after: Position, limit: int, below: str) -> tuple[Rendered, Position]:
            process = self._process
            if process is None or not process.has_begun:
                return await here(caller, after, limit, below)
            # The process is at its page to the end, whether or not anybody waits for that.
            working = asyncio.create_task(self._make(process, PageTask(caller, after, limit, below)))
            self._working.add(working)
            working.add_done_callback(self._made)
            try:
                made = await asyncio.shield(working)
            except ProcessEnded as ended:
                log.warning("a page is made in the registry's own process", extra={"why": str(ended)})
                return await here(caller, after, limit, below)
            return made.rendered, made.cursor

        return read

    async def close(self) -> None:
        """End the process."""
        self._is_closed = True
        if self._ending is not None:
            self._ending.cancel()
        process = self._process
        if process is not None:
            process.end()
            await process.ended
        if self._working:
            await asyncio.wait(self._working)

    async def _make(self, process: ProcessBeside, task: PageTask) -> PageMade:
        """Raises `ProcessEnded`, and `Refusal` as the stream does."""
        async with self._turn:
            try:
                async with asyncio.timeout(PAGE_LIMIT_S):
                    await process.send(task)
                    outcome = await process.receive()
            except TimeoutError:
                process.end()
                raise ProcessEnded(f"it was at one page for {PAGE_LIMIT_S:.0f} s") from None
        match outcome:
            case PageMade():
                return outcome
            case Refused():
                raise outcome.refusal()
            case Failed():
                raise RuntimeError(f"a page could not be made:\n{outcome.trace}")
        raise RuntimeError(f"a process for pages says {type(outcome).__name__}")

    def _made(self, working: asyncio.Task[PageMade]) -> None:
        self._working.discard(working)
        if not working.cancelled():
            working.exception()  # whoever waits gets it, too; if nobody does, nobody shall be warned of it

    async def _keep(self, process: ProcessBeside) -> None:
        """The life of the process."""
        why = "it ended by itself"
        try:
            await process.begin()
            await process.wait()
        except (OSError, ProcessEnded, TimeoutError) as error:
            why = str(error)
        finally:
            if not process.is_over:
                log.warning("no process for pages of changes: they are made in the registry's own", extra={"why": why})
                self._starts_again_s = asyncio.get_running_loop().time() + START_AGAIN_S
            process.end()
            await process.wait()
            self._process = None
