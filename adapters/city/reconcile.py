"""Reconciling a feed: both sides summed up, what differs gone through, and just what is wrong delivered again.

Down from prefixes and days to parts of them to single things (`core.reconciliation`), so what is held at once is bounded, and
what agrees is read once. A feed goes on meanwhile. What was registered a moment ago may be on its way: what differs is looked
at again until it is the same twice, so that only what stays wrong is called so.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.city.core.event import Event, event_of, removal_of, replacing
from adapters.city.core.profile import Profile
from adapters.city.core.receipt import Verdict
from adapters.city.core.reconciliation import (
    Bucket,
    BucketKey,
    BucketResult,
    Faults,
    Group,
    Holding,
    Sums,
    Things,
    TooMuch,
    add_to,
    bucket_key,
    content_digest,
    differing,
    digits_for,
    judge,
    learn,
    portions,
    results_of,
    unexplained,
)
from adapters.city.core.selection import Document, Interest
from adapters.city.core.shape import NAME_MEMBER
from adapters.city.registry_client import RegistryClient
from adapters.city.transports.transport import Transport, Unknowable
from proto.model.feed import FeedKind

# Between two looks at what differs: a delivery and its commit.
SETTLE_S: Final = 2.0
# Looks at what differs, at most: registrations that go on for ever must not keep a report from its end.
MAX_LOOKS: Final = 10

# What a report names, and a repair mends, at once. Where more differs than that a replay of the feed is what is wanted.
MAX_NAMED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome by bucket; `repaired` events were delivered before it was drawn up."""

    results: Sequence[BucketResult]
    repaired: int = 0

    @property
    def agrees(self) -> bool:
        return all(result.agrees for result in self.results)


@dataclass(frozen=True, slots=True)
class _Comparison:
    results: Sequence[BucketResult]
    faults: Faults

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
    try:
        found = await _settled(profile, client, transport, settle_s)
        if not repair or found.agrees:
            return Report(found.results)
        repaired = await _mend(profile, client, transport, found.faults)
        return Report((await _settled(profile, client, transport, settle_s)).results, repaired)
    except TooMuch as too_much:
        raise Unknowable(str(too_much)) from None


async def _settled(profile: Profile, client: RegistryClient, transport: Transport, settle_s: float) -> _Comparison:
    before: list[BucketResult] = []
    for look in range(MAX_LOOKS):
        found = await _compare(profile, client, transport)
        wrong = [result for result in found.results if not result.agrees]
        if not wrong or (look and wrong == before):
            break
        before = wrong
        await asyncio.sleep(settle_s)
    return found


async def _compare(profile: Profile, client: RegistryClient, transport: Transport) -> _Comparison:
    ours = _Ours(profile, client, transport)
    here, there = await ours.sums(None, {}), await _sums(profile, transport, None)
    wanted = differing(here, there)
    digits = digits_for(wanted, here, there)
    parted = {key: digits[key[:2]] for key in wanted if digits[key[:2]]}
    part_sums: tuple[Sums, Sums] = ({}, {})
    if parted:
        part_sums = await ours.sums(frozenset(parted), digits), await _sums(profile, transport, parted)
    keys = {key for key in wanted if key not in parted} | differing(*part_sums)
    faults, unexamined = Faults(), frozenset[BucketKey]()
    for portion in portions(keys, here | part_sums[0], there | part_sums[1]):
        if len(faults) >= MAX_NAMED:
            unexamined |= portion
            continue
        faults.merge(await _go_through(portion, digits, ours, transport))
    return _Comparison(results_of(here, there, faults, unexamined), faults)


async def _go_through(
    portion: frozenset[BucketKey], digits: Mapping[Group, int], ours: "_Ours", transport: Transport
) -> Faults:
    """Both sides line by line, ours first: what comes in between makes the system newer, and that is no fault."""
    here, there = await ours.things(portion, digits), Things()
    async for key, holding in transport.things(portion, digits):
        learn(there, key, holding)
    names = unexplained(here, there)
    return judge(here, there, await ours.versions(names) if names else {})


async def _sums(profile: Profile, transport: Transport, wanted: Mapping[BucketKey, int] | None) -> Sums:
    """Those of the system, as far as this feed has told it. Raises `TooMuch`."""
    sums: Sums = {}
    async for key, bucket in transport.sums(wanted):
        if _is_of(profile, key) and (wanted is None or key._replace(part="") in wanted):
            add_to(sums, key, bucket)
    return sums


class _Ours:
    """What the system should hold: what is selected, in the form in which it is sent."""

    def __init__(self, profile: Profile, client: RegistryClient, transport: Transport) -> None:
        self._profile = profile
        self._client = client
        self._transport = transport

    async def sums(self, wanted: Collection[BucketKey] | None, digits: Mapping[Group, int]) -> Sums:
        """Of everything, or of buckets in parts. Raises `TooMuch`."""
        sums: Sums = {}
        async for key, holding in self._selected(wanted, digits):
            if wanted is None or key._replace(part="") in wanted:
                bucket = sums.get(key)
                if bucket is None:
                    add_to(sums, key, Bucket())
                sums[key].add(holding)
        return sums

    async def things(self, wanted: frozenset[BucketKey], digits: Mapping[Group, int]) -> Things:
        things: Things = {}
        async for key, holding in self._selected(wanted, digits):
            if key in wanted:
                learn(things, key, holding)
        return things

    async def versions(self, names: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        """As they are by now, of those that are selected."""
        wanted = frozenset(bucket_key(kind, subject, _ANY_TIME) for kind, subject in names)
        found: dict[tuple[str, str], int] = {}
        async for row in _rows(self._profile, self._client, _groups(wanted)):
            kind, subject, noun = _parts(row)
            if (kind, subject) in names and self._profile.selection.judge(row) is Interest.CHANGED:
                found[kind, subject] = noun["version"]
        return found

    async def _selected(
        self, wanted: Collection[BucketKey] | None, digits: Mapping[Group, int]
    ) -> AsyncIterator[tuple[BucketKey, Holding]]:
        profile = self._profile
        async for row in _rows(profile, self._client, _groups(wanted) if wanted is not None else None):
            if profile.selection.judge(row) is not Interest.CHANGED:
                continue
            kind, subject, noun = _parts(row)
            key = bucket_key(kind, subject, noun["changed"])
            if wanted is not None:
                key = bucket_key(kind, subject, noun["changed"], digits.get(key[:2], 0))
                if key not in wanted and key._replace(part="") not in wanted:
                    continue
            content = self._transport.content(profile.shape.render(FeedKind(kind), noun, profile.selection))
            yield key, Holding(subject, noun["version"], content_digest(content))


# Of no matter: only kind and prefix of the key are looked at.
_ANY_TIME: Final = "2026-01-01T00:00:00Z"


def _groups(keys: Collection[BucketKey]) -> frozenset[Group]:
    return frozenset(key[:2] for key in keys)


async def _mend(profile: Profile, client: RegistryClient, transport: Transport, faults: Faults) -> int:
    """Deliver what makes a system whole, as it is read; how many events that was. Raises `Unknowable`."""
    batch: list[Event] = []
    repaired = 0
    async for event in _mending(profile, client, faults, secrets.token_hex(8)):
        batch.append(event)
        if len(batch) == profile.place.batch:
            repaired += await _hand_over(transport, batch)
            batch = []
    return repaired + (await _hand_over(transport, batch) if batch else 0)


async def _hand_over(transport: Transport, batch: Sequence[Event]) -> int:
    receipt = await transport.repair(batch)
    if any(receipt.on(event.id) is not Verdict.DELIVERED for event in batch):
        raise Unknowable(f"the system does not take what it lacks: {receipt.detail}")
    return len(batch)


async def _mending(profile: Profile, client: RegistryClient, faults: Faults, repair: str) -> AsyncIterator[Event]:
    """The present image of what a system lacks, and a removal of what it should not have; each says whose place it takes."""
    lacking = {**faults.missing, **faults.different, **faults.ahead}
    surplus = dict(faults.superfluous)
    groups = frozenset(key[:2] for key, _ in (*lacking.values(), *surplus.values()))
    async for row in _rows(profile, client, groups):
        kind, subject, noun = _parts(row)
        name = kind, subject
        event = event_of(row, profile.selection, profile.shape, repair) if name in lacking else None
        if event is not None:
            _, held = lacking[name]
            yield replacing(event, held) if held else event
        elif name in surplus:
            _, held = surplus.pop(name)
            yield replacing(removal_of((kind, row["name"]), subject, noun["version"], noun["changed"], repair), held)
    for (kind, subject), (key, held) in surplus.items():
        # Nothing of this name is known here: whatever it was, it is no longer, and if it ever comes it begins with version 1.
        yield replacing(removal_of((kind, subject), subject, 0, f"{key.day}T00:00:00+08:00", repair), held)


async def _rows(profile: Profile, client: RegistryClient, groups: frozenset[Group] | None) -> AsyncIterator[Document]:
    """Everything of the selected kinds and prefixes as it is now, in the form of rows that create it; or of these groups."""
    for kind in sorted(profile.selection.kinds):
        if groups is not None and not any(group[0] == kind for group in groups):
            continue
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
            if groups is not None and (kind, prefix["name"]) not in groups:
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
