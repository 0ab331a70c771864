"""Copies of other nodes' answers: how long they hold, what is shown of them, how many there are."""

import pytest

from proto.model.value import DEFAULT_PERMISSIONS, PUBLIC_READ, Value
from proto.wire.handle.value import lower_ttl, parse_value, permissions_of, type_of
from resolver.upstream.copies import Copies, Copy, Kind, Terms, copy_of, public_of, select
from tests.support.foreign_node import packed

NOW_MS = 1_795_351_250_000
TERMS = Terms(max_ttl_s=3_600, negative_ttl_s=60, stale_s=1_000)


def a_copy(*values: Value, kind: Kind = Kind.FOUND, until_ms: int = NOW_MS + 100_000) -> Copy:
    return copy_of(kind, NOW_MS, NOW_MS, until_ms, "99.1/x", 1, packed(*values))


@pytest.mark.parametrize(
    ("kind", "values", "seconds"),
    [
        (Kind.FOUND, [Value(1, "A", b"", ttl=100), Value(2, "B", b"", ttl=50)], 50),
        (Kind.FOUND, [Value(1, "A", b"", ttl=86_400)], 3_600),
        (Kind.FOUND, [Value(1, "A", b"", ttl=0)], 0),
        (Kind.FOUND, [Value(1, "A", b"", ttl=NOW_MS // 1000 + 20, ttl_absolute=True)], 20),
        (Kind.FOUND, [Value(1, "A", b"", ttl=NOW_MS // 1000 - 20, ttl_absolute=True)], 0),
        (Kind.NO_VALUES, [], 60),
        (Kind.NOT_FOUND, [], 60),
        (Kind.NOT_HOMED, [], 60),
        (Kind.SUSPENDED, [], 60),
        (Kind.RETIRED, [], 60),
    ],
)
def test_a_copy_holds_as_long_as_its_values_and_configuration_allow(kind: Kind, values: list[Value], seconds: int) -> None:
    assert TERMS.until_ms(kind, packed(*values), NOW_MS) == NOW_MS + seconds * 1000


def test_a_copy_ages_and_ends() -> None:
    copy = a_copy(Value(1, "A", b"", ttl=100))
    assert [copy.age_s(NOW_MS + passed) for passed in (0, 999, 1_000, 100_000)] == [0, 0, 1, 100]
    assert [copy.ttl_s(NOW_MS + passed) for passed in (0, 1, 99_001, 100_000, 200_000)] == [100, 100, 1, 0, 0]
    assert [copy.is_fresh(NOW_MS + passed) for passed in (0, 99_999, 100_000)] == [True, True, False]


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    assert a_copy().age_s(NOW_MS - 5_000) == 0


def test_the_age_is_counted_from_the_home_and_the_ttl_from_the_fetch() -> None:
    copy = copy_of(Kind.FOUND, NOW_MS - 40_000, NOW_MS, NOW_MS + 60_000, values=packed(Value(1, "A", b"", ttl=60)))
    (shown,) = copy.shown(NOW_MS + 10_000)
    assert copy.age_s(NOW_MS + 10_000) == 50
    assert parse_value(shown)[0].ttl == 50


@pytest.mark.parametrize(
    ("kind", "past_s", "is_shown"),
    [
        (Kind.FOUND, 999, True), (Kind.FOUND, 1_000, False), (Kind.NO_VALUES, 10, True), (Kind.NOT_FOUND, 10, False),
        (Kind.SUSPENDED, 10, False), (Kind.RETIRED, 10, False), (Kind.NOT_HOMED, 10, False),
    ],
)  # fmt: skip
def test_only_records_are_shown_past_their_ttl_and_not_for_ever(kind: Kind, past_s: int, is_shown: bool) -> None:
    copy = a_copy(kind=kind)
    assert TERMS.is_showable(copy, copy.until_ms + past_s * 1000) is is_shown


def test_a_lowered_ttl_changes_nothing_else() -> None:
    value = Value(7, "URL", b"data", ttl=100, timestamp=5)
    (raw,) = packed(value)
    assert parse_value(lower_ttl(raw, 40))[0] == parse_value(packed(Value(7, "URL", b"data", ttl=60, timestamp=5))[0])[0]
    assert parse_value(lower_ttl(raw, 1_000))[0].ttl == 0
    (absolute,) = packed(Value(7, "URL", b"data", ttl=100, ttl_absolute=True))
    assert lower_ttl(absolute, 40) == absolute


def test_parts_of_a_packed_value() -> None:
    (raw,) = packed(Value(7, "类型", b"data", permissions=DEFAULT_PERMISSIONS))
    assert type_of(raw) == "类型"
    assert permissions_of(raw) == DEFAULT_PERMISSIONS


def test_what_is_not_public_is_not_kept_even_if_it_is_sent() -> None:
    values = packed(Value(1, "A", b"", permissions=PUBLIC_READ), Value(2, "B", b"", permissions=0x0C))
    assert public_of(values) == values[:1]


@pytest.mark.parametrize(
    ("indexes", "types", "chosen"),
    [
        ((), (), (1, 2, 3)),
        ((2,), (), (2,)),
        ((), ("url",), (1,)),
        ((3,), ("URL",), (1, 3)),
        ((), ("HS_.",), (2, 3)),
        ((9,), (), ()),
    ],
)
def test_filters_select_side_by_side(indexes: tuple[int, ...], types: tuple[str, ...], chosen: tuple[int, ...]) -> None:
    values = packed(Value(1, "URL", b""), Value(2, "HS_.A", b""), Value(3, "HS_.B", b""))
    assert [parse_value(value)[0].index for value in select(values, indexes, types)] == list(chosen)


def test_copies_are_bounded_and_what_was_not_asked_for_goes_first() -> None:
    copies = Copies(10_000)
    for number in range(50):
        copies.put(f"k{number}", a_copy(Value(1, "A", b"x" * 100)))
        copies.get("k0")
        assert copies.size <= 10_000
    assert copies.get("k0") is not None
    assert copies.get("k49") is not None
    assert copies.get("k1") is None
    assert 0 < len(copies) < 50


def test_replacing_and_dropping_gives_bytes_back() -> None:
    copies = Copies(100_000)
    copies.put("k", a_copy(Value(1, "A", b"x" * 5_000)))
    copies.put("k", a_copy(Value(1, "A", b"x")))
    assert copies.size < 2_000
    copies.drop("k")
    copies.drop("k")
    assert (copies.size, len(copies)) == (0, 0)


def test_what_is_too_large_for_all_of_it_is_not_kept() -> None:
    copies = Copies(1_000)
    copies.put("small", a_copy())
    copies.put("large", a_copy(Value(1, "A", b"x" * 5_000)))
    assert copies.get("small") is not None
    assert copies.get("large") is None


@pytest.mark.parametrize(("passed_ms", "holds_ms"), [(0, 300), (299, 1), (300, 200), (500, 500), (999, 1), (1_000, 300)])
def test_what_is_told_of_a_copy_changes_with_its_age_and_its_ttl(passed_ms: int, holds_ms: int) -> None:
    copy = copy_of(Kind.FOUND, NOW_MS - 500, NOW_MS, NOW_MS + 60_300)
    now_ms = NOW_MS + passed_ms
    assert copy.holds_ms(now_ms) == holds_ms
    told = [(copy.age_s(moment), copy.ttl_s(moment)) for moment in range(now_ms + 1, now_ms + holds_ms)]
    assert set(told) <= {(copy.age_s(now_ms), copy.ttl_s(now_ms + 1))}
