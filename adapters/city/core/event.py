"""Events: what is told of one thing, as a CloudEvent 1.0 in JSON.

The id is made of the content: type, subject, version and data. The same news has the same id however often and by whichever way
it is delivered (a retry, a replay), so a system that remembers ids deals with each once; and one that only keeps the highest
`rowversion` of each subject comes to the same state. A repair has an id of its own: the system may remember what it has lost.

Which feed tells it stands in the event's `source` and nowhere else. So an `Event` is all but its head, in which that is: feeds
of one selection and one shape have their events in common, and whoever sends puts the head of its feed before each.
"""

import hashlib
import json
from typing import Final

import orjson

from adapters.city.core.selection import Document, Interest, Selection
from adapters.city.core.shape import NAME_MEMBER, Shape, render_removed, subject_of
from proto import compiled
from proto.frozen import frozen
from proto.model.feed import FeedKind
from proto.model.notice import NoticeKind

SPEC_VERSION: Final = "1.0"

# Half of SHA-256: enough that no two events of a feed ever share one.
_ID_CHARS: Final = 32

# The state of what the node does not have at all.
_UNKNOWN: Final = "unknown"

# For what orjson refuses: half a surrogate pair, and whole numbers of more than 64 bits, which others' JSON may hold.
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ENCODE_SORTED: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode

# The member of a repair that names the version whose place it takes; in a CSV a further column.
REPLACES: Final = "replaces"
_REPLACES_HEAD: Final = f',"{REPLACES}":'.encode()

_KINDS: Final = {str(kind.value): kind for kind in FeedKind}
_TYPES: Final = {(kind, interest): f"biaojie.{kind}.{interest}" for kind in FeedKind for interest in Interest}

Key = tuple[str, str]
"""Kind and normalised name: what order is kept for. Of an alarm every image is news of its own."""


@frozen
class Event:
    """One event; `rest` is what follows its feed's head: together they are the CloudEvent in JSON, UTF-8."""

    id: str
    key: Key
    version: int
    rest: bytes


def head_of(source: str) -> bytes:
    """What every event of one source begins with."""
    return f'{{"specversion":"{SPEC_VERSION}","source":'.encode() + compose_json(source)


@compiled.preferred
def event_of(row: Document, selection: Selection, shape: Shape, repair: str = "") -> Event | None:
    """The event of a row, None if it is not selected. It is made of the row's image alone; a `repair` makes its id another."""
    interest = selection.judge(row)
    if interest is Interest.NONE:
        return None
    kind = _KINDS[row["kind"]]
    noun = row[kind]
    if kind is FeedKind.NOTICE:
        return _notice_event(row, noun, repair)
    data = shape.render(kind, noun, selection) if interest is Interest.CHANGED else render_removed(kind, noun)
    return _compose(_TYPES[kind, interest], (row["kind"], row["name"]), subject_of(kind, noun), noun, data, repair)


def key_of(row: Document) -> Key:
    """The key of a row's event; of an alarm's the name has its version in it."""
    if row["kind"] == FeedKind.NOTICE and row[FeedKind.NOTICE]["kind"] == NoticeKind.ALARM:
        return row["kind"], f"{row['name']}#{row['version']}"
    return row["kind"], row["name"]


def _notice_event(row: Document, notice: Document, repair: str) -> Event:
    """What the node tells of itself: of two of a subject the later one counts."""
    kind, noun = notice["kind"], {"version": notice["at_ms"], "changed": notice["at"]}
    what = f"biaojie.{kind}.{Interest.CHANGED}"
    return _compose(what, key_of(row), notice["name"], noun, {"kind": kind, **notice["data"]}, repair)


def removal_of(key: Key, subject: str, version: int, changed: str, repair: str = "") -> Event:
    """The event that tells a system to forget what it should not have."""
    kind = FeedKind(key[0])
    noun = {NAME_MEMBER[kind]: subject, "version": version, "state": _UNKNOWN, "changed": changed}
    return _compose(_TYPES[kind, Interest.REMOVED], key, subject, noun, render_removed(kind, noun), repair)


def replacing(event: Event, version: int) -> Event:
    """A repair that takes the place of what a system holds in that version, whatever its own."""
    return Event(event.id, event.key, event.version, b"%b%d%b" % (_REPLACES_HEAD, version, event.rest))


def is_replacing(event: Event) -> bool:
    """Whether it is such a repair."""
    return event.rest.startswith(_REPLACES_HEAD)


def _compose(what: str, key: Key, subject: str, noun: Document, data: Document, repair: str = "") -> Event:
    """Of the noun only its version and the time of that are looked at."""
    version = noun["version"]
    rendered = compose_json(data)
    named = [what, subject, version, repair] if repair else [what, subject, version]
    digest = hashlib.sha256(compose_json(named) + rendered).hexdigest()[:_ID_CHARS]
    told = compose_json({
        "id": digest,
        "type": what,
        "subject": subject,
        "time": noun["changed"],
        "rowversion": version,
        "datacontenttype": "application/json",
    })  # fmt: skip
    # All but the braces: a comma stands in place of the first.
    return Event(digest, key, version, b"".join((b",", told[1:-1], b',"data":', rendered, b"}")))


def compose_json(document: object) -> bytes:
    """JSON in UTF-8, as short as it gets."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        return _ENCODE(document).encode(errors="replace")


def canonical_json(document: object) -> bytes:
    """JSON in the one form that two sides come to who hold the same, however it was composed and kept.

    Members in the order of their names' code points, no white space, UTF-8, nothing escaped that need not be, numbers as short
    as they are read back the same.
    """
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        sent = json.loads(compose_json(document))
    try:
        return orjson.dumps(sent, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return _ENCODE_SORTED(sent).encode()
