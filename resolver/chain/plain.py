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
from typing import Final

from proto.errors import Refusal
from proto.metrics import Metrics
from proto.model.answer import Found, NotFound
from proto.model.identifier import parse_identifier
from proto.model.prefix import PrefixState, normalise
from proto.model.query import Query
from proto.model.record import State
from proto.packing import RECORD_FORMAT, PackedRecord, least_ttl_s
from proto.ports import Clock, RecordReader
from resolver.chain.metrics import Tally
from resolver.service import Homes, stored_under
from resolver.tallies import Tallies

log = logging.getLogger(__name__)

_ACTIVE: Final = State.ACTIVE
_APPROVED: Final = PrefixState.APPROVED

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
        self._reader = reader
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

    def find(self, identifier: str, wants_private: bool = False) -> PackedRecord | None:
        """The record whose public values are the answer; None: ask the chain."""
        begun = self._monotonic()
        try:
            # What `stored_under` does, in one piece: a call and a pair more would be a hundredth of the answer.
            name = parse_identifier(identifier)
            home = self._reader.homing(name.homing_prefix)
            if home is None or home.state is not _APPROVED or home.delegation is not None:
                return None
            record = _plain_record(self._reader.record(normalise(name, home)), wants_private)
        except Refusal:
            return None  # the chain will say so
        except Exception:
            log.exception(_FAULT)
            return None
        if record is not None:
            self._by_prefix[home.name].n += 1
            self._count()
            self._observe(self._monotonic() - begun)
        return record

    def look_up(self, identifier: str, wants_private: bool = False) -> bytes | None:
        """The same as it is stored, or `ABSENT` if nothing is registered; None: ask the chain."""
        begun = self._monotonic()
        try:
            name = parse_identifier(identifier)
            home = self._reader.homing(name.homing_prefix)
            if home is None or home.state is not _APPROVED or home.delegation is not None:
                return None
            raw = self._reader.record(normalise(name, home)) or ABSENT
            if raw and _plain_record(raw, wants_private) is None:
                return None
        except Refusal:
            return None  # the chain will say so
        except Exception:
            log.exception(_FAULT)
            return None
        if raw:
            self._by_prefix[home.name].n += 1
            self._count()
        else:
            self._missed_by_prefix[home.name].n += 1
            self._count_absent()
        self._observe(self._monotonic() - begun)
        return raw

    def found(self, identifier: str) -> Found | None:
        """The answer itself; None: ask the chain."""
        record = self.find(identifier)
        if record is None:
            return None
        values, _ = record.select()
        ttl_s = least_ttl_s(values, self.now_s(), 0)
        return Found(
            identifier, record.identifier, record.version, record.aliases, record.template, record.registrant, ttl_s,
            values=values,
        )  # fmt: skip

    def find_many(self, identifiers: Sequence[str], wants_private: bool = False) -> list[PackedRecord | None]:
        """The same for each of many, in order: each prefix is looked for once, and all records are read together."""
        begun = self._monotonic()
        homing = Homes(self._reader.homing).__getitem__
        try:
            places = [stored_under(identifier, homing) for identifier in identifiers]
            read = iter(self._reader.records([stored[0] for stored in places if stored is not None]))
            records = [None if stored is None else _plain_record(next(read), wants_private) for stored in places]
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


def _plain_record(raw: bytes | None, wants_private: bool) -> PackedRecord | None:
    """The record in `raw`, if it is one and shows all that is asked for."""
    if raw is None or raw[0] != RECORD_FORMAT:
        return None
    record = PackedRecord(raw)
    count = record.public_count
    if record.state is not _ACTIVE or not count or (wants_private and count != record.value_count):
        return None
    return record
