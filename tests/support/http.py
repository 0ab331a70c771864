"""The resolver's HTTP listener on a free port of loopback, over a reader of dictionaries; and a client that sends any bytes."""

import asyncio
import contextlib
import io
import json
from dataclasses import dataclass, field
from http.client import HTTPResponse
from types import TracebackType
from typing import Any, ClassVar, Self, cast

from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.chain.together import resolve_together
from resolver.listeners.http.limits import HttpLimits
from resolver.listeners.http.listener import HttpListener
from tests.support.reader import DictReader, StoppedClock

HOST = "127.0.0.1"
# Far beyond what a loaded machine needs to answer.
WAIT_S = 20.0


@dataclass
class Answer:
    """What came back. Names of headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Gate:
    """The view's readiness, moved by a test."""

    is_ready: bool = True


@dataclass
class Served:
    """A listener that is open, and what a test looks at."""

    reader: DictReader = field(default_factory=DictReader)
    clock: StoppedClock = field(default_factory=StoppedClock)
    gate: Gate = field(default_factory=Gate)
    limits: HttpLimits = field(default_factory=HttpLimits)
    resolve: Resolve | None = None
    answers: AnswerCache = field(default_factory=AnswerCache)
    port: int = 0
    is_plain: ClassVar[bool] = True
    """Whether plain requests are answered as such; otherwise every connection is aiohttp's from its first byte."""

    def __post_init__(self) -> None:
        self.registry = CollectorRegistry()
        metrics = build_metrics(self.registry)
        resolve = self.resolve or build_chain(self.reader, self.clock, metrics)
        # A chain of a test's own is asked one by one.
        together = None if self.resolve else resolve_together(resolve, self.reader)
        plain = None if self.resolve else PlainLookups(self.reader, self.clock, metrics, HttpListener.protocol)
        self.listener = HttpListener(resolve, self.gate, metrics, self.limits, self.answers, together, plain=plain)
        self.reader.watcher = self.answers
        if not self.is_plain:
            self.listener.plain_lookups = ()

    async def __aenter__(self) -> Self:
        self.port = await self.listener.open(HOST, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.listener.close(0)

    def refused(self, reason: Reason) -> float:
        return self.registry.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0

    def hits(self) -> float:
        return self.registry.get_sample_value("biaojie_answer_cache_hits_total") or 0

    def resolved(self, outcome: str) -> float:
        labels = {"protocol": "http", "outcome": outcome, "scheme": "handle"}
        return self.registry.get_sample_value("biaojie_resolve_requests_total", labels) or 0

    def connections(self) -> float:
        return self.registry.get_sample_value("biaojie_connections", {"protocol": "http"}) or 0

    async def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """One request on a connection of its own; underscores in names of headers stand for hyphens."""
        return await self.send(compose_request(method, target, headers))

    async def post(self, target: str, body: bytes | object, **headers: str) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content_type": "application/json", **headers}
        return await self.send(compose_request("POST", target, {**headers, "content_length": str(len(raw))}, raw))

    async def send(self, raw: bytes) -> Answer:
        """Send bytes, read one answer to its end."""
        method = "HEAD" if raw.startswith(b"HEAD") else "GET"
        return parse_answer(await self.talk(raw), method)

    async def talk(self, *pieces: bytes, ends: bool = False, after: tuple[bytes, bytes] | None = None) -> bytes:
        """Send pieces of a conversation, each in a packet of its own, maybe end it; what the listener said until it closed.

        `after` is a request that is answered before, and what its answer ends in; that answer is not told.
        """
        reader, writer = await self.connect()
        if after is not None:
            writer.write(after[0])
            async with asyncio.timeout(WAIT_S):
                await reader.readuntil(after[1])
        reading = asyncio.create_task(_read_to_end(reader))
        try:
            async with asyncio.timeout(WAIT_S):
                with contextlib.suppress(ConnectionError):  # it has said what it has to say, and takes no more
                    for piece in pieces:
                        if writer.is_closing():
                            break
                        writer.write(piece)
                        await writer.drain()
                        await asyncio.sleep(0.001)
                    if ends and not writer.is_closing():
                        writer.write_eof()
                return await reading
        finally:
            reading.cancel()
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.port)


async def _read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Everything until the other side closes, in whatever way: what had come before a reset, or a pipe that broke, has come."""
    said = bytearray()
    with contextlib.suppress(ConnectionError):
        while more := await reader.read(1 << 16):
            said += more
    return bytes(said)


class _Pages(io.BytesIO):
    """What `HTTPResponse` takes for a socket."""

    def makefile(self, *_arguments: object, **_options: object) -> "_Pages":
        return self


def compose_request(method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request whose target goes out byte for byte as it stands here."""
    fields = {"host": "test", "connection": "close", **(headers or {})}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


def parse_answer(raw: bytes, method: str = "GET") -> Answer:
    """The last answer in what was read: interim ones (1xx) are passed over by the standard library."""
    response = HTTPResponse(cast(Any, _Pages(raw)), method=method)
    response.begin()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
