"""The life of a child process: what a worker and the registry have in common.

A child is a `Part` (what it does) under this frame (how it lives): assignment, logs, uvloop, readiness and heartbeat to the
supervisor, SIGTERM to drain. SIGINT is left to the supervisor (`node.child` starts children with it blocked).
"""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Protocol

import uvloop

from node.control import REFUSED_STATUS, Assignment, ChildState, Report, Tether
from node.logs import configure_logs
from node.metrics import keep_figures_as

logger = logging.getLogger(__name__)

# The supervisor takes a child that has been silent for much longer (`node.child.SILENCE_S`) for stuck.
HEARTBEAT_S: Final = 1.0

# A child has to be done a little before the supervisor's patience ends.
DRAIN_SHARE: Final = 0.8


class RefusesToStart(Exception):
    """What lies in the data folder cannot be served, and trying again will not help; the message says what to do."""


class Part(Protocol):
    """What a child process does."""

    async def run(self) -> None:
        """Come up and serve until cancelled, which may be at any moment; readiness is announced. Raises `RefusesToStart`.

        If it returns or raises, the process ends, and the supervisor starts it again.
        """

    async def stop(self, grace_s: float) -> None:
        """Finish what is in flight within `grace_s` seconds and let go of everything, whatever `run` came to."""

    def describe(self) -> Mapping[str, Any]:
        """Figures for `biaojie status`, JSON values by name."""


Announce = Callable[[bool], None]
"""Tells the supervisor that this process is ready, or no longer is."""


def run_part(make: Callable[[Assignment, Announce], Part]) -> int:
    """Live as a child of the supervisor; `sys.argv[1]` is the inherited descriptor. Returns the exit status."""
    tether, assignment = Tether.take(int(sys.argv[1]))
    node = assignment.config.node
    configure_logs(assignment.name, node.log_level, node.log_format)
    keep_figures_as(assignment.name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Life(tether, assignment, make).run())


class _Life:
    def __init__(self, tether: Tether, assignment: Assignment, make: Callable[[Assignment, Announce], Part]) -> None:
        self._tether = tether
        self._assignment = assignment
        self._make = make
        self._state = ChildState.STARTING
        self._part: Part | None = None

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        stopping, going = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        self._tether.watch(loop, going.set)
        heartbeat = asyncio.create_task(self._beat())
        try:
            if await _until(stopping, going.wait()):
                self._part = self._make(self._assignment, self._announce)
                await _until(stopping, self._part.run())
        except RefusesToStart as refusal:
            logger.critical("this process refuses to start: %s", refusal)
            self._tether.report(Report(ChildState.REFUSED, {"reason": str(refusal)}))
            return REFUSED_STATUS
        finally:
            heartbeat.cancel()
            await self._stop()
        return 0

    async def _stop(self) -> None:
        if self._state is not ChildState.STARTING:
            self._state = ChildState.DRAINING
            self._report()
        if self._part is not None:
            await self._part.stop(self._assignment.config.node.drain_s * DRAIN_SHARE)

    def _announce(self, is_ready: bool) -> None:
        if self._state is ChildState.DRAINING:
            return
        self._state = ChildState.READY if is_ready else ChildState.UNREADY
        logger.info("ready" if is_ready else "not ready")
        self._report()

    def _report(self) -> None:
        self._tether.report(Report(self._state, self._part.describe() if self._part is not None else {}))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._report()


async def _until(stopping: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do `work` to its end (True), or give it up when told to stop (False)."""
    doing, told = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    await asyncio.wait((doing, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if doing.done():
        doing.result()
        return True
    doing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await doing
    return False
