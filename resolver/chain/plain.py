"""Plain look-ups: nobody in particular asks for all that is public of an identifier that is homed here.

That is nearly every question, and nearly always it comes to the public part of one record as it is stored. For those there is
nothing to wait for, nobody to recognise, nothing to filter and nobody else to ask: the steps of the chain would each only pass
the query on. So a listener may look here first; what it gets is what the chain's answer would hold, counted the same. None
says that there is more to it (an alias, a suspension, nothing public, not homed here, no identifier at all), and that
the chain is to be asked. That nothing is registered under a name that is homed here is an answer as well, for who can use it
(`look_up`): the chain would only look once more. A property test compares the two over a real store.
"""

import logging
from collections.abc import Sequence
from typing import Final, TypeVar

from proto.errors import Refusal
from proto.metrics import Metrics
from proto.model.answer import Found, NotFound
from proto.model.query import Query
from proto.packing import has_absolute_ttl, shows_all
from proto.ports import Clock, RecordReader
from resolver.answer_cache import Shelf
from resolver.chain.metrics import Tally
from resolver.service import Homes, stored_under
from resolver.tallies import Tallies

log = logging.getLogger(__name__)

T = TypeVar("T")

ABSENT: Final = b""
"""What is looked up if nothing is registered: as in the view, an empty value says that there is nothing."""

# A fault of one record is met again by the chain, for that one alone.
_FAULT: Final = "a plain look-up failed; the chain is asked"


def is_plain(query: Query) -> bool:
    """Whether there is nothing to wait for, nobody to recognise, nothing to filter and nothing to explain."""
    return not (query.credential or query.indexes or query.types or query.after is not None or query.explain is not None)


class PlainLookups:
    """Of one listener: its `protocol` is what answers are counted under; `tallies` count them by prefix."""

    def __init__(
        self, reader: RecordReader, clock: Clock, metrics: Metrics, protocol: str, tallies: Tallies | None = None
    ) -> None:
        self._homing = reader.homing
        self._record = reader.record
        self._records = reader.records
        self._now_ms = clock.now_ms
        self._monotonic = clock.monotonic
        tally = Tally(metrics, protocol)
        self._count = tally.requests[Found].inc
        self._count_absent = tally.requests[NotFound].inc
        self._observe = tally.seconds.observe
        tallies = tallies or Tallies()
        self._by_prefix = tallies.found
        self._missed_by_prefix = tallies.missed

    def now_s(self) -> int:
        """UTC seconds since 1970: from when a TTL counts that ends at a certain second."""
        return self._now_ms() // 1000

    def look_up(self, identifier: str, wants_private: bool = False) -> bytes | None:
        """The record whose public values are the answer, as it is stored, or `ABSENT` if nothing is registered; None: ask the
        chain."""
        begun = self._monotonic()
        try:
            stored = stored_under(identifier, self._homing)
            if stored is None:
                return None
            raw = self._record(stored[0]) or ABSENT
            if raw and not shows_all(raw, wants_private):
                return None
        except Refusal:
            return None  # the chain will say so
        except Exception:
            log.exception(_FAULT)
            return None
        if raw:
            self._by_prefix[stored[1].name].n += 1
            self._count()
        else:
            self._missed_by_prefix[stored[1].name].n += 1
            self._count_absent()
        self._observe(self._monotonic() - begun)
        return raw

    def offer(self, shelf: Shelf[T], key: bytes, identifier: str, raw: bytes, rendered: T, size: int) -> None:
        """Offer a reply made of what `look_up` has just given: it is kept if it was asked for before, and holds until the
        record changes."""
        if shelf.is_seen_again(key):
            self.keep(shelf, key, identifier, raw, rendered, size)

    def keep(self, shelf: Shelf[T], key: bytes, identifier: str, raw: bytes, rendered: T, size: int) -> None:
        """The same of what is known to have been asked for before."""
        if not (raw and has_absolute_ttl(raw)):
            stored = stored_under(identifier, self._homing)
            if stored is not None:
                shelf.keep_plain(key, Found if raw else NotFound, stored[0], stored[1].name, rendered, size)

    def look_up_turn(self, asked: Sequence[tuple[str, bool]]) -> list[bytes | None]:
        """As `look_up`, in order, for the questions that came in one turn: identifiers, and whether private values are wanted.

        Each step is done for all of them before the next: a look-up that stands alone between other work finds the processor's
        caches filled with everything else, and takes twice the time.
        """
        if len(asked) == 1:
            return [self.look_up(*asked[0])]
        begun = self._monotonic()
        homing = Homes(self._homing).__getitem__
        try:
            places = [stored_under(identifier, homing) for identifier, _ in asked]
            read = iter(self._records([stored[0] for stored in places if stored is not None]))
            found = [None if stored is None else next(read) or ABSENT for stored in places]
            found = [
                None if raw and not shows_all(raw, wants_private) else raw
                for raw, (_, wants_private) in zip(found, asked, strict=True)
            ]
        except Refusal:
            return [None] * len(asked)
        except Exception:
            log.exception(_FAULT)
            return [None] * len(asked)
        share_s = (self._monotonic() - begun) / max(len(asked), 1)
        for stored, raw in zip(places, found, strict=True):
            if stored is not None and raw is not None:
                (self._by_prefix if raw else self._missed_by_prefix)[stored[1].name].n += 1
                self._observe(share_s)
        absent = found.count(ABSENT)
        self._count(len(found) - found.count(None) - absent)
        self._count_absent(absent)
        return found

    def look_up_many(self, identifiers: Sequence[str], wants_private: bool = False) -> list[bytes | None]:
        """The records of many, in order, none of them `ABSENT`: each prefix is looked for once, and all are read together."""
        begun = self._monotonic()
        homing = Homes(self._homing).__getitem__
        try:
            places = [stored_under(identifier, homing) for identifier in identifiers]
            read = iter(self._records([stored[0] for stored in places if stored is not None]))
            records = [None if stored is None else next(read) for stored in places]
            records = [raw if raw is not None and shows_all(raw, wants_private) else None for raw in records]
        except Refusal:
            return [None] * len(identifiers)
        except Exception:
            log.exception(_FAULT)
            return [None] * len(identifiers)
        found = len(records) - records.count(None)
        if found:
            share_s = (self._monotonic() - begun) / len(records)
            self._count(found)
            for stored, record in zip(places, records, strict=True):
                if stored is not None and record is not None:
                    self._by_prefix[stored[1].name].n += 1
                    self._observe(share_s)
        return records
