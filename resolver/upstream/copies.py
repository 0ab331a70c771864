"""Copies of what other nodes answered: how long each holds, what may be shown of it, and a bounded store of them. Pure.

A copy within its TTL is *cached*, one past it is *stale*; what the record's home said of time is kept as it was, so an age is
the true one however many nodes it has passed. A copy is shown with its TTLs lowered by its age: whoever keeps it further
cannot keep it longer. Only records are shown stale. That nothing was there, or that a record was suspended, is the first thing
to have changed when a node has been away.
"""

import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from proto.model.value import PUBLIC_READ, type_filter
from proto.wire.handle.value import TTL_FIELD, lower_ttl, permissions_of, relative_ttl_s, type_of

# What an entry costs beside its bytes: its objects and its place in the dictionary. Measured: with one value of 30 bytes the
# whole takes nine tenths of what is reckoned, with eight of 60 bytes all of it.
ENTRY_BYTES: Final = 530


_SECOND_MS: Final = 1_000


class Kind(IntEnum):
    """What a node said. The number is in shared copies."""

    FOUND = 1
    NO_VALUES = 2
    NOT_FOUND = 3
    SUSPENDED = 4
    RETIRED = 5
    NOT_HOMED = 6


@dataclass(frozen=True, slots=True)
class Copy:
    """One answer. Times are UTC milliseconds: `born_ms` when the home said so, `fetched_ms` when it came here (from the home or
    another node's copy), `until_ms` when its TTL ends.

    `identifier` is the record's own spelling, or empty; `values` are packed as they came, public ones alone; `alias` is what
    an HS_ALIAS among them names; `was_stale` says that the node it came from had nothing newer than a stale copy.
    """

    kind: Kind
    born_ms: int
    fetched_ms: int
    until_ms: int
    identifier: str = ""
    version: int = 0
    values: tuple[bytes, ...] = ()
    alias: str = ""
    was_stale: bool = False

    def is_fresh(self, now_ms: int) -> bool:
        return now_ms < self.until_ms

    def age_s(self, now_ms: int) -> int:
        """Whole seconds since its home said so; a clock that was set back makes it no younger than 0."""
        return max(0, now_ms - self.born_ms) // 1000

    def shown(self, now_ms: int) -> tuple[bytes, ...]:
        """The values with their TTLs lowered by the time since they came."""
        passed_s = max(0, now_ms - self.fetched_ms) // 1000
        return tuple([lower_ttl(value, passed_s) for value in self.values]) if passed_s else self.values

    def ttl_s(self, now_ms: int) -> int:
        """Whole seconds that are left of its TTL, rounded up; 0 of a stale one."""
        return max(0, -(-(self.until_ms - now_ms) // 1000))

    def holds_ms(self, now_ms: int) -> int:
        """Milliseconds until what is told of a fresh copy changes: its age, a TTL, or that it is fresh."""
        moments = (self.born_ms, self.fetched_ms, self.until_ms)
        return min(_SECOND_MS - (now_ms - moment) % _SECOND_MS for moment in moments)

    @property
    def size(self) -> int:
        """Bytes of memory, estimated."""
        return ENTRY_BYTES + len(self.identifier) + sum(sys.getsizeof(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Terms:
    """What configuration says of time, in seconds: how long a record holds at most, how long that there is none, and how long
    after its TTL a record may be shown when nobody answers."""

    max_ttl_s: int = 86_400
    negative_ttl_s: int = 60
    stale_s: int = 7 * 86_400

    def until_ms(self, kind: Kind, values: Iterable[bytes], now_ms: int) -> int:
        """When a copy of `values` ends: with the first of them, and no later than configuration says."""
        if kind is not Kind.FOUND:
            return now_ms + self.negative_ttl_s * 1000
        least = min((relative_ttl_s(value[TTL_FIELD], now_ms // 1000) for value in values), default=self.negative_ttl_s)
        return now_ms + min(least, self.max_ttl_s) * 1000

    def is_kept_stale(self, copy: Copy) -> bool:
        """Whether a copy is of a kind that may be shown past its TTL."""
        return copy.kind in (Kind.FOUND, Kind.NO_VALUES)

    def is_showable(self, copy: Copy, now_ms: int) -> bool:
        """Whether a copy may be shown now, past its TTL or not."""
        return self.is_kept_stale(copy) and now_ms < copy.until_ms + self.stale_s * 1000


def public_of(values: Iterable[bytes]) -> tuple[bytes, ...]:
    """Those that anybody may read: a server may send more than it was asked for."""
    return tuple(value for value in values if permissions_of(value) & PUBLIC_READ)


def select(values: Sequence[bytes], indexes: Sequence[int], types: Sequence[str]) -> Sequence[bytes]:
    """Those whose index is listed or whose type matches; all of them without a filter."""
    if not indexes and not types:
        return values
    matches = type_filter(types)
    return [value for value in values if int.from_bytes(value[:4]) in indexes or matches(type_of(value))]


class Copies:
    """Copies by key, up to a number of bytes; what was not asked for the longest time goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._copies: OrderedDict[str, Copy] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._copies)

    @property
    def size(self) -> int:
        """The bytes that copies hold, estimated."""
        return self._bytes

    def get(self, key: str) -> Copy | None:
        copy = self._copies.get(key)
        if copy is not None:
            self._copies.move_to_end(key)
        return copy

    def put(self, key: str, copy: Copy) -> None:
        """Keep a copy in place of the one before."""
        self.drop(key)
        size = copy.size + len(key)
        if size > self._max_bytes:
            return
        self._copies[key] = copy
        self._bytes += size
        while self._bytes > self._max_bytes:
            oldest, gone = self._copies.popitem(last=False)
            self._bytes -= gone.size + len(oldest)

    def drop(self, key: str) -> None:
        copy = self._copies.pop(key, None)
        if copy is not None:
            self._bytes -= copy.size + len(key)
