"""Handle questions and answers for tests: composed and read with our codec."""

import asyncio
from collections.abc import Callable
from typing import Final

from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode
from proto.wire.handle.envelope import ENVELOPE_BYTES, envelope_for, parse_envelope
from proto.wire.handle.message import Message, compose_message, parse_message
from proto.wire.handle.resolution import ResolutionRequest, compose_resolution_request
from tests.support.packets import UdpClient

WAIT_S: Final = 20.0
"""How long a test waits for what must come; only a failing test waits that long."""


def question(
    identifier: str,
    request: int = 7,
    *,
    flags: int = codes.PUBLIC_ONLY,
    types: tuple[str, ...] = (),
    indexes: tuple[int, ...] = (),
    session: int = 0,
) -> bytes:
    """A resolution request, ready to be sent."""
    return operation(
        OpCode.RESOLUTION, compose_resolution_request(ResolutionRequest(identifier, indexes, types)), request, flags, session
    )


def operation(op: int, body: bytes, request: int = 7, flags: int = codes.PUBLIC_ONLY, session: int = 0) -> bytes:
    """A request of any operation."""
    envelope = envelope_for((2, 3), request, 0, session, suggested=(2, 10))
    return compose_message(Message(envelope, op, 0, flags, codes.UNKNOWN_SERIAL, 0, 0, body))


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as `condition()` holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 # what is waited for happens in code that knows no events of ours
            await asyncio.sleep(0.005)


def read_message(raw: bytes) -> Message:
    """The message in `raw`, envelope included; its length must be the envelope's."""
    envelope = parse_envelope(raw)
    assert len(raw) == ENVELOPE_BYTES + envelope.length
    return parse_message(envelope, raw[ENVELOPE_BYTES:])


def read_messages(raw: bytes) -> list[Message]:
    """All messages that stand one after another in `raw`."""
    messages = []
    while raw:
        end = ENVELOPE_BYTES + parse_envelope(raw).length
        messages.append(read_message(raw[:end]))
        raw = raw[end:]
    return messages


class Caller:
    """A client on one TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, host: str, port: int, limit: int = 2**20) -> "Caller":
        return cls(*await asyncio.open_connection(host, port, limit=limit))

    async def ask(self, *raw: bytes) -> list[Message]:
        """Send all in one go; as many answers."""
        self.writer.write(b"".join(raw))
        return [await self.answer() for _ in raw]

    async def answer(self) -> Message:
        """The next answer."""
        async with asyncio.timeout(WAIT_S):
            head = await self.reader.readexactly(ENVELOPE_BYTES)
            return read_message(head + await self.reader.readexactly(parse_envelope(head).length))

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


class PacketCaller(UdpClient):
    """A client on one UDP socket."""

    async def ask(self, *packets: bytes) -> bytes:
        """Send packets; the next packet that comes."""
        return await self.exchange(*packets)
