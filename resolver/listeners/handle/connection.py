"""One TCP connection: kept open, read in turns, answered in order.

Replies that are ready at once are joined into one write for all questions of a turn; a reply is never spread over two writes,
because two stock clients read it with a single read. A question that comes alone is answered together with those of other
connections at the end of the turn (`resolver.listeners.turn`). A reply that has to be waited for keeps its place in a queue,
and so do those behind it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Final, Protocol

from proto.errors import Reason, Refusal
from proto.wire.handle.envelope import ENVELOPE_BYTES, parse_envelope
from proto.wire.handle.fields import malformed
from proto.wire.handle.stream import StreamParser
from resolver.listeners.handle.dialogue import Dialogue
from resolver.listeners.handle.limits import MAX_TURN, HandleLimits
from resolver.listeners.paced import NEVER, PacedConnection, PacedHost
from resolver.listeners.turn import MAX_GATHERED_BYTES, Turn


class Host(PacedHost, Protocol):
    """What a connection knows of its listener."""

    dialogue: Dialogue
    turn: Turn[bytes, bytes]
    turn_here: Turn[bytes, bytes]
    """Of clients that others are not asked for."""
    limits: HandleLimits

    def admit(self, connection: "Connection") -> bool:
        """Take a new connection in; False: there are too many, and it is to be turned away."""

    def dismiss(self, connection: "Connection") -> None:
        """Forget a connection that is closed."""


class Connection(PacedConnection[Host]):
    """Driven by the event loop and the listener's sweep."""

    __slots__ = ("_is_gathered", "_is_served", "_parser", "_queue", "_turn")

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._parser = StreamParser()
        self._queue: deque[bytes | asyncio.Future[bytes]] = _NO_QUEUE
        self._is_gathered = False  # a question is answered at the end of the turn
        self._is_served = False  # others are asked for who is at the other end
        self._turn = host.turn_here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._is_served = self._host.dialogue.serves(self._peer)
        if self._is_served:
            self._turn = self._host.turn
        if self._transport and not self._host.admit(self):
            self._is_open = False
            self._transport.write(self._host.dialogue.reject(None, Refusal(Reason.OVERLOADED, "too many connections")))
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        host = self._host
        self._active_s = host.now_s
        if (
            self._is_open
            and not self._is_gathered
            and not self._is_scheduled
            and not self._queue
            and self._stalled_s == NEVER
            and not self._parser.buffered
            and len(data) <= MAX_GATHERED_BYTES
        ):
            # Nearly always what comes is one question, and nothing stands before it; what is not comes back from the turn.
            self._is_gathered = True
            self._turn.add(self, data)
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
        super().pause_writing()

    def retire(self) -> None:
        self._ungather()
        super().retire()

    def _waiting(self) -> int:
        return len(self._queue) + self._is_gathered

    def _give_up(self) -> None:
        self._reject(malformed("the message was not completed in time"))

    def _ungather(self) -> None:
        """Put what was gathered where everything else that comes is."""
        if self._is_gathered:
            self._is_gathered = False
            self._parser.feed(self._turn.drop(self))

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
        elif not (self._is_open or self._is_scheduled or self._queue) and self._stalled_s == NEVER:
            self._close()
        self._regulate()

    def _answer_turn(self, replies: list[bytes], tried: bytes | None) -> Refusal | None:
        """Answer messages while there are whole ones, room, and time in this turn. Returns what is wrong with the stream."""
        limits, size, turn = self._host.limits, 0, 0
        while self._stalled_s == NEVER and len(self._queue) < limits.max_pipelined:
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
        reply: bytes | Awaitable[bytes] | None = dialogue.respond_plainly(packet, self._is_served) if may_be_plain else None
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
            self._begun_s = NEVER
        elif self._has_ended:
            return malformed("the stream ended within a message")
        elif progressed or self._begun_s == NEVER:
            self._begun_s = self._host.now_s
        return None

    def _reject(self, refusal: Refusal) -> None:
        """Say what is wrong with the stream and end it, because nothing that follows can be read."""
        if self._transport is None:
            return
        reply = self._host.dialogue.reject(self._parser.envelope, refusal)
        self._is_open = False
        self._begun_s = NEVER
        self._parser = StreamParser()
        if self._queue:
            self._queue.append(reply)
            return
        self._transport.write(reply)
        self._end_half()

    def _reached(self) -> str:
        """The address of the node that the client connected to."""
        return str(self._transport.get_extra_info("sockname")[0]) if self._transport else ""


# Most connections never wait for a reply and need no queue of their own; this one stays empty whatever is done to it.
_NO_QUEUE: Final[deque[bytes | asyncio.Future[bytes]]] = deque(maxlen=0)
