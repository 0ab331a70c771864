"""Reconciling a feed: both sides summed up, the buckets that differ gone through, and just what is wrong delivered again.

A feed goes on meanwhile. What was registered a moment ago may be on its way: what differs is looked at again until it is the
same twice, so that only what stays wrong is called so.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.city.core.event import Event, event_of, removal_of
from adapters.city.core.profile import Profile
from adapters.city.core.receipt import Verdict
from adapters.city.core.reconciliation import BucketKey, BucketResult, Holding, Ledger, bucket_key, compare, differing
from adapters.city.core.selection import Document, Interest
from adapters.city.core.shape import NAME_MEMBER
from adapters.city.registry_client import RegistryClient
from adapters.city.transports.transport import Transport, Unknowable
from proto.model.feed import FeedKind

# Between two looks at what differs: a delivery and its commit.
SETTLE_S: Final = 2.0
# Looks at what differs, at most: registrations that go on for ever must not keep a report from its end.
MAX_LOOKS: Final = 10


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome by bucket; `repaired` events were delivered before it was drawn up."""

    results: Sequence[BucketResult]
    repaired: int = 0

    @property
    def agrees(self) -> bool:
        return all(result.agrees for result in self.results)


async def reconcile(
    profile: Profile, client: RegistryClient, transport: Transport, *, repair: bool = False, settle_s: float = SETTLE_S
) -> Report:
    """Compare what a system should hold with what it does; with `repair`, mend that and compare again.

    Raises `Unknowable` if the system does not say what it holds or does not take what it lacks, `Unreachable`, `NotTaken`.
    """
    if profile.indicators is not None:
        raise Unknowable("indicators are figures of now: there is nothing to compare")
    results = await _settled_results(profile, client, transport, settle_s)
    if not repair or all(result.agrees for result in results):
        return Report(results)
    events = [event async for event in _mending(profile, client, results, secrets.token_hex(8))]
    for place in range(0, len(events), profile.place.batch):
        batch = events[place : place + profile.place.batch]
        receipt = await transport.repair(batch)
        if any(receipt.on(event.id) is not Verdict.DELIVERED for event in batch):
            raise Unknowable(f"the system does not take what it lacks: {receipt.detail}")
    return Report(await _settled_results(profile, client, transport, settle_s), len(events))


async def _settled_results(
    profile: Profile, client: RegistryClient, transport: Transport, settle_s: float
) -> Sequence[BucketResult]:
    before: list[BucketResult] = []
    for look in range(MAX_LOOKS):
        results = await _results(profile, client, transport)
        wrong = [result for result in results if not result.agrees]
        if not wrong or (look and wrong == before):
            break
        before = wrong
        await asyncio.sleep(settle_s)
    return results


async def _results(profile: Profile, client: RegistryClient, transport: Transport) -> Sequence[BucketResult]:
    here, there = await _here(profile, client, frozenset()), Ledger()
    async for held in transport.holdings(None):
        if held.bucket is not None and _is_of(profile, held.key):
            there.buckets[held.key] = held.bucket
    wanted = differing(here.buckets, there.buckets)
    if wanted:
        # Both sides are read once more, ours first: what comes in between makes the system newer, and that is no fault.
        here = await _here(profile, client, wanted)
        there = Ledger(wanted, {key: bucket for key, bucket in there.buckets.items() if key not in wanted})
        async for held in transport.holdings(wanted):
            if held.holding is not None:
                there.add(held.key, held.holding)
    return compare(here, there)


async def _here(profile: Profile, client: RegistryClient, kept: frozenset[BucketKey]) -> Ledger:
    ledger = Ledger(kept)
    async for row in _rows(profile, client):
        if profile.selection.judge(row) is Interest.CHANGED:
            kind, subject, noun = _parts(row)
            ledger.add(bucket_key(kind, subject, noun["changed"]), Holding(subject, noun["version"]))
    return ledger


async def _mending(
    profile: Profile, client: RegistryClient, results: Sequence[BucketResult], repair: str
) -> AsyncIterator[Event]:
    """The events that make a system whole: the present image of what it lacks, and a removal of what it should not have."""
    lacking = {(result.key.kind, each) for result in results for each in (*result.missing, *result.different)}
    surplus = {(result.key.kind, each): result.key for result in results for each in result.superfluous}
    async for row in _rows(profile, client):
        kind, subject, noun = _parts(row)
        event = event_of(row, profile.selection, profile.shape, repair) if (kind, subject) in lacking else None
        if event is not None:
            yield event
        elif surplus.pop((kind, subject), None) is not None:
            yield removal_of((kind, row["name"]), subject, noun["version"], noun["changed"], repair)
    for (kind, subject), key in surplus.items():
        # Nothing of this name is known here: whatever it was, it is no longer.
        yield removal_of((kind, subject), subject, _ENDLESS, f"{key.day}T00:00:00+08:00", repair)


# The version of a removal of what the node never had: above all that a system may hold, and whole in JSON everywhere.
_ENDLESS: Final = 2**53 - 1


async def _rows(profile: Profile, client: RegistryClient) -> AsyncIterator[Document]:
    """Everything of the selected kinds and prefixes as it is now, in the form of rows that create it."""
    for kind in sorted(profile.selection.kinds):
        if kind is FeedKind.REGISTRANT:
            async for noun in client.everything("registrants"):
                yield _row(kind, noun)
            continue
        async for prefix in client.everything("prefixes"):
            if not profile.selection.reaches(prefix["name"]):
                continue
            if kind is FeedKind.PREFIX:
                yield _row(kind, prefix)
                continue
            async for noun in client.everything("identifiers", prefix=prefix["name"]):
                yield _row(kind, noun)


def _row(kind: FeedKind, noun: Document) -> dict[str, Any]:
    return {"kind": kind, "name": noun[NAME_MEMBER[kind]], "version": noun["version"], "prior_version": 0, kind: noun}


def _parts(row: Document) -> tuple[str, str, Document]:
    kind = FeedKind(row["kind"])
    return kind, row[kind][NAME_MEMBER[kind]], row[kind]


def _is_of(profile: Profile, key: BucketKey) -> bool:
    """Whether a bucket of the system may come from this feed: another one may tell it of other prefixes."""
    if key.kind not in profile.selection.kinds:
        return False
    return key.kind != FeedKind.RECORD or profile.selection.reaches(key.prefix)
