"""Events: what is told of one thing, as a CloudEvent 1.0 in JSON.

The id is made of the content: type, name, version and data. The same news has the same id however often and by whichever way
it is delivered (a retry, a replay, a repair), so a system that remembers ids deals with each once; and one that only keeps the
highest `rowversion` of each subject comes to the same state.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from adapters.city.core.profile import Profile
from adapters.city.core.selection import Document, Interest
from adapters.city.core.shape import render_removed, subject_of
from proto.model.feed import FeedKind

SPEC_VERSION: Final = "1.0"

# Half of SHA-256: enough that no two events of a feed ever share one.
_ID_CHARS: Final = 32

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
        event = event_of(row, change["time"], profile)
        if event is not None:
            yield event


def event_of(row: Document, time: str, profile: Profile) -> Event | None:
    """The event of a row, None if it is not selected; `time` is when it was committed (RFC 3339)."""
    interest = profile.selection.judge(row)
    if interest is Interest.NONE:
        return None
    kind = FeedKind(row["kind"])
    noun = row[kind]
    is_selected = interest is Interest.CHANGED
    data = profile.shape.render(kind, noun, profile.selection) if is_selected else render_removed(kind, noun)
    return _compose(
        f"biaojie.{kind}.{interest}", kind, row["name"], row["version"], subject_of(kind, noun), time, data, profile
    )


def _compose(
    what: str, kind: FeedKind, name: str, version: int, subject: str, time: str, data: dict[str, Any], profile: Profile
) -> Event:
    rendered = compose_json(data)
    digest = hashlib.sha256(compose_json([what, name, version]) + rendered).hexdigest()[:_ID_CHARS]
    head = compose_json({
        "specversion": SPEC_VERSION,
        "id": digest,
        "source": profile.source,
        "type": what,
        "subject": subject,
        "time": time,
        "rowversion": version,
        "datacontenttype": "application/json",
    })  # fmt: skip
    return Event(digest, (kind, name), version, head[:-1] + b',"data":' + rendered + b"}")


def compose_json(document: object) -> bytes:
    """JSON in UTF-8, as short as it gets."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
