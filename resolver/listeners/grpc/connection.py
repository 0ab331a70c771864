"""One connection: what the socket brings is fed to the core, what happens is answered, what is to be sent is written at once.

Everything that one read brings is answered with one write. A connection is not read while its client does not take what was
written, or until its turn comes again: the kernel then slows the client down. Of the commonest calls those of one read are
answered together (`plain_calls`).

Length: one machine, of which every part looks at the state of the others.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from proto.errors import Reason, Refusal
from proto.wire.grpc.call import Call, parse_call
from proto.wire.grpc.held import SMALL_MESSAGE_BYTES
from proto.wire.grpc.response import compose_tail
from proto.wire.http2.codes import ConnectionFault, ErrorCode
from proto.wire.http2.connection import ServerConnection
from proto.wire.http2.events import Data, Event, Rejected, Request, Reset, Sent
from proto.wire.http2.response import Response
from resolver.listeners.grpc.calls import FAILED, FAULT_REASONS, Calls
from resolver.listeners.grpc.exchange import Exchange, StreamingExchange, UnaryExchange
from resolver.listeners.grpc.limits import CONNECTION_AGE_SPREAD_S, MAX_GATHERED
from resolver.listeners.grpc.lookups import RESOLVE
from resolver.listeners.grpc.plain_calls import MAX_PLAIN_BYTES, Answered, Way, answer_call, answer_calls

logger = logging.getLogger(__name__)

_NEVER: Final = -1.0
_ALPN: Final = "h2"
_PROBE: Final = b"\0" * 8


class Host(Protocol):
    """What a connection knows of its listener."""

    calls: Calls
    now_s: float
    """Coarse monotonic seconds, moved on by the listener's sweep."""

    def admit(self, connection: "Connection") -> bool:
        """Take a new connection in; False: there are too many, and it is to be turned away."""

    def conclude(self, connection: "Connection") -> None:
        """Hear that a connection has said its last word, and that its client has been sent it."""

    def dismiss(self, connection: "Connection") -> None:
        """Forget a connection that is closed."""


class Connection(asyncio.Protocol):
    """Driven by the event loop. Holds no timer of its own: the listener's sweep calls `check`."""

    __slots__ = (
        "_ends_at_s", "_exchanges", "_gathered", "_has_ended", "_heard_s", "_held", "_host", "_is_encrypted", "_is_open",
        "_is_reading", "_is_retiring", "_is_scheduled", "_is_working", "_made_s", "_name", "_probed_s", "_stalled_s",
        "_transport", "_way", "calls", "core", "lingers", "peer",
    )  # fmt: skip

    def __init__(self, host: Host, number: int) -> None:
        self._host = host
        self.calls = host.calls
        self.core: ServerConnection[Call] = ServerConnection(parse_call, host.calls.limits.http2)
        self.peer = ""
        self._way: Way | None = None
        self.lingers = False  # the last word is said: what still comes is thrown away, until its client closes
        self._name = str(number)
        self._transport: asyncio.Transport | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._gathered: list[tuple[int, bytes, Call]] = []  # calls of this read that are answered together
        self._held: dict[int, int] = _NOTHING  # by stream: the bytes that are accounted for
        self._is_encrypted = False  # and cannot be half closed
        self._is_open = True  # what comes is worked on
        self._has_ended = False  # the client sends no more
        self._is_reading = True  # the transport reads
        self._is_retiring = False  # its client goes on elsewhere, and may not know it yet
        self._is_scheduled = False  # `_work` is about to be called
        self._is_working = False
        self._made_s = host.now_s + number % CONNECTION_AGE_SPREAD_S
        self._heard_s = host.now_s
        self._probed_s = _NEVER
        self._stalled_s = _NEVER  # since when the client has not drained what was written
        self._ends_at_s = _NEVER  # when it is cut off, whatever happens

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of asyncio's kind without saying so.
        self._transport = made = cast(asyncio.Transport, transport)
        peer = made.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""  # none if it has gone already
        self._way = self.calls.ways.of(self.peer) if self.calls.ways is not None else None
        made.set_write_buffer_limits(high=self.calls.limits.write_buffer_bytes)
        encryption: Any = made.get_extra_info("ssl_object")
        self._is_encrypted = encryption is not None
        if not self._host.admit(self):
            self._turn_away(ConnectionFault(ErrorCode.REFUSED_STREAM, "too many connections"))
        elif encryption is not None and encryption.selected_alpn_protocol() != _ALPN:
            self._turn_away(ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the handshake did not agree on h2"))
        else:
            made.write(b"".join(self.core.take_output()))

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._host.now_s
        if self._is_open:
            self.core.feed(data)
            if not self._is_scheduled and self._stalled_s == _NEVER:
                self._work()

    def eof_received(self) -> bool:
        """Whether to keep our half open: a client may end its half and still wait for its answers."""
        self._has_ended = True
        if not self._is_open or not self.core.open_streams or self._is_encrypted:
            return False
        for exchange in tuple(self._exchanges.values()):
            exchange.cut()
        self.wake()
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        self._is_open = False
        self._transport = None
        for exchange in self._exchanges.values():
            exchange.lose()
        self._forget_all()
        self._host.dismiss(self)

    def pause_writing(self) -> None:
        self._stalled_s = self._host.now_s
        self._regulate()

    def resume_writing(self) -> None:
        self._stalled_s = _NEVER
        self.wake()

    # The listener's

    def retire(self) -> None:
        """Take no more calls, finish those that have begun, then end gently."""
        if self._is_open and not self._is_retiring and self._transport is not None:
            self._is_retiring = True
            # Stalled from now on as long as anything waits for the client: what was answered is not cut short.
            self._transport.set_write_buffer_limits(high=0)
            self.core.retire()
            self.wake()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def check(self, now_s: float) -> None:
        """Cut off what is overdue, probe what is silent, and let the client ask anew for what is limited in time."""
        limits = self.calls.limits
        if self._ends_at_s != _NEVER:
            if now_s > self._ends_at_s:
                self.abort()
        elif self._stalled_s != _NEVER:
            if now_s - self._stalled_s > limits.drain_timeout_s:
                self._time_out()
        elif not self.core.is_begun:
            if now_s - self._heard_s > limits.handshake_s:
                self._time_out()
        elif self._is_open:
            self.core.renew()
            self._check_open(now_s)

    # An exchange's

    def finish(self, number: int, response: Response, request_id: str) -> None:
        self.forget(number)
        self._respond(number, response, request_id)
        self.wake()

    def forget(self, number: int) -> None:
        self._exchanges.pop(number, None)
        self._release(number)

    def hold(self, number: int, size: int) -> None:
        self.calls.held.put(self._name, size)
        if self._held is _NOTHING:
            self._held = {}
        self._held[number] = self._held.get(number, 0) + size

    def wake(self) -> None:
        if not self._is_scheduled and not self._is_working and self._transport is not None:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        self._is_scheduled = False
        if self._is_open and self._stalled_s == _NEVER:
            self._work()

    def _work(self) -> None:
        """One turn."""
        core = self.core
        core.begin_turn()
        self._is_working = True
        try:
            while (event := core.next_event()) is not None:
                if type(event) is Request:
                    self._begin(event[0], event[1], event[2], event[3])
                else:
                    self._take(event)
            self._answer_gathered()
        except ConnectionFault as fault:
            self._answer_gathered()
            self._end_badly(fault)
            return
        finally:
            self._is_working = False
        self._write()
        if core.is_behind:
            self.wake()
        elif self._has_ended:
            # Who sends no more gives no more room.
            for number in core.blocked:
                core.reset(number, ErrorCode.CANCEL)
                self.forget(number)
            self._write()
        if (self._is_retiring or self._has_ended or core.is_leaving) and not core.is_behind and not core.open_streams:
            if not self._is_retiring:
                self._close()
            elif self._stalled_s == _NEVER and self._is_open:
                self._end_gently()
        self._regulate()

    def _begin(self, number: int, call: Call, data: bytes, ends: bool) -> None:
        """A call: answered here and now if it is whole and its answer is there."""
        way = self._way
        if way is not None and call.is_silent and ends and call.path == RESOLVE and len(data) <= MAX_PLAIN_BYTES:
            if self._gathered or not self.core.is_drained:
                if self.core.hold(number):
                    self._gathered.append((number, data, call))
                    if len(self._gathered) >= MAX_GATHERED:
                        self._answer_gathered()
                    return
            elif self._answer(number, data, way):
                return
        self._begin_alone(number, call, data, ends)

    def _begin_alone(self, number: int, call: Call, data: bytes, ends: bool) -> None:
        calls = self.calls
        request_id = call.head.request_id or calls.ids.new()
        method = calls.unary.get(call.path)
        if method is not None and ends:
            answer = calls.answer(method, call, data, request_id, self.peer)
            if type(answer) is Response:
                if answer.size <= SMALL_MESSAGE_BYTES:
                    self.core.respond(number, answer, compose_tail(request_id))
                else:
                    self._respond(number, answer, request_id)
                return
            refusal = calls.refuse_more()
            exchange = UnaryExchange(self, number, call, request_id, method)
            exchange.answer_later(answer)  # type: ignore[arg-type]  # what is no response is to be waited for
            if refusal is None:
                self._exchanges[number] = exchange
            else:
                exchange.stop()
                self._respond(number, refusal, request_id)
        else:
            self._open(number, call, data, ends, request_id)

    def _answer(self, number: int, data: bytes, way: Way) -> bool:
        """Answer a call of the commonest kind; False: it goes the general way."""
        try:
            answered = answer_call(number, data, way)
        except Exception:
            logger.exception(FAILED)  # the general way meets it again, and tells the client
            return False
        if answered is not None:
            self._say(number, answered)
        return answered is not None

    def _answer_gathered(self) -> None:
        """Answer what was gathered of this read."""
        gathered, way = self._gathered, self._way
        if not gathered or way is None:
            return
        self._gathered = []
        answers: Sequence[Answered | None]
        try:
            answers = answer_calls([each[0] for each in gathered], [each[1] for each in gathered], way)
        except Exception:
            logger.exception(FAILED)  # the general way meets it again, and tells the client
            answers = [None] * len(gathered)
        for (number, data, call), answered in zip(gathered, answers, strict=True):
            if answered is None:
                self._begin_alone(number, call, data, ends=True)
            else:
                self._say(number, answered)

    def _say(self, number: int, answered: Answered) -> None:
        size = answered[1]
        if size > SMALL_MESSAGE_BYTES or not self.core.respond_at_once(number, answered[0], size):
            self._respond(number, answered.response(), answered.request_id)

    def _open(self, number: int, call: Call, data: bytes, ends: bool, request_id: str) -> None:
        """A call whose message is still to come, or that has several."""
        calls = self.calls
        unary, streaming = calls.unary.get(call.path), calls.streaming.get(call.path)
        if call.refusal is not None:
            self._respond(number, calls.refuse(call.refusal, call.status), request_id)
        elif streaming is not None:
            conversation = StreamingExchange(self, number, call, request_id, streaming)
            self._exchanges[number] = conversation
            if ends:
                conversation.hear(data, ends=True)
        elif unary is None:
            self._respond(number, calls.refuse_unknown(), request_id)
        elif (refusal := calls.refuse_more()) is not None:
            self._respond(number, refusal, request_id)
        else:
            exchange = UnaryExchange(self, number, call, request_id, unary)
            self._exchanges[number] = exchange
            exchange.receive()

    def _take(self, event: Event[Call]) -> None:
        """What happens to a call that has begun."""
        number = event.stream
        exchange = self._exchanges.get(number)
        if isinstance(event, Sent):
            self._release(number)
        elif isinstance(event, Data):
            if exchange is not None:
                exchange.hear(event.data, ends=event.ends)
        else:
            if isinstance(event, Rejected):
                self.calls.count(FAULT_REASONS.get(event.code, Reason.MALFORMED_MESSAGE))
            if exchange is not None:
                exchange.give_up() if isinstance(event, Reset) else exchange.stop()
            self.forget(number)

    def _respond(self, number: int, response: Response, request_id: str) -> None:
        """Answer a call; what of it has to wait is accounted for until it has gone."""
        if response.data_bytes > SMALL_MESSAGE_BYTES:
            try:
                self.hold(number, response.data_bytes)
            except Refusal as refusal:
                response = self.calls.refuse(refusal)
        self.core.respond(number, response, compose_tail(request_id))
        if not self.core.waiting(number):
            self._release(number)

    def _release(self, number: int) -> None:
        size = self._held.pop(number, 0)
        if size:
            self.calls.held.give_back(self._name, size)

    def _write(self) -> None:
        output = self.core.take_output()
        if output and self._transport is not None:
            self._transport.write(b"".join(output))

    def _turn_away(self, fault: ConnectionFault) -> None:
        """End before anything was read."""
        self.calls.count(FAULT_REASONS.get(fault.code, Reason.MALFORMED_MESSAGE))
        self.core.fail(fault)
        self._write()
        self._close()

    def _end_badly(self, fault: ConnectionFault) -> None:
        """Say what is wrong, and end: nothing that follows can be read.

        Our half only: closing at once, with bytes of the client's unread, would destroy what was just written. The rest is
        read and thrown away until the client closes or the time for that is over.
        """
        self.calls.count(FAULT_REASONS.get(fault.code, Reason.MALFORMED_MESSAGE))
        self._is_open = False
        for exchange in self._exchanges.values():
            exchange.stop()
        self._forget_all()
        self._write()
        self._end_gently()

    def _end_gently(self) -> None:
        """Close our half, and read and throw away what still comes: a call that crosses our last word would be answered by a
        reset, and its client could not know that it may ask again."""
        transport = self._transport
        if transport is None or self._has_ended or not transport.can_write_eof():
            self._close()
        elif not transport.is_closing():
            self._is_open = False
            self.lingers = True
            transport.write_eof()
            self._ends_at_s = self._host.now_s + self.calls.limits.linger_s
            self._host.conclude(self)

    def _forget_all(self) -> None:
        self._exchanges = {}
        for number in tuple(self._held):
            self._release(number)

    def _check_open(self, now_s: float) -> None:
        limits = self.calls.limits
        for number in self.core.stalled(int(limits.drain_timeout_s / limits.sweep_s)) if self.core.open_streams else ():
            self.calls.count(Reason.TIMEOUT)
            self.core.reset(number, ErrorCode.CANCEL)
            self.forget(number)
            self.wake()
        silence_s = now_s - self._heard_s
        if silence_s > limits.keepalive_s + limits.keepalive_wait_s:
            self.abort()
        elif silence_s > limits.keepalive_s and self._probed_s <= self._heard_s:
            self._probed_s = now_s
            self.core.ping(_PROBE)
            self.wake()
        if now_s - self._made_s > limits.connection_age_s:
            self.retire()
            self._ends_at_s = now_s + limits.connection_grace_s

    def _time_out(self) -> None:
        self.calls.count(Reason.TIMEOUT)
        self.abort()

    def _close(self) -> None:
        """Close when what was written has been taken, which must not take longer than the drain timeout."""
        if self._transport is not None:
            self._is_open = False
            self._ends_at_s = self._host.now_s + self.calls.limits.drain_timeout_s
            self._transport.close()

    def _regulate(self) -> None:
        """Read exactly while what is read can be worked on, or is to be thrown away."""
        blocked = self._is_open and (self._is_scheduled or self._stalled_s != _NEVER)
        if self._is_reading is not blocked or self._has_ended or self._transport is None or self._transport.is_closing():
            return
        self._is_reading = not blocked
        if blocked:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


# Most connections never hold anything large; this one stays empty.
_NOTHING: Final[dict[int, int]] = {}
