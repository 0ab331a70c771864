"""The committer as doors see it: `proto.ports.Committer`, in the event loop, in front of the writer's thread.

Commands go into the queue of their account; groups come back, each with one call into the loop. A committed command is
answered when all readers show it; a conflict or a refusal at once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, cast

from proto.errors import Reason, Refusal
from proto.metrics import Metrics
from proto.model.change import Position, Row
from proto.ports import Clock, Command, Committed, Conflict
from proto.tables import unpack_memory
from registry.commit.queues import FairQueues
from registry.commit.transaction import DAY_MS, Prepared, idempotency_keys, prepare, replay
from registry.commit.wake_server import WakeServer
from registry.commit.writer import Done, Outcome, Queued
from registry.store.port import Store, StoreFailed, Transaction

# A refusal of these counts as a failure of the node, any other as one of the command.
_FAILURES: Final = frozenset({Reason.STORE_FAILED, Reason.STORAGE_FULL, Reason.INTERNAL})

# What `recall` queues to learn that the writer has gone on.
_ITS_TURN: Final = Prepared(Transaction(), 0, 1)


Witness = Callable[[Position, int, Sequence[Row]], None]
"""Is told of a change that was committed: its position, its time (UTC ms), its rows."""


class GroupCommitter:
    """Implements `proto.ports.Committer`. All methods belong to the event loop's thread.

    `witness`, if there is one, is told of changes in their order, before those who sent them. It may miss some: when it was
    not there yet, and what was committed by a group of which nothing was known until the store was open again.
    """

    witness: Witness | None = None

    def __init__(self, queues: FairQueues[Queued], store: Store, wake: WakeServer, clock: Clock, metrics: Metrics) -> None:
        self._queues = queues
        self._store = store
        self._wake = wake
        self._clock = clock
        self._metrics = metrics
        self._day = 0
        self._will_ring = False

    async def commit(self, command: Command) -> Committed:
        """See the port. A sender that goes away does not take its command back: it is committed all the same."""
        try:
            return await self._enqueue(command, prepare(command, self._today()))
        except Refusal as refusal:
            self._metrics.commits.labels("failed" if refusal.reason in _FAILURES else "refused").inc()
            raise

    async def recall(self, account: str, idempotency_key: str, body_digest: bytes) -> Committed | None:
        """See the port."""
        names = idempotency_keys(account, idempotency_key, self._today())
        if not any(self._read(names)):
            return None
        # What is there may be part of a group that is just being synced: it counts when the writer has gone on.
        await self._enqueue(Command(account, "", ()), _ITS_TURN)
        found = next((value for value in self._read(names) if value is not None), None)
        return replay(unpack_memory(found[1]), body_digest) if found is not None else None

    def publish(self, done: Done) -> None:
        """Tell senders and readers what became of a group."""
        now_s = self._clock.monotonic()
        shown: list[tuple[Queued, Committed]] = []
        for queued, outcome in done.outcomes:
            if isinstance(outcome, Committed):
                self._metrics.commit_seconds.observe(now_s - queued.arrived_s)
                shown.append((queued, outcome))
                if self.witness is not None and not outcome.replayed:
                    self.witness(outcome.position, outcome.time_ms, queued.command.rows)
            else:
                _answer(queued, outcome)
        self._count(done)
        if shown:
            self._wake.announce(done.head, lambda: _answer_all(shown))

    async def _enqueue(self, command: Command, prepared: Prepared) -> Committed:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Committed] = loop.create_future()
        self._queues.put(command.account, Queued(command, prepared, self._clock.monotonic(), future), prepared.size)
        if not self._will_ring:
            # After everything else that is due in this turn of the loop: the senders of a group that has just been
            # answered come back together, and the writer should find them all, not wake up for the first.
            self._will_ring = True
            loop.call_soon(self._ring)
        return await future

    def _ring(self) -> None:
        self._will_ring = False
        self._queues.ring()

    def _read(self, names: Sequence[bytes]) -> list[tuple[int, bytes] | None]:
        try:
            return self._store.get(names)
        except StoreFailed as failure:
            raise Refusal(Reason.STORE_FAILED, str(failure)) from failure

    def _today(self) -> int:
        # A clock that is set back must not let a key be forgotten that has been written under a later day.
        self._day = max(self._day, self._clock.now_ms() // DAY_MS)
        return self._day

    def _count(self, done: Done) -> None:
        kinds = Counter(_kind(queued, outcome) for queued, outcome in done.outcomes)
        for kind, count in kinds.items():
            if kind:
                self._metrics.commits.labels(kind).inc(count)


def _kind(queued: Queued, outcome: Outcome) -> str:
    """The outcome's label; refusals are counted where they are raised, and `recall` only waits for its turn."""
    if isinstance(outcome, Conflict):
        return "conflict"
    if isinstance(outcome, Refusal) or queued.prepared is _ITS_TURN:
        return ""
    if outcome.replayed:
        return "replayed"
    return "committed" if queued.command.rows else "refused"


def _answer_all(shown: Sequence[tuple[Queued, Committed]]) -> None:
    for queued, outcome in shown:
        _answer(queued, outcome)


def _answer(queued: Queued, outcome: Outcome) -> None:
    future = cast("asyncio.Future[Committed]", queued.sender)
    if future.done():  # its sender has gone away
        return
    if isinstance(outcome, Committed):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
