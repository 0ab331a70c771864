"""The committer's end of the wake-up socket (`proto.wake`): tells readers what is new, and waits for those that answer.

    HEAD      to all, after every group; a reader that does not read gets only the newest when it does
    APPLIED   a write is shown to its sender when every ready reader has it, or after `VISIBILITY_WAIT_S`
    SWITCH    to one reader at a time, so that never all of them pause for a new checkpoint at once

A reader says READY before it opens its listeners and opens them when it shows the HEAD that comes back: so there is no
moment in which a write could be acknowledged that it does not show. Runs in the event loop, in one thread.
"""

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from proto.limits import VISIBILITY_WAIT_S
from proto.metrics import Metrics
from proto.model.change import START, Position
from proto.ports import Clock
from proto.wake import SOCKET_NAME, Message, Signal, compose_message, parse_messages

log = logging.getLogger(__name__)

# Workers, the registry itself, adapters: a process more than that has lost its way.
MAX_READERS: Final = 256

# A reader opens a checkpoint in milliseconds; if it does not say so, the next one may.
SWITCH_WAIT_S: Final = 5.0

# A ready reader that shows nothing new for so long although there is, or stays on an old checkpoint: it is stuck, and
# nobody shall wait for it. It may come back.
STUCK_S: Final = 5.0
STUCK_ON_CHECKPOINT_S: Final = 30.0
_LOOK_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    position: Position
    since_s: float
    shown: Callable[[], None]


class WakeServer:
    """Listens in the folder `run`."""

    def __init__(self, run: Path, clock: Clock, metrics: Metrics) -> None:
        self._run = run
        self._clock = clock
        self._metrics = metrics
        self._server: asyncio.Server | None = None
        self._readers: set[_Reader] = set()
        self._head = START
        self._waiting: deque[_Waiting] = deque()
        self._overdue: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._switch = _Switch(self)
        self.oldest_base: Position | None = None
        """The oldest checkpoint that a ready reader answers from; None: there is no ready reader. Any thread may read it."""

    async def start(self, head: Position, checkpoint: Position) -> None:
        """Listen; `head` is the last durable change, `checkpoint` the newest checkpoint."""
        self._head = head
        self._switch.newest = checkpoint
        self._run.mkdir(exist_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Reader(self), sock=_bind(self._run))
        self._look = loop.call_later(_LOOK_EVERY_S, self._look_for_stuck)

    async def close(self) -> None:
        """Hang up; whoever waits for readers has waited enough."""
        for timer in (self._look, self._overdue):
            if timer is not None:
                timer.cancel()
        self._switch.cancel()
        if self._server is not None:
            self._server.close()
            for reader in list(self._readers):
                reader.hang_up()
            await self._server.wait_closed()
            (self._run / SOCKET_NAME).unlink(missing_ok=True)
        self._show(lambda _: True)

    def announce(self, head: Position, shown: Callable[[], None]) -> None:
        """Changes up to `head` are durable and in the segments; `shown` is called when every ready reader shows them."""
        if head > self._head:
            self._head = head
            message = compose_message(Signal.HEAD, head)
            for reader in self._readers:
                reader.tell(message)
        self._waiting.append(_Waiting(head, self._clock.monotonic(), shown))
        self.settle()

    def switch(self, checkpoint: Position) -> None:
        """There is a new checkpoint: have the readers move to it, one after the other."""
        self._switch.begin(checkpoint)

    def settle(self) -> None:
        """The readers have moved, or are others: show what can be shown."""
        ready = self.ready_readers
        self.oldest_base = min((reader.base for reader in ready), default=None)
        floor = min((reader.applied for reader in ready), default=None)
        self._show(lambda waiting: floor is None or waiting.position <= floor)
        if self._waiting and self._overdue is None:
            self._await_overdue()

    def _show(self, is_due: Callable[[_Waiting], bool]) -> None:
        now_s = self._clock.monotonic()
        while self._waiting and is_due(self._waiting[0]):
            waiting = self._waiting.popleft()
            self._metrics.visibility_seconds.observe(now_s - waiting.since_s)
            waiting.shown()

    def _await_overdue(self) -> None:
        left_s = self._waiting[0].since_s + VISIBILITY_WAIT_S - self._clock.monotonic()
        self._overdue = asyncio.get_running_loop().call_later(max(left_s, 0.0), self._show_overdue)

    def _show_overdue(self) -> None:
        self._overdue = None
        latest_s = self._clock.monotonic() - VISIBILITY_WAIT_S
        self._show(lambda waiting: waiting.since_s <= latest_s)
        if self._waiting:
            self._await_overdue()

    def _look_for_stuck(self) -> None:
        now_s = self._clock.monotonic()
        for reader in self.ready_readers:
            if reader.is_stuck(now_s, self._head, self._switch.newest):
                log.warning("a reader does not follow; no longer waiting for it", extra={"applied": str(reader.applied)})
                reader.hang_up()
        self._look = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look_for_stuck)

    def joined(self, reader: "_Reader") -> bool:
        """Whether there is room for one more; it is told where the stream stands."""
        if len(self._readers) >= MAX_READERS:
            log.error("too many readers; one was turned away", extra={"limit": MAX_READERS})
            return False
        self._readers.add(reader)
        reader.tell(compose_message(Signal.HEAD, self._head))
        return True

    def left(self, reader: "_Reader") -> None:
        self._readers.discard(reader)
        self._switch.done(reader)
        self.settle()

    def heard(self, reader: "_Reader", message: Message) -> None:
        """What a reader says. Raises `ValueError` for what only the committer says."""
        match message.signal:
            case Signal.READY:
                reader.is_ready, reader.applied = True, message.position
                reader.base = max(reader.base, self._switch.newest)
                reader.tell(compose_message(Signal.HEAD, self._head))
            case Signal.APPLIED:
                reader.applied = message.position
            case Signal.UNREADY:
                reader.is_ready = False
                self._switch.done(reader)
            case Signal.SWITCHED:
                was_asked = self._switch.done(reader)
                reader.base = message.position
                if not was_asked:
                    self._switch.offer(reader)
            case _:
                raise ValueError(f"{message.signal.name} from a reader")

    @property
    def ready_readers(self) -> "list[_Reader]":
        return [reader for reader in self._readers if reader.is_ready]


class _Reader(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: WakeServer) -> None:
        self.is_ready = False
        self.applied = START
        self.base = START
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._is_paused = False
        self._unsent: dict[Signal, bytes] = {}
        self._fine_s: float | None = None
        self._fresh_s: float | None = None
        self._seen = START

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses
        # Whatever the kernel does not take at once is ours to keep short: see `tell`.
        self._transport.set_write_buffer_limits(high=0)
        if not self._server.joined(self):
            self.hang_up()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self.is_ready = False
        self._server.left(self)

    def data_received(self, data: bytes) -> None:
        try:
            messages, self._rest = parse_messages(self._rest + data)
            for message in messages:
                self._server.heard(self, message)
        except ValueError as error:
            log.warning("a reader speaks another language", extra={"error": str(error)})
            self.hang_up()
        self._server.settle()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        unsent, self._unsent = self._unsent, {}
        for message in unsent.values():
            self.tell(message)

    def tell(self, message: bytes) -> None:
        """Send a message; to a reader that does not read, only the newest of each kind, and later."""
        if self._is_paused:
            self._unsent[parse_messages(message)[0][0].signal] = message
        elif self._transport is not None:
            self._transport.write(message)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def is_stuck(self, now_s: float, head: Position, checkpoint: Position) -> bool:
        """Whether it has shown nothing new, or stayed on an old checkpoint, for too long."""
        if self._fine_s is None or self.applied >= head or self.applied != self._seen:
            self._fine_s, self._seen = now_s, self.applied
        if self._fresh_s is None or self.base >= checkpoint:
            self._fresh_s = now_s
        return now_s - self._fine_s > STUCK_S or now_s - self._fresh_s > STUCK_ON_CHECKPOINT_S


class _Switch:
    """Whose turn it is to move to the newest checkpoint."""

    def __init__(self, server: WakeServer) -> None:
        self.newest = START
        self._server = server
        self._queue: deque[_Reader] = deque()
        self._current: _Reader | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, checkpoint: Position) -> None:
        self.newest = checkpoint
        self._queue = deque(self._server.ready_readers)
        self._go_on()

    def offer(self, reader: _Reader) -> None:
        """A reader stands on a checkpoint that it chose by itself, which may be an old one."""
        if reader.base < self.newest and reader not in self._queue:
            self._queue.append(reader)
            self._go_on()

    def done(self, reader: _Reader) -> bool:
        """A reader has answered, or will not; whether it was its turn."""
        if reader is not self._current:
            return False
        self.cancel()
        self._go_on()
        return True

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._current = None

    def _go_on(self) -> None:
        while self._current is None and self._queue:
            reader = self._queue.popleft()
            if reader.is_ready and reader.base < self.newest:
                self._current = reader
                self._timer = asyncio.get_running_loop().call_later(SWITCH_WAIT_S, self._give_up)
                reader.tell(compose_message(Signal.SWITCH, self.newest))

    def _give_up(self) -> None:
        log.warning("a reader does not move to the newest checkpoint; the next one may", extra={"newest": str(self.newest)})
        self.cancel()
        self._go_on()


def _bind(run: Path) -> socket.socket:
    """A listening socket. Its path may be longer than the 108 bytes that the kernel takes: it is named by its folder."""
    (run / SOCKET_NAME).unlink(missing_ok=True)
    folder = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
        (run / SOCKET_NAME).chmod(0o600)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    finally:
        os.close(folder)
    return listening
