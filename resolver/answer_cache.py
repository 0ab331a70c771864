"""The answer cache of a worker: replies as they were rendered, found by what identified the question on the wire.

A listener asks it before it even parses a question, so what lies here is whatever that listener sends: the cache knows
neither protocol nor format, only which records a reply rests on. It is never stale, and not by a clock: the view says which
records a change touches at the moment it shows the change (`forget`), and whatever rests on one of them goes; a change of
the prefixes, which can move any identifier, or another history makes a new generation of everything (`forget_all`).

What is kept is what will be asked for again. A key is let in when it is asked for a second time within the last so many
misses, or a third time where that puts another out: letting one in costs more than several look-ups, and what is asked for
little is put out again before it has repaid that. What was not asked for since the queue last came round goes first (second
chance, as in the CLOCK and S3-FIFO algorithms): a scan over a million identifiers, each asked for once, lets nothing in and
puts nothing out.

Only answers to anybody are kept: those that a credential or a position decided, traces, and refusals are not, nor answers
with a TTL that ends at a certain second, because their rendering changes by itself. So does that of another node's answer,
which tells its age: it is kept until that changes, a second at most, and only where everybody who can ask may have it.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

from proto import compiled
from proto.keys import record_key
from proto.metrics import Counter, Metrics
from proto.model.answer import OUTCOMES, Answer, Found, RecordAnswer, Refused, Source
from proto.model.query import Query
from proto.wire.handle.value import has_absolute_ttl
from resolver.tallies import Counter as PrefixCounter
from resolver.tallies import Tallies

# Of one worker: some twenty thousand replies of common size. With twice as much, a worker that follows an import over a million
# identifiers would come to more than the 200 MB that it may have.
MAX_BYTES: Final = 32 * 1024 * 1024

# A larger reply is rare and costs its bytes more than its rendering.
MAX_REPLY_BYTES: Final = 64 * 1024

# What an entry costs beside key and reply: its object, its places in two dictionaries. Measured: with replies of 100 bytes
# the whole takes five sixths of what is reckoned, with 1,200 nine tenths.
ENTRY_BYTES: Final = 800

# Misses that are remembered at least, and at most twice as many (and what two turns bring): somewhat more than there is room
# for replies. 6 MiB.
SIGHT_KEYS: Final = 32_768

# How often a key has been missed before it is let in: where there is room, and where another has to go. Over a million names by
# Zipf's law (0.99) with room for 16,000, the second time let in 5.1 % of all that was asked for, and 66.9 % were found; the
# third time lets in 0.8 %, and 68.7 % are found; a fourth time would find fewer.
SIGHTS: Final = 1
SIGHTS_IF_FULL: Final = 2
# Full is what has less room than this part of all: no single reply leaves more when it goes.
FULL_SHARE: Final = 16

# Entries that get a second chance before one of them has to go all the same: a bound on the time of one insertion.
MAX_CHANCES: Final = 1_024

_SCHEME: Final = "handle"

T = TypeVar("T")


@compiled.preferred
def note_sights(keys: Sequence[bytes], seen: dict[int, int], seen_before: dict[int, int], enough: int) -> list[bool]:
    """Whether each key, in order, has been seen `enough` times before; what has not been is now `seen` once more."""
    admitted: list[bool] = []
    for key in keys:
        sight = hash(key)
        count = seen.get(sight, 0)
        is_enough = count + seen_before.get(sight, 0) >= enough
        if not is_enough:
            seen[sight] = count + 1
        admitted.append(is_enough)
    return admitted


class _Entry:
    """A reply, and what it rests on."""

    __slots__ = ("count", "generation", "is_used", "kind", "names", "rendered", "size", "until_s")

    def __init__(
        self,
        rendered: Any,
        kind: type[Answer],
        names: list[bytes],
        generation: int,
        size: int,
        until_s: float | None,
        count: PrefixCounter,
    ) -> None:
        self.rendered = rendered
        self.kind = kind
        self.names = names
        self.generation = generation
        self.size = size
        self.until_s = until_s
        self.count = count
        self.is_used = False


class AnswerCache:
    """Of one worker, for all its listeners. A `resolver.view.layers.Watcher`.

    `keeps_copies` says that everybody who can reach a listener may have answers of other nodes; `monotonic` gives seconds.
    `tallies` is where answers about what is homed here are counted by prefix.
    """

    def __init__(
        self,
        max_bytes: int = MAX_BYTES,
        keeps_copies: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        tallies: Tallies | None = None,
    ) -> None:
        self.tallies = tallies or Tallies()
        self.keeps_copies = keeps_copies
        self.monotonic = monotonic
        self.entries: OrderedDict[bytes, _Entry] = OrderedDict()  # in the order in which their chances come
        self.generation = 0
        self._max_bytes = max_bytes
        self._bytes = 0
        self._evictions = 0  # since they were last reported
        self._keys_of: dict[bytes, list[bytes]] = {}  # by key of the record: the keys of what rests on it
        self._seen: dict[int, int] = {}  # by the hashes of keys, how often they were missed
        self._seen_before: dict[int, int] = {}

    @property
    def size(self) -> int:
        """The bytes that entries hold, estimated."""
        return self._bytes

    def report(self, metrics: Metrics) -> None:
        """Say how much is held, and how much has made room since the last time."""
        metrics.answer_cache_bytes.set(self._bytes)
        metrics.answer_cache_evictions.inc(self._evictions)
        self._evictions = 0

    def shelf(self, protocol: str, metrics: Metrics) -> "Shelf[Any]":
        """What a listener of `protocol` sees of the cache. Its keys begin with a byte that no other listener's begin with."""
        return Shelf(self, protocol, metrics)

    def forget(self, records: Iterable[bytes]) -> None:
        """The records under these keys (`proto.keys.record_key`) have changed, or what points to them."""
        keys_of = self._keys_of
        if not keys_of:
            return
        for record in records:
            for key in tuple(keys_of.get(record, ())):
                self.drop(key)

    def forget_all(self) -> None:
        """Anything may have changed. What is stale makes room when it is met."""
        self.generation += 1

    def drop(self, key: bytes) -> None:
        """Let one reply go."""
        self._unlist(key, self.entries.pop(key))

    def put(
        self,
        key: bytes,
        kind: type[Answer],
        reads: list[str],
        rendered: object,
        size: int,
        until_s: float | None = None,
        count: PrefixCounter | None = None,
    ) -> None:
        """Keep a reply, for good or until that second, if there is room for it at all; `count` counts how often it is used."""
        names = [*{record_key(name): None for name in reads}]
        size += len(key) + sum(map(len, names)) + ENTRY_BYTES
        if size > self._max_bytes:
            return
        if key in self.entries:
            self.drop(key)
        while self._bytes + size > self._max_bytes:
            self._make_room()
        self.entries[key] = _Entry(rendered, kind, names, self.generation, size, until_s, count or PrefixCounter())
        self._bytes += size
        for name in names:
            self._keys_of.setdefault(name, []).append(key)

    def admits(self, key: bytes) -> bool:
        """Whether the key has been missed often enough to be let in; if not, it has been once more from now on."""
        return self.admits_each((key,))[0]

    def admits_each(self, keys: Sequence[bytes]) -> list[bool]:
        """`admits` for many keys, in order."""
        if not self._max_bytes:
            return [False] * len(keys)
        self._turn_page()
        return note_sights(keys, self._seen, self._seen_before, self._enough())

    def _enough(self) -> int:
        is_full = self._bytes > self._max_bytes - self._max_bytes // FULL_SHARE
        return SIGHTS_IF_FULL if is_full else SIGHTS

    def _turn_page(self) -> None:
        """Forget what was missed long ago."""
        if len(self._seen) >= SIGHT_KEYS:
            self._seen_before, self._seen = self._seen, {}

    def _make_room(self) -> None:
        """Let the next one go that was not asked for since its last chance."""
        entries = self.entries
        for _ in range(MAX_CHANCES):
            key = next(iter(entries))
            entry = entries[key]
            if not entry.is_used or entry.generation != self.generation:
                break
            entry.is_used = False
            entries.move_to_end(key)
        self._unlist(*entries.popitem(last=False))
        self._evictions += 1

    def _unlist(self, key: bytes, entry: _Entry) -> None:
        self._bytes -= entry.size
        for name in entry.names:
            keys = self._keys_of[name]
            keys.remove(key)
            if not keys:
                del self._keys_of[name]


class Shelf(Generic[T]):
    """The cache as one listener sees it; what it finds is counted as answered under the listener's protocol."""

    def __init__(self, cache: AnswerCache, protocol: str, metrics: Metrics) -> None:
        self._cache = cache
        self._entries = cache.entries
        self.admits: Final = cache.admits
        self.admits_each: Final = cache.admits_each
        self.keys: Final[Container[bytes]] = cache.entries
        """What `get` may have a reply under; it is not there if that has become stale."""
        self._hits = metrics.answer_cache_hits
        self._requests: dict[type[Answer], Counter] = {
            kind: metrics.resolve_requests.labels(protocol, outcome, _SCHEME) for kind, outcome in OUTCOMES.items()
        }

    def get(self, key: bytes) -> T | None:
        """The reply kept under `key`, counted; None: the question has to be asked."""
        entry = self._entries.get(key)
        if entry is None or not self._holds(key, entry):
            return None
        entry.is_used = True
        self._hits.inc()
        self._requests[entry.kind].inc()
        entry.count.n += 1
        rendered: T = entry.rendered
        return rendered

    def get_turn(self, keys: Sequence[bytes]) -> list[T | None]:
        """As `get` for each, in order; they are counted together."""
        entries = [*map(self._entries.get, keys)]
        found: list[T | None] = [None] * len(entries)
        hits: dict[type[Answer], int] = {}
        for place, entry in enumerate(entries):
            if entry is None or not self._holds(keys[place], entry):
                continue
            entry.is_used = True
            entry.count.n += 1
            hits[entry.kind] = hits.get(entry.kind, 0) + 1
            found[place] = entry.rendered
        for kind, count in hits.items():
            self._hits.inc(count)
            self._requests[kind].inc(count)
        return found

    def _holds(self, key: bytes, entry: _Entry) -> bool:
        """Whether an entry may still be told; one that may not is let go."""
        if entry.generation == self._cache.generation and (entry.until_s is None or self._cache.monotonic() < entry.until_s):
            return True
        if self._entries.get(key) is entry:  # a key may be asked for twice in one turn
            self._cache.drop(key)
        return False

    def keep_plain(self, key: bytes, kind: type[Answer], name: str, home: str, rendered: T, size: int) -> None:
        """Keep a reply for anybody that rests on the record `name` alone, homed under `home`, and holds until that changes."""
        if size <= MAX_REPLY_BYTES:
            self._cache.put(key, kind, [name], rendered, size, count=self._cache.tallies.counter(home, kind))

    def keep_copy(self, key: bytes, kind: type[Answer], rendered: T, size: int, holds_ms: int) -> None:
        """Keep a reply for anybody that another node's answer was made of, as long as it is true to the letter."""
        if size <= MAX_REPLY_BYTES and holds_ms and self._cache.keeps_copies:
            self._cache.put(key, kind, [], rendered, size, self._cache.monotonic() + holds_ms / 1000)

    def keep(self, key: bytes, query: Query, answer: Answer, rendered: T, size: int) -> None:
        """Offer a reply of `size` bytes, in the same turn of the event loop in which the chain answered `query`.

        `query.reads` must have been a list (it is None by now if another node has answered). What may not be kept, or will
        hardly be asked for again, is not.
        """
        if size > MAX_REPLY_BYTES or not _is_for_anybody(query):
            return
        if query.reads is not None:
            if self._cache.admits(key) and _lasts(answer):
                self._cache.put(key, type(answer), query.reads, rendered, size, count=self._counter_of(query, answer))
        elif query.holds_ms and self._cache.keeps_copies and not isinstance(answer, Refused) and self._cache.admits(key):
            self.keep_copy(key, type(answer), rendered, size, query.holds_ms)

    def _counter_of(self, query: Query, answer: Answer) -> PrefixCounter | None:
        """Where such an answer is counted; None if it is of no prefix that is homed here."""
        if query.located is None:
            return None
        return self._cache.tallies.counter(query.located.home.name, type(answer))


def _is_for_anybody(query: Query) -> bool:
    return query.caller.is_anonymous and not query.credential and query.after is None and query.explain is None


def _lasts(answer: Answer) -> bool:
    """Whether it is true until a record or a prefix changes."""
    if isinstance(answer, Found) and any(map(has_absolute_ttl, answer.values)):
        return False
    if isinstance(answer, RecordAnswer):
        return answer.source is Source.AUTHORITATIVE
    return not isinstance(answer, Refused)
