"""The store: the port that every driver implements, and the frozen values that pass through it.

A store holds keys and versioned values (`proto.keys`), the log of changes and the head. It is written by `apply` alone, a
group of transactions at a time: each transaction wholly or not at all, in order, the whole group durable when the call
returns. What `apply` refuses leaves no trace and no gap in the sequence. `tests/contract/test_store.py` says the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from proto.model.change import Head, Memory, Position


class Unusable(Exception):
    """A data folder cannot be used as it is; the message says why, for people. Nothing was changed."""


@dataclass(slots=True)
class StoreFailed(Exception):
    """The store failed, and refuses everything until `reopen`. What became of a group that was being applied is unknown.

    If the head is `head` when the store is open again, and was not before, all of `results` came true. Otherwise nothing
    did, but for what has no log entry: of that nothing can be said.
    """

    results: "list[Applied | Mismatch]"
    head: Head
    cause: str

    def __str__(self) -> str:
        return self.cause


class Entry(NamedTuple):
    """What the log says of a transaction besides its position and time."""

    actor: str
    request_id: str
    traceparent: str
    row_count: int
    payload: bytes


class Transaction(NamedTuple):
    """One atomic write.

    It is applied only if every key of `expect` has the version beside it (0: nothing is there) and every key of `holds`
    has exactly the value beside it, after the transactions before it in its group. `writes` are keys with their new
    values (empty: the key goes). With an `entry` it takes the next sequence and stands in the log; without one it only
    writes. `memory` is an idempotency key's entry under its own key; the store fills in position and time.
    """

    expect: Sequence[tuple[bytes, int]] = ()
    holds: Sequence[tuple[bytes, bytes]] = ()
    writes: Sequence[tuple[bytes, bytes]] = ()
    entry: Entry | None = None
    memory: tuple[bytes, Memory] | None = None


class Applied(NamedTuple):
    """A transaction is durable. `frame` is its log entry (`proto.stream`); empty if it has none.

    Without an entry `position` is that of the last change before it.
    """

    position: Position
    time_ms: int
    frame: bytes


class Mismatch(NamedTuple):
    """An expectation did not hold at `position`; nothing was written. `place` counts through `expect`, then `holds`.

    For one of `holds`, `expected` and `found` are versions too, and may be the same.
    """

    position: Position
    place: int
    key: bytes
    expected: int
    found: int


class Snapshot(NamedTuple):
    """All keys and values but log and head, as they were at one position; let `rows` go before closing."""

    position: Position
    rows: Iterator[tuple[bytes, bytes]]


class Store(Protocol):
    """One thread at a time writes; any thread may read meanwhile, and sees whole groups only."""

    def head(self) -> Head:
        """The last change."""

    def get(self, keys: Sequence[bytes]) -> list[tuple[int, bytes] | None]:
        """(version, value) of each key, in order."""

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` keys with values that begin with `prefix` and come after the key `after` (empty: from the first)."""

    def log(self, after: Position, limit: int) -> list[tuple[Position, bytes]]:
        """Up to `limit` log entries (frames) after a position that have not been trimmed."""

    def snapshot(self) -> Snapshot:
        """Everything at this moment; with the log after its position it gives any later state."""

    def apply(self, group: Sequence[Transaction], now_ms: int) -> list[Applied | Mismatch]:
        """Write a group, durably; one result each, in order. No change is given a time before that of the one before it.

        Raises `StoreFailed`; from then on every call does, until `reopen`.
        """

    def trim_log(self, through: Position) -> None:
        """Forget the log entries up to and including a position: they are kept elsewhere. Raises `StoreFailed`."""

    def drop(self, begin: bytes, end: bytes) -> None:
        """Forget every key of one space from `begin` up to but not including `end`. Raises `StoreFailed`."""

    def reopen(self) -> None:
        """Close and open again. Raises `StoreFailed` if that does not succeed; it may be tried again."""

    def close(self) -> None:
        """Let everything go. No call may follow."""
