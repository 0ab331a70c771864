"""One TCP connection (RFC 7766): kept open, read in turns, answered as answers come.

Answers that are ready at once are joined into one write for all questions of a turn; one that has to be waited for is written
when it comes, because clients tell answers apart by their ids (RFC 7766 6.2.1.1). A connection is not read while too many
answers are waited for, while its client does not take what was written, or until its turn comes again: the kernel then slows
the client down.
"""

import asyncio
from typing import Final, Protocol, cast

from proto.errors import Reason, Refusal
from proto.wire.dns.message import is_response
from proto.wire.dns.stream import StreamParser, compose_frame
from resolver.listeners.dns.dialogue import Dialogue
from resolver.listeners.dns.limits import MAX_TURN, DnsLimits

_NEVER: Final = -1.0


class Host(Protocol):
    """What a connection knows of its listener."""

    dialogue: Dialogue
    limits: DnsLimits
    now_s: float
    """Coarse monotonic seconds, moved on by the listener's sweep."""

    def admit(self, connection: "Connection") -> bool:
        """Take a new connection in; False: there are too many, and it is to be turned away."""

    def dismiss(self, connection: "Connection") -> None:
        """Forget a connection that is closed."""


class Connection(asyncio.Protocol):
    """Driven by the event loop. Holds no timer: the listener's sweep calls `check`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._parser = StreamParser()
        self._pending: set[asyncio.Future[bytes]] = set()
        self._is_open = True  # more questions are taken
        self._has_ended = False  # the client sends no more
        self._is_reading = True  # the transport reads
        self._is_scheduled = False  # `_work` is about to be called
        self._active_s = host.now_s  # when something last came
        self._begun_s = _NEVER  # when the message began that is still incomplete
        self._stalled_s = _NEVER  # since when the client has not taken what was written

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast(asyncio.Transport, transport)
        self._peer = str((made.get_extra_info("peername") or ("",))[0])
        made.set_write_buffer_limits(high=self._host.limits.write_buffer_bytes)
        if not self._host.admit(self):
            # There is no question yet that a refusal could answer.
            self._host.dialogue.count(Reason.OVERLOADED)
            self._is_open = False
            made.abort()

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

    def pause_writing(self) -> None:
        self._stalled_s = self._host.now_s
        self._regulate()

    def resume_writing(self) -> None:
        self._stalled_s = _NEVER
        self._schedule()

    def check(self, now_s: float) -> None:
        """End the connection if its client does not drain, does not complete a message, or has been idle for too long."""
        limits = self._host.limits
        if self._stalled_s != _NEVER:
            if now_s - self._stalled_s > limits.drain_timeout_s:
                self._host.dialogue.count(Reason.TIMEOUT)
                self.abort()
        elif self._begun_s != _NEVER:
            if now_s - self._begun_s > limits.message_timeout_s:
                # Nothing can be said to it: a reply belongs to a question, and there is none.
                self._host.dialogue.count(Reason.MALFORMED_MESSAGE)
                self.abort()
        elif not self._pending and not self._is_scheduled and now_s - self._active_s > limits.idle_timeout_s:
            self._close()

    def retire(self) -> None:
        """Take no more questions; close when those that were read are answered."""
        self._is_open = False
        self._schedule()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        if self._transport:
            self._transport.abort()

    def _work(self) -> None:
        """Answer what has come, as far as this turn goes."""
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
        elif is_done and not self._is_open and not self._pending and self._stalled_s == _NEVER:
            self._close()
        self._regulate()

    def _answer_turn(self, replies: list[bytes]) -> bool:
        """Answer messages while there are whole ones, room, and time in this turn; whether all are answered.

        Raises `Refusal` for what is wrong with the stream.
        """
        limits, size = self._host.limits, 0
        for _ in range(MAX_TURN):
            if self._stalled_s != _NEVER or len(self._pending) >= limits.max_pipelined:
                return False
            if size > limits.write_buffer_bytes:
                break
            message = self._parser.next_message()
            if message is None:
                self._note_rest()
                return True
            self._begun_s = _NEVER
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
            self._begun_s = _NEVER
            if self._has_ended:
                self._is_open = False
        elif self._has_ended:
            raise Refusal(Reason.MALFORMED_MESSAGE, "the stream ended within a message")
        elif self._begun_s == _NEVER:
            self._begun_s = self._host.now_s

    def _reject(self, transport: asyncio.Transport, refusal: Refusal) -> None:
        """End a stream in which nothing can be found again, with a reply if there is a header to reply to.

        Our half only: closing at once, with bytes of the client's unread, would destroy what was just written. The rest of the
        client's is read and thrown away until it closes or the drain timeout ends it.
        """
        head = self._parser.rest
        self._is_open = False
        self._begun_s = _NEVER
        self._parser = StreamParser()
        if is_response(head):
            self._host.dialogue.count(refusal.reason)
        else:
            transport.write(compose_frame(self._host.dialogue.reject(head, refusal)))
        if self._has_ended:
            self._close()
        else:
            self._stalled_s = self._host.now_s
            transport.write_eof()

    def _close(self) -> None:
        """Close when what was written has been taken, which must not take longer than the drain timeout."""
        if self._transport:
            self._is_open = False
            self._stalled_s = self._host.now_s
            self._transport.close()

    def _regulate(self) -> None:
        """Read exactly while what is read can be worked on, or is to be thrown away."""
        blocked = self._is_scheduled or self._stalled_s != _NEVER or len(self._pending) >= self._host.limits.max_pipelined
        full = self._is_open and blocked
        if self._is_reading is not full or self._has_ended or self._transport is None or self._transport.is_closing():
            return
        self._is_reading = not full
        if full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _schedule(self) -> None:
        if not self._is_scheduled and self._transport:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._work)
