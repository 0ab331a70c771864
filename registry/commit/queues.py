"""Fair, bounded queues: one for each account, served in turn, so that nobody's import holds up anybody's single write."""

import threading
from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

from proto.errors import Reason, Refusal

T = TypeVar("T")

# One account may have this much waiting: about a second of the committer's work.
MAX_ACCOUNT_COMMANDS: Final = 4_096
MAX_ACCOUNT_BYTES: Final = 32 * 1024 * 1024

# All accounts together: what the registry can afford to hold in memory.
MAX_BYTES: Final = 96 * 1024 * 1024

# About how long a full queue takes to be half empty.
RETRY_AFTER_S: Final = 1.0


class FairQueues(Generic[T]):
    """Any thread puts, one takes. An item's size is what it weighs in memory, in bytes."""

    def __init__(
        self,
        account_commands: int = MAX_ACCOUNT_COMMANDS,
        account_bytes: int = MAX_ACCOUNT_BYTES,
        total_bytes: int = MAX_BYTES,
    ) -> None:
        self._account_commands = account_commands
        self._account_bytes = account_bytes
        self._total_bytes = total_bytes
        # Accounts with something waiting, in the order of their turns.
        self._queues: OrderedDict[str, _Queue[T]] = OrderedDict()
        self._bytes = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, account: str, item: T, size: int) -> None:
        """Queue an item; `ring` when all that come at once are in.

        Raises `Refusal(OVERLOADED)` past a limit, `Refusal(NOT_READY)` after `close`.
        """
        with self._changed:
            if self._is_closed:
                raise Refusal(Reason.NOT_READY, "the node is stopping", retry_after_s=RETRY_AFTER_S)
            queue = self._queues.get(account)
            if queue is not None and (len(queue.items) >= self._account_commands or queue.bytes + size > self._account_bytes):
                raise Refusal(Reason.OVERLOADED, "this account has too much waiting", retry_after_s=RETRY_AFTER_S)
            if self._bytes + size > self._total_bytes and self._bytes:
                raise Refusal(Reason.OVERLOADED, "too much is waiting to be committed", retry_after_s=RETRY_AFTER_S)
            if queue is None:
                queue = self._queues[account] = _Queue()
            queue.items.append((item, size))
            queue.bytes += size
            self._bytes += size

    def ring(self) -> None:
        """Wake who waits for something to take."""
        with self._changed:
            self._changed.notify()

    def take(self, commands: int, size: int, timeout_s: float) -> list[T]:
        """One item from each account in turn, up to `commands` and `size` bytes (at least one item if there is one).

        Waits up to `timeout_s` for the first. Empty: nothing came, or the queues are closed and empty.
        """
        with self._changed:
            if not self._queues and not self._is_closed:
                self._changed.wait(timeout_s)
            taken: list[T] = []
            while self._queues and len(taken) < commands:
                account, queue = next(iter(self._queues.items()))
                weight = queue.items[0][1]
                if taken and weight > size:
                    break
                item, _ = queue.items.popleft()
                taken.append(item)
                size -= weight
                queue.bytes -= weight
                self._bytes -= weight
                if queue.items:
                    self._queues.move_to_end(account)
                else:
                    del self._queues[account]
            return taken

    def close(self) -> None:
        """Take nothing more in; what waits can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    @property
    def is_closed(self) -> bool:
        """Whether nothing can come any more."""
        return self._is_closed

    @property
    def is_done(self) -> bool:
        """Whether nothing waits and nothing can come."""
        with self._changed:
            return self._is_closed and not self._queues


class _Queue(Generic[T]):
    __slots__ = ("bytes", "items")

    def __init__(self) -> None:
        self.items: deque[tuple[T, int]] = deque()
        self.bytes = 0
