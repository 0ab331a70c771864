"""Sums of both sides: the same things have the same sum in any order, and what differs is named."""

import hashlib
import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.city.core import reconciliation
from adapters.city.core.event import compose_json
from adapters.city.core.reconciliation import (
    PART_THINGS,
    Bucket,
    BucketKey,
    Holding,
    Sums,
    Things,
    TooMuch,
    add_to,
    bucket_key,
    content_digest,
    day_of,
    differing,
    digits_for,
    judge,
    learn,
    part_of,
    portions,
    unexplained,
)
from adapters.city.transports import told

DAY = BucketKey("record", "88.118", "2026-01-31")
NEXT = BucketKey("record", "88.118", "2026-02-01")


def test_a_sum_does_not_depend_on_the_order_and_tells_every_difference() -> None:
    holdings = [Holding("88.118/a", 1, "d"), Holding("88.118/变压器", 2, "d"), Holding("88.118/c", 3, "d")]
    digests = set()
    for order in permutations(holdings):
        bucket = Bucket()
        for holding in order:
            bucket.add(holding)
        digests.add((bucket.count, bucket.digest))
    assert len(digests) == 1
    for other in (
        [*holdings[:2], Holding("88.118/c", 4, "d")],
        [*holdings[:2], Holding("88.118/c", 3, "e")],
        holdings[:2],
        [*holdings, holdings[0]],
    ):
        bucket = Bucket()
        for holding in other:
            bucket.add(holding)
        assert (bucket.count, bucket.digest) not in digests


def test_a_sum_is_that_of_the_lines_digests() -> None:
    bucket = Bucket()
    bucket.add(Holding("88.118/a", 1, content_digest({"b": 1, "a": "油"})))
    content = hashlib.sha256('{"a":"油","b":1}'.encode()).hexdigest()
    assert bucket.digest == hashlib.sha256(f"88.118/a 1 {content}".encode()).hexdigest()
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


@pytest.mark.parametrize(
    "content", [{"n": 2**70, "s": "x"}, {"s": "\ud800"}, {"f": 1e300, "n": -(2**65)}, {"l": [1, {"z": None}]}]
)
def test_a_digest_is_the_same_for_who_received_it(content: dict[str, Any]) -> None:
    assert content_digest(json.loads(compose_json(content))) == content_digest(content)


def things(*held: tuple[BucketKey, str, int, str]) -> Things:
    made = Things()
    for key, subject, version, digest in held:
        learn(made, key, Holding(subject, version, digest))
    return made


def names(found: dict[tuple[str, str], Any]) -> set[str]:
    return {subject for _, subject in found}


def test_what_is_wrong_is_named_and_what_came_in_between_is_not() -> None:
    here = things(
        (DAY, "same", 1, "d"), (DAY, "missing", 1, "d"), (NEXT, "older", 2, "d"), (DAY, "damaged", 1, "d"),
        (DAY, "told in between", 1, "d"), (DAY, "of another history", 1, "d"),
    )  # fmt: skip
    there = things(
        (DAY, "same", 1, "d"), (DAY, "older", 1, "d"), (DAY, "damaged", 1, "e"), (NEXT, "told in between", 2, "d"),
        (NEXT, "of another history", 9, "d"), (DAY, "ghost", 1, "d"), (NEXT, "registered in between", 1, "d"),
        (NEXT, "lost in a restore", 7, "d"),
    )  # fmt: skip
    assert names(dict.fromkeys(unexplained(here, there))) == {
        "told in between", "of another history", "ghost", "registered in between", "lost in a restore",
    }  # fmt: skip
    now = {("record", name): version for name, version in (
        ("told in between", 2), ("of another history", 1), ("registered in between", 1), ("lost in a restore", 3),
    )}  # fmt: skip
    faults = judge(here, there, now)
    assert names(faults.missing) == {"missing"}
    assert names(faults.different) == {"older", "damaged"}
    assert names(faults.ahead) == {"of another history", "lost in a restore"}
    assert names(faults.superfluous) == {"ghost"}
    assert faults.different["record", "older"] == (NEXT, 1)


@settings(max_examples=100)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.tuples(st.integers(1, 3), st.sampled_from("de"))),
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.tuples(st.integers(1, 4), st.sampled_from("de"))),
)
def test_after_mending_what_is_named_both_sides_agree(
    ours: dict[str, tuple[int, str]], theirs: dict[str, tuple[int, str]]
) -> None:
    here, there = (things(*((DAY, subject, *held) for subject, held in side.items())) for side in (ours, theirs))
    faults = judge(here, there, {("record", subject): version for subject, (version, _) in ours.items()})
    for subject in names(faults.missing) | names(faults.different) | names(faults.ahead):
        theirs[subject] = ours[subject]
    for subject in names(faults.superfluous):
        del theirs[subject]
    assert theirs == ours


def test_large_buckets_are_parted_and_gone_through_in_portions_that_hold_a_thing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    here: Sums = {DAY: Bucket(20 * PART_THINGS), NEXT: Bucket(10)}
    assert digits_for([DAY, NEXT], here, {}) == {("record", "88.118"): 2}
    assert digits_for([NEXT], here, {}) == {("record", "88.118"): 0}
    monkeypatch.setattr(reconciliation, "THINGS_AT_ONCE", 100)
    parts = {key._replace(part=part): Bucket(30) for key in (DAY, NEXT) for part in ("00", "01", "ff")}
    assert [sorted({key.part for key in portion}) for portion in portions(parts, parts, {})] == [["00"], ["01"], ["ff"]]
    assert all({key.day for key in portion} == {DAY.day, NEXT.day} for portion in portions(parts, parts, {}))
    assert part_of("a", 3) == hashlib.sha256(b"a").hexdigest()[:3]


def test_more_prefixes_and_days_than_can_be_told_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "MAX_BUCKETS", 1)
    sums: Sums = {}
    add_to(sums, DAY, Bucket(1))
    add_to(sums, DAY, Bucket(1))
    assert sums[DAY].count == 2
    assert differing(sums, {}) == {DAY}
    with pytest.raises(TooMuch):
        add_to(sums, NEXT, Bucket(1))


def event(subject: str, version: int, text: str, **more: Any) -> dict[str, Any]:
    data = {"kind": "record", "text": text}
    return {
        "subject": subject,
        "type": "biaojie.record.changed",
        "time": "2026-01-31T00:00:00Z",
        "rowversion": version,
        **more,
    } | {"data": data}


@pytest.mark.parametrize("events", [*permutations([event("a", 9, "lost"), event("a", 5, "mended", replaces=9)])])
def test_a_repair_takes_the_place_of_the_version_that_it_names_wherever_it_lies(events: tuple[dict[str, Any], ...]) -> None:
    newest: told.Newest = {}
    for each in events:
        told.learn(newest, each)
    assert newest["record", "a"].version == 5
    told.learn(newest, event("a", 6, "later"))
    assert newest["record", "a"].version == 6


async def test_a_pile_of_any_length_is_told_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "HELD_AT_ONCE", 10)

    async def read() -> Any:
        for number in range(35):
            yield event(str(number), 1, "x")

    found = [newest async for newest in told.slices(read, 35)]
    assert len(found) == 4
    assert sorted(subject for newest in found for _, subject in newest) == sorted(str(number) for number in range(35))
