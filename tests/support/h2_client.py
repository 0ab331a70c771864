"""A client on python-hyper's h2: it may say over gRPC what grpcio would not."""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from tests.support.http2 import call_fields

HOST = "127.0.0.1"
WAIT_S = 20


@dataclass
class Said:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    reset: int | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> str | None:
        """The status of gRPC, wherever it stands."""
        return {**self.headers, **self.trailers}.get("grpc-status")


class H2Client:
    """One connection. `core` is h2's; what is done with it goes out with `flush`."""

    def __init__(self, port: int, encryption: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._encryption = encryption
        self.core = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.streams: dict[int, Said] = {}
        self.terminated: ConnectionTerminated | None = None
        self.closed = asyncio.Event()
        self.reads = True

    async def __aenter__(self) -> Self:
        name = "localhost" if self._encryption else None
        self._reader, self.writer = await asyncio.open_connection(HOST, self._port, ssl=self._encryption, server_hostname=name)
        self.core.initiate_connection()
        self.flush()
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self.writer.transport.abort()

    def flush(self) -> None:
        self.writer.write(self.core.data_to_send())

    def begin(self, path: str, **more: str) -> int:
        """Open a stream; underscores in names stand for hyphens."""
        number: int = self.core.get_next_available_stream_id()
        self.core.send_headers(number, list(call_fields(path, **more).items()))
        self.streams[number] = Said()
        return number

    async def ask(self, path: str, data: bytes, **more: str) -> Said:
        """A call, whole."""
        number = self.begin(path, **more)
        self.core.send_data(number, data, end_stream=True)
        self.flush()
        return await self.wait(number)

    async def wait(self, number: int) -> Said:
        async with asyncio.timeout(WAIT_S):
            await self.streams[number].done.wait()
        return self.streams[number]

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(65_536):
                for event in self.core.receive_data(data):
                    self._take(event)
                self.flush()
        except ConnectionError:
            pass
        self.closed.set()

    def _take(self, event: Any) -> None:
        if isinstance(event, ConnectionTerminated):
            self.terminated = event
        said = self.streams.get(getattr(event, "stream_id", None) or 0)
        if said is None:
            return
        if isinstance(event, ResponseReceived):
            said.headers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, TrailersReceived):
            said.trailers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, DataReceived):
            said.data += event.data
            if self.reads and event.flow_controlled_length:
                self.core.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamReset):
            said.reset = int(event.error_code)
            said.done.set()
        elif isinstance(event, StreamEnded):
            said.done.set()
