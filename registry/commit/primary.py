"""The writing side of a node, composed: store, segments, checkpoints, wake-up socket, committer.

Two threads share the work of a group, and the GIL: the event loop, where commands come in and answers go out, and the
writer. A process that runs a primary should call `sys.setswitchinterval(0.0005)`: with Python's 5 ms either of them waits
for the other ten times as long as a sync takes.
"""

import asyncio
import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

from proto.metrics import Metrics
from proto.model.change import START, Head, Position
from proto.places import CHECKPOINTS, RUN, STORE, STREAM
from proto.ports import Clock
from proto.stream import NO_CHAIN
from registry.commit import segment_files
from registry.commit.checkpoints import Checkpoints, check_not_ahead
from registry.commit.committer import GroupCommitter
from registry.commit.queues import FairQueues
from registry.commit.segment_files import last_link
from registry.commit.segments import SegmentWriter, lost_changes
from registry.commit.space import SpaceGuard
from registry.commit.wake_server import WakeServer
from registry.commit.writer import Done, Queued, Writer
from registry.store.port import Unusable
from registry.store.rocksdb import RocksdbStore, peek_head

T = TypeVar("T")

log = logging.getLogger(__name__)

WRITER_LOCK: Final = "writer.lock"

# The first epoch of a new store; a restore or a promotion begins a higher one.
FIRST_EPOCH: Final = 1


class Primary:
    """Everything that writes in a data folder; one per process and per folder. Made by `open`."""

    failure: "asyncio.Future[None]"
    """From `start` on: fails if the writer's thread dies. The process must end then; the supervisor starts it again."""

    def __init__(self, data: Path, clock: Clock, metrics: Metrics, held: ExitStack) -> None:
        space = SpaceGuard(data, metrics)  # first: on a full disk it makes the room that opening takes
        store = RocksdbStore(data / STORE, _first_head(clock))
        held.callback(store.close)
        segments = SegmentWriter(data / STREAM, store, segment_files.SEGMENT_BYTES)
        held.callback(segments.close)
        self._held = held
        self._store = store
        self._checkpoints = Checkpoints(data / CHECKPOINTS, store, clock, metrics, self._on_checkpoint)
        self._queues: FairQueues[Queued] = FairQueues()
        self._wake = WakeServer(data / RUN, clock, metrics)
        self.committer = GroupCommitter(self._queues, store, self._wake, clock, metrics)
        self._writer = Writer(
            store, segments, self._checkpoints, space, self._queues, clock, metrics,
            publish=self._on_group, oldest_base=lambda: self._wake.oldest_base,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        metrics.log_head.set(store.head().position.sequence)

    @classmethod
    def open(cls, data: Path, clock: Clock, metrics: Metrics) -> "Primary":
        """Lock, open and settle the data folder (created if missing). Blocks: call it before the event loop serves.

        Raises `registry.store.port.Unusable` with a sentence for people: another process has the folder, or the
        write-ahead log lost acknowledged changes, or files are damaged. Nothing is changed then.
        """
        data.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            held.callback(os.close, take_lock(data))
            check_recovery(data)
            primary = cls(data, clock, metrics, held)
            primary._held = held.pop_all()
        return primary

    @property
    def head(self) -> Head:
        """The last durable change, and whose stream it is. An empty store is at (1, 0)."""
        return self._store.head()

    async def start(self) -> None:
        """Open the wake-up socket and begin to commit."""
        self._loop = asyncio.get_running_loop()
        self.failure = self._loop.create_future()
        await self._wake.start(self.head.position, self._checkpoints.newest)
        self._thread.start()

    async def close(self) -> None:
        """Refuse new commands, commit what is queued, make a last checkpoint, let the folder go."""
        self._queues.close()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        await self._wake.close()
        self._held.close()

    def _run(self) -> None:
        try:
            self._writer.run()
        except BaseException as error:
            log.critical("the writer has died", exc_info=True)
            self._in_loop(self._die, error)

    def _die(self, error: BaseException) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)

    def _on_group(self, done: Done) -> None:
        self._in_loop(self.committer.publish, done)

    def _on_checkpoint(self, position: Position) -> None:
        self._in_loop(self._wake.switch, position)

    def _in_loop(self, call: Callable[[T], None], argument: T) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, argument)


def take_lock(data: Path) -> int:
    """The descriptor that holds `data` for one writer (or verifier) alone. Raises `Unusable` at once if it is held."""
    lock = os.open(data / WRITER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Unusable(f"another process writes in {data}") from None
    return lock


def check_recovery(data: Path) -> None:
    """Raise `Unusable` if opening the store would recover less than was acknowledged. Changes nothing."""
    recovered = peek_head(data / STORE)
    position = recovered.position if recovered else START
    stream = data / STREAM
    acknowledged = last_link(stream) if stream.exists() else None
    if acknowledged is not None and acknowledged.position > position:
        raise Unusable(lost_changes(position, acknowledged.position))
    check_not_ahead(data / CHECKPOINTS, position)


def _first_head(clock: Clock) -> Head:
    return Head(uuid.uuid4().hex, Position(FIRST_EPOCH, 0), clock.now_ms(), NO_CHAIN)
