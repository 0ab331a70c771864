"""Who has how many connections, and who should have the next."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.listeners.seats import SILENCE_LIMIT_S, Seat, Seats, emptiest

NOW_S = 1_000.0


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Seats]]:
    with ExitStack() as closing:
        seats = [Seats(tmp_path / "http.seats", number, 3) for number in range(3)]
        for each in seats:
            closing.callback(each.close)
        yield seats


@pytest.mark.parametrize(
    ("own", "others", "to"),
    [
        (0, [], None),
        (0, [Seat(0, 1)], None),
        (1, [Seat(1, 1)], None),
        (1, [Seat(0, 1)], 1),
        (5, [Seat(3, 2), Seat(2, 1)], 1),
        (5, [Seat(5, 0), Seat(9, 1)], None),
    ],
)
def test_a_connection_goes_to_who_has_fewer(own: int, others: list[Seat], to: int | None) -> None:
    assert emptiest(own, others) == to


@given(st.integers(2, 8).flatmap(lambda count: st.tuples(st.just(count), st.lists(st.integers(0, count - 1), max_size=100))))
def test_wherever_connections_come_all_have_as_many(comes: tuple[int, list[int]]) -> None:
    count, arrivals = comes
    has = [0] * count
    for place in arrivals:
        others = [Seat(connections, number) for number, connections in enumerate(has) if number != place]
        to = emptiest(has[place], others)
        has[place if to is None else to] += 1
        assert max(has) - min(has) <= 1


def test_each_reads_what_the_others_say(three: list[Seats]) -> None:
    three[0].speak(7, NOW_S)
    three[2].speak(4, NOW_S)
    assert list(three[1].others(NOW_S)) == [Seat(7, 0), Seat(4, 2)]
    assert list(three[0].others(NOW_S)) == [Seat(4, 2)]
    assert three[0].own() == 7


def test_a_connection_on_its_way_counts_where_it_is_going(three: list[Seats]) -> None:
    for seats in three:
        seats.speak(0, NOW_S)
    three[0].give(1)
    three[2].give(1)
    assert three[1].own() == 2
    assert list(three[0].others(NOW_S)) == [Seat(2, 1), Seat(0, 2)]
    three[1].take(1)
    assert three[1].own() == 2
    three[1].take(2)
    three[1].speak(1, NOW_S)
    assert three[1].own() == 1


def test_what_was_lost_on_its_way_is_forgotten(three: list[Seats]) -> None:
    three[1].speak(0, NOW_S)
    three[0].give(1)
    three[1].settle()
    assert three[1].own() == 0
    three[0].give(1)
    assert three[1].own() == 1


def test_who_is_silent_or_has_left_is_given_nothing(three: list[Seats]) -> None:
    three[0].speak(0, NOW_S)
    three[1].speak(0, NOW_S)
    assert [seat.number for seat in three[2].others(NOW_S + SILENCE_LIMIT_S)] == [0, 1]
    assert list(three[2].others(NOW_S + SILENCE_LIMIT_S + 0.1)) == []
    three[0].leave()
    assert [seat.number for seat in three[2].others(NOW_S)] == [1]
    # The machine was started again: its clock began anew.
    assert list(three[2].others(NOW_S - 900)) == []
