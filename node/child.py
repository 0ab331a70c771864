"""One child of the supervisor: started, watched, started again when it dies, drained in the end."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.control import MAX_MESSAGE_BYTES, REFUSED_STATUS, Assignment, ChildState, Report, compose_go, parse_report

logger = logging.getLogger(__name__)

# A crash is usually a single event: the first restart is quick. One that repeats must not burn the machine.
FIRST_DELAY_S: Final = 0.1
LAST_DELAY_S: Final = 10.0
# A child that lived this long has recovered: the next restart is quick again.
HEALTHY_S: Final = 30.0

# A child reports every second. One that is silent this long is stuck: connections that the kernel routes to it hang, so it is
# better killed. Far beyond any pause that disk or memory pressure causes.
SILENCE_S: Final = 30.0

SOURCE_ROOT: Final = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True, slots=True)
class Program:
    """How a child is started: `python -m MODULE`, with descriptors that it inherits beside its tether."""

    module: str
    descriptors: tuple[int, ...] = ()

    def command(self, tether: int) -> Sequence[str]:
        return (sys.executable, "-P", "-m", self.module, str(tether))


class Child:
    """A child and all its lives. `on_change` is called after every change of state."""

    def __init__(self, program: Program, assignment: Assignment, on_change: Callable[["Child"], None]) -> None:
        self.name = assignment.name
        self.state = ChildState.DOWN
        self.pid: int | None = None
        self.restarts = 0
        self.details: Mapping[str, Any] = {}
        self.refusal: str | None = None
        self.was_ready = False
        self.settled = asyncio.Event()
        """Set when it has been ready, or has ended, for the first time."""
        self._program = program
        self._assignment = assignment
        self._on_change = on_change
        self._may_go = False
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._end: socket.socket | None = None
        self._started = self._heard = 0.0

    @property
    def is_ready(self) -> bool:
        return self.state is ChildState.READY

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._started if self.pid else 0.0

    async def keep(self, on_death: Callable[[str], None]) -> None:
        """Run it, again and again, until `stop`; `on_death` gets the name after every life that ended."""
        delay = FIRST_DELAY_S
        while not self._stopping.is_set():
            try:
                lived_s = await self._live(on_death)
            except OSError:
                logger.exception("a child cannot be started", extra={"child": self.name})
                lived_s = 0.0
            if self._stopping.is_set():
                return
            delay = FIRST_DELAY_S if lived_s >= HEALTHY_S else delay
            logger.warning("restarting a child", extra={"child": self.name, "delay_s": delay})
            try:
                await asyncio.wait_for(self._stopping.wait(), delay)
            except TimeoutError:
                self.restarts += 1
                delay = min(delay * 2, LAST_DELAY_S)

    def go(self) -> None:
        """Let it begin its work, in this life and all later ones."""
        self._may_go = True
        self._send(compose_go())

    def stop(self) -> None:
        """Ask it to drain, and start it no more."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def is_silent(self) -> bool:
        """Whether it runs, has once come up in this life, and has not reported for too long."""
        running = self.pid is not None and self.state is not ChildState.STARTING
        return running and time.monotonic() - self._heard > SILENCE_S

    async def _live(self, on_death: Callable[[str], None]) -> float:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        loop = asyncio.get_running_loop()
        ours.setblocking(False)
        try:
            with theirs:
                process = await self._start(theirs.fileno())
            self._process, self._end, self.pid = process, ours, process.pid
            self._started = self._heard = time.monotonic()
            self._change(ChildState.STARTING)
            self._send(self._assignment.compose())
            if self._may_go:
                self._send(compose_go())
            if self._stopping.is_set():
                self._signal(signal.SIGTERM)
            loop.add_reader(ours.fileno(), self._receive)
            status = await process.wait()
            self._receive()
        finally:
            loop.remove_reader(ours.fileno())
            ours.close()
        lived_s = self.uptime_s
        on_death(self.name)
        self._ended(status)
        return lived_s

    async def _start(self, tether: int) -> asyncio.subprocess.Process:
        # Ctrl-C reaches the whole process group, and a child could not ignore it before it has imported anything: it inherits
        # the mask, so that the supervisor alone hears it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return await asyncio.create_subprocess_exec(
                *self._program.command(tether),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr,
                pass_fds=(tether, *self._program.descriptors),
                env=os.environ | {"PYTHONPATH": _python_path()},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _ended(self, status: int) -> None:
        pid, self.pid, self._process, self._end = self.pid, None, None, None
        if status == REFUSED_STATUS:
            self.refusal = str(self.details.get("reason", "it does not say why"))
        level = logging.INFO if self._stopping.is_set() and status == 0 else logging.ERROR
        logger.log(level, "a child ended", extra={"child": self.name, "child_pid": pid, "status": status})
        self.settled.set()
        self._change(ChildState.DOWN)

    def _receive(self) -> None:
        while self._end is not None:
            try:
                message = self._end.recv(MAX_MESSAGE_BYTES)
            except (BlockingIOError, ConnectionResetError):
                return
            if not message:
                asyncio.get_running_loop().remove_reader(self._end.fileno())
                return
            self._take(parse_report(message))

    def _take(self, report: Report) -> None:
        self._heard = time.monotonic()
        self.details = report.details
        if report.state is ChildState.READY:
            self.was_ready, self.refusal = True, None
            self.settled.set()
        if report.state is not self.state:
            self._change(report.state)

    def _change(self, state: ChildState) -> None:
        self.state = state
        self._on_change(self)

    def _send(self, message: bytes) -> None:
        if self._end is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # It is dead; its next life is told anew.
                self._end.send(message, socket.MSG_NOSIGNAL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # It ended this moment.
                self._process.send_signal(number)


def _python_path() -> str:
    """Children come from the same place as the supervisor, whatever the working directory holds."""
    inherited = os.environ.get("PYTHONPATH")
    return f"{SOURCE_ROOT}{os.pathsep}{inherited}" if inherited else SOURCE_ROOT
