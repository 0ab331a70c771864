"""The overlay: the newest value of every key that has changed since a checkpoint, in generations.

A generation is a plain dict and takes changes until it is full; then a new one is put before it. A look-up asks the newest
first. When the reader moves to a checkpoint that covers a generation's last change, the generation is dropped whole. One
that is covered in part may stay: whatever it says of a key is the checkpoint's word or a later one, because every later
change of that key is in the same or a newer generation.

An empty value says that there is nothing under the key.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import Final

# One dict probe a generation is what a look-up pays; a full generation is sorted for a scan within 10 ms, once.
GENERATION_ENTRIES: Final = 16_384
GENERATION_BYTES: Final = 16 * 1024 * 1024

# Three times what makes the committer take a checkpoint, which is when entries go. Past it a reader stops applying changes,
# which shows in its lag; it never stops answering.
MAX_ENTRIES: Final = 300_000
MAX_BYTES: Final = 192 * 1024 * 1024


class Generation:
    """The changes of one stretch of the stream, `last` being the sequence it ends with."""

    __slots__ = ("_ordered", "entries", "last", "size")

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.last = 0
        self.size = 0
        self._ordered: list[bytes] = []

    @property
    def is_full(self) -> bool:
        return len(self.entries) >= GENERATION_ENTRIES or self.size >= GENERATION_BYTES

    def put(self, sequence: int, staged: Mapping[bytes, bytes]) -> None:
        """Take the values of the change `sequence`."""
        entries, size = self.entries, self.size
        for key, value in staged.items():
            old = entries.get(key)
            size += len(value) - len(old) if old is not None else len(key) + len(value)
        entries.update(staged)
        self.size, self.last = size, sequence

    def keys_between(self, start: bytes, end: bytes) -> Iterator[bytes]:
        """The keys from `start` up to and without `end`, in order."""
        ordered, entries = self._ordered, self.entries
        if len(ordered) < len(entries):
            # Keys never go, and a dict gives them in the order they came: only the new ones have to be sorted in.
            ordered.extend(islice(entries, len(ordered), None))
            ordered.sort()
        for place in range(bisect_left(ordered, start), bisect_left(ordered, end)):
            yield ordered[place]


class Overlay:
    """Generations, newest first. `layers` are their dicts in the same order, for look-ups that must be quick."""

    def __init__(self) -> None:
        self._generations: list[Generation] = [Generation()]
        self._dropped: list[dict[bytes, bytes]] = []
        self._number()

    def __len__(self) -> int:
        return self._older_entries + len(self.layers[0])

    @property
    def is_full(self) -> bool:
        """Whether it must not grow any more."""
        return len(self) >= MAX_ENTRIES or self._older_bytes + self._generations[0].size >= MAX_BYTES

    def get(self, key: bytes) -> bytes | None:
        """What the newest change of `key` left (empty: nothing); None if the overlay does not know it."""
        for layer in self.layers:
            value = layer.get(key)
            if value is not None:
                return value
        return None

    def put(self, sequence: int, staged: Mapping[bytes, bytes]) -> None:
        """Show the values of the change `sequence`, all at once."""
        newest = self._generations[0]
        if newest.is_full:
            newest = Generation()
            self._generations.insert(0, newest)
            self._number()
        newest.put(sequence, staged)

    def drop(self, covered: int) -> None:
        """Forget the generations that end at or before the sequence `covered`. `free` gives their memory back."""
        kept = [generation for generation in self._generations if generation.last > covered]
        self._dropped += [generation.entries for generation in self._generations if generation.last <= covered]
        self._generations = kept or [Generation()]
        self._number()

    def clear(self) -> None:
        """Forget everything. `free` gives the memory back."""
        self._dropped += self.layers
        self._generations = [Generation()]
        self._number()

    def free(self, count: int) -> bool:
        """Release the memory of up to `count` dropped entries; whether there are more. All at once would take too long."""
        while self._dropped and count > 0:
            entries = self._dropped[-1]
            for _ in range(min(count, len(entries))):
                entries.popitem()
                count -= 1
            if not entries:
                self._dropped.pop()
        return bool(self._dropped)

    def keys_between(self, start: bytes, end: bytes) -> Iterator[bytes]:
        """The keys known here from `start` up to and without `end`, in order, each once."""
        last = None
        for key in merge(*(generation.keys_between(start, end) for generation in self._generations)):
            if key != last:
                yield key
            last = key

    def _number(self) -> None:
        """The generations are others now: only the newest one will grow."""
        self.layers: tuple[dict[bytes, bytes], ...] = tuple(generation.entries for generation in self._generations)
        self._older_entries = sum(map(len, self.layers[1:]))
        self._older_bytes = sum(generation.size for generation in self._generations[1:])
