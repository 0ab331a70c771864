"""Pages of changes, and what feeds are told of them. Pure.

Feeds of one selection and one shape are told the same: it is composed once, by whichever of them comes first, and portion by
portion, so that in between the next page can be asked for, answers come in and others get their turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from adapters.city.core.backlog import Entry
from adapters.city.core.event import event_of
from adapters.city.core.profile import Profile
from adapters.city.core.selection import Document, Selection
from adapters.city.core.shape import Shape
from proto.model.feed import FeedKind

# Changes of a portion: half a millisecond of composing, of the usual ones.
PORTION_CHANGES: Final = 64

Portion = tuple[Sequence[Entry], str]
"""Entries, and the cursor behind what they were made of."""


class Page:
    """Changes in order as the API gives them, from the cursor `after` to the cursor `cursor`; `head` is the stream's end."""

    def __init__(self, changes: Sequence[Mapping[str, Any]], after: str, cursor: str, head: str) -> None:
        self.changes = changes
        self.after = after
        self.cursor = cursor
        self.head = head
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
                event = event_of(row, selection, shape)
                if event is not None:
                    entries.append(Entry(event, before, change["time"], *whose(row)))
            before = change["position"]
        return entries, before if end < len(self.changes) else self.cursor


def whose(row: Document) -> tuple[str, str]:
    """The registrant whose thing a row is (empty: nobody's but the node's), and the prefix that it is below, if it is."""
    kind = row["kind"]
    noun = row[kind]
    if kind == FeedKind.REGISTRANT:
        return noun["code"], ""
    prefix = noun["name"] if kind == FeedKind.PREFIX else noun.get("identifier", "").partition("/")[0]
    return noun.get("registrant", ""), prefix
