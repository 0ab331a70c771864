"""What a pile of events tells: of every thing the newest image, unless it is to be forgotten.

The pile is read again for every portion of the things in it that is held in memory at once, and for every question.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from adapters.city.core.event import REPLACES
from adapters.city.core.reconciliation import Bucket, BucketKey, Group, Holding, bucket_key, content_digest, part_of
from adapters.city.core.selection import Interest
from adapters.city.transports.transport import Unknowable

# Things that are held at once: some hundred megabytes.
HELD_AT_ONCE: Final = 200_000
# Enough digits to deal things out evenly.
_SLICE_DIGITS: Final = 8


class Told(NamedTuple):
    """The newest event of a thing, as far as it counts."""

    what: str
    time: str
    version: int
    digest: str
    replaces: int | None


Newest = dict[tuple[str, str], Told]
"""By kind and subject."""


def learn(newest: Newest, event: Mapping[str, Any]) -> None:
    """Take one more event (CloudEvents, as a document) into account; of a CSV what was sent stands under `cells`.

    A repair takes the place of the version that it names, whatever its own, on whichever side of it it lies in the pile.
    """
    key = (event["data"]["kind"], event["subject"])
    known, version, replaces = newest.get(key), event["rowversion"], event.get(REPLACES)
    if known is not None and known.replaces == version and replaces is None:
        return
    if known is None or known.version <= version or known.version == replaces:
        digest = content_digest(event.get("cells", event["data"]))
        newest[key] = Told(event["type"], event["time"], version, digest, replaces)


def held(newest: Newest, digits: Mapping[Group, int] | None = None) -> Iterator[tuple[BucketKey, Holding]]:
    """What there is, each with its bucket, parted as `digits` says."""
    for (kind, subject), event in newest.items():
        if event.what.endswith(f".{Interest.REMOVED}"):
            continue
        key = bucket_key(kind, subject, event.time)
        if digits and key[:2] in digits:
            key = key._replace(part=part_of(subject, digits[key[:2]]))
        yield key, Holding(subject, event.version, event.digest)


def sums_of(newest: Newest, digits: Mapping[Group, int] | None = None) -> dict[BucketKey, Bucket]:
    """The sums of what there is."""
    sums: dict[BucketKey, Bucket] = {}
    for key, holding in held(newest, digits):
        sums.setdefault(key, Bucket()).add(holding)
    return sums


async def slices(read: Callable[[], AsyncIterator[Mapping[str, Any]]], events: int) -> AsyncIterator[Newest]:
    """What a pile of so many events tells, so much at once as can be held; for each it is read from its beginning.

    Raises `Unknowable`.
    """
    count = -(-events // HELD_AT_ONCE) or 1
    for number in range(count):
        newest: Newest = {}
        try:
            async for event in read():
                if count == 1 or int(part_of(event["subject"], _SLICE_DIGITS), 16) % count == number:
                    learn(newest, event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Others may write where it lies.
            raise Unknowable(f"there is something that is no event: {type(error).__name__}: {error}") from None
        yield newest
