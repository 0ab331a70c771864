"""Filings as they are looked at: which of them are wanted, which can be told now, and how many there are.

All of them are looked at every few seconds, so what is needed of one is kept by its image and not unpacked again.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.change import Table
from proto.model.filing import SETTLED, Filing, FilingKind, FilingState, filing_key
from proto.ports import RecordReader
from proto.tables import unpack_filing
from registry.policy.rules import EVERY_REGISTRANT, Action, Reach, enter, judge, require
from registry.service.listing import Page, page_of
from registry.service.registrants import parse_whose

# Every registrant and every prefix has one, and each is held in memory by every process: some 20 MB. Plans for a node are some
# thousands.
MAX_FILINGS: Final = 20_000


class Glance(NamedTuple):
    """What is looked at of all filings, every few seconds. `holder` is the key of the filing that has to come first."""

    state: FilingState
    kind: FilingKind
    subject_version: int
    transaction: str
    changed_ms: int
    has_entity: bool
    holder: str
    is_doubtful: bool


# The newest image of each, and some that are not the newest any more. Past it every look would unpack them all, which is slower
# and no more.
@lru_cache(MAX_FILINGS)
def glance(image: bytes) -> Glance:
    """What is looked at of a filing."""
    filing = unpack_filing(image)
    return Glance(
        filing.state,
        filing.kind,
        filing.subject_version,
        filing.transaction,
        filing.changed_ms,
        filing.is_known and bool(filing.entity),
        filing_key(FilingKind.REGISTRANT, filing.registrant) if filing.kind is FilingKind.PREFIX else "",
        filing.state is FilingState.PENDING and filing.is_held,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which filings a listing has: in one of these states and, if they say something, of a kind, of this newest transaction,
    and only those that can be told now."""

    states: frozenset[FilingState] = frozenset(FilingState)
    kind: FilingKind | None = None
    transaction: str = ""
    is_due: bool = False

    def takes(self, seen: Glance, images: Mapping[str, bytes]) -> bool:
        """Whether a filing of this glance is wanted."""
        return (
            seen.state in self.states
            and self.kind in (None, seen.kind)
            and self.transaction in ("", seen.transaction)
            and (not self.is_due or is_due(seen, images))
        )


EVERY_FILING: Final = Wanted()


@dataclass(frozen=True, slots=True)
class Queue:
    """How many filings can be told now, and since when (UTC ms) the one that waits longest has been in its state; 0 if none
    waits."""

    due: int
    waiting_ms: int


@dataclass(frozen=True, slots=True)
class FilingCounts:
    """How many filings there are in each state; how those of registrants and prefixes stand, and those of days, which wait for
    years where the upstream does not take figures."""

    states: Mapping[FilingState, int]
    subjects: Queue
    days: Queue


def is_due(seen: Glance, images: Mapping[str, bytes]) -> bool:
    """Whether it can be told now: a draft, of a prefix only if the upstream has an id of its registrant, or told before."""
    if seen.state is FilingState.SUBMITTED:
        return True
    if seen.state is not FilingState.DRAFT:
        return False
    return not seen.holder or (seen.holder in images and glance(images[seen.holder]).has_entity)


def find_filing(reader: RecordReader, caller: Caller, kind: FilingKind, name: str) -> Filing:
    """A filing that the caller may read. Raises `Refusal(NOT_FOUND)`, for those of others as well."""
    image = reader.image(Table.FILING, filing_key(kind, name))
    filing = unpack_filing(image) if image is not None else None
    if filing is None or not judge(caller, Action.READ_FILING, filing.registrant):
        raise Refusal(Reason.NOT_FOUND, f"there is no filing of {kind} {name}", "filing")
    return filing


def show_filing(reader: RecordReader, caller: Caller, kind: FilingKind, name: str) -> Filing:
    """One filing as far as the caller may see it. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND."""
    enter(caller, Action.READ_FILING)
    filing = find_filing(reader, caller, kind, name)
    return _seen(filing, require(caller, Action.READ_FILING, filing.registrant))


def list_filings(reader: RecordReader, caller: Caller, registrant: str, wanted: Wanted, after: str, limit: int) -> Page[Filing]:
    """The filings of one registrant, or of `EVERY_REGISTRANT`, that are wanted, by kind and name."""
    whose = parse_whose(registrant)
    reach = require(caller, Action.READ_FILING, whose)
    images = reader.images(Table.FILING)

    def item_of(key: str) -> Filing | None:
        if not wanted.takes(glance(images[key]), images):
            return None
        filing = unpack_filing(images[key])
        return _seen(filing, reach) if whose in (EVERY_REGISTRANT, filing.registrant) else None

    return page_of(images, after, limit, item_of)


def count_filings(reader: RecordReader, caller: Caller) -> FilingCounts:
    """How many filings there are in each state. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED."""
    enter(caller, Action.RUN_FILING)
    images = reader.images(Table.FILING)
    seen = [glance(image) for image in images.values()]
    found = Counter(each.state for each in seen)
    days = [each for each in seen if each.kind is FilingKind.STATISTICS]
    subjects = [each for each in seen if each.kind is not FilingKind.STATISTICS]
    states = {state: found[state] for state in FilingState}
    return FilingCounts(states, _queue_of(subjects, images), _queue_of(days, images))


def _queue_of(seen: list[Glance], images: Mapping[str, bytes]) -> Queue:
    waiting_ms = min((each.changed_ms for each in seen if each.state not in SETTLED), default=0)
    return Queue(sum(is_due(each, images) for each in seen), waiting_ms)


def _seen(filing: Filing, reach: Reach) -> Filing:
    """The city learns how a filing stands, not what was written back and forth."""
    return filing if reach is Reach.WHOLE else replace(filing, content="{}", steps=(), details=(), approved_content="")
