"""Sums of both sides: the same things have the same sum in any order, and what differs is named."""

import hashlib
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.city.core.reconciliation import (
    Bucket,
    BucketKey,
    Holding,
    Ledger,
    bucket_key,
    compare,
    day_of,
    differing,
)

DAY = BucketKey("record", "88.118", "2026-01-31")
NEXT = BucketKey("record", "88.118", "2026-02-01")


def test_a_sum_does_not_depend_on_the_order_and_tells_every_difference() -> None:
    holdings = [Holding("88.118/a", 1), Holding("88.118/变压器", 2), Holding("88.118/c", 3)]
    digests = set()
    for order in permutations(holdings):
        bucket = Bucket()
        for holding in order:
            bucket.add(holding)
        digests.add((bucket.count, bucket.digest))
    assert len(digests) == 1
    for other in ([*holdings[:2], Holding("88.118/c", 4)], holdings[:2], [*holdings, holdings[0]]):
        bucket = Bucket()
        for holding in other:
            bucket.add(holding)
        assert (bucket.count, bucket.digest) not in digests


def test_a_sum_is_that_of_the_lines_digests() -> None:
    bucket = Bucket()
    bucket.add(Holding("88.118/a", 1))
    # printf '88.118/a 1' | sha256sum
    assert bucket.digest == hashlib.sha256(b"88.118/a 1").hexdigest()
    assert Bucket().digest == "0" * 64


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2026-01-31T15:59:59.999Z", "2026-01-31"),
        ("2026-01-31T16:00:00.000Z", "2026-02-01"),
        ("2026-02-01T00:00:00+08:00", "2026-02-01"),
    ],
)
def test_days_are_those_of_shanghai(time: str, day: str) -> None:
    assert day_of(time) == day


def test_records_are_summed_up_by_prefix_and_other_things_by_kind() -> None:
    assert bucket_key("record", "88.ABC/x/y", "2026-01-31T00:00:00Z") == BucketKey("record", "88.abc", "2026-01-31")
    assert bucket_key("registrant", "R-1", "2026-01-31T00:00:00Z") == BucketKey("registrant", "", "2026-01-31")


def ledger(kept: frozenset[BucketKey], *holdings: tuple[BucketKey, str, int]) -> Ledger:
    made = Ledger(kept)
    for key, subject, version in holdings:
        made.add(key, Holding(subject, version))
    return made


def test_what_is_missing_different_and_superfluous_is_named() -> None:
    both = frozenset({DAY, NEXT})
    here = ledger(both, (DAY, "same", 1), (DAY, "missing", 1), (NEXT, "changed", 2), (DAY, "newer there", 1))
    there = ledger(both, (DAY, "same", 1), (DAY, "changed", 1), (DAY, "extra", 1), (NEXT, "newer there", 2))
    assert differing(here.buckets, there.buckets) == both
    first, second = compare(here, there)
    assert (first.key, first.here, first.there) == (DAY, 3, 3)
    assert (first.missing, first.different, first.superfluous) == (("missing",), (), ("extra",))
    assert (second.missing, second.different, second.superfluous) == ((), ("changed",), ())


@settings(max_examples=100)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, 3)),
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, 3)),
)
def test_after_mending_what_is_named_both_sides_agree(ours: dict[str, int], theirs: dict[str, int]) -> None:
    # Versions there are never above ours in truth.
    theirs = {subject: min(version, ours.get(subject, version)) for subject, version in theirs.items()}
    kept = frozenset({DAY})
    here = ledger(kept, *((DAY, *each) for each in ours.items()))
    there = ledger(kept, *((DAY, *each) for each in theirs.items()))
    results = compare(here, there)
    for result in results:
        for subject in (*result.missing, *result.different):
            theirs[subject] = ours[subject]
        for subject in result.superfluous:
            del theirs[subject]
    assert theirs == ours
    assert bool(differing(here.buckets, there.buckets)) == any(not result.agrees for result in results)
