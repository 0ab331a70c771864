"""Other nodes for tests: sites and values as they are on the wire, and a server that answers from a table, or worse."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence

from proto.model.value import Value
from proto.wire.handle import codes
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.envelope import ENVELOPE_BYTES, parse_envelope
from proto.wire.handle.message import Message, compose_reply, parse_message
from proto.wire.handle.resolution import (
    ReferralResponse,
    compose_error_body,
    compose_referral_body,
    compose_resolution_body,
    parse_resolution_request,
)
from proto.wire.handle.trailer import LifeCycle, compose_trailer
from proto.wire.handle.typed import HashOption, InterfaceInfo, Purpose, ServerInfo, SiteInfo, Transport, compose_site
from proto.wire.handle.value import compose_value
from resolver.upstream.sites import Endpoint

Body = tuple[int, tuple[bytes, ...]]
"""A response code and the parts of a body."""

Misbehave = Callable[[Message, bytes, asyncio.StreamWriter], Awaitable[None]]
"""What a server does with a question, given what it would have answered."""


def site(*endpoints: Endpoint, is_primary: bool = True, hash_option: int = HashOption.WHOLE) -> SiteInfo:
    """A site of one server for each endpoint."""
    servers = tuple(
        ServerInfo(number, endpoint.host, b"", (InterfaceInfo(Purpose.QUERY, Transport.TCP, endpoint.port),))
        for number, endpoint in enumerate(endpoints, 1)
    )
    return SiteInfo((2, 10), 1, is_primary, False, hash_option, b"", (), servers)


def site_value(info: SiteInfo, index: int = 1, kind: str = "HS_SITE", ttl: int = 86_400) -> Value:
    return Value(index, kind, compose_site(info), ttl)


def packed(*values: Value) -> tuple[bytes, ...]:
    return tuple(compose_value(value, 1) for value in values)


def found(identifier: str, *values: Value) -> Body:
    return ResponseCode.SUCCESS, compose_resolution_body(identifier, packed(*values))


def refer(*values: Value, service: str = "", code: int = ResponseCode.SERVICE_REFERRAL) -> Body:
    return code, (compose_referral_body(ReferralResponse(service, packed(*values))),)


def error(code: int, message: str = "") -> Body:
    return code, (compose_error_body(message),)


NOT_FOUND = error(ResponseCode.IDENTIFIER_NOT_FOUND)
NOT_MINE = error(ResponseCode.NOT_RESPONSIBLE)


class ForeignNode:
    """A server of the Handle protocol on a port of its own. What is not in `answers` is not its business.

    `trailers` are what it tells of life cycles to whoever asks for that; `questions` are the identifiers that it was asked for.
    With `misbehave` it does that instead of answering.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Body] = {}
        self.trailers: dict[str, LifeCycle] = {}
        self.questions: list[str] = []
        self.messages: list[Message] = []
        self.connections = 0
        self.misbehave: Misbehave | None = None
        self.closes_after_answer = False
        self._server: asyncio.Server | None = None
        self._reservation: socket.socket | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.endpoint = Endpoint("", 0)

    async def open(self) -> "ForeignNode":
        """Serve; after `close` again on the same port, which nobody else can have meanwhile."""
        if self._reservation is None:
            self._reservation = socket.socket()
            self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._reservation.bind(("127.0.0.1", 0))
            self.endpoint = Endpoint("127.0.0.1", self._reservation.getsockname()[1])
        self._server = await asyncio.start_server(self._serve, *self.endpoint, reuse_port=True)
        return self

    async def close(self) -> None:
        """Stop, and end every connection."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def end(self) -> None:
        """Stop for good."""
        await self.close()
        if self._reservation is not None:
            self._reservation.close()

    def __del__(self) -> None:
        if self._reservation is not None:
            self._reservation.close()

    @property
    def is_open(self) -> bool:
        """Whether it serves."""
        return self._server is not None

    @property
    def site(self) -> SiteInfo:
        return site(self.endpoint)

    def put(self, identifier: str, *values: Value) -> None:
        self.answers[identifier] = found(identifier, *values)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    envelope = parse_envelope(await reader.readexactly(ENVELOPE_BYTES))
                    message = parse_message(envelope, await reader.readexactly(envelope.length))
                    await self._respond(message, writer)
                    if self.closes_after_answer:
                        return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _respond(self, message: Message, writer: asyncio.StreamWriter) -> None:
        identifier = parse_resolution_request(message.body).identifier
        self.questions.append(identifier)
        self.messages.append(message)
        code, body = self.answers.get(identifier, NOT_MINE)
        told, flags = self.trailers.get(identifier), 0
        if told is not None and message.flags & codes.LIFE_CYCLE:
            body, flags = (*body, compose_trailer(told)), codes.LIFE_CYCLE
        reply = compose_reply(message, code, body, serial=1, session=0, expiration=0, flags=flags)
        if self.misbehave is not None:
            await self.misbehave(message, reply, writer)
            return
        writer.write(reply)
        await writer.drain()


async def open_nodes(count: int) -> Sequence[ForeignNode]:
    return [await ForeignNode().open() for _ in range(count)]
