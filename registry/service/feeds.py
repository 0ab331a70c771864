"""Feeds: how far each city system has been told, and the letters that it refused.

The account that delivers a feed moves its cursor with every acknowledged delivery, in one change with the letters that the
delivery made or settled. The operator pauses, resumes and rewinds; whoever delivers finds that out by the feed's version.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import MAX_IDENTIFIER_BYTES
from proto.model.account import Caller, Role
from proto.model.change import Position, Row, Table
from proto.model.feed import Feed, FeedKind, FeedState, Letter, letter_key
from proto.ports import RecordReader
from proto.tables import pack_feed, pack_letter, unpack_feed, unpack_letter
from registry.policy.rules import EVERY_REGISTRANT, Action, enter
from registry.service.listing import Page, page_of, plan_nothing, plan_row
from registry.service.plan import Plan, check_version
from registry.service.told import Told

# A name stands in paths, keys, metrics and events.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

# A city plan names thirteen systems; each feed costs a request a second and a label of the metrics.
MAX_FEEDS: Final = 64

# Letters are held in memory by every process. A system that refuses more is not refusing letters, it is misunderstood.
MAX_LETTERS: Final = 1_000

# A sentence of a system about why it refused, and one of a person about why a feed is paused.
MAX_SENTENCE_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that a system refused: it becomes a letter, in place of an older one of the same thing."""

    kind: FeedKind
    name: str
    before: Position
    row_version: int
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of a delivery. `settled` are letters, by kind and name, that there is no need for any more; `told` says of
    whom it was (for the access log).
    """

    cursor: Position
    delivered: int = 0
    refused: Sequence[Refused] = ()
    settled: Sequence[tuple[FeedKind, str]] = ()
    told: Sequence[Told] = ()


@dataclass(frozen=True, slots=True)
class FeedStanding:
    """A feed with what there is to say beside it: its letters, those to be delivered again, and the end of the stream."""

    feed: Feed
    letters: int
    requested: int
    head: Position


def plan_feed(reader: RecordReader, caller: Caller, name: str, account: str, after: Position, now_ms: int) -> Plan:
    """A new feed whose first change is the next after `after`; `account` (empty: the caller's) delivers it.

    The same again, wherever the feed stands by now, changes nothing. Raises `Refusal`: PERMISSION_DENIED, INVALID_ARGUMENT,
    ALREADY_EXISTS if another account delivers it, QUOTA_EXCEEDED.
    """
    enter(caller, Action.RUN_FEED)
    if not _NAME.fullmatch(name):
        raise Refusal(Reason.INVALID_ARGUMENT, "a name is 1 to 64 lower-case letters, digits and '-'", "name")
    account = account or caller.account
    if account != caller.account and caller.role is not Role.OPERATOR:
        raise Refusal(Reason.PERMISSION_DENIED, f"account {caller.account} may not make feeds of others", "account")
    if reader.account(account) is None:
        raise Refusal(Reason.NOT_FOUND, f"there is no account {account}", "account")
    image = reader.image(Table.FEED, name)
    if image is not None:
        there = unpack_feed(image)
        if there.account != account:
            raise Refusal(Reason.ALREADY_EXISTS, f"there is a feed {name}", "name")
        return plan_nothing(name, image, there.version, there.state)
    if len(reader.images(Table.FEED)) >= MAX_FEEDS:
        raise Refusal(Reason.QUOTA_EXCEEDED, f"there are {MAX_FEEDS} feeds", "name")
    feed = Feed(name, account, FeedState.RUNNING, after, 0, "", 1, now_ms, now_ms)
    return plan_row(Table.FEED, name, pack_feed(feed), 1, feed.state)


def plan_progress(
    reader: RecordReader, caller: Caller, name: str, progress: Progress, expected_version: int | None, now_ms: int
) -> Plan:
    """A feed moved on. Raises `Refusal`: NOT_FOUND, VERSION_CONFLICT, INVALID_ARGUMENT, INVALID_STATE if it is
    paused or has too many letters.
    """
    before = find_feed(reader, caller, name)
    check_version(before.version, expected_version)
    if before.state is FeedState.PAUSED:
        raise Refusal(Reason.INVALID_STATE, f"feed {name} is paused", "feed")
    _check_told(reader, progress.told)
    delivered = before.delivered + progress.delivered
    plan = _plan_row(before, replace(before, cursor=progress.cursor, delivered=delivered), now_ms)
    images = reader.images(Table.LETTER)
    changed: dict[str, Row] = {}
    for kind, what in progress.settled:
        key = letter_key(name, kind, what)
        if key in images:
            there = unpack_letter(images[key])
            changed[key] = Row(Table.LETTER, key, b"", there.version + 1, there.version)
    made = 0
    for refused in progress.refused:
        letter = _letter_of(name, refused, images, now_ms)
        if letter is None:
            continue
        made += letter.key not in images
        changed[letter.key] = Row(Table.LETTER, letter.key, pack_letter(letter), letter.version, letter.version - 1)
    if made and _count(images, name) + made > MAX_LETTERS:
        raise Refusal(Reason.INVALID_STATE, f"feed {name} has {MAX_LETTERS} dead letters: see to them first", "refused")
    plan.rows += changed.values()
    return plan


def plan_pause(reader: RecordReader, caller: Caller, name: str, note: str, now_ms: int) -> Plan:
    """A feed that delivers nothing until it is resumed; whoever delivers it may pause it as well, and says why."""
    before = find_feed(reader, caller, name)
    check_sentence(note, "note")
    if before.state is FeedState.PAUSED:
        return plan_nothing(name, pack_feed(before), before.version, before.state)
    return _plan_next(before, replace(before, state=FeedState.PAUSED, note=note), now_ms)


def plan_resumed(reader: RecordReader, caller: Caller, name: str, now_ms: int) -> Plan:
    """A feed that delivers again, from where it stopped."""
    enter(caller, Action.ADMINISTER_FEED)
    before = find_feed(reader, caller, name)
    return _plan_next(before, replace(before, state=FeedState.RUNNING, note=""), now_ms)


def plan_replay(
    reader: RecordReader, caller: Caller, name: str, after: Position, expected_version: int | None, now_ms: int
) -> Plan:
    """A feed that goes on from another place: everything after it is delivered, again or for the first time."""
    enter(caller, Action.ADMINISTER_FEED)
    before = find_feed(reader, caller, name)
    check_version(before.version, expected_version)
    if after > reader.position:
        raise Refusal(Reason.INVALID_ARGUMENT, "the cursor is beyond the end of the stream", "after")
    # Always a new version: who is delivering now must not move the cursor back to where it was.
    return _plan_row(before, replace(before, cursor=after), now_ms)


def plan_requests(reader: RecordReader, caller: Caller, name: str, wanted: Sequence[tuple[FeedKind, str]] | None) -> Plan:
    """Letters to be delivered again: those named, or all (None)."""
    enter(caller, Action.ADMINISTER_FEED)
    feed = find_feed(reader, caller, name)
    images = reader.images(Table.LETTER)
    if wanted is None:
        keys = [key for key in images if key.startswith(f"{name}/")]
    else:
        keys = [letter_key(name, kind, what) for kind, what in wanted]
    plan = plan_nothing(name, pack_feed(feed), feed.version, feed.state)
    for key in dict.fromkeys(keys):
        if key not in images:
            raise Refusal(Reason.NOT_FOUND, f"there is no dead letter {key}", "letters")
        there = unpack_letter(images[key])
        if not there.is_requested:
            after = replace(there, is_requested=True, version=there.version + 1)
            plan.rows.append(Row(Table.LETTER, key, pack_letter(after), after.version, there.version))
    return plan


def show_feed(reader: RecordReader, caller: Caller, name: str) -> FeedStanding:
    """One feed. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND."""
    return stand(reader, find_feed(reader, caller, name))


def list_feeds(reader: RecordReader, caller: Caller, after: str, limit: int) -> Page[FeedStanding]:
    """The feeds that the caller delivers, or all for the operator, by name."""
    enter(caller, Action.RUN_FEED)
    images = reader.images(Table.FEED)

    def item_of(name: str) -> FeedStanding | None:
        feed = unpack_feed(images[name])
        return stand(reader, feed) if _may_see(caller, feed) else None

    return page_of(images, after, limit, item_of)


def list_letters(
    reader: RecordReader, caller: Caller, name: str, after: str, limit: int, *, requested_only: bool
) -> Page[Letter]:
    """The letters of a feed by kind and name; `after` is the cursor of a page."""
    find_feed(reader, caller, name)
    images = {key: image for key, image in reader.images(Table.LETTER).items() if key.startswith(f"{name}/")}

    def item_of(key: str) -> Letter | None:
        letter = unpack_letter(images[key])
        return letter if letter.is_requested or not requested_only else None

    return page_of(images, after, limit, item_of)


def find_feed(reader: RecordReader, caller: Caller, name: str) -> Feed:
    """A feed that the caller may see. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND."""
    enter(caller, Action.RUN_FEED)
    image = reader.image(Table.FEED, name)
    feed = unpack_feed(image) if image is not None else None
    if feed is None or not _may_see(caller, feed):
        raise Refusal(Reason.NOT_FOUND, f"there is no feed {name}", "feed")
    return feed


def stand(reader: RecordReader, feed: Feed) -> FeedStanding:
    """A feed with its letters counted."""
    letters = [image for key, image in reader.images(Table.LETTER).items() if key.startswith(f"{feed.name}/")]
    requested = sum(unpack_letter(image).is_requested for image in letters)
    return FeedStanding(feed, len(letters), requested, reader.position)


def check_sentence(text: str, field: str) -> None:
    """Raise `Refusal(INVALID_ARGUMENT)` unless it is short enough to be kept."""
    if len(text) > MAX_SENTENCE_CHARS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_SENTENCE_CHARS} characters", field)


def _check_told(reader: RecordReader, told: Sequence[Told]) -> None:
    """Raise `Refusal(INVALID_ARGUMENT)` unless what is told is of registrants that there are, of all, or of the node itself."""
    for each in told:
        if each.registrant not in ("", EVERY_REGISTRANT) and reader.image(Table.REGISTRANT, each.registrant) is None:
            raise Refusal(Reason.INVALID_ARGUMENT, f"there is no registrant {each.registrant}", "told.registrant")


def _may_see(caller: Caller, feed: Feed) -> bool:
    return caller.role is Role.OPERATOR or feed.account == caller.account


def _letter_of(feed: str, refused: Refused, images: dict[str, bytes], now_ms: int) -> Letter | None:
    """The letter of a refused event; None if there is one of a newer image of the same thing."""
    check_sentence(refused.reason, "refused.reason")
    if not 0 < len(refused.name.encode()) <= MAX_IDENTIFIER_BYTES:
        raise Refusal(Reason.INVALID_ARGUMENT, f"a name is 1 to {MAX_IDENTIFIER_BYTES} bytes", "refused.name")
    image = images.get(letter_key(feed, refused.kind, refused.name))
    there = unpack_letter(image) if image is not None else None
    if there is not None and there.row_version > refused.row_version:
        return None
    return Letter(
        feed,
        refused.kind,
        refused.name,
        refused.before,
        refused.row_version,
        refused.attempts,
        refused.reason,
        False,
        there.version + 1 if there is not None else 1,
        there.created_ms if there is not None else now_ms,
    )


def _count(images: dict[str, bytes], feed: str) -> int:
    return sum(key.startswith(f"{feed}/") for key in images)


def _plan_next(before: Feed, after: Feed, now_ms: int) -> Plan:
    if after == before:
        return plan_nothing(before.name, pack_feed(before), before.version, before.state)
    return _plan_row(before, after, now_ms)


def _plan_row(before: Feed, after: Feed, now_ms: int) -> Plan:
    after = replace(after, version=before.version + 1, changed_ms=max(now_ms, before.changed_ms))
    return plan_row(Table.FEED, after.name, pack_feed(after), after.version, after.state, before.state)
