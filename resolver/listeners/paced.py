"""A connection over TCP that is read in turns, and only while what is read can be worked on.

It is not read while too many answers are waited for, while its client does not take what was written, or until its turn comes
again: the kernel then slows the client down. It holds no timer: the listener's sweep (`resolver.listeners.crowd`) calls
`check`, which ends it when its client does not drain, does not complete a message, or has been idle for too long.
"""

import asyncio
from abc import ABC, abstractmethod
from typing import Final, Generic, Protocol, TypeVar, cast

from proto.errors import Reason

NEVER: Final = -1.0


class PacedLimits(Protocol):
    """What such a connection lets its client do."""

    @property
    def idle_timeout_s(self) -> float: ...

    @property
    def message_timeout_s(self) -> float: ...

    @property
    def drain_timeout_s(self) -> float: ...

    @property
    def max_pipelined(self) -> int:
        """Questions that wait for an answer."""

    @property
    def write_buffer_bytes(self) -> int: ...


class Counting(Protocol):
    """What counts the faults of clients."""

    def count(self, reason: Reason) -> None: ...


class PacedHost(Protocol):
    """What such a connection knows of its listener."""

    @property
    def dialogue(self) -> Counting: ...

    @property
    def limits(self) -> PacedLimits: ...

    @property
    def now_s(self) -> float:
        """Coarse monotonic seconds, moved on by the listener's sweep."""


H = TypeVar("H", bound=PacedHost)


class PacedConnection(asyncio.Protocol, Generic[H], ABC):
    """What is the same whatever is asked; what differs is `_work` and the questions below."""

    __slots__ = (
        "_active_s", "_begun_s", "_has_ended", "_host", "_is_open", "_is_reading", "_is_scheduled", "_peer", "_stalled_s",
        "_transport",
    )  # fmt: skip

    def __init__(self, host: H) -> None:
        self._host: Final = host
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._is_open = True  # more questions are taken
        self._has_ended = False  # the client sends no more
        self._is_reading = True  # the transport reads
        self._is_scheduled = False  # `_work` is about to be called
        self._active_s = host.now_s  # when something last came
        self._begun_s = NEVER  # when the message began that is still incomplete
        self._stalled_s = NEVER  # since when the client has not taken what was written

    @abstractmethod
    def _work(self) -> None:
        """Answer what has come, as far as this turn goes."""

    @abstractmethod
    def _waiting(self) -> int:
        """How many questions wait for their answers."""

    @abstractmethod
    def _give_up(self) -> None:
        """The message that was begun has not been completed in time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of asyncio's kind without saying so.
        self._transport = made = cast(asyncio.Transport, transport)
        peer = made.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""  # none if it has gone already
        made.set_write_buffer_limits(high=self._host.limits.write_buffer_bytes)

    def pause_writing(self) -> None:
        self._stalled_s = self._host.now_s
        self._regulate()

    def resume_writing(self) -> None:
        self._stalled_s = NEVER
        self._schedule()

    def check(self, now_s: float) -> None:
        """End the connection if its client is overdue with anything."""
        limits = self._host.limits
        if self._stalled_s != NEVER:
            if now_s - self._stalled_s > limits.drain_timeout_s:
                self._host.dialogue.count(Reason.TIMEOUT)
                self.abort()
        elif self._begun_s != NEVER:
            if now_s - self._begun_s > limits.message_timeout_s:
                self._give_up()
        elif now_s - self._active_s > limits.idle_timeout_s and not self._is_scheduled and not self._waiting():
            self._close()

    def retire(self) -> None:
        """Take no more questions; close when those that were read are answered."""
        self._is_open = False
        self._schedule()

    def abort(self) -> None:
        """Close now, whatever is under way."""
        if self._transport:
            self._transport.abort()

    def _end_half(self) -> None:
        """End our half after a last word that tells what is wrong.

        Closing at once, with bytes of the client's unread, would destroy what was just written. The rest of the client's is
        read and thrown away until it closes or the drain timeout ends it.
        """
        if self._has_ended:
            self._close()
        elif self._transport:
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
        blocked = self._is_scheduled or self._stalled_s != NEVER or self._waiting() >= self._host.limits.max_pipelined
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
