"""One TCP connection (RFC 7766): kept open, read in turns, answered as answers come.

Answers that are ready at once are joined into one write for all questions of a turn; one that has to be waited for is written
when it comes, because clients tell answers apart by their ids (RFC 7766 6.2.1.1).
"""

import asyncio
from typing import Protocol

from proto.errors import Reason, Refusal
from proto.wire.dns.message import is_response
from proto.wire.dns.stream import StreamParser, compose_frame
from resolver.listeners.dns.dialogue import Dialogue
from resolver.listeners.dns.limits import MAX_TURN, DnsLimits
from resolver.listeners.paced import NEVER, PacedConnection, PacedHost


class Host(PacedHost, Protocol):
    """What a connection knows of its listener."""

    dialogue: Dialogue
    limits: DnsLimits

    def admit(self, connection: "Connection") -> bool:
        """Take a new connection in; False: there are too many, and it is to be turned away."""

    def dismiss(self, connection: "Connection") -> None:
        """Forget a connection that is closed."""


class Connection(PacedConnection[Host]):
    """Driven by the event loop and the listener's sweep."""

    __slots__ = ("_parser", "_pending")

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._parser = StreamParser()
        self._pending: set[asyncio.Future[bytes]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._host.admit(self):
            # There is no question yet that a refusal could answer.
            self._host.dialogue.count(Reason.OVERLOADED)
            self._is_open = False
            self.abort()

    def data_received(self, data: bytes) -> None:
        self._active_s = self._host.now_s
        if self._is_open:
            self._parser.feed(data)
            if not self._is_scheduled:
                self._work()

    def eof_received(self) -> bool:
        """Whether to keep our half open: a client may end its half and still wait for its answers."""
        self._has_ended = True
        if not self._is_open:
            return False
        self._schedule()
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        self._is_open = False
        self._transport = None
        for waiting in tuple(self._pending):
            waiting.cancel()
        self._host.dismiss(self)

    def _waiting(self) -> int:
        return len(self._pending)

    def _give_up(self) -> None:
        # Nothing can be said to it: a reply belongs to a question, and there is none.
        self._host.dialogue.count(Reason.MALFORMED_MESSAGE)
        self.abort()

    def _work(self) -> None:
        self._is_scheduled = False
        if self._transport is None:
            return
        replies: list[bytes] = []
        is_done, refusal = False, None
        try:
            is_done = self._answer_turn(replies)
        except Refusal as found:
            refusal = found
        if replies:
            self._transport.write(b"".join(replies))
        if refusal:
            self._reject(self._transport, refusal)
        elif is_done and not self._is_open and not self._pending and self._stalled_s == NEVER:
            self._close()
        self._regulate()

    def _answer_turn(self, replies: list[bytes]) -> bool:
        """Answer messages while there are whole ones, room, and time in this turn; whether all are answered.

        Raises `Refusal` for what is wrong with the stream.
        """
        limits, size = self._host.limits, 0
        for _ in range(MAX_TURN):
            if self._stalled_s != NEVER or len(self._pending) >= limits.max_pipelined:
                return False
            if size > limits.write_buffer_bytes:
                break
            message = self._parser.next_message()
            if message is None:
                self._note_rest()
                return True
            self._begun_s = NEVER
            reply = self._host.dialogue.respond(message, self._peer)
            if isinstance(reply, bytes):
                replies.append(compose_frame(reply))
                size += len(reply)
            elif reply is not None:
                future = asyncio.ensure_future(reply)
                self._pending.add(future)
                future.add_done_callback(self._on_reply)
        self._schedule()
        return False

    def _on_reply(self, future: asyncio.Future[bytes]) -> None:
        self._pending.discard(future)
        if self._transport is not None and not future.cancelled():
            self._transport.write(compose_frame(future.result()))
            self._schedule()

    def _note_rest(self) -> None:
        """Remember when an incomplete message began. Raises `Refusal` if nothing more will come of it."""
        if not self._parser.buffered:
            self._begun_s = NEVER
            if self._has_ended:
                self._is_open = False
        elif self._has_ended:
            raise Refusal(Reason.MALFORMED_MESSAGE, "the stream ended within a message")
        elif self._begun_s == NEVER:
            self._begun_s = self._host.now_s

    def _reject(self, transport: asyncio.Transport, refusal: Refusal) -> None:
        """End a stream in which nothing can be found again, with a reply if there is a header to reply to."""
        head = self._parser.rest
        self._is_open = False
        self._begun_s = NEVER
        self._parser = StreamParser()
        if is_response(head):
            self._host.dialogue.count(refusal.reason)
        else:
            transport.write(compose_frame(self._host.dialogue.reject(head, refusal)))
        self._end_half()
