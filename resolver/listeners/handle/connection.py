"""One TCP connection: kept open, read in turns, answered in order.

Replies that are ready at once are joined into one write for all questions of a turn; a reply is never spread over two writes,
because two stock clients read it with a single read. A question that comes alone is answered together with those of other
connections at the end of the turn (`resolver.listeners.turn`). A reply that has to be waited for keeps its place in a queue,
and so do those behind it. A connection is not read while its queue is full, while its client does not take what was written,
or until its turn comes again: the kernel then slows the client down.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Final, Protocol, cast

from proto.errors import Reason, Refusal
from proto.wire.handle.envelope import ENVELOPE_BYTES, parse_envelope
from proto.wire.handle.fields import malformed
from proto.wire.handle.stream import StreamParser
from resolver.listeners.handle.dialogue import Dialogue
from resolver.listeners.handle.limits import MAX_TURN, HandleLimits
from resolver.listeners.turn import MAX_GATHERED_BYTES, Turn

_NEVER: Final = -1.0


class Host(Protocol):
    """What a connection knows of its listener."""

    dialogue: Dialogue
    turn: Turn[bytes, bytes]
    limits: HandleLimits
    now_s: float
    """Coarse monotonic seconds, moved on by the listener's sweep."""

    def admit(self, connection: "Connection") -> bool:
        """Take a new connection in; False: there are too many, and it is to be turned away."""

    def dismiss(self, connection: "Connection") -> None:
        """Forget a connection that is closed."""


class Connection(asyncio.Protocol):
    """Driven by the event loop. Holds no timer: the listener's sweep calls `check`."""

    __slots__ = (
        "_active_s", "_begun_s", "_has_ended", "_host", "_is_gathered", "_is_open", "_is_reading", "_is_scheduled", "_parser",
        "_peer", "_queue", "_stalled_s", "_transport",
    )  # fmt: skip

    def __init__(self, host: Host) -> None:
        self._host = host
        self._transport: asyncio.Transport | None = None
        self._parser = StreamParser()
        self._peer = ""
        self._queue: deque[bytes | asyncio.Future[bytes]] = _NO_QUEUE
        self._is_gathered = False  # a question is answered at the end of the turn
        self._is_open = True  # more questions are taken
        self._has_ended = False  # the client sends no more
        self._is_reading = True  # the transport reads
        self._is_scheduled = False  # `_work` is about to be called
        self._active_s = host.now_s  # when something last came
        self._begun_s = _NEVER  # when the message began that is still incomplete
        self._stalled_s = _NEVER  # since when the client has not drained what was written

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast(asyncio.Transport, transport)
        peer = made.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""  # none if it has gone already
        made.set_write_buffer_limits(high=self._host.limits.write_buffer_bytes)
        if not self._host.admit(self):
            self._is_open = False
            made.write(self._host.dialogue.reject(None, Refusal(Reason.OVERLOADED, "too many connections")))
            made.close()

    def data_received(self, data: bytes) -> None:
        host = self._host
        self._active_s = host.now_s
        if (
            self._is_open
            and not self._is_gathered
            and not self._is_scheduled
            and not self._queue
            and self._stalled_s == _NEVER
            and not self._parser.buffered
            and len(data) <= MAX_GATHERED_BYTES
        ):
            # Nearly always what comes is one question, and nothing stands before it; what is not comes back from the turn.
            self._is_gathered = True
            host.turn.add(self, data)
        elif self._is_open:
            self._ungather()
            self._parser.feed(data)
            if not self._is_scheduled:
                self._work()

    def take(self, packet: bytes, reply: bytes | None) -> None:
        """The turn's reply to what was gathered; None: it has to be worked on."""
        self._is_gathered = False
        if reply is None:
            self._parser.feed(packet)
            self._work(packet)
        elif self._transport is not None:
            self._transport.write(reply)

    def eof_received(self) -> bool:
        """Whether to keep our half open: a client may end its half and still wait for its answers."""
        self._has_ended = True
        if not self._is_open:
            return False
        self._is_open = False
        self._ungather()
        self._schedule()
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        self._is_open = False
        self._transport = None
        self._ungather()
        for waiting in self._queue:
            if not isinstance(waiting, bytes):
                waiting.cancel()
        self._queue = _NO_QUEUE
        self._host.dismiss(self)

    def pause_writing(self) -> None:
        self._ungather()
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
                self._reject(malformed("the message was not completed in time"))
        elif not self._queue and not self._is_gathered and now_s - self._active_s > limits.idle_timeout_s:
            self._close()

    def retire(self) -> None:
        """Take no more questions; close when those that were read are answered."""
        self._is_open = False
        self._ungather()
        self._schedule()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        if self._transport:
            self._transport.abort()

    def _ungather(self) -> None:
        """Put what was gathered where everything else that comes is."""
        if self._is_gathered:
            self._is_gathered = False
            self._parser.feed(self._host.turn.drop(self))

    def _work(self, tried: bytes | None = None) -> None:
        """Answer what has come, as far as this turn goes. `tried` could not be answered plainly."""
        self._is_scheduled = False
        if self._transport is None:
            return
        replies: list[bytes] = []
        refusal = self._answer_turn(replies, tried)
        if replies:
            self._transport.write(replies[0] if len(replies) == 1 else b"".join(replies))
        if refusal:
            self._reject(refusal)
        elif not (self._is_open or self._is_scheduled or self._queue) and self._stalled_s == _NEVER:
            self._close()
        self._regulate()

    def _answer_turn(self, replies: list[bytes], tried: bytes | None) -> Refusal | None:
        """Answer messages while there are whole ones, room, and time in this turn. Returns what is wrong with the stream."""
        limits, size, turn = self._host.limits, 0, 0
        while self._stalled_s == _NEVER and len(self._queue) < limits.max_pipelined:
            if turn == MAX_TURN or size > limits.write_buffer_bytes:
                self._schedule()
                return None
            try:
                packet = self._parser.next_packet()
            except Refusal as refusal:
                return refusal
            if packet is None:
                return self._note_rest(turn > 0)
            turn += 1
            size += self._answer(packet, replies, packet != tried)
        return None

    def _answer(self, packet: bytes, replies: list[bytes], may_be_plain: bool) -> int:
        """Put the reply among `replies`, or into the queue if it or one before it is not there yet. Returns its size."""
        dialogue = self._host.dialogue
        reply: bytes | Awaitable[bytes] | None = dialogue.respond_plainly(packet) if may_be_plain else None
        if reply is None:
            reply = dialogue.respond(parse_envelope(packet), packet[ENVELOPE_BYTES:], self._reached, self._peer)
        if isinstance(reply, bytes):
            (self._queue or replies).append(reply)
            return len(reply)
        if not self._queue:
            self._queue = deque()
        future = asyncio.ensure_future(reply)
        self._queue.append(future)
        future.add_done_callback(self._on_reply)
        return 0

    def _on_reply(self, _: asyncio.Future[bytes]) -> None:
        """Write the replies at the queue's head that are there."""
        replies: list[bytes] = []
        while self._queue:
            head = self._queue[0]
            if not isinstance(head, bytes):
                if not head.done():
                    break
                if head.cancelled():
                    self.abort()
                    return
                head = head.result()
            replies.append(head)
            self._queue.popleft()
        if replies and self._transport:
            self._transport.write(b"".join(replies))
        self._schedule()

    def _note_rest(self, progressed: bool) -> Refusal | None:
        """Remember when an incomplete message began; it is refused if nothing more will come."""
        if not self._parser.buffered:
            self._begun_s = _NEVER
        elif self._has_ended:
            return malformed("the stream ended within a message")
        elif progressed or self._begun_s == _NEVER:
            self._begun_s = self._host.now_s
        return None

    def _reject(self, refusal: Refusal) -> None:
        """Say what is wrong with the stream and end it, because nothing that follows can be read.

        Our half only: closing at once, with bytes of the client's unread, would destroy what was just written. The rest
        of the client's is read and thrown away until it closes or the drain timeout ends it.
        """
        if self._transport is None:
            return
        reply = self._host.dialogue.reject(self._parser.envelope, refusal)
        self._is_open = False
        self._begun_s = _NEVER
        self._parser = StreamParser()
        if self._queue:
            self._queue.append(reply)
            return
        self._transport.write(reply)
        if self._has_ended:
            self._close()
        else:
            self._stalled_s = self._host.now_s
            self._transport.write_eof()

    def _close(self) -> None:
        """Close when what was written has been taken, which must not take longer than the drain timeout."""
        if self._transport:
            self._is_open = False
            self._stalled_s = self._host.now_s
            self._transport.close()

    def _regulate(self) -> None:
        """Read exactly while what is read can be worked on, or is to be thrown away."""
        blocked = self._is_scheduled or self._stalled_s != _NEVER or len(self._queue) >= self._host.limits.max_pipelined
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

    def _reached(self) -> str:
        """The address of the node that the client connected to."""
        return str(self._transport.get_extra_info("sockname")[0]) if self._transport else ""


# Most connections never wait for a reply and need no queue of their own; this one stays empty whatever is done to it.
_NO_QUEUE: Final[deque[bytes | asyncio.Future[bytes]]] = deque(maxlen=0)
