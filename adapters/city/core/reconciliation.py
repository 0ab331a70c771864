"""Reconciliation: whether a system holds what a feed should have told it, by prefix and day, and of those what not.

Each side sums up what it holds in buckets: kind, prefix, and the day (Asia/Shanghai) of the newest image of each thing. A
bucket is a count and a digest: the sum, modulo 2^256, of the SHA-256 of each line `subject SPACE rowversion SPACE digest`,
where the digest is that of the content as it was sent. The sum does not depend on the order, so neither side has to sort, and
a side may keep it up to date as it learns.

Only buckets that differ are gone through. Where they hold too much for that they are parted by the first digits of the SHA-256
of the subject, and only parts that differ are gone through line by line: what one lost identifier among ten million costs is a
look at some thousand.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple

from adapters.city.core.event import canonical_json

# China has one zone, and no summer time since 1991.
_SHANGHAI: Final = timezone(timedelta(hours=8))
_MODULUS: Final = 1 << 256

# Things of a part: an answer of a megabyte or two. Each digit makes sixteen parts of one.
PART_THINGS: Final = 10_000
PARTS_OF_A_DIGIT: Final = 16
# Sixteen million parts of a prefix would be more than it has things.
MAX_DIGITS: Final = 6

# Things of both sides that are looked at together: some hundred megabytes.
THINGS_AT_ONCE: Final = 200_000

# Prefixes and days that are told apart: some hundred megabytes. Beyond that profiles that select less are wanted.
MAX_BUCKETS: Final = 500_000


class BucketKey(NamedTuple):
    """Which things are summed up together; `prefix` is empty for kinds that lie below none, `part` of what is not parted."""

    kind: str
    prefix: str
    day: str
    part: str = ""


class Holding(NamedTuple):
    """One thing as a side holds it: its name, the version of the image, and the digest of its content."""

    subject: str
    version: int
    digest: str


Group = tuple[str, str]
"""Kind and prefix: what is parted alike, so that a thing whose day differs on both sides is found on both."""


@dataclass(slots=True)
class Bucket:
    """The sum of some holdings."""

    count: int = 0
    total: int = 0

    def add(self, holding: Holding) -> None:
        """Take one more thing into the sum."""
        line = f"{holding.subject} {holding.version} {holding.digest}".encode(errors="replace")
        self.count += 1
        self.total = (self.total + int.from_bytes(hashlib.sha256(line).digest())) % _MODULUS

    def merge(self, other: "Bucket") -> None:
        """Take in the sum of other things."""
        self.count += other.count
        self.total = (self.total + other.total) % _MODULUS

    @property
    def digest(self) -> str:
        """The sum in hexadecimal."""
        return f"{self.total:064x}"


Sums = dict[BucketKey, Bucket]


class TooMuch(Exception):
    """There are more prefixes and days than are told apart."""


def add_to(sums: Sums, key: BucketKey, bucket: Bucket) -> None:
    """Take a bucket into sums. Raises `TooMuch`."""
    if key not in sums and len(sums) >= MAX_BUCKETS:
        raise TooMuch(f"more than {MAX_BUCKETS} sums by prefix and day: reconcile profiles that select less")
    sums.setdefault(key, Bucket()).merge(bucket)


def content_digest(content: object) -> str:
    """The digest of the content of a thing: the SHA-256 of its canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(content)).hexdigest()


def day_of(time: str) -> str:
    """The day of a moment (RFC 3339) in Asia/Shanghai: `2026-01-31`."""
    return datetime.fromisoformat(time).astimezone(_SHANGHAI).date().isoformat()


def part_of(subject: str, digits: int) -> str:
    """The part that a thing belongs to, of those that so many digits make."""
    return hashlib.sha256(subject.encode(errors="replace")).hexdigest()[:digits] if digits else ""


def bucket_key(kind: str, subject: str, time: str, digits: int = 0) -> BucketKey:
    """Where a thing is summed up; of records the prefix is what stands before the first slash, in lower case."""
    prefix = subject.partition("/")[0].lower() if kind == "record" else ""
    return BucketKey(kind, prefix, day_of(time), part_of(subject, digits))


def differing(here: Mapping[BucketKey, Bucket], there: Mapping[BucketKey, Bucket]) -> frozenset[BucketKey]:
    """The buckets that are not the same on both sides."""
    empty = Bucket()
    return frozenset(key for key in {*here, *there} if here.get(key, empty) != there.get(key, empty))


def digits_for(keys: Iterable[BucketKey], here: Sums, there: Sums) -> dict[Group, int]:
    """Into how many parts, by digits, the buckets of each kind and prefix are to be parted before they are gone through."""
    things: dict[Group, int] = {}
    for key in keys:
        things[key[:2]] = things.get(key[:2], 0) + _things(key, here, there)
    found = {}
    for group, count in things.items():
        digits = 0
        while count > PART_THINGS * PARTS_OF_A_DIGIT**digits and digits < MAX_DIGITS:
            digits += 1
        found[group] = digits
    return found


def portions(keys: Iterable[BucketKey], here: Sums, there: Sums) -> Iterator[frozenset[BucketKey]]:
    """Buckets or parts in portions that can be gone through together: one thing's are never in two of them."""
    together: dict[tuple[str, str, str], list[BucketKey]] = {}
    for key in sorted(keys):
        together.setdefault((key.kind, key.prefix, key.part), []).append(key)
    portion: list[BucketKey] = []
    things = 0
    for alike in together.values():
        count = sum(_things(key, here, there) for key in alike)
        if portion and things + count > THINGS_AT_ONCE:
            yield frozenset(portion)
            portion, things = [], 0
        portion += alike
        things += count
    if portion:
        yield frozenset(portion)


def _things(key: BucketKey, here: Sums, there: Sums) -> int:
    return sum(sums[key].count for sums in (here, there) if key in sums)


Things = dict[tuple[str, str], tuple[BucketKey, Holding]]
"""Things by kind and subject, with the bucket that they stand in."""


def learn(things: Things, key: BucketKey, holding: Holding) -> None:
    """Something that a side holds; of two images of one thing the newer counts."""
    name = key.kind, holding.subject
    known = things.get(name)
    if known is None or known[1].version <= holding.version:
        things[name] = key, holding


@dataclass(slots=True)
class Faults:
    """What is wrong in a portion, or in all: by kind and subject the bucket, and the version that the system holds."""

    missing: dict[tuple[str, str], tuple[BucketKey, int]] = field(default_factory=dict)
    different: dict[tuple[str, str], tuple[BucketKey, int]] = field(default_factory=dict)
    ahead: dict[tuple[str, str], tuple[BucketKey, int]] = field(default_factory=dict)
    superfluous: dict[tuple[str, str], tuple[BucketKey, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.missing) + len(self.different) + len(self.ahead) + len(self.superfluous)

    def merge(self, other: "Faults") -> None:
        """Take in the faults of another portion."""
        self.missing |= other.missing
        self.different |= other.different
        self.ahead |= other.ahead
        self.superfluous |= other.superfluous


def unexplained(here: Things, there: Things) -> set[tuple[str, str]]:
    """What the system holds in a newer version, or at all, though this side did not when it was read.

    Either it was told of a change that came in between, or it knows what this side does not: that is found out by reading
    this side once more.
    """
    return {
        name for name, (_, theirs) in there.items() if name not in here or here[name][1].version < theirs.version
    }  # fmt: skip


def judge(here: Things, there: Things, now: Mapping[tuple[str, str], int]) -> Faults:
    """What is wrong: `here` was read before `there`, and `now`, the versions of what was `unexplained`, after it."""
    faults = Faults()
    for name, (key, ours) in here.items():
        if name not in there:
            faults.missing[name] = key, 0
            continue
        theirs = there[name][1]
        if theirs.version < ours.version or (theirs.version == ours.version and theirs.digest != ours.digest):
            faults.different[name] = key, theirs.version
    for name in unexplained(here, there):
        key, theirs = there[name]
        if name not in here and name not in now:
            faults.superfluous[name] = key, theirs.version
        elif now.get(name, 0) < theirs.version:
            faults.ahead[name] = key, theirs.version
    return faults


@dataclass(frozen=True, slots=True)
class BucketResult:
    """A bucket on both sides. The lists are empty if the sides agree."""

    key: BucketKey
    here: int
    there: int
    missing: tuple[str, ...] = ()
    """What the system does not hold."""
    different: tuple[str, ...] = ()
    """What it holds in an older version, or with another content."""
    ahead: tuple[str, ...] = ()
    """What it holds in a version that this node has not come to: it was told by another history."""
    superfluous: tuple[str, ...] = ()
    """What it holds and should not."""
    unexamined: bool = False
    """The sides differ, and so much differs that this was not gone through."""

    @property
    def agrees(self) -> bool:
        return not (self.missing or self.different or self.ahead or self.superfluous or self.unexamined)


def results_of(here: Sums, there: Sums, faults: Faults, unexamined: frozenset[BucketKey]) -> Sequence[BucketResult]:
    """Every bucket of both sides, in order."""
    named: dict[str, dict[BucketKey, list[str]]] = {}
    for what in ("missing", "different", "ahead", "superfluous"):
        for (_, subject), (key, _) in getattr(faults, what).items():
            named.setdefault(what, {}).setdefault(key._replace(part=""), []).append(subject)
    left = {key._replace(part="") for key in unexamined}
    empty = Bucket()
    return [
        BucketResult(
            key,
            here.get(key, empty).count,
            there.get(key, empty).count,
            **{what: tuple(sorted(by_key.get(key, ()))) for what, by_key in named.items()},
            unexamined=key in left,
        )
        for key in sorted({*here, *there, *(key for by_key in named.values() for key in by_key)})
    ]
