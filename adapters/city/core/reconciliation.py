"""Reconciliation: whether a system holds what a feed should have told it, by prefix and day.

Each side sums up what it holds in buckets: kind, prefix, and the day (Asia/Shanghai) of the newest image of each thing. A
bucket is a count and a digest: the sum, modulo 2^256, of the SHA-256 of each line `subject SPACE rowversion`. The sum does not
depend on the order, so neither side has to sort, and a side may keep it up to date as it learns. Only buckets that differ are
then gone through line by line.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple

# China has one zone, and no summer time since 1991.
_SHANGHAI: Final = timezone(timedelta(hours=8))
_MODULUS: Final = 1 << 256


class BucketKey(NamedTuple):
    """Which things are summed up together; `prefix` is empty for kinds that lie below none."""

    kind: str
    prefix: str
    day: str


class Holding(NamedTuple):
    """One thing as a side holds it: its name, and the version of the image."""

    subject: str
    version: int


@dataclass(slots=True)
class Bucket:
    """The sum of some holdings."""

    count: int = 0
    total: int = 0

    def add(self, holding: Holding) -> None:
        """Take one more thing into the sum."""
        line = f"{holding.subject} {holding.version}".encode(errors="replace")
        self.count += 1
        self.total = (self.total + int.from_bytes(hashlib.sha256(line).digest())) % _MODULUS

    @property
    def digest(self) -> str:
        """The sum in hexadecimal."""
        return f"{self.total:064x}"


@dataclass(slots=True)
class Ledger:
    """Buckets of one side; things of the days in `kept` are remembered one by one, too."""

    kept: frozenset[BucketKey] = frozenset()
    buckets: dict[BucketKey, Bucket] = field(default_factory=dict)
    holdings: dict[BucketKey, dict[str, int]] = field(default_factory=dict)

    def add(self, key: BucketKey, holding: Holding) -> None:
        """Something that this side holds."""
        self.buckets.setdefault(key, Bucket()).add(holding)
        if key in self.kept:
            self.holdings.setdefault(key, {})[holding.subject] = holding.version


@dataclass(frozen=True, slots=True)
class BucketResult:
    """A bucket on both sides. The three lists are empty if the sides agree."""

    key: BucketKey
    here: int
    there: int
    missing: tuple[str, ...] = ()
    """What the system does not hold."""
    different: tuple[str, ...] = ()
    """What it holds in an older version."""
    superfluous: tuple[str, ...] = ()
    """What it holds and should not."""

    @property
    def agrees(self) -> bool:
        return not (self.missing or self.different or self.superfluous)


def day_of(time: str) -> str:
    """The day of a moment (RFC 3339) in Asia/Shanghai: `2026-01-31`."""
    return datetime.fromisoformat(time).astimezone(_SHANGHAI).date().isoformat()


def bucket_key(kind: str, subject: str, time: str) -> BucketKey:
    """Where a thing is summed up; of records the prefix is what stands before the first slash, in lower case."""
    prefix = subject.partition("/")[0].lower() if kind == "record" else ""
    return BucketKey(kind, prefix, day_of(time))


def differing(here: Mapping[BucketKey, Bucket], there: Mapping[BucketKey, Bucket]) -> frozenset[BucketKey]:
    """The buckets that are not the same on both sides."""
    empty = Bucket()
    return frozenset(key for key in {*here, *there} if here.get(key, empty) != there.get(key, empty))


def compare(here: Ledger, there: Ledger) -> list[BucketResult]:
    """Every bucket of both sides, in order. A thing whose newest image is of another day stands in two buckets that differ:
    it is told apart by its subject over all of them."""
    ours = dict(_all(here.holdings.values()))
    theirs: dict[str, int] = {}
    for subject, version in _all(there.holdings.values()):
        theirs[subject] = max(version, theirs.get(subject, 0))
    return [_result(key, here, there, ours, theirs) for key in sorted({*here.buckets, *there.buckets})]


def _result(key: BucketKey, here: Ledger, there: Ledger, ours: Mapping[str, int], theirs: Mapping[str, int]) -> BucketResult:
    mine, other = here.holdings.get(key, {}), there.holdings.get(key, {})
    empty = Bucket()
    return BucketResult(
        key,
        here.buckets.get(key, empty).count,
        there.buckets.get(key, empty).count,
        tuple(sorted(subject for subject in mine if subject not in theirs)),
        # A system that holds a newer version was told of a change that came after this side was read.
        tuple(sorted(subject for subject, version in mine.items() if theirs.get(subject, version) < version)),
        tuple(sorted(subject for subject in other if subject not in ours)),
    )


def _all(holdings: Iterable[Mapping[str, int]]) -> Iterator[tuple[str, int]]:
    for each in holdings:
        yield from each.items()
