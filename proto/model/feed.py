"""Feed: a city system's subscription to changes, as the store keeps it: how far it has been told, and what it refused.

What a feed selects and how it speaks is a profile outside the store. A *letter* is an event that the system refused for good
while it took others. There is at most one for each thing: a later image of the same thing that is delivered settles it.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from proto.model.change import Position


class FeedState(IntEnum):
    """Whether a feed delivers."""

    RUNNING = 0
    PAUSED = 1


class FeedKind(StrEnum):
    """What can be fed: the kinds of rows that a follower of the city may see, and what the node tells of itself."""

    RECORD = "record"
    PREFIX = "prefix"
    REGISTRANT = "registrant"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed. Everything up to `cursor` is settled: acknowledged by the system, or a letter. Times are UTC milliseconds.

    `account` delivers it and moves its cursor; `delivered` counts acknowledged events; `note` says why it is paused.
    """

    name: str
    account: str
    state: FeedState
    cursor: Position
    delivered: int
    note: str
    version: int
    created_ms: int
    changed_ms: int


@dataclass(frozen=True, slots=True)
class Letter:
    """An event that was refused. Its change is the first after `before` that has a row of this kind and name.

    `row_version` is that of the thing it tells of; `is_requested` says that it is to be delivered again.
    """

    feed: str
    kind: str
    name: str
    before: Position
    row_version: int
    attempts: int
    reason: str
    is_requested: bool
    version: int
    created_ms: int

    @property
    def key(self) -> str:
        """Its name in the store: neither feeds nor kinds have slashes in their names."""
        return letter_key(self.feed, self.kind, self.name)


def letter_key(feed: str, kind: str, name: str) -> str:
    """The name of a letter in the store."""
    return f"{feed}/{kind}/{name}"
