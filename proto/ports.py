"""The interfaces in the middle. Everything else of the system stands on one side of one of these.

`RecordReader` and `Stream` only read; `Committer` is the only way to write; `Clock` is passed in wherever time matters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from proto.model.account import Account
from proto.model.change import Change, Position, Row, Table
from proto.model.prefix import Prefix


class Clock(Protocol):
    """Time, so that the core can be tested with any."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary moment, never backwards."""


class RecordReader(Protocol):
    """A consistent view of what is committed, up to `position`. Every call answers from memory or a local file."""

    @property
    def position(self) -> Position:
        """The last change that this view shows."""

    def record(self, normalised: str) -> bytes | None:
        """The packed record (or alias pointer, see `proto.packing.alias_target`) under a normalised identifier."""

    def records(self, normalised: Sequence[str]) -> list[bytes | None]:
        """The same for many at once, in order."""

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        """(normalised identifier, packed record) below one prefix, in order, after `after`; no alias pointers."""

    def prefix(self, name: str) -> Prefix | None:
        """The prefix of exactly this (folded) name."""

    def homing(self, name: str) -> Prefix | None:
        """The longest prefix of the table that `name` is or derives from; None: not homed here."""

    def account(self, name: str) -> Account | None:
        """The account of this name."""

    def image(self, table: Table, name: str) -> bytes | None:
        """One image of a small table (every table but records)."""

    def images(self, table: Table) -> dict[str, bytes]:
        """All images of a small table, by name."""


class FollowingReader(RecordReader, Protocol):
    """A view that moves on by itself."""

    async def reach(self, position: Position, timeout_s: float) -> bool:
        """Wait until the view shows `position`; False if it does not within `timeout_s`."""


class Stream(Protocol):
    """The committed changes, in order, from the segments."""

    def read(self, after: Position, limit: int) -> list[Change]:
        """Up to `limit` changes after a position. Raises `Refusal(INVALID_ARGUMENT)` if the position is of another history."""

    def head(self) -> Position:
        """The last change that can be read."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An alias to be taken for, or released from, the record `target`; both are normalised identifiers."""

    alias: str
    target: str


@dataclass(frozen=True, slots=True)
class Command:
    """One atomic write: all rows, or nothing.

    A row is accepted only if the stored version is its `prior_version`; a claimed alias only if nothing is under it.
    With an idempotency key the outcome is remembered with the digest of the request body; a command without rows only
    remembers (a refusal, so that a retry meets the same one).
    """

    account: str
    request_id: str
    rows: Sequence[Row]
    claims: Sequence[Claim] = ()
    releases: Sequence[Claim] = ()
    traceparent: str = ""
    idempotency_key: str = ""
    body_digest: bytes = b""
    outcome: bytes = b""
    payload: bytes = field(default=b"", repr=False)
    """The serialised rows (`proto.stream.compose_payload`), packed by the door so that the committer need not."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A durable command. `replayed` says that it was committed before, under the same idempotency key."""

    position: Position
    time_ms: int
    outcome: bytes
    replayed: bool = False


@dataclass(slots=True)
class Conflict(Exception):
    """An expectation of a command does not hold at `position`. Nothing was written.

    `row` is the place of the row in the command (None for an alias); the door reads again and decides.
    """

    position: Position
    key: bytes
    expected: int
    found: int
    row: int | None = None


class Committer(Protocol):
    """The one place that writes."""

    async def commit(self, command: Command) -> Committed:
        """Make `command` durable and visible in every ready local worker (waiting at most `VISIBILITY_WAIT_S` for that).

        Raises `Conflict`, or `Refusal`: OVERLOADED, STORAGE_FULL, STORE_FAILED, IDEMPOTENCY_MISMATCH, BATCH_TOO_LARGE.
        """

    async def recall(self, account: str, idempotency_key: str, body_digest: bytes) -> Committed | None:
        """The outcome remembered under an idempotency key, if any. Raises `Refusal(IDEMPOTENCY_MISMATCH)` for another body."""
