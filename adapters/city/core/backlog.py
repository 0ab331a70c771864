"""The backlog of a feed: events that were read and are not settled, in order, and the cursor that follows from that.

The cursor stands behind the last change of which, and before which, everything is settled: that is before the change of the
first event that is not. Changes without an event for the feed are passed over; a change with many events is only passed when
the last of them is settled, so a feed that is killed in the middle of one tells some of them again.

Entries are what all feeds have in common that tell the same; what is settled is each one's own, and stands here.
"""

from collections import deque
from collections.abc import Container, Sequence
from operator import is_

from adapters.city.core.event import Event, Key
from proto.frozen import frozen


@frozen
class Entry:
    """An event with its place: its change is the first with any event after the cursor `before`, and was made at `time`.

    `registrant` is whose thing it tells of, below `prefix` if it is below one.
    """

    event: Event
    before: str
    time: str = ""
    registrant: str = ""
    prefix: str = ""


class Backlog:
    """The unsettled events of one feed from `cursor` on."""

    def __init__(self, cursor: str) -> None:
        self.end = cursor
        """Behind everything that was read."""
        self.size_bytes = 0
        self._entries: deque[Entry] = deque()
        # Of the entries those that are settled, though one before them is not.
        self._settled: set[int] = set()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def cursor(self) -> str:
        """Behind everything that is settled."""
        return self._entries[0].before if self._entries else self.end

    @property
    def oldest(self) -> str:
        """The time of the oldest change that is not settled; empty: there is none."""
        return self._entries[0].time if self._entries else ""

    def add(self, entries: Sequence[Entry], cursor: str) -> None:
        """What was read up to `cursor`, and what is in it for this feed."""
        self._entries.extend(entries)
        self.size_bytes += sum([len(entry.event.rest) for entry in entries])
        self.end = cursor

    def first(self, count: int, size_bytes: int, each_bytes: int = 0, held: Container[Key] = ()) -> Sequence[Entry]:
        """The oldest unsettled entries: at least one, if there is any; more up to `count` and `size_bytes` together.

        `each_bytes` is what is sent with every event; things that are `held` are passed over.
        """
        waiting = self._entries
        if (
            not held
            and not self._settled
            and len(waiting) <= count
            and self.size_bytes + len(waiting) * each_bytes <= size_bytes
        ):
            return list(waiting)  # of a feed that keeps up it is all
        found: list[Entry] = []
        left, settled = size_bytes, self._settled
        for entry in waiting:
            if (settled and id(entry) in settled) or entry.event.key in held:
                continue
            left -= len(entry.event.rest) + each_bytes
            if found and (left < 0 or len(found) == count):
                break
            found.append(entry)
        return found

    def end_behind(self, last: Entry) -> str:
        """Where everything up to this entry ends."""
        if last is self._entries[-1]:
            return self.end
        entries = iter(self._entries)
        for entry in entries:
            if entry is last:
                break
        return next(entries).before

    def first_other(self, key: Key, held: Container[Key] = ()) -> Entry | None:
        """The oldest unsettled entry of another thing that is not `held`: nothing of that thing is before it."""
        unsettled = (entry for entry in self._entries if id(entry) not in self._settled)
        return next((entry for entry in unsettled if entry.event.key != key and entry.event.key not in held), None)

    def settle(self, entries: Sequence[Entry]) -> None:
        """These need not be delivered any more; the cursor moves on as far as it can."""
        waiting, settled = self._entries, self._settled
        if all(map(is_, entries, waiting)):
            # They are the first: nearly always a whole batch was taken.
            passed = [waiting.popleft() for _ in entries]
        else:
            settled.update(map(id, entries))
            passed = []
        while waiting and id(waiting[0]) in settled:
            settled.discard(id(waiting[0]))
            passed.append(waiting.popleft())
        self.size_bytes -= sum([len(entry.event.rest) for entry in passed])
