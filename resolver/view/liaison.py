"""What this reader and the committer tell each other, kept as state: the newest head, whose turn it is to switch, who is ready.

A reader says READY before it answers anybody and hears the newest acknowledged position in return, which it applies first: so a
write that was acknowledged without waiting for this reader is visible through it from its first answer on.
"""

from pathlib import Path
from typing import Final

from proto.model.change import START, Position
from proto.ports import Clock
from proto.wake import SOCKET_NAME, Message, Signal
from resolver.view.waiting import Bell
from resolver.view.wake import WakeClient

# A committer that has not answered READY by now is stuck; a reader does not stay closed for that.
GREETING_WAIT_S: Final = 1.0


class Liaison:
    """One reader's side of the conversation in the folder `run`."""

    def __init__(self, run: Path, clock: Clock) -> None:
        self._clock = clock
        self._bell = Bell()
        self._client = WakeClient(run / SOCKET_NAME, self._hear, self._begin, self._bell.ring)
        self._standing: tuple[Position, Position] | None = None
        self._told = START
        self._heads_due = 0
        self._greeting_due_s = 0.0
        self.head = START
        """The newest position that the committer has named; `START` if none is known."""
        self.switch_to: Position | None = None
        """The checkpoint that it is this reader's turn to move to."""

    @property
    def goal(self) -> Position:
        """How far the changes are known to be in the segments."""
        return max(self.head, self.switch_to or START)

    def start(self) -> None:
        self._client.start()

    async def close(self) -> None:
        await self._client.close()

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    @property
    def is_greeted(self) -> bool:
        """Whether this reader may answer: the committer knows of it and `head` says what to apply first, or there is none."""
        if not self.is_connected:
            return self._client.has_tried
        return self._heads_due == 0 or self._clock.monotonic() >= self._greeting_due_s

    async def wait(self, timeout_s: float) -> bool:
        """Wait for news, at most `timeout_s`; whether there were any."""
        return await self._bell.wait(timeout_s)

    def introduce(self, position: Position, base: Position) -> None:
        """Be ready at `position`, on the checkpoint at `base`, now and after every new connection."""
        if self._standing is None:
            self._standing = (position, base)
            self._say_ready()

    def retreat(self) -> None:
        """Be ready no more."""
        if self._standing is not None:
            self._client.send(Signal.UNREADY, self._standing[0])
            self._standing = None

    def report(self, position: Position) -> None:
        """Everything up to `position` is shown."""
        if self._standing is not None and position != self._told:
            self._standing = (position, self._standing[1])
            self._told = position
            self._client.send(Signal.APPLIED, position)

    def answer_switch(self, base: Position) -> None:
        """This reader stands on the checkpoint at `base` now, whether it was told to move there or not."""
        self.switch_to = None
        if self._standing is not None:
            self._standing = (self._standing[0], base)
        self._client.send(Signal.SWITCHED, base)

    def _begin(self) -> None:
        """A new connection: what the committer before it said of its head is void."""
        self.head, self.switch_to = START, None
        self._say_ready()
        self._bell.ring()

    def _say_ready(self) -> None:
        if self._standing is not None:
            position, base = self._standing
            # A committer names its head to everybody who connects, and again to who says READY: that one counts.
            self._heads_due = 2 if self.head == START else 1
            self._greeting_due_s = self._clock.monotonic() + GREETING_WAIT_S
            self._told = position
            self._client.send(Signal.READY, position)
            self._client.send(Signal.SWITCHED, base)

    def _hear(self, message: Message) -> None:
        if message.signal is Signal.HEAD:
            self.head = max(self.head, message.position)
            self._heads_due = max(0, self._heads_due - 1)
        elif message.signal is Signal.SWITCH:
            self.switch_to = message.position
        self._bell.ring()
