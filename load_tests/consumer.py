"""A system of the city that takes every delivery at once and keeps none: what feeds are measured against.

python -m load_tests.consumer

In a process of its own, as nice as can be: a real one is on another machine. It says on its output at which port it listens,
and ends when its input ends.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_TAKEN: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_NO_BATCH: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
STOP_LIMIT_S: Final = 10.0
NICENESS: Final = 19


class _Line(asyncio.Protocol):
    """A connection: one request after another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # a socket's
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head := self._received.find(b"\r\n\r\n")) >= 0:
            stated = _LENGTH.search(self._received, 0, head + 2)
            end = head + 4 + (int(stated[1]) if stated is not None else 0)
            if len(self._received) < end:
                return
            is_batch = self._received.startswith(b"[{", head + 4) and self._received.endswith(b"}]", 0, end)
            self._transport.write(_TAKEN if is_batch else _NO_BATCH)
            del self._received[:end]


@contextmanager
def consuming() -> Iterator[str]:
    """The URL of one that runs until the end of the block. Raises `RuntimeError` if it does not come up."""
    command = [sys.executable, "-m", "load_tests.consumer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None or not (port := process.stdout.readline().strip()):
            raise RuntimeError("the consumer did not come up")
        yield f"http://127.0.0.1:{port}/events"
        process.stdin.close()
        process.wait(STOP_LIMIT_S)


async def _main() -> None:
    os.nice(NICENESS)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, stop.set)
    server = await loop.create_server(_Line, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(_main())
