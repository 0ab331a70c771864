"""What a pile of events tells: of every thing the newest image, unless it is to be forgotten."""

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.city.core.reconciliation import Bucket, BucketKey, Holding, bucket_key
from adapters.city.core.selection import Interest
from adapters.city.transports.transport import Held

Newest = dict[tuple[str, str], dict[str, Any]]
"""Events by kind and subject."""


def learn(newest: Newest, event: dict[str, Any]) -> None:
    """Take one more event (CloudEvents, as a document) into account."""
    key = (event["data"]["kind"], event["subject"])
    known = newest.get(key)
    if known is None or known["rowversion"] <= event["rowversion"]:
        newest[key] = {name: event[name] for name in ("type", "time", "rowversion")}


def told(newest: Mapping[tuple[str, str], Mapping[str, Any]], wanted: frozenset[BucketKey] | None) -> Iterator[Held]:
    """Sums of every bucket, or the things of the wanted ones."""
    buckets: dict[BucketKey, Bucket] = {}
    for (kind, subject), event in newest.items():
        if event["type"].endswith(f".{Interest.REMOVED}"):
            continue
        key = bucket_key(kind, subject, event["time"])
        holding = Holding(subject, event["rowversion"])
        if wanted is None:
            buckets.setdefault(key, Bucket()).add(holding)
        elif key in wanted:
            yield Held(key, holding=holding)
    for key, bucket in buckets.items():
        yield Held(key, bucket)
