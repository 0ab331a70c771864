"""The backlog of a feed: events that were read and are not settled, in order, and the cursor that follows from that.

The cursor stands behind the last change of which, and before which, everything is settled. Changes without an event for the
feed are passed over; a change with many events is only passed when the last of them is settled, so a feed that is killed in
the middle of one tells some of them again.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapters.city.core.event import Event, Key


@dataclass(slots=True)
class Entry:
    """An event with its place: its change is the first after `before`; `end` is the cursor behind it, if it is its last."""

    event: Event
    before: str
    end: str = ""
    is_settled: bool = False


class Backlog:
    """The unsettled events of one feed from `cursor` on."""

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        """Behind everything that is settled."""
        self.end = cursor
        """Behind everything that was read."""
        self.size_bytes = 0
        self._entries: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, events: Iterable[Event], cursor: str) -> None:
        """A change that was read, with its events; `cursor` is behind it."""
        before, last = self.end, None
        for event in events:
            last = Entry(event, before)
            self._entries.append(last)
            self.size_bytes += len(event.body)
        if last is not None:
            last.end = cursor
            self.end = cursor
        else:
            self.pass_over(cursor)

    def pass_over(self, cursor: str) -> None:
        """Everything up to here was read, and there is nothing in it for this feed."""
        self.end = cursor
        if self._entries:
            self._entries[-1].end = cursor
        else:
            self.cursor = cursor

    def first(self, count: int, size_bytes: int) -> Sequence[Entry]:
        """The oldest unsettled entries: at least one, if there is any; more up to `count` and `size_bytes` together."""
        found: list[Entry] = []
        size = 0
        for entry in self._entries:
            if entry.is_settled:
                continue
            size += len(entry.event.body)
            if found and (len(found) == count or size > size_bytes):
                break
            found.append(entry)
        return found

    def first_other(self, key: Key) -> Entry | None:
        """The oldest unsettled entry of another thing: nothing of that thing is before it."""
        return next((entry for entry in self._entries if not entry.is_settled and entry.event.key != key), None)

    def settle(self, entries: Iterable[Entry]) -> None:
        """These need not be delivered any more; the cursor moves on as far as it can."""
        for entry in entries:
            entry.is_settled = True
        while self._entries and self._entries[0].is_settled:
            entry = self._entries.popleft()
            self.size_bytes -= len(entry.event.body)
            if entry.end:
                self.cursor = entry.end
