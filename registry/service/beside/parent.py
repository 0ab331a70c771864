"""A process beside this one, as the registry has it: started, spoken with, and ended."""

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

from registry.service.beside.talk import LENGTH, READY, compose, parse, size_of

# Starting takes a third of a second on a processor of its own.
START_LIMIT_S: Final = 60.0

_SOURCE_ROOT: Final = str(Path(__file__).resolve().parents[3])


class ProcessEnded(Exception):
    """A process is gone, or stuck, before its work was done; the message says which."""


class ProcessBeside:
    """A process that runs `module`, and the socket to it. `begin` first, and only once; `wait` in the end."""

    ended: "asyncio.Task[None]"
    """Set by who keeps it: done when it is gone."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._module = module
        self._arguments = arguments
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.is_at_work = False
        """Set by who gives it work. What was not done to its end leaves it so: nobody knows what it is at."""
        self.has_begun = False
        self.is_over = False
        """Whether it was told to end."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def is_fit(self) -> bool:
        """Whether it can be given work: it has begun, has none, and has not ended as far as is known."""
        if not self.has_begun or self.is_at_work or self.is_over or self._reader is None:
            return False
        return not self._reader.at_eof() and self._reader.exception() is None

    async def begin(self) -> None:
        """Start it, until it can be given work. Raises `OSError` if it cannot be started, `ProcessEnded`."""
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            self._reader, self._writer = await asyncio.open_connection(sock=ours)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", self._module, str(theirs.fileno()), *self._arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                env=os.environ | {"PYTHONPATH": _python_path()},
            )  # fmt: skip
        if self.is_over:
            # It was told so before there was a process to end.
            self.end()
        async with asyncio.timeout(START_LIMIT_S):
            first = await self.receive()
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

    async def send(self, message: object) -> None:
        """Raises `ProcessEnded`."""
        if self._writer is None:
            raise ProcessEnded("it has not begun")
        try:
            self._writer.write(compose(message))
            await self._writer.drain()
        except OSError as error:
            raise ProcessEnded(str(error)) from None

    async def receive(self) -> Any:
        """What it says next. Raises `ProcessEnded`."""
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


def _python_path() -> str:
    """The process comes from the same place as this one, whatever the working directory holds."""
    inherited = os.environ.get("PYTHONPATH")
    return f"{_SOURCE_ROOT}{os.pathsep}{inherited}" if inherited else _SOURCE_ROOT
