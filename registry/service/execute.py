"""From a plan to a committed change: every write of every door goes this way.

    recall the idempotency key → let the view catch up → plan → commit → (conflict: read again, plan again)

The view catches up first because only what is written is guarded by expectations: what is refused or found unchanged is
decided by the view alone, and must not be decided by an old one. What is refused for a reason that will not pass by itself
is remembered under the idempotency key as well.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from proto.errors import Reason, Refusal
from proto.limits import FRESHNESS_WAIT_S, MAX_CHANGE_BYTES
from proto.model.change import START, Position
from proto.ports import Clock, Command, Committed, Committer, Conflict, FollowingReader, Stream
from proto.stream import compose_payload
from registry.service.context import Context
from registry.service.memory import compose_outcome, parse_outcome
from registry.service.plan import Plan, RowOutcome

log = logging.getLogger(__name__)

# Each conflict means that somebody else's write to the same thing went through; who loses this often finds a crowd there.
MAX_ATTEMPTS: Final = 32
CROWDED_RETRY_S: Final = 1.0

# Trying again may help with these, so a key must not hold on to them.
PASSING: Final = frozenset({
    Reason.UNAUTHENTICATED, Reason.IDEMPOTENCY_MISMATCH, Reason.QUOTA_EXCEEDED, Reason.OVERLOADED, Reason.STORAGE_FULL,
    Reason.STORE_FAILED, Reason.NOT_READY, Reason.TIMEOUT, Reason.INTERNAL,
})  # fmt: skip


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

        Raises `Refusal`: what `make_plan` raises, what the committer raises, BATCH_TOO_LARGE, NOT_READY, and OVERLOADED
        if conflicts do not end.
        """
        remembered = await self._recall(context)
        if remembered is not None:
            return self._replay(remembered)
        await self.catch_up()
        try:
            return await self._attempt(context, make_plan)
        except Refusal as refusal:
            await self._remember(context, refusal)
            raise

    async def refuse(self, context: Context, refusal: Refusal) -> NoReturn:
        """Refuse a request that could not even be read, under its idempotency key if it has one."""
        remembered = await self._recall(context)
        if remembered is not None:
            self._replay(remembered)
        else:
            await self._remember(context, refusal)
        raise refusal

    async def catch_up(self, after: Position = START) -> None:
        """Wait until the view shows everything that is acknowledged, and `after`. Raises `Refusal(NOT_READY)`."""
        wanted = max(self._stream.head(), after)
        if self.reader.position < wanted:
            await self._reach(wanted)

    async def _attempt(self, context: Context, make_plan: Callable[[int], Plan]) -> Written:
        for _ in range(MAX_ATTEMPTS):
            plan = make_plan(self.clock.now_ms())
            outcomes = tuple(plan.outcomes)
            if not plan.rows and not _is_remembered(context):
                return Written(outcomes, self.reader.position)
            try:
                committed = await self._committer.commit(_command(context, plan))
            except Conflict as conflict:
                await self._reach(conflict.position)
                continue
            if committed.replayed:
                return self._replay(committed)
            if not plan.rows:
                return Written(outcomes, self.reader.position)
            _tell(context, committed, len(plan.rows))
            return Written(outcomes, committed.position, committed.time_ms)
        raise Refusal(Reason.OVERLOADED, "others go on writing to the same things", retry_after_s=CROWDED_RETRY_S)

    async def _recall(self, context: Context) -> Committed | None:
        if not _is_remembered(context):
            return None
        return await self._committer.recall(context.caller.account, context.idempotency_key, context.body_digest)

    async def _remember(self, context: Context, refusal: Refusal) -> None:
        """Keep a refusal under its key. Raises the remembered one if the same request was settled in the meantime."""
        if not _is_remembered(context) or refusal.reason in PASSING:
            return
        committed = await self._committer.commit(_command(context, Plan(), refusal))
        if committed.replayed:
            parse_outcome(committed.outcome)

    def _replay(self, committed: Committed) -> Written:
        """The first outcome again. Raises the first refusal again."""
        outcomes = parse_outcome(committed.outcome)
        position = self.reader.position if committed.position == START else committed.position
        return Written(outcomes, position, committed.time_ms, replayed=True)

    async def _reach(self, position: Position) -> None:
        if not await self.reader.reach(position, FRESHNESS_WAIT_S):
            why = f"the registry does not show its newest changes yet, after {FRESHNESS_WAIT_S:g} s"
            raise Refusal(Reason.NOT_READY, why, retry_after_s=FRESHNESS_WAIT_S)


def _tell(context: Context, committed: Committed, rows: int) -> None:
    """What a request led to, for who searches the logs by its id."""
    if log.isEnabledFor(logging.DEBUG):
        facts = {"account": context.caller.account, "position": committed.position.to_cursor(), "rows": rows}
        log.debug("committed", extra={"request_id": context.request_id, **facts})


def _is_remembered(context: Context) -> bool:
    """Keys are per account: nobody in particular has none."""
    return bool(context.idempotency_key) and not context.caller.is_anonymous


def _command(context: Context, plan: Plan, refusal: Refusal | None = None) -> Command:
    payload = compose_payload(plan.rows) if plan.rows else b""
    if len(payload) > MAX_CHANGE_BYTES:
        why = f"the change is {len(payload)} bytes; one change is at most {MAX_CHANGE_BYTES}: send fewer rows at a time"
        raise Refusal(Reason.BATCH_TOO_LARGE, why)
    remembered = _is_remembered(context)
    return Command(
        account=context.caller.account,
        request_id=context.request_id,
        rows=plan.rows,
        claims=plan.claims,
        releases=plan.releases,
        traceparent=context.traceparent,
        idempotency_key=context.idempotency_key if remembered else "",
        body_digest=context.body_digest if remembered else b"",
        outcome=compose_outcome(plan.outcomes, refusal) if remembered else b"",
        payload=payload,
    )
