"""Notices: what the node has to tell a feed of itself, stored before it is told.

Who delivers a feed stores its notices, those of one look in one change. What says the same as before is no news, but for
figures of a moment, which are told to say that they still are so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proto.errors import Reason, Refusal
from proto.model.account import Caller, Role
from proto.model.change import Row, Table
from proto.model.notice import Notice, NoticeKind, notice_key
from proto.ports import RecordReader
from proto.tables import pack_feed, pack_notice, unpack_notice
from registry.service.feeds import find_feed
from registry.service.listing import Page, page_of, plan_nothing
from registry.service.plan import Plan

# Notices of one request: a look at a node with so many alarms takes several.
MAX_NOTICES: Final = 1_000

# Alarms of a feed, raised and cleared: one for each node of an enterprise, of which a city has hundreds. Held in memory.
MAX_ALARMS: Final = 10_000

# Days of a feed that are kept, the newest: as many as the node has figures of. The stream has what was told of older ones.
MAX_DAYS: Final = 92

# What an alarm is about, a prefix mostly; short enough that a dead letter of it has a name, too.
MAX_NAME_BYTES: Final = 1_024

# Figures with the names of all alarms that are raised are the longest, at their usual length.
MAX_DATA_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True)
class NewNotice:
    """A notice as who delivers the feed wants it; `data` is JSON."""

    kind: NoticeKind
    name: str
    data: str


def plan_notices(reader: RecordReader, caller: Caller, feed: str, wanted: Sequence[NewNotice], now_ms: int) -> Plan:
    """Notices of a feed as they are now; days beyond those that are kept go.

    Raises `Refusal`: NOT_FOUND, INVALID_ARGUMENT, DUPLICATE_IDENTIFIER, QUOTA_EXCEEDED, ...
    """
    there = find_feed(reader, caller, feed)
    plan = plan_nothing(feed, pack_feed(there), there.version, there.state)
    images = {key: image for key, image in reader.images(Table.NOTICE).items() if key.startswith(f"{feed}/")}
    changed: dict[str, Row] = {}
    for new in wanted:
        _check(new)
        key = notice_key(feed, new.kind, new.name)
        if key in changed:
            raise Refusal(Reason.DUPLICATE_IDENTIFIER, f"{key} is there twice", "notices")
        before = unpack_notice(images[key]) if key in images else None
        if before is not None and before.data == new.data and new.kind is not NoticeKind.INDICATORS:
            continue
        version, at_ms = (before.version + 1, max(now_ms, before.at_ms + 1)) if before is not None else (1, now_ms)
        notice = Notice(feed, there.account, new.kind, new.name, new.data, at_ms, version)
        changed[key] = Row(Table.NOTICE, key, pack_notice(notice), version, version - 1)
    kept = images.keys() | changed.keys()
    if sum(key.startswith(f"{feed}/{NoticeKind.ALARM}/") for key in changed.keys() - images.keys()):
        alarms = sum(key.startswith(f"{feed}/{NoticeKind.ALARM}/") for key in kept)
        if alarms > MAX_ALARMS:
            raise Refusal(Reason.QUOTA_EXCEEDED, f"feed {feed} has {MAX_ALARMS} alarms", "notices")
    days = sorted(key for key in kept if key.startswith(f"{feed}/{NoticeKind.DAY}/"))
    for key in days[:-MAX_DAYS]:
        if key in images:
            old = unpack_notice(images[key])
            changed[key] = Row(Table.NOTICE, key, b"", old.version + 1, old.version)
    plan.rows += changed.values()
    return plan


def list_notices(reader: RecordReader, caller: Caller, feed: str, after: str, limit: int) -> Page[Notice]:
    """The notices of a feed by kind and name; `after` is the cursor of a page."""
    find_feed(reader, caller, feed)
    images = {key: image for key, image in reader.images(Table.NOTICE).items() if key.startswith(f"{feed}/")}
    return page_of(images, after, limit, lambda key: unpack_notice(images[key]))


def may_see(caller: Caller, notice: Notice) -> bool:
    """Whether a follower is told of it: who delivers the feed, and the operator."""
    return caller.role is Role.OPERATOR or (caller.account == notice.account and bool(notice.account))


def _check(new: NewNotice) -> None:
    if not 0 < len(new.name.encode()) <= MAX_NAME_BYTES:
        raise Refusal(Reason.INVALID_ARGUMENT, f"a name is 1 to {MAX_NAME_BYTES} bytes", "name")
    if len(new.data.encode()) > MAX_DATA_BYTES:
        raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_DATA_BYTES} bytes of data", "data")
