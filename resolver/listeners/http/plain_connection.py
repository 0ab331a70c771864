"""A connection as it begins, and as long as all that comes is plain (`proto.wire.http.plain`): its requests are answered here.

At the first request that is not plain, or not for a look-up, the connection goes over to aiohttp (`connection`), with every
byte that is not answered yet, and stays there. That happens only between two requests, so nothing has to be taken back; an
incomplete head waits here as long as it may still become a plain one. Whatever is to be said of bytes that are no request, of
a head that takes too long or breaks off, aiohttp's connection says: there is one place for it.

A request that comes alone is answered together with those of other connections at the end of the turn of the event loop
(`resolver.listeners.turn`). Whatever happens to its connection before that, happens to one that is at work on it.

Answers go out in the order of the questions, one write for all of a turn. One that has to be waited for holds up those behind
it. A connection is not read while its client does not take what was written, while it waits for an answer, or until its turn
comes again: the kernel then slows the client down, and what is held is one read's bytes and one turn's answers.
"""

import asyncio
import contextlib
from functools import partial
from typing import Final, cast

from proto.errors import Reason, Refusal
from proto.wire.http.plain import may_become_plain
from resolver.listeners.http.connection import ConnectionServer, admit
from resolver.listeners.http.limits import MAX_TURN, MAX_TURN_BYTES
from resolver.listeners.http.plain_answers import PlainAnswers
from resolver.listeners.http.public_replies import Way, answer_run, answer_turn
from resolver.listeners.turn import MAX_GATHERED_BYTES, Turn

_LINE_END: Final = b"\r\n"
_HEAD_END: Final = b"\r\n\r\n"

# A connection that is due to be closed as idle, but waits for an answer or for its client, is looked at again so much later.
_IDLE_AGAIN_S: Final = 1.0


class PlainHost:
    """What the connections of one listener share, and which of them are open. `successor` makes those that take over."""

    def __init__(
        self,
        answers: PlainAnswers,
        successor: ConnectionServer,
    ) -> None:
        self.answers = answers
        self.successor = successor
        self.limits = successor.limits
        self.occupancy = successor.occupancy
        self.count = successor.count
        self.loop = asyncio.get_running_loop()
        self.turn = _turn_of(answers.way)
        """Where requests that come alone are answered together; None: nothing is looked up plainly."""
        self.turn_here = _turn_of(answers.way_here)
        """The same of clients that others are not asked for."""
        self.connections: set[PlainConnection] = set()
        self._emptied = asyncio.Event()

    def __call__(self) -> "PlainConnection":
        return PlainConnection(self)

    def forget(self, connection: "PlainConnection") -> None:
        """It has ended, or gone over."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    def retire(self) -> None:
        """Take no more requests; close what is idle now, and the rest when it is answered."""
        for connection in tuple(self.connections):
            connection.retire()

    async def drain(self, grace_s: float) -> None:
        """Wait until all are closed, at most `grace_s` seconds; then close them."""
        if self.connections:
            self._emptied.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._emptied.wait()
        for connection in tuple(self.connections):
            connection.abort()


def _turn_of(way: Way | None) -> Turn[bytes, bytes] | None:
    return Turn(partial(answer_turn, way=way), MAX_TURN) if way is not None else None


class PlainConnection(asyncio.Protocol):
    """Driven by the event loop."""

    __slots__ = (
        "_active_s", "_has_ended", "_head_due_s", "_head_timer", "_host", "_idle_timer", "_is_gathered", "_is_open",
        "_is_reading", "_is_scheduled", "_loop", "_peer", "_pending", "_stall_timer", "_transport", "_turn", "_waiting", "_way",
    )  # fmt: skip

    def __init__(self, host: PlainHost) -> None:
        self._host = host
        self._loop = host.loop
        self._turn = host.turn_here
        self._way = host.answers.way_here
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._pending = b""  # what has come and is not answered
        self._waiting: asyncio.Task[bytes] | None = None  # the answer that those behind it wait for
        self._is_gathered = False  # a request is answered at the end of the turn
        self._is_open = True  # more requests are taken
        self._has_ended = False  # the client sends no more
        self._is_reading = True  # the transport reads
        self._is_scheduled = False  # `_work` is about to be called
        self._active_s = 0.0  # when something last came, by the loop's time
        self._idle_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_due_s = 0.0
        self._stall_timer: asyncio.TimerHandle | None = None  # the client does not take what was written

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        host = self._host
        made = cast(asyncio.Transport, transport)  # uvloop's are of asyncio's kind without saying so
        if not admit(made, host.occupancy, host.count):
            return
        self._transport = made
        peer = made.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""  # none if it has gone already
        if host.answers.serves(self._peer):
            self._turn, self._way = host.turn, host.answers.way
        host.connections.add(self)
        self._active_s = self._loop.time()
        self._idle_timer = self._loop.call_at(self._active_s + host.limits.idle_s, self._check_idle)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._transport is not None:
            self._leave()
            self._host.occupancy.leave()

    def data_received(self, data: bytes) -> None:
        self._active_s = self._loop.time()
        if (
            self._is_open
            and not self._pending
            and not self._is_gathered
            and not self._is_scheduled
            and self._waiting is None
            and self._stall_timer is None
            and not self._has_ended
        ):
            # What comes can be answered now, as nearly always; what came before is answered.
            turn = self._turn
            if turn is not None and len(data) <= MAX_GATHERED_BYTES and data.find(_HEAD_END) == len(data) - len(_HEAD_END):
                self._is_gathered = True
                turn.add(self, data)
                return
            data = self._answer_run(data)
            if not data:
                return
        self._ungather()
        self._pending = self._pending + data if self._pending else data
        if not self._is_scheduled:  # its turn comes
            self._work()

    def take(self, data: bytes, reply: bytes | None) -> None:
        """The turn's reply to what was gathered; None: it has to be worked on."""
        self._is_gathered = False
        transport = self._transport
        if reply is None or transport is None:
            self._pending = data
            self._work(is_tried=True)
            return
        transport.write(reply)
        if self._stall_timer is not None:
            self._regulate()

    def _ungather(self) -> None:
        """Put what was gathered where everything else that comes is; who does so goes on to work."""
        if self._is_gathered and self._turn is not None:
            self._is_gathered = False
            self._pending = self._turn.drop(self)

    def _answer_run(self, data: bytes) -> bytes:
        """Answer the run of requests that `data` begins with; what is left of it."""
        transport, way = self._transport, self._way
        if transport is None or way is None:
            return data
        replies: list[bytes] = []
        begin = answer_run(data, 0, way, replies)
        if replies:
            transport.write(replies[0] if len(replies) == 1 else b"".join(replies))
            if self._stall_timer is not None:
                self._regulate()
        return data[begin:]

    def eof_received(self) -> bool:
        """Whether to keep our half open: a client may end its half and still wait for its answers."""
        self._has_ended = True
        self._ungather()
        self._work()
        return True

    def pause_writing(self) -> None:
        self._ungather()
        self._stall_timer = self._loop.call_later(self._host.limits.send_s, self._cut_off)

    def resume_writing(self) -> None:
        self._stop_stall_timer()
        self._schedule()

    def retire(self) -> None:
        """Take no more requests; close when those that were taken are answered."""
        if self._is_gathered:
            self._ungather()
            self._work()
        self._is_open = False
        self._pending = b""
        self._regulate()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def _work(self, *, is_tried: bool = False) -> None:
        """Answer what has come, as far as this turn goes. What is tried could not be answered with the turn's."""
        self._is_scheduled = False
        transport = self._transport
        if transport is None or self._is_blocked():
            self._regulate()
            return
        replies: list[bytes] = []
        is_ours = self._answer_turn(replies, is_tried=is_tried)
        if len(replies) == 1:
            transport.write(replies[0])
        elif replies:
            transport.write(b"".join(replies))
        if self._stall_timer is None and not is_ours:
            self._hand_over()
        else:
            self._regulate()

    def _answer_turn(self, replies: list[bytes], *, is_tried: bool) -> bool:
        """Answer requests while there are whole ones, and time in this turn. False: what comes next is not ours to answer."""
        answers, data = self._host.answers, self._pending
        parse, answer, way = answers.blocks.parse, answers.answer, self._way
        begin = 0
        while self._is_open and begin < len(data):
            if way is not None and not is_tried:
                begin = answer_run(data, begin, way, replies)
                if begin == len(data):
                    break
            if len(replies) >= MAX_TURN or sum(map(len, replies)) > MAX_TURN_BYTES:
                self._schedule()
                break
            end = data.find(_HEAD_END, begin)
            if end < 0:
                self._pending = data[begin:]
                return self._await_rest(bool(replies))
            line_end = data.find(_LINE_END, begin)
            end += len(_HEAD_END)
            block = parse(data[line_end + len(_LINE_END) : end])
            reply = answer(data[begin:line_end], block, self._peer) if block else None
            if block is None or reply is None:
                self._pending = data[begin:]
                if replies:
                    self._stop_head_timer()
                return False
            begin, self._is_open = end, block.is_kept
            if not isinstance(reply, bytes):
                self._waiting = self._loop.create_task(reply)
                self._waiting.add_done_callback(self._on_reply)
                break
            replies.append(reply)
        self._pending = data[begin:] if self._is_open else b""  # what follows the last request is nobody's (RFC 9112 9.6)
        if self._head_timer is not None:
            self._stop_head_timer()
        return True

    def _await_rest(self, has_progressed: bool) -> bool:
        """Give the head that is not whole its time; False if it cannot become a plain one."""
        if has_progressed:
            self._stop_head_timer()
        if self._has_ended or not may_become_plain(self._pending, self._host.answers.routes):
            return False
        if self._head_timer is None:
            self._head_due_s = self._loop.time() + self._host.limits.head_s
            self._head_timer = self._loop.call_at(self._head_due_s, self._give_up)
        return True

    def _on_reply(self, task: "asyncio.Task[bytes]") -> None:
        self._waiting = None
        if self._transport is None or task.cancelled():
            self.abort()
            return
        self._active_s = self._loop.time()
        self._transport.write(task.result())
        self._schedule()

    def _hand_over(self) -> None:
        """Let aiohttp serve from here on."""
        transport, data = self._transport, self._pending
        if transport is None:
            return
        if not self._is_reading and not self._has_ended:
            transport.resume_reading()
        due_s = self._head_due_s if self._head_timer is not None else None
        self._leave()
        successor = self._host.successor()
        successor.take_over(transport, data, due_s)
        if self._has_ended and not successor.eof_received():
            transport.close()

    def _give_up(self) -> None:
        """The head takes too long."""
        transport, data = self._transport, self._pending
        if transport is None:
            return
        self._leave()
        successor = self._host.successor()
        successor.take_over(transport, data, self._head_due_s)
        successor.give_up()

    def _leave(self) -> None:
        """Have nothing more to do with the connection."""
        self._ungather()
        self._transport = None
        self._pending = b""
        self._stop_head_timer()
        self._stop_stall_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
        self._host.forget(self)

    def _is_blocked(self) -> bool:
        return self._waiting is not None or self._stall_timer is not None

    def _regulate(self) -> None:
        """Read exactly while what is read can be worked on; close when there is nothing left to do."""
        is_busy = self._is_scheduled or self._waiting is not None or self._stall_timer is not None
        if self._is_open and not self._has_ended and self._is_reading is not is_busy:
            return
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not is_busy and (not self._is_open or self._has_ended):
            self._close()
        elif self._is_reading is is_busy and not self._has_ended:
            self._is_reading = not is_busy
            if is_busy:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _close(self) -> None:
        """Close when what was written has been taken, which must not take too long."""
        if self._transport is not None:
            self._transport.close()
            self._stall_timer = self._stall_timer or self._loop.call_later(self._host.limits.send_s, self._cut_off)

    def _cut_off(self) -> None:
        """The client does not take what was written."""
        self._host.count(Refusal(Reason.TIMEOUT))
        self.abort()

    def _check_idle(self) -> None:
        due_s = self._active_s + self._host.limits.idle_s
        if self._is_gathered or self._is_blocked() or due_s > self._loop.time():
            due_s = max(due_s, self._loop.time() + _IDLE_AGAIN_S)
            self._idle_timer = self._loop.call_at(due_s, self._check_idle)
        else:
            self._close()

    def _schedule(self) -> None:
        if not self._is_scheduled and self._transport is not None:
            self._is_scheduled = True
            self._loop.call_soon(self._work)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
