"""The reader's end of the wake-up socket (`proto.wake`): connects, and connects again for as long as it takes.

Nothing depends on it but speed: without a committer at the other end the view looks at the files now and then.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from proto.model.change import Position
from proto.wake import RETRY_S, Message, Signal, compose_message, parse_messages

# A committer that does not read what 4,000 messages long is stuck: let it go, rather than queue for it.
MAX_QUEUED_BYTES: Final = 64 * 1024

# `sun_path` is 108 bytes; longer paths go through the folder's descriptor.
MAX_PATH_BYTES: Final = 100

log = logging.getLogger(__name__)


class WakeClient:
    """One connection to `path`, kept up by a task of its own, which calls back when there are messages, or it comes or goes."""

    def __init__(
        self, path: Path, on_message: Callable[[Message], None], on_connect: Callable[[], None], on_lost: Callable[[], None]
    ) -> None:
        self._path = path
        self._on_message = on_message
        self._on_connect = on_connect
        self._on_lost = on_lost
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self.has_tried = False
        """Whether a first attempt to connect has come to an end, one way or the other."""

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        """Say no more, and hang up."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def send(self, signal: Signal, position: Position) -> None:
        """Tell the committer, if there is one."""
        if self._connection is not None:
            self._connection.send(compose_message(signal, position))

    async def _keep_connected(self) -> None:
        while True:
            try:
                connection = await self._connect()
            except OSError:
                self.has_tried = True
                await asyncio.sleep(RETRY_S)
                continue
            try:
                await connection.lost
            finally:
                self._connection = None
                connection.hang_up()
                self._on_lost()
            await asyncio.sleep(RETRY_S)

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.setblocking(False)
            await _connect_to(end, self._path)
            _, connection = await loop.create_unix_connection(lambda: _Connection(self._made, self._on_message), sock=end)
        except BaseException:
            self._connection = None
            end.close()
            raise
        return connection

    def _made(self, connection: "_Connection") -> None:
        """Before the first message of the connection is heard, whatever the event loop does first."""
        self._connection, self.has_tried = connection, True
        self._on_connect()


class _Connection(asyncio.Protocol):
    """Cuts what comes into messages."""

    def __init__(self, on_made: Callable[["_Connection"], None], on_message: Callable[[Message], None]) -> None:
        self._on_made = on_made
        self._on_message = on_message
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        try:
            messages, self._rest = parse_messages(self._rest + data)
        except ValueError:
            log.warning("the committer speaks another language on the wake-up socket; hanging up")
            self.hang_up()
            return
        for message in messages:
            self._on_message(message)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        if not self.lost.done():
            self.lost.set_result(None)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() > MAX_QUEUED_BYTES:
            log.warning("the committer does not read; hanging up")
            self.hang_up()
            return
        self._transport.write(data)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _connect_to(end: socket.socket, path: Path) -> None:
    loop = asyncio.get_running_loop()
    if len(os.fsencode(path)) <= MAX_PATH_BYTES:
        await loop.sock_connect(end, str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        await loop.sock_connect(end, f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
