"""What the registry takes for the time while the machine's clock is right, steps, leaps, and comes back."""

import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.model.day import DAY_MS
from registry.commit.believed_clock import (
    MAX_AHEAD_AT_FIRST_MS,
    MAX_AHEAD_MS,
    MAX_BEHIND_MS,
    RELEASED_MS,
    BelievedClock,
)

NOW_MS = 1_795_351_250_000
YEAR_MS = 366 * DAY_MS
HOUR_MS = 3_600_000


class Machine:
    """A wall clock that a test sets, beside a monotonic one that only passes."""

    def __init__(self, wall_ms: int = NOW_MS) -> None:
        self.wall_ms = wall_ms
        self._passed_ms = 0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic(self) -> float:
        return self._passed_ms / 1_000

    def run(self, ms: int) -> None:
        """Let time pass; the wall clock goes on from wherever it stands."""
        self._passed_ms += ms
        self.wall_ms += ms


def started(machine: Machine, last_ms: int = NOW_MS, not_before_ms: int = 0) -> BelievedClock:
    """The clock of a node whose last change was committed at `last_ms`."""
    clock = BelievedClock(machine, not_before_ms)
    clock.carry_on_from(last_ms)
    return clock


def test_a_clock_that_goes_right_is_the_time() -> None:
    machine = Machine()
    clock = started(machine)
    for _ in range(3):
        machine.run(HOUR_MS)
        assert clock.now_ms() == machine.wall_ms
        assert clock.monotonic() == machine.monotonic()
    assert clock.look() == ""


def test_a_node_that_was_off_for_months_believes_its_clock() -> None:
    machine = Machine(NOW_MS + 200 * DAY_MS)
    assert started(machine).now_ms() == machine.wall_ms


def test_one_that_ran_for_years_without_a_change_does_too() -> None:
    machine = Machine()
    clock = started(machine)
    machine.run(3 * YEAR_MS)
    assert clock.now_ms() == machine.wall_ms


@pytest.mark.parametrize("leap_ms", [MAX_AHEAD_MS + 1, 1_024 * 7 * DAY_MS, 8_000 * YEAR_MS, -MAX_BEHIND_MS - 1, -NOW_MS])
def test_a_leap_leaves_the_time_where_it_was_and_moving_until_the_clock_is_back(
    leap_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    machine = Machine()
    clock = BelievedClock(machine, doubt=build_metrics(registry).clock_doubt_seconds)
    clock.carry_on_from(NOW_MS)
    machine.wall_ms += leap_ms
    with caplog.at_level(logging.WARNING):
        for hours in range(1, 4):
            machine.run(HOUR_MS)
            assert clock.now_ms() == NOW_MS + hours * HOUR_MS
        assert registry.get_sample_value("biaojie_clock_doubt_seconds") == pytest.approx(abs(leap_ms) / 1_000)
        assert "is not believed" in clock.look()
        machine.wall_ms -= leap_ms
        assert clock.now_ms() == machine.wall_ms == NOW_MS + 3 * HOUR_MS
    assert clock.look() == ""
    assert registry.get_sample_value("biaojie_clock_doubt_seconds") == 0
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


def test_a_small_step_back_makes_time_stand_still_until_the_clock_has_caught_up() -> None:
    machine = Machine()
    clock = started(machine)
    machine.wall_ms -= HOUR_MS
    assert clock.now_ms() == NOW_MS
    machine.run(HOUR_MS // 2)
    assert clock.now_ms() == NOW_MS
    machine.run(HOUR_MS)
    assert clock.now_ms() == NOW_MS + HOUR_MS // 2 == machine.wall_ms


def test_a_wrong_clock_is_not_believed_after_a_restart_either() -> None:
    machine = Machine(NOW_MS + 10 * YEAR_MS)
    clock = started(machine)
    machine.run(HOUR_MS)
    assert clock.now_ms() == NOW_MS + HOUR_MS


def test_what_was_told_before_the_last_change_was_known_is_forgotten() -> None:
    machine = Machine(NOW_MS + 7 * YEAR_MS)
    clock = BelievedClock(machine)
    assert clock.now_ms() == machine.wall_ms  # it might be the first start
    clock.carry_on_from(NOW_MS)
    machine.run(HOUR_MS)
    assert clock.now_ms() == NOW_MS + HOUR_MS


def test_the_operator_has_a_word_for_a_node_that_was_away_for_years() -> None:
    machine = Machine(NOW_MS + 3 * YEAR_MS)
    assert started(machine, not_before_ms=machine.wall_ms - 5 * DAY_MS).now_ms() == machine.wall_ms
    # It stays in the configuration, and does no harm there.
    assert started(Machine(NOW_MS + 4 * YEAR_MS), NOW_MS + 4 * YEAR_MS, NOW_MS + 3 * YEAR_MS).now_ms() == NOW_MS + 4 * YEAR_MS


@pytest.mark.parametrize("wall_ms", [0, RELEASED_MS - MAX_BEHIND_MS - 1, RELEASED_MS + MAX_AHEAD_AT_FIRST_MS + 1])
def test_a_first_start_with_a_clock_that_cannot_be_right_goes_on_from_the_release_and_believes_the_clock_once_it_is_set(
    wall_ms: int,
) -> None:
    machine = Machine(wall_ms)
    clock = BelievedClock(machine)
    assert clock.now_ms() == RELEASED_MS
    machine.wall_ms = RELEASED_MS + 3 * YEAR_MS
    assert clock.now_ms() == machine.wall_ms
    assert clock.look() == ""


STEPS = st.lists(st.tuples(st.integers(0, 40 * DAY_MS), st.integers(-20 * YEAR_MS, 20 * YEAR_MS) | st.just(0)), max_size=20)


@given(STEPS)
@example([(1, -MAX_BEHIND_MS - 1), (0, 1)])  # doubted, and believed again a moment behind what was told
def test_time_never_goes_back_nor_further_than_a_node_may_have_been_away(steps: list[tuple[int, int]]) -> None:
    machine = Machine()
    clock = started(machine)
    last_ms = NOW_MS
    for passed_ms, leap_ms in steps:
        machine.run(passed_ms)
        machine.wall_ms += leap_ms
        now_ms = clock.now_ms()
        assert last_ms <= now_ms <= last_ms + passed_ms + MAX_AHEAD_MS + MAX_BEHIND_MS
        last_ms = now_ms
