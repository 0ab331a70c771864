"""Plain look-ups: nobody in particular asks for all that is public of an identifier that is homed here.

That is nearly every question, and nearly always it comes to the public part of one record as it is stored. For those there is
nothing to wait for, nobody to recognise, nothing to filter and nobody else to ask: the steps of the chain would each only pass
the query on. So a listener may look here first; what it gets is what the chain's answer would hold, counted the same. None
says that there is more to it (an alias, a suspension, nothing public, not homed here, no identifier at all), and that the
chain is to be asked. That nothing is registered under a name that is homed here is an answer as well (`ABSENT`): the chain
would only look once more. A property test compares the two over a real store.

What lives nowhere here may be here as a copy of another node's record (`resolver.upstream.copies`). For whoever may have
others asked, one that is fresh and nobody's alias is looked up the same way, and comes packed as a record with its age and TTLs
as of now. All else that is to be known of foreign identifiers (whom to ask,
what is stale, that there is nothing) the chain knows. Where a prefix lives is found out for every question, before any copy is
looked at: what is homed here, or delegated, is never answered with one.

All of it is made for many questions at once (`find_plainly`), those of one turn of the event loop or of a batch: each step is
done for all of them before the next. A look-up that stands alone between other work finds the processor's caches filled with
everything else, and takes twice the time.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from proto import compiled
from proto.errors import Refusal
from proto.limits import MAX_HOPS
from proto.metrics import Metrics
from proto.model.answer import Found, NotFound, Source
from proto.model.prefix import Prefix
from proto.model.query import Query
from proto.packing import COPY_FORMAT, PackedRecord, has_absolute_ttl, shows_all
from proto.ports import Clock, RecordReader
from resolver.answer_cache import Shelf
from resolver.chain.metrics import Tally
from resolver.service import Homes, Homing, stored_under
from resolver.tallies import Counters, Tallies

log = logging.getLogger(__name__)

T = TypeVar("T")

ABSENT: Final = b""
"""What is looked up if nothing is registered: as in the view, an empty value says that there is nothing."""

# A fault of one record is met again by the chain, for that one alone.
_FAULT: Final = "a plain look-up failed; the chain is asked"


Copied = Callable[[list[str]], list[bytes | None]]
"""Gives, for names of what lives elsewhere, the copies that may be shown, packed as they are shown now."""


def is_plain(query: Query) -> bool:
    """Whether there is nothing to wait for, nobody to recognise, nothing to filter and nothing to explain."""
    return not (query.credential or query.indexes or query.types or query.after is not None or query.explain is not None)


def takes_copy(query: Query) -> bool:
    """Whether any copy will do, of what lives elsewhere."""
    return query.is_recursive is not False and query.max_age_s is None and query.hops < MAX_HOPS


@compiled.preferred
def find_plainly(
    identifiers: Sequence[str],
    wants_private: Sequence[bool],
    takes_copy: Sequence[bool],
    homing: Homing,
    read: Callable[[list[str]], list[bytes | None]],
    copied: Copied,
    found_by_prefix: Counters,
    missed_by_prefix: Counters,
) -> tuple[list[bytes | None], int, int, int]:
    """What a plain look-up of each comes to, in order, and how many have a record, how many have none, and how many a copy: the
    first two are counted by prefix, too. `read` gives what is stored under normalised names, `copied` the copies that may be
    shown under names of other nodes'. Raises what they raise, and has counted nothing then.
    """
    homes = Homes(homing).__getitem__
    places = [stored_under(each, homes) for each in identifiers]
    homed = [place[0] for place in places if place is not None and place[1] is not None]
    foreign = [
        place[0] for place, takes in zip(places, takes_copy, strict=True) if place is not None and place[1] is None and takes
    ]
    stored = iter(read(homed) if homed else ())
    copies = iter(copied(foreign) if foreign else ())
    found: list[bytes | None] = []
    homes_of: list[Prefix | None] = []
    for place, is_wanted, takes in zip(places, wants_private, takes_copy, strict=True):
        home = None if place is None else place[1]
        raw = None
        if home is not None:
            raw = next(stored) or ABSENT
            if raw and not shows_all(raw, is_wanted):
                raw = None
        elif place is not None and takes:
            raw = next(copies)
        found.append(raw)
        homes_of.append(home)
    with_record = absent = with_copy = 0
    for home, raw in zip(homes_of, found, strict=True):
        if raw is None:
            continue
        if home is None:
            with_copy += 1
        elif raw:
            found_by_prefix[home.name].n += 1
            with_record += 1
        else:
            missed_by_prefix[home.name].n += 1
            absent += 1
    return found, with_record, absent, with_copy


@compiled.preferred
def find_alone(
    identifier: str,
    wants_private: bool,
    takes_copy: bool,
    homing: Homing,
    read: Callable[[str], bytes | None],
    copied: Copied,
    found_by_prefix: Counters,
    missed_by_prefix: Counters,
) -> bytes | None:
    """As `find_plainly` for one that is asked for alone, without what it takes to have many of them."""
    place = stored_under(identifier, homing)
    if place is None:
        return None
    name, home = place
    if home is None:
        return copied([name])[0] if takes_copy else None
    raw = read(name) or ABSENT
    if raw and not shows_all(raw, wants_private):
        return None
    (found_by_prefix if raw else missed_by_prefix)[home.name].n += 1
    return raw


def no_copies(names: Sequence[str]) -> list[bytes | None]:
    """`Copied` of a node that asks nobody."""
    return [None] * len(names)


def _everybody(_peer: str) -> bool:
    return True


class PlainLookups:
    """Of one listener: its `protocol` is what answers are counted under; `tallies` count them by prefix. `copied` gives
    copies, to the addresses that the node `serves` with what others answer."""

    def __init__(
        self,
        reader: RecordReader,
        clock: Clock,
        metrics: Metrics,
        protocol: str,
        tallies: Tallies | None = None,
        copied: Copied = no_copies,
        serves: Callable[[str], bool] = _everybody,
    ) -> None:
        tallies = tallies or Tallies()
        self.serves: Final = _everybody if copied is no_copies else serves
        """Whether others are asked for an address, so that it may have copies; where there are none, everybody may."""
        self.here: PlainLookups = self if copied is no_copies else PlainLookups(reader, clock, metrics, protocol, tallies)
        """The same for whom others are not asked: what is homed here alone."""
        self._copied = copied
        self._homing = reader.homing
        self._record = reader.record
        self._records = reader.records
        self._now_ms = clock.now_ms
        self._monotonic = clock.monotonic
        tally = Tally(metrics, protocol)
        self._count = tally.requests[Found].inc
        self._count_absent = tally.requests[NotFound].inc
        self._count_copies = metrics.foreign_answers.labels(Source.CACHED).inc
        self._observe = tally.seconds.observe
        self._observe_many = tally.seconds.observe_many
        self._by_prefix = tallies.found
        self._missed_by_prefix = tallies.missed

    def looked_up_for(self, peer: str) -> "PlainLookups":
        """What looks up for that address."""
        return self if self.serves(peer) else self.here

    def now_s(self) -> int:
        """UTC seconds since 1970: from when a TTL counts that ends at a certain second."""
        return self._now_ms() // 1000

    def look_up(self, identifier: str, wants_private: bool = False, takes_copy: bool = True) -> bytes | None:
        """The record whose public values are the answer, as it is stored, or the copy as it is shown, or `ABSENT` if nothing is
        registered; None: ask the chain."""
        begun = self._monotonic()
        try:
            raw = find_alone(
                identifier, wants_private, takes_copy, self._homing, self._record, self._copied, self._by_prefix,
                self._missed_by_prefix,
            )  # fmt: skip
        except Refusal:
            return None  # the chain will say so
        except Exception:
            log.exception(_FAULT)
            return None
        if raw is not None:
            (self._count if raw else self._count_absent)()
            if raw and raw[0] == COPY_FORMAT:
                self._count_copies()
            self._observe(self._monotonic() - begun)
        return raw

    def look_up_turn(self, asked: Sequence[tuple[str, bool, bool]]) -> list[bytes | None]:
        """As `look_up`, in order, for the questions of one turn: identifiers, whether private values are wanted, and whether a
        copy will do."""
        if len(asked) == 1:
            return [self.look_up(*asked[0])]
        return self._look_up([each[0] for each in asked], [each[1] for each in asked], [each[2] for each in asked])

    def look_up_many(
        self, identifiers: Sequence[str], wants_private: bool = False, takes_copy: bool = True
    ) -> list[bytes | None]:
        """As `look_up`, in order, for the identifiers of one question."""
        count = len(identifiers)
        return self._look_up(identifiers, (wants_private,) * count, (takes_copy,) * count)

    def offer(self, shelf: Shelf[T], key: bytes, identifier: str, raw: bytes, rendered: T, size: int) -> None:
        """Offer a reply made of what `look_up` has just given: it is kept if it was asked for before, and holds until the
        record changes."""
        if shelf.admits(key):
            self.keep(shelf, key, identifier, raw, rendered, size)

    def keep(self, shelf: Shelf[T], key: bytes, identifier: str, raw: bytes, rendered: T, size: int) -> None:
        """The same of what is known to have been asked for before."""
        if raw and raw[0] == COPY_FORMAT:
            shelf.keep_copy(key, Found, rendered, size, PackedRecord(raw).told[2])
        elif not (raw and has_absolute_ttl(raw)):
            stored = stored_under(identifier, self._homing)
            if stored is not None and stored[1] is not None:
                shelf.keep_plain(key, Found if raw else NotFound, stored[0], stored[1].name, rendered, size)

    def _look_up(
        self, identifiers: Sequence[str], wants_private: Sequence[bool], takes_copy: Sequence[bool]
    ) -> list[bytes | None]:
        begun = self._monotonic()
        try:
            found, count, absent, copies = find_plainly(
                identifiers, wants_private, takes_copy, self._homing, self._records, self._copied, self._by_prefix,
                self._missed_by_prefix,
            )  # fmt: skip
        except Refusal:
            return [None] * len(identifiers)  # the chain will say so
        except Exception:
            log.exception(_FAULT)
            return [None] * len(identifiers)
        if copies:
            self._count_copies(copies)
            count += copies
        if count:
            self._count(count)
        if absent:
            self._count_absent(absent)
        if count or absent:
            self._observe_many((self._monotonic() - begun) / len(identifiers), count + absent)
        return found
