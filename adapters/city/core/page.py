"""Pages of changes, and what feeds are told of them. Pure.

Feeds of one selection and one shape are told the same: it is composed once, by whichever of them comes first, and portion by
portion, so that in between the next page can be asked for, answers come in and others get their turn.

Figures of the node grow old: of those of one hour a page tells the newest, so a system that was away for a week is told some
two hundred times how things stood, and not ten thousand times. Alarms are told one and all.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from adapters.city.core.backlog import Entry
from adapters.city.core.event import Event, event_of
from adapters.city.core.profile import Profile
from adapters.city.core.selection import Document, Selection
from adapters.city.core.shape import Shape
from proto.model.feed import FeedKind
from proto.model.notice import NoticeKind

# Changes of a portion: half a millisecond of composing, of the usual ones.
PORTION_CHANGES: Final = 64

# As much of the time of a notice (`2026-01-31T08:15:00.000Z`) as figures have in common that replace one another: the hour. A
# system that draws a line through them misses nothing of a day, and one that was away for a year is told some 9,000 times.
PERIOD_CHARS: Final = 13

Portion = tuple[Sequence[Entry], str]
"""Entries, and the cursor behind what they were made of."""


class Page:
    """Changes in order as the API gives them, from the cursor `after` to the cursor `cursor`; `head` is the stream's end."""

    def __init__(self, changes: Sequence[Mapping[str, Any]], after: str, cursor: str, head: str) -> None:
        self.changes = changes
        self.after = after
        self.cursor = cursor
        self.head = head
        self._newest: dict[tuple[str, str], str] | None = None
        self._told: dict[tuple[Selection, Shape], list[Portion]] = {}

    def told(self, profile: Profile) -> Iterator[Portion]:
        """What a feed is told of it, in portions; the last ends where the page does. It has one at least.

        For feeds of one selection and one shape, that are at most 64, it is one.
        """
        selection, shape = profile.selection, profile.shape
        portions = self._told.setdefault((selection, shape), [])
        for place in range(max(1, -(-len(self.changes) // PORTION_CHANGES))):
            if place == len(portions):
                portions.append(self._compose(place * PORTION_CHANGES, selection, shape))
            yield portions[place]

    def _compose(self, begin: int, selection: Selection, shape: Shape) -> Portion:
        end = begin + PORTION_CHANGES
        before = self.changes[begin - 1]["position"] if begin else self.after
        entries = []
        for change in self.changes[begin:end]:
            for row in change["rows"]:
                if selection.notices_for and self._is_replaced(row, change["position"]):
                    continue
                event = event_of(row, selection, shape)
                if event is not None:
                    entries.append(entry_of(event, before, change, row))
            before = change["position"]
        return entries, before if end < len(self.changes) else self.cursor

    def _is_replaced(self, row: Mapping[str, Any], position: str) -> bool:
        """Whether these are figures of the node, and later ones of the same hour stand in this page."""
        if self._newest is None:
            self._newest = {}
            for change in self.changes:
                for each in change["rows"]:
                    if _is_figures(each):
                        self._newest[_period(each)] = change["position"]
        return _is_figures(row) and self._newest[_period(row)] != position


def _is_figures(row: Mapping[str, Any]) -> bool:
    return bool(row["kind"] == FeedKind.NOTICE and row[FeedKind.NOTICE]["kind"] != NoticeKind.ALARM)


def _period(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["name"], row[FeedKind.NOTICE]["at"][:PERIOD_CHARS]


def entry_of(event: Event, before: str, change: Document, row: Document) -> Entry:
    """The event that a row of a change is told as, with its place behind the cursor `before`."""
    registrant, prefix = whose(row)
    return Entry(event, before, change["time"], registrant, prefix)


def whose(row: Document) -> tuple[str, str]:
    """The registrant whose thing a row is (empty: nobody's but the node's), and the prefix that it is below, if it is."""
    kind = row["kind"]
    noun = row[kind]
    if kind == FeedKind.REGISTRANT:
        return noun["code"], ""
    prefix = noun["name"] if kind == FeedKind.PREFIX else noun.get("identifier", "").partition("/")[0]
    return noun.get("registrant", ""), prefix
