"""Questions of one turn of the event loop: answered together, each asker by itself."""

import asyncio
from collections.abc import Callable

import pytest

from resolver.listeners.turn import Turn


class Asker:
    def __init__(self, take: Callable[[str | None], None] | None = None) -> None:
        self.taken: list[tuple[str, str | None]] = []
        self.is_aborted = False
        self._take = take

    def take(self, asked: str, answered: str | None, /) -> None:
        if self._take is not None:
            self._take(answered)
        self.taken.append((asked, answered))

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
def together() -> list[list[str]]:
    return []


@pytest.fixture
def turn(together: list[list[str]]) -> Turn[str, str]:
    def answer(asked: list[str]) -> list[str | None]:
        together.append(asked)
        return [each.upper() if each.isalpha() else None for each in asked]

    return Turn(answer, 2)


async def test_what_is_asked_in_a_turn_is_answered_at_its_end_so_many_at_a_time(
    turn: Turn[str, str], together: list[list[str]]
) -> None:
    askers = [Asker() for _ in range(3)]
    for asker, asked in zip(askers, ("a", "2", "c"), strict=True):
        turn.add(asker, asked)
    assert not together
    await asyncio.sleep(0)
    assert together == [["a", "2"], ["c"]]
    assert [asker.taken for asker in askers] == [[("a", "A")], [("2", None)], [("c", "C")]]


async def test_who_alone_asked_in_the_last_turn_is_answered_at_once_until_another_asks(turn: Turn[str, str]) -> None:
    one, other = Asker(), Asker()
    turn.add(one, "a")
    assert not one.taken
    await asyncio.sleep(0)
    turn.add(one, "b")
    assert len(one.taken) == 2
    turn.add(other, "c")
    turn.add(one, "d")
    assert (len(one.taken), len(other.taken)) == (2, 0)
    await asyncio.sleep(0)
    turn.add(one, "e")
    assert (len(one.taken), len(other.taken)) == (3, 1)


async def test_what_is_dropped_is_given_back_and_not_answered(turn: Turn[str, str], together: list[list[str]]) -> None:
    one, other = Asker(), Asker()
    turn.add(one, "a")
    turn.add(other, "b")
    assert turn.drop(one) == "a"
    await asyncio.sleep(0)
    assert (one.taken, together) == ([], [["b"]])


async def test_an_asker_that_fails_is_closed_and_keeps_none_of_the_others(
    turn: Turn[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_answered: str | None) -> None:
        raise ValueError("what it cannot take")

    one, other = Asker(fail), Asker()
    turn.add(one, "a")
    turn.add(other, "b")
    await asyncio.sleep(0)
    assert (one.is_aborted, other.taken) == (True, [("b", "B")])
    assert [record.message for record in caplog.records] == ["a connection failed at its answer, and is closed"]
