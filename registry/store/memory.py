"""A store in memory: the contract in its simplest form, for tests and as the oracle of other drivers."""

import threading
from collections.abc import Sequence

from proto import keys
from proto.model.change import Head, Position
from proto.packing import version_of
from registry.store.plan import keys_to_read, plan_group
from registry.store.port import Applied, Mismatch, Snapshot, Transaction


class MemoryStore:
    """Keeps everything in one dict; nothing outlives the process. `first` is the head that it begins with."""

    def __init__(self, first: Head) -> None:
        self._head = first
        self._values: dict[bytes, bytes] = {}
        self._log: dict[Position, bytes] = {}
        self._lock = threading.Lock()

    def head(self) -> Head:
        return self._head

    def get(self, keys: Sequence[bytes]) -> list[tuple[int, bytes] | None]:
        with self._lock:
            values = [self._values.get(key) for key in keys]
        return [(version_of(value), value) if value is not None else None for value in values]

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        with self._lock:
            below = sorted(key for key in self._values if key.startswith(prefix) and key > after)
            return [(key, self._values[key]) for key in below[: max(limit, 0)]]

    def log(self, after: Position, limit: int) -> list[tuple[Position, bytes]]:
        with self._lock:
            later = sorted(position for position in self._log if position > after)
            return [(position, self._log[position]) for position in later[: max(limit, 0)]]

    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(self._head.position, iter(sorted(self._values.items())))

    def apply(self, group: Sequence[Transaction], now_ms: int) -> list[Applied | Mismatch]:
        with self._lock:
            plan = plan_group(self._head, group, {key: self._values.get(key) for key in keys_to_read(group)}, now_ms)
            for key, value in plan.writes.items():
                if value:
                    self._values[key] = value
                else:
                    self._values.pop(key, None)
            self._log.update(plan.frames)
            self._head = plan.head
            return plan.results

    def trim_log(self, through: Position) -> None:
        with self._lock:
            self._log = {position: frame for position, frame in self._log.items() if position > through}

    def drop(self, begin: bytes, end: bytes) -> None:
        if begin[: len(keys.LAYOUT) + 1] != end[: len(keys.LAYOUT) + 1]:
            raise ValueError("a range lies within one key space")
        with self._lock:
            self._values = {key: value for key, value in self._values.items() if not begin <= key < end}

    def reopen(self) -> None:
        """Nothing to open: what is in memory stays."""

    def close(self) -> None:
        self._values, self._log = {}, {}
