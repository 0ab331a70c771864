"""From a plan to a committed change: every write of every door goes this way.

    recall the idempotency key → let the view catch up → plan → commit → (conflict: read again, plan again)

What is refused for a reason that will not pass by itself is remembered under the key as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from proto.errors import Refusal
from proto.model.change import Position
from proto.ports import Clock, Committer, FollowingReader, Stream
from registry.service.context import Context
from registry.service.plan import Plan, RowOutcome


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to: one outcome for each thing asked, visible from `position` on.

    `time_ms` is that of the change, 0 if there is none; `replayed` says that this is the outcome of an earlier request
    with the same idempotency key.
    """

    outcomes: tuple[RowOutcome, ...]
    position: Position
    time_ms: int = 0
    replayed: bool = False


class Executor:
    """Carries plans out."""

    def __init__(self, reader: FollowingReader, committer: Committer, stream: Stream, clock: Clock) -> None:
        self.reader = reader
        self.clock = clock
        self._committer = committer
        self._stream = stream

    async def execute(self, context: Context, make_plan: Callable[[int], Plan]) -> Written:
        """Commit what `make_plan(now_ms)` plans; it is called again after a conflict, with a newer view.

        Raises `Refusal`: what `make_plan` raises, what the committer raises, and OVERLOADED if conflicts do not end.
        """
        raise NotImplementedError

    async def refuse(self, context: Context, refusal: Refusal) -> NoReturn:
        """Refuse a request that could not even be read, under its idempotency key if it has one."""
        raise NotImplementedError

    async def catch_up(self) -> None:
        """Wait until the view shows everything that is acknowledged. Raises `Refusal(NOT_READY)`."""
        raise NotImplementedError
