"""Copies of what other nodes answered: how long each holds, what may be shown of it, and a bounded store of them. Pure.

A copy within its TTL is *cached*, one past it is *stale*; what the record's home said of time is kept as it was, so an age is
the true one however many nodes it has passed. A copy is shown with its TTLs lowered by its age: whoever keeps it further
cannot keep it longer. Only records are shown stale. That nothing was there, or that a record was suspended, is the first thing
to have changed when a node has been away.

What is kept of a record is packed as records of this node are (`proto.packing`, format 3). So a copy that is shown whole, which
nearly every question wants, is composed as they are, from its bytes with age and TTLs written in (`show_each`).
"""

import math
import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from proto import compiled
from proto.model.identifier import fold_ascii
from proto.model.value import PUBLIC_READ, type_filter
from proto.packing import PackedRecord, pack_foreign, show_copy
from proto.wire.handle.value import TTL_FIELD, lower_ttl, permissions_of, relative_ttl_s, type_of
from resolver.upstream.limits import MAX_REFRESH_S, REFRESH_SHARE

# What an entry costs beside its record: its objects, the key and its place in the dictionary. Measured (350, and what is
# rounded up): with one value of 30 bytes the whole takes nine tenths of what is reckoned, with eight of 60 bytes all of it.
ENTRY_BYTES: Final = 390


_SECOND_MS: Final = 1_000

# What a packed copy has room for, of an age and of a TTL: 136 years. Moments are before that, or somebody has made them up.
_MAX_MS: Final = 0xFFFF_FFFF * 1000


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

    `record` is packed (`proto.packing.pack_foreign`): its own spelling, or none, and its values as they came, public ones
    alone; `alias` is what an HS_ALIAS among them names; `was_stale` says that the node it came from had nothing newer than a
    stale copy.
    """

    kind: Kind
    born_ms: int
    fetched_ms: int
    until_ms: int
    record: bytes
    alias: str = ""
    was_stale: bool = False
    plain_until_ms: int = field(init=False, compare=False)
    """Until when it is nothing but a fresh record, and shown as it is; 0 if it never was."""

    def __post_init__(self) -> None:
        is_plain = self.kind is Kind.FOUND and not self.alias and not self.was_stale
        fits = max(self.born_ms, self.fetched_ms, self.until_ms, self.until_ms - self.born_ms) <= _MAX_MS
        object.__setattr__(self, "plain_until_ms", min(self.until_ms, self.due_ms + 1) if is_plain and fits else 0)

    @property
    def identifier(self) -> str:
        return PackedRecord(self.record).identifier

    @property
    def version(self) -> int:
        version: int = PackedRecord(self.record).version
        return version

    @property
    def values(self) -> tuple[bytes, ...]:
        return PackedRecord(self.record).select()[0]

    @property
    def due_ms(self) -> int:
        """After which so little of its TTL is left that it is fetched anew if it is asked for."""
        whole_ms = self.until_ms - self.fetched_ms
        return self.until_ms - math.ceil(min(whole_ms * REFRESH_SHARE, MAX_REFRESH_S * 1000))

    def is_fresh(self, now_ms: int) -> bool:
        return now_ms < self.until_ms

    def age_s(self, now_ms: int) -> int:
        """Whole seconds since its home said so; a clock that was set back makes it no younger than 0."""
        return max(0, now_ms - self.born_ms) // 1000

    def shown(self, now_ms: int) -> tuple[bytes, ...]:
        """The values with their TTLs lowered by the time since they came."""
        passed_s = self.passed_s(now_ms)
        return tuple([lower_ttl(value, passed_s) for value in self.values]) if passed_s else self.values

    def passed_s(self, now_ms: int) -> int:
        """Whole seconds since it came here."""
        return max(0, now_ms - self.fetched_ms) // 1000

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
        return ENTRY_BYTES + sys.getsizeof(self.record)


def copy_of(
    kind: Kind,
    born_ms: int,
    fetched_ms: int,
    until_ms: int,
    identifier: str = "",
    version: int = 0,
    values: Sequence[bytes] = (),
    alias: str = "",
    was_stale: bool = False,
) -> Copy:
    """A copy of these packed values, and of what was told beside them."""
    return Copy(kind, born_ms, fetched_ms, until_ms, pack_foreign(identifier, version, values), alias, was_stale)


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


@compiled.preferred
def show_each(names: Sequence[str], copies: OrderedDict[str, Copy], now_ms: int) -> list[bytes | None]:
    """The copies under these names that are shown as they are, packed as they are now; they have been asked for by that.

    None where there is none, or there is more to it: it is stale, or about to be, or no record, or an alias (also by its home's
    calling it otherwise).
    """
    shown: list[bytes | None] = []
    for name in names:
        copy = copies.get(name)
        if copy is None or now_ms >= copy.plain_until_ms or not _is_called(copy, name):
            shown.append(None)
            continue
        copies.move_to_end(name)
        told = copy.age_s(now_ms), copy.ttl_s(now_ms), copy.holds_ms(now_ms)
        shown.append(show_copy(copy.record, *told, copy.passed_s(now_ms)))
    return shown


def _is_called(copy: Copy, name: str) -> bool:
    """Whether its home, if it says, calls it by that name; it may write it otherwise."""
    identifier = copy.identifier
    return not identifier or fold_ascii(identifier) == fold_ascii(name)


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

    def show_each(self, names: Sequence[str], now_ms: int) -> list[bytes | None]:
        """`show_each` of what is here under these keys."""
        return show_each(names, self._copies, now_ms)

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
