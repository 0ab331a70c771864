"""A call that is not answered in the turn in which it begins: its message or its answer is still to come, or it has several.

An exchange ends once: when it is answered, when its client gives it up, or when its time is over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from proto.convert import refusal_failure
from proto.errors import Reason, Refusal
from proto.limits import DEADLINE_SLACK_S
from proto.wire.grpc.call import Call
from proto.wire.grpc.held import SMALL_MESSAGE_BYTES
from proto.wire.grpc.message import MISCOUNTED, UNFINISHED, MessageReader, compose_message
from proto.wire.grpc.response import HEAD, compose_tail, failure_block, success_block
from proto.wire.http2.connection import ServerConnection
from proto.wire.http2.response import Response
from resolver.listeners.grpc.calls import Calls, Unary
from resolver.listeners.grpc.limits import (
    MAX_BACKLOG_BYTES,
    MAX_SMALL_QUESTION_BYTES,
    OVERLOAD_RETRY_S,
)
from resolver.listeners.grpc.streaming import Conversation, Speaker


class Line(Protocol):
    """What an exchange knows of its connection."""

    core: ServerConnection[Call]
    calls: Calls
    peer: str
    """The address that calls come from."""

    def finish(self, number: int, response: Response, request_id: str) -> None:
        """Answer a call, whole, and forget its exchange."""

    def forget(self, number: int) -> None:
        """An exchange is over."""

    def hold(self, number: int, size: int) -> None:
        """Account for bytes until the call is over. Raises `Refusal(OVERLOADED)`."""

    def wake(self) -> None:
        """The core has something to send."""


class Exchange:
    """What calls of both kinds share: their number, their name, and their deadline."""

    __slots__ = ("_call", "_deadline", "_ends_at_s", "_is_over", "_line", "_number", "_request_id")

    def __init__(self, line: Line, number: int, call: Call, request_id: str) -> None:
        self._line = line
        self._number = number
        self._call = call
        self._request_id = request_id
        self._is_over = False
        self._deadline: asyncio.TimerHandle | None = None
        self._ends_at_s = 0.0
        if call.timeout_s is not None:
            loop = asyncio.get_running_loop()
            self._ends_at_s = loop.time() + call.timeout_s
            self._deadline = loop.call_at(self._ends_at_s, self._expire)

    def hear(self, data: bytes, *, ends: bool) -> None:
        """More of what the client says; all of it if it `ends`."""

    def stop(self) -> None:
        """The call is over."""
        if not self._is_over:
            self._is_over = True
            self._clean()

    def _clean(self) -> None:
        """Let go of everything, once."""
        if self._deadline is not None:
            self._deadline.cancel()

    def give_up(self) -> None:
        """The client has given the call up; shortly before its deadline, it is because of that."""
        if self._deadline is not None and asyncio.get_running_loop().time() >= self._ends_at_s - DEADLINE_SLACK_S:
            self._line.calls.count(Reason.TIMEOUT)
        self.stop()

    def lose(self) -> None:
        """The client has gone."""
        self.give_up()

    def cut(self) -> None:
        """The client can say no more."""

    def _expire(self) -> None:
        self._finish(self._line.calls.refuse_late())

    def _refuse(self, refusal: Refusal) -> None:
        self._finish(self._line.calls.refuse(refusal))

    def _finish(self, response: Response) -> None:
        self.stop()
        self._line.finish(self._number, response, self._request_id)


class UnaryExchange(Exchange):
    """A call with one message and one answer."""

    __slots__ = ("_is_held", "_message_wait", "_method", "_parts", "_reader", "_task")

    def __init__(self, line: Line, number: int, call: Call, request_id: str, method: Unary) -> None:
        super().__init__(line, number, call, request_id)
        self._method = method
        self._reader = MessageReader(call.encoding, method.max_message_bytes)
        self._parts: list[bytes] = []
        self._is_held = False
        self._task: asyncio.Task[None] | None = None
        self._message_wait: asyncio.TimerHandle | None = None
        line.calls.open_calls += 1

    def receive(self) -> None:
        """Wait for the message."""
        wait_s = self._line.calls.limits.message_wait_s
        self._message_wait = asyncio.get_running_loop().call_later(wait_s, self._give_up)

    def hear(self, data: bytes, *, ends: bool) -> None:
        self._reader.feed(data)
        try:
            message = self._reader.next_message()
            if message is not None:
                if self._parts:
                    raise Refusal(Reason.MALFORMED_MESSAGE, MISCOUNTED)
                self._parts.append(message)
            self._hold()
            if ends and (not self._parts or self._reader.buffered):
                raise Refusal(Reason.MALFORMED_MESSAGE, MISCOUNTED if self._parts else UNFINISHED)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if ends:
            self._stop_waiting()
            self._answer(self._parts.pop())

    def answer_later(self, answer: Awaitable[Response]) -> None:
        """The message was there at once; its answer was not."""
        self._task = asyncio.ensure_future(self._finish_with(answer))

    def lose(self) -> None:
        if self._task is None:
            self._line.calls.count(Reason.MALFORMED_MESSAGE)
            self.stop()
        else:
            self.give_up()

    def cut(self) -> None:
        if self._task is None:
            self._refuse(Refusal(Reason.MALFORMED_MESSAGE, UNFINISHED))

    def _answer(self, message: bytes) -> None:
        # It was unpacked: what the method sees is a call with its message as it would stand alone.
        call = Call(self._call.path, self._call.head)
        answer = self._line.calls.answer(self._method, call, compose_message(message), self._request_id, self._line.peer)
        if isinstance(answer, Response):
            self._finish(answer)
        else:
            self.answer_later(answer)

    def _hold(self) -> None:
        """Account for a large message as soon as its length is known."""
        size = max(self._reader.promised, sum(map(len, self._parts)))
        if size > SMALL_MESSAGE_BYTES and not self._is_held:
            self._is_held = True
            self._line.hold(self._number, size)

    async def _finish_with(self, answer: Awaitable[Response]) -> None:
        # In the step in which it is made: many that are made in one turn would all lie here before any is accounted for.
        response = await answer
        if not self._is_over:
            self._finish(response)

    def _give_up(self) -> None:
        wait_s = self._line.calls.limits.message_wait_s
        self._refuse(Refusal(Reason.TIMEOUT, f"no message came within {wait_s:g} seconds"))

    def _stop_waiting(self) -> None:
        if self._message_wait is not None:
            self._message_wait.cancel()
            self._message_wait = None

    def _clean(self) -> None:
        super()._clean()
        self._stop_waiting()
        self._line.calls.open_calls -= 1
        if self._task is not None and not self._task.done():
            # Behind its first step: what it waits for must have begun, or nobody ever ends that.
            asyncio.get_running_loop().call_soon(self._task.cancel)


class StreamingExchange(Exchange):
    """A call with several messages, either way. A `Conversation`."""

    __slots__ = ("_has_begun", "_reader", "_speaker")

    def __init__(self, line: Line, number: int, call: Call, request_id: str, method: Callable[[Conversation], Speaker]) -> None:
        super().__init__(line, number, call, request_id)
        self._reader = MessageReader(call.encoding, MAX_SMALL_QUESTION_BYTES)
        self._has_begun = False
        self._speaker = method(self)

    def hear(self, data: bytes, *, ends: bool) -> None:
        self._reader.feed(data)
        try:
            while not self._is_over and (message := self._reader.next_message()) is not None:
                self._speaker.hear(message)
            if ends and not self._is_over:
                if self._reader.buffered:
                    raise Refusal(Reason.MALFORMED_MESSAGE, UNFINISHED)
                self._speaker.hear_end()
        except Refusal as refusal:
            self._fail(refusal)

    def send(self, message: bytes) -> None:
        if self._is_over:
            return
        core = self._line.core
        if core.waiting(self._number) > MAX_BACKLOG_BYTES:
            why = "the answers of this call wait for its client: read them"
            self._fail(Refusal(Reason.OVERLOADED, why, retry_after_s=OVERLOAD_RETRY_S))
            return
        if not self._has_begun:
            self._has_begun = True
            core.send_headers(self._number, HEAD)
        core.send_data(self._number, compose_message(message))
        self._line.wake()

    def end(self) -> None:
        if not self._is_over:
            self._end(success_block(self._request_id))

    def _expire(self) -> None:
        self._fail(Refusal(Reason.TIMEOUT, "the call's deadline has passed"))

    def _fail(self, refusal: Refusal) -> None:
        if self._is_over:
            return
        if not self._has_begun:
            self._refuse(refusal)
            return
        self._line.calls.count(refusal.reason)
        self._end(failure_block(refusal_failure(refusal)) + compose_tail(self._request_id))

    def _end(self, block: bytes) -> None:
        """Say the last thing; a call without messages has a head all the same."""
        core = self._line.core
        if not self._has_begun:
            core.send_headers(self._number, HEAD)
        core.send_trailers(self._number, block)
        self.stop()
        self._line.forget(self._number)
        self._line.wake()

    def _clean(self) -> None:
        super()._clean()
        self._speaker.leave()
