"""The writer: one thread that takes commands by the group, makes them durable, and keeps the files in order between groups.

    take a group → room? → store (one sync for all) → segments → publish → checkpoint, log, old idempotency entries

Nothing is acknowledged before it is durable in the store; being in the segments comes next, and may be made up for later.
A store that has failed is opened again, and what it then holds decides what became of the group: see `StoreFailed`.
"""

import errno
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.keys import idempotency_bucket
from proto.limits import IDEMPOTENCY_DAYS
from proto.metrics import Metrics
from proto.model.change import START, Head, Position
from proto.ports import Clock, Command, Committed, Conflict
from proto.tables import unpack_memory
from registry.commit.checkpoints import Checkpoints
from registry.commit.queues import FairQueues
from registry.commit.segments import SegmentWriter
from registry.commit.space import SpaceGuard
from registry.commit.transaction import DAY_MS, Prepared, conflict_of, replay
from registry.store.port import Applied, Mismatch, Store, StoreFailed, Unusable

log = logging.getLogger(__name__)

# One sync serves a group. More commands gain nothing, and a single write that waits behind a group of an import's batches
# should not wait long: this is some 20 ms of work.
MAX_GROUP_COMMANDS: Final = 512
MAX_GROUP_BYTES: Final = 2 * 1024 * 1024

# How often to look after the files when nothing is to be committed; sooner while a checkpoint is being made.
_IDLE_S: Final = 0.25
_BUSY_S: Final = 0.02

# A reader holds too much over its checkpoint: look again after this.
_PACE_S: Final = 0.02

# A store that has failed is opened again at once, and then as often as this, for as long as senders can be made to wait.
_REOPEN_EVERY_S: Final = 0.2
_SETTLE_WAIT_S: Final = 5.0

_NO_SPACE: Final = "No space left on device"
_RETRY_AFTER_S: Final = 5.0


@dataclass(slots=True)
class Queued:
    """A command that waits. `sender` is whatever wants to know; `arrived_s` is monotonic."""

    command: Command
    prepared: Prepared
    arrived_s: float
    sender: object = None


Outcome = Committed | Conflict | Refusal


class Done(NamedTuple):
    """What became of a group. `head` is the last durable change."""

    outcomes: list[tuple[Queued, Outcome]]
    head: Position


class Writer:
    """Owns store, segments and checkpoints while it runs. `publish` is called in its thread with each group."""

    def __init__(
        self,
        store: Store,
        segments: SegmentWriter,
        checkpoints: Checkpoints,
        space: SpaceGuard,
        queues: FairQueues[Queued],
        clock: Clock,
        metrics: Metrics,
        publish: Callable[[Done], None],
        oldest_base: Callable[[], Position | None],
    ) -> None:
        self._store = store
        self._segments = segments
        self._checkpoints = checkpoints
        self._space = space
        self._queues = queues
        self._clock = clock
        self._metrics = metrics
        self._publish = publish
        self._oldest_base = oldest_base
        self._failure = ""
        self._is_behind = False
        self._trimmed = START
        self._dropped_day = 0
        self._group: list[Queued] = []
        self._pause = threading.Event()

    def run(self) -> None:
        """Write until the queues are closed and empty. Raises what cannot be dealt with: the process must end then."""
        try:
            while not self._queues.is_done:
                if self._must_wait_for_readers():
                    self._pause.wait(_PACE_S)
                elif group := self._take():
                    self._publish(Done(self._commit(group), self._store.head().position))
                self._maintain()
        except BaseException:
            self._abandon()
            raise
        self._finish()

    def _must_wait_for_readers(self) -> bool:
        base = self._oldest_base()
        return base is not None and not self._queues.is_closed and self._checkpoints.weighs_too_much(base)

    def _take(self) -> list[Queued]:
        patience_s = _BUSY_S if self._checkpoints.is_busy else _IDLE_S
        self._group = self._queues.take(MAX_GROUP_COMMANDS, MAX_GROUP_BYTES, patience_s)
        return self._group

    def _commit(self, group: Sequence[Queued]) -> list[tuple[Queued, Outcome]]:
        try:
            self._require_working(sum(queued.prepared.size for queued in group))
            results = self._apply(group)
        except _CannotWrite as error:
            return [(queued, error.refusal()) for queued in group]
        self._count(group, results)
        return [(queued, self._outcome(queued, result)) for queued, result in zip(group, results, strict=True)]

    def _apply(self, group: Sequence[Queued]) -> Sequence[Applied | Mismatch]:
        before = self._store.head()
        try:
            results = self._store.apply([queued.prepared.transaction for queued in group], self._clock.now_ms())
        except StoreFailed as failure:
            return self._settle(failure, before)
        self._append([(result.position, result.frame) for result in results if isinstance(result, Applied) and result.frame])
        return results

    def _outcome(self, queued: Queued, result: Applied | Mismatch) -> Outcome:
        if isinstance(result, Applied):
            return Committed(result.position, result.time_ms, queued.command.outcome)
        if result.place >= queued.prepared.remembered:
            return conflict_of(result, queued.prepared, len(queued.command.rows))
        try:
            [found] = self._store.get([result.key])
            return replay(unpack_memory(found[1] if found else b""), queued.command.body_digest)
        except Refusal as refusal:
            return refusal
        except StoreFailed as failure:
            self._failure = str(failure)
            return _store_failed(str(failure))

    def _append(self, frames: list[tuple[Position, bytes]]) -> None:
        try:
            self._segments.append(frames)
        except OSError as error:
            # The changes are durable, only nobody sees them yet.
            log.exception("the segments cannot be written")
            self._is_behind = True
            if error.errno == errno.ENOSPC:
                self._space.make_room()

    def _count(self, group: Sequence[Queued], results: Sequence[Applied | Mismatch]) -> None:
        rows = entries = size = 0
        for queued, result in zip(group, results, strict=True):
            entry = queued.prepared.transaction.entry
            if entry is not None and isinstance(result, Applied):
                rows += entry.row_count
                entries += entry.row_count + len(queued.command.claims)
                size += len(entry.payload)
        self._checkpoints.count(entries, size)
        self._metrics.commit_rows.inc(rows)
        if any(isinstance(result, Applied) for result in results):
            self._metrics.commit_groups.inc()
        self._metrics.log_head.set(self._store.head().position.sequence)

    def _require_working(self, size: int) -> None:
        """Mend what can be mended. Raises `_CannotWrite` if `size` bytes cannot be written now all the same."""
        if self._failure and not self._reopen():
            raise _CannotWrite(self._failure)
        if not self._space.admits(size):
            raise _CannotWrite(_NO_SPACE)
        if self._is_behind:
            try:
                self._segments.catch_up(self._store)
            except (OSError, StoreFailed) as error:
                raise _CannotWrite(str(error)) from error
            self._is_behind = False

    def _settle(self, failure: StoreFailed, before: Head) -> Sequence[Applied | Mismatch]:
        """The store failed in the middle of a group: what has come true of it. Raises `_CannotWrite` if nothing has."""
        log.error("the store failed; opening it again", extra={"error": str(failure)})
        self._failure = str(failure)
        deadline_s = self._clock.monotonic() + _SETTLE_WAIT_S
        while not self._reopen():
            if self._clock.monotonic() >= deadline_s:
                raise _CannotWrite(f"{failure}; what became of this will be known when the store can be opened again")
            self._pause.wait(_REOPEN_EVERY_S)
        head = self._store.head()
        if head == before:
            raise _CannotWrite(str(failure))
        if head != failure.head:
            raise Unusable(f"the store came back at {head.position}, which is neither {before.position} nor what was written")
        return failure.results

    def _reopen(self) -> bool:
        """Open the failed store again and let the segments follow it; whether that succeeded."""
        if _NO_SPACE in self._failure:
            self._space.make_room()
        try:
            self._store.reopen()
            self._segments.catch_up(self._store)
        except (StoreFailed, OSError) as error:
            self._failure = str(error)
            return False
        self._failure, self._is_behind = "", False
        log.warning("the store is open again", extra={"head": str(self._store.head().position)})
        return True

    def _maintain(self) -> None:
        if self._failure:
            return
        try:
            self._checkpoints.tick()
            if self._segments.sealed > self._trimmed:
                self._trimmed = self._segments.sealed
                self._store.trim_log(self._trimmed)
            self._drop_old_days()
        except StoreFailed as error:
            log.error("the store failed between two groups", extra={"error": str(error)})
            self._failure = str(error)
        except OSError:
            log.exception("a checkpoint could not be made or deleted")

    def _drop_old_days(self) -> None:
        oldest = self._clock.now_ms() // DAY_MS - IDEMPOTENCY_DAYS
        if oldest > self._dropped_day:
            self._store.drop(idempotency_bucket(0), idempotency_bucket(oldest))
            self._dropped_day = oldest

    def _abandon(self) -> None:
        """Let nobody wait for a writer that has died."""
        self._queues.close()
        while self._group:
            refusal = "the committer died; what became of this will be known when it is back"
            self._publish(Done([(queued, _store_failed(refusal)) for queued in self._group], START))
            self._take()

    def _finish(self) -> None:
        try:
            self._checkpoints.close()
        except (StoreFailed, OSError):
            log.exception("the last checkpoint could not be made; the next start makes one")


def _store_failed(cause: str) -> Refusal:
    return Refusal(Reason.STORE_FAILED, f"the store failed: {cause}", retry_after_s=_RETRY_AFTER_S)


class _CannotWrite(Exception):
    """Nothing of a group is written, or may be said to be."""

    def refusal(self) -> Refusal:
        """What each sender is told."""
        if _NO_SPACE in str(self):
            return Refusal(Reason.STORAGE_FULL, f"there is no room: {self}", retry_after_s=_RETRY_AFTER_S)
        return _store_failed(str(self))
