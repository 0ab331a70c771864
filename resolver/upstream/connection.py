"""Connections to one server, kept open and used again: one question at a time on each.

Stock servers close after every answer, the Chinese ones and our own keep open; both are met. A connection that was used before
may be closed by the server just when a question is sent: that question goes out once more, on a new one. Whatever a server
sends unasked, or that is not what was asked for, ends its connection: nothing behind it could be trusted.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, cast

from proto.errors import Refusal
from proto.ports import Clock
from proto.wire.handle.exchange import MAX_REQUEST, Question, Response, compose_question, read_response
from proto.wire.handle.message import Message, parse_message
from proto.wire.handle.stream import StreamParser
from resolver.upstream.failure import Failed, Why
from resolver.upstream.limits import UpstreamLimits
from resolver.upstream.sites import Endpoint

# A server that could not read the question's envelope cannot repeat its number: stock ones say -1, our own 0.
_NAMELESS: Final = (0, 0xFFFF_FFFF)


class Connection(asyncio.Protocol):
    """Driven by the event loop."""

    def __init__(self, on_close: Callable[["Connection"], None]) -> None:
        self.is_open = True
        self.answered = 0
        self.idle_since_s = 0.0
        self._on_close = on_close
        self._transport: asyncio.Transport | None = None
        self._parser = StreamParser()
        self._number = 0
        self._answer: asyncio.Future[Message] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nothing was asked
            return
        self._parser.feed(data)
        try:
            received = self._parser.next_message()
            if received is None:
                return
            envelope, payload = received
            if envelope.request != self._number and envelope.request not in _NAMELESS:
                raise Failed(Why.MALFORMED, "an answer to another question")
            message = parse_message(envelope, payload)
        except Refusal as refusal:
            self._fail(Failed(Why.MALFORMED, f"the answer cannot be read: {refusal.detail}"))
        except Failed as failed:
            self._fail(failed)
        else:
            self.answered += 1
            self._answer.set_result(message)
            if self._parser.buffered:
                self.close()  # more than was asked for

    def eof_received(self) -> bool:
        return False  # what cannot answer any more is closed

    def connection_lost(self, _exc: Exception | None) -> None:
        self._fail(Failed(Why.CLOSED, "the server closed the connection before it had answered"))

    async def ask(self, raw: bytes, number: int) -> Message:
        """Send one question and wait for its answer. Raises `Failed`; cancelled, it closes the connection."""
        if self._transport is None or not self.is_open:
            raise Failed(Why.CLOSED, "the server closed the connection before it was asked")
        self._number = number
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        try:
            return await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answer = None

    def close(self) -> None:
        """End it now."""
        if self.is_open:
            self.is_open = False
            self._on_close(self)
            if self._transport is not None:
                self._transport.abort()

    def _fail(self, failed: Failed) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(failed)


class Pool:
    """The connections to one server."""

    def __init__(self, endpoint: Endpoint, limits: UpstreamLimits, clock: Clock) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._clock = clock
        self._idle: list[Connection] = []
        self._slots = asyncio.Semaphore(limits.max_connections)
        self._waiting = 0
        self._number = 0
        self._is_closed = False

    async def ask(self, question: Question) -> Response:
        """The server's response, within the time of one attempt. Raises `Failed`."""
        if self._waiting >= self._limits.max_waiting:
            raise Failed(Why.OVERLOADED, f"{self._limits.max_waiting} questions to {self._endpoint} wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.attempt_s), self._slots:
                message = await self._exchange(question)
        except TimeoutError:
            raise Failed(Why.TIMEOUT, f"{self._endpoint} has not answered within {self._limits.attempt_s:g} s") from None
        finally:
            self._waiting -= 1
        try:
            return read_response(question.identifier, message)
        except Refusal as refusal:
            why = f"{self._endpoint}: the answer cannot be used: {refusal.detail}"
            raise Failed(Why.MALFORMED, why, is_of_one=True) from None

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        latest_s = self._clock.monotonic() - self._limits.idle_s
        for connection in [each for each in self._idle if each.idle_since_s < latest_s]:
            connection.close()

    def close(self) -> None:
        """Close what is idle, and what is under way when it is answered; whoever began it may cancel it before."""
        self._is_closed = True
        for connection in tuple(self._idle):
            connection.close()

    async def _exchange(self, question: Question) -> Message:
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            return await self._ask_on(connection, question)
        except Failed as failed:
            if failed.why is not Why.CLOSED or not connection.answered:
                raise Failed(failed.why, f"{self._endpoint}: {failed.detail}") from None
        return await self._ask_on(await self._connect(), question)

    async def _ask_on(self, connection: Connection, question: Question) -> Message:
        self._number = self._number % MAX_REQUEST + 1
        raw = compose_question(question, self._number, self._clock.now_ms() // 1000)
        message = await connection.ask(raw, self._number)
        if self._is_closed:
            connection.close()
        elif connection.is_open:
            connection.idle_since_s = self._clock.monotonic()
            self._idle.append(connection)
        return message

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.connect_s):
                _, made = await loop.create_connection(lambda: Connection(self._forget), *self._endpoint)
        except TimeoutError:
            why = f"{self._endpoint} has not taken a connection within {self._limits.connect_s:g} s"
            raise Failed(Why.UNREACHABLE, why) from None
        except OSError as error:
            raise Failed(Why.UNREACHABLE, f"{self._endpoint}: {error.strerror or error}") from None
        return made

    def _forget(self, connection: Connection) -> None:
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)
