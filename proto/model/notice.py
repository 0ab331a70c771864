"""Notice: what the node has to tell a feed of itself, as the store keeps it: figures of a moment, those of a day, an alarm.

It is stored before anybody is told, as a row that changes: so it stands in the stream of changes like a registration, and is
told by the same way. What a notice says is made outside the store; here it is a JSON document.
"""

from dataclasses import dataclass
from enum import StrEnum


class NoticeKind(StrEnum):
    """What a notice tells."""

    INDICATORS = "indicators"
    """Figures of a moment: newer ones take their place."""
    DAY = "day"
    """Figures of a day, which end with it."""
    ALARM = "alarm"
    """That something is raised or cleared: each of the two is news of its own."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice for `feed`, which `account` delivers. `data` is JSON.

    `at_ms` (UTC milliseconds) is when it came to say this; of two images of one notice the later has the greater, whatever the
    clock did in between.
    """

    feed: str
    account: str
    kind: NoticeKind
    name: str
    data: str
    at_ms: int
    version: int

    @property
    def key(self) -> str:
        """Its name in the store: neither feeds nor kinds have slashes in their names."""
        return notice_key(self.feed, self.kind, self.name)

    @property
    def registrant(self) -> str:
        """Nobody's: it is the node's own."""
        return ""


def notice_key(feed: str, kind: NoticeKind, name: str) -> str:
    """The name of a notice in the store."""
    return f"{feed}/{kind}/{name}"
