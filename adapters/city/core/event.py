"""Events: what is told of one thing, as a CloudEvent 1.0 in JSON.

The id is made of the content: type, subject, version and data. The same news has the same id however often and by whichever way
it is delivered (a retry, a replay), so a system that remembers ids deals with each once; and one that only keeps the highest
`rowversion` of each subject comes to the same state. A repair has an id of its own: the system may remember what it has lost.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from adapters.city.core.profile import Profile
from adapters.city.core.selection import Document, Interest
from adapters.city.core.shape import NAME_MEMBER, render_removed, subject_of
from proto.model.feed import FeedKind

SPEC_VERSION: Final = "1.0"

# Half of SHA-256: enough that no two events of a feed ever share one.
_ID_CHARS: Final = 32

# The state of what the node does not have at all.
_UNKNOWN: Final = "unknown"

# One for all: `json.dumps` makes an encoder for each document.
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Key = tuple[str, str]
"""Kind and normalised name: what order is kept for."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `body` is the whole CloudEvent in JSON, UTF-8."""

    id: str
    key: Key
    version: int
    body: bytes


def events_of(change: Document, profile: Profile) -> Iterator[Event]:
    """The events of a change, in the order of its rows."""
    for row in change["rows"]:
        event = event_of(row, profile)
        if event is not None:
            yield event


def event_of(row: Document, profile: Profile, repair: str = "") -> Event | None:
    """The event of a row, None if it is not selected. It is made of the row's image alone; a `repair` makes its id another."""
    interest = profile.selection.judge(row)
    if interest is Interest.NONE:
        return None
    kind = FeedKind(row["kind"])
    noun = row[kind]
    is_selected = interest is Interest.CHANGED
    data = profile.shape.render(kind, noun, profile.selection) if is_selected else render_removed(kind, noun)
    return _compose(f"biaojie.{kind}.{interest}", (kind, row["name"]), noun, data, profile.source, repair)


def removal_of(key: Key, subject: str, version: int, changed: str, source: str, repair: str = "") -> Event:
    """The event that tells a system to forget what it should not have."""
    kind = FeedKind(key[0])
    noun = {NAME_MEMBER[kind]: subject, "version": version, "state": _UNKNOWN, "changed": changed}
    return _compose(f"biaojie.{kind}.{Interest.REMOVED}", key, noun, render_removed(kind, noun), source, repair)


def _compose(what: str, key: Key, noun: Document, data: dict[str, Any], source: str, repair: str) -> Event:
    return compose_event(what, key, subject_of(FeedKind(key[0]), noun), noun["version"], noun["changed"], data, source, repair)


def compose_event(
    what: str, key: Key, subject: str, version: int, changed: str, data: Document, source: str, repair: str = ""
) -> Event:
    """The event of type `what` that a subject, in this version since `changed` (ISO 8601), is as `data` says."""
    rendered = compose_json(data)
    named = [what, subject, version, repair] if repair else [what, subject, version]
    digest = hashlib.sha256(compose_json(named) + rendered).hexdigest()[:_ID_CHARS]
    head = compose_json({
        "specversion": SPEC_VERSION,
        "id": digest,
        "source": source,
        "type": what,
        "subject": subject,
        "time": changed,
        "rowversion": version,
        "datacontenttype": "application/json",
    })  # fmt: skip
    return Event(digest, key, version, head[:-1] + b',"data":' + rendered + b"}")


def compose_json(document: object) -> bytes:
    """JSON in UTF-8, as short as it gets."""
    return _ENCODE(document).encode(errors="replace")
