"""The age of what waits, by clocks that are right, wrong, and set back."""

from datetime import UTC, datetime

import pytest

from adapters.city.core.lag import Lag

NOON_S = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
NOON = "2026-01-01T12:00:00.000Z"
LATER = "2026-01-01T12:30:00.000Z"


def test_the_age_is_that_of_the_change_and_not_of_the_process_that_looks() -> None:
    lag = Lag()
    assert lag.age_s("", NOON_S, 5) == 0
    assert lag.age_s(NOON, NOON_S + 90, 10) == 90
    assert lag.age_s(NOON, NOON_S + 3_600, 3_520) == 3_600
    assert Lag().age_s(NOON, NOON_S + 3_600, 1) == 3_600
    assert lag.age_s(LATER, NOON_S + 3_600, 3_520) == 1_800
    assert lag.age_s("", NOON_S + 3_600, 3_520) == 0


@pytest.mark.parametrize("set_to_s", [0.0, NOON_S - 1, NOON_S + 10])
def test_a_clock_that_is_set_back_makes_nothing_younger(set_to_s: float) -> None:
    lag = Lag()
    assert lag.age_s(NOON, NOON_S + 100, 1_000) == 100
    assert lag.age_s(NOON, set_to_s, 1_050) == 150
    # Who begins under that clock knows no better, but sees it grow.
    begun = Lag()
    first = begun.age_s(NOON, set_to_s, 0)
    assert 0 <= first <= 10
    assert begun.age_s(NOON, set_to_s, 60) == first + 60


def test_a_clock_that_was_ahead_for_a_moment_leaves_nothing_behind() -> None:
    lag = Lag()
    assert lag.age_s(NOON, NOON_S + 10, 0) == 10
    assert lag.age_s(NOON, NOON_S + 1_000_000, 1) == 1_000_000
    assert lag.age_s(NOON, NOON_S + 12, 2) == 12
