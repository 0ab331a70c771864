"""Seals: who has the key opens them where they belong, and nobody opens them otherwise."""

import pytest

from registry.service.sealing import Seals, Unopened
from tests.support.papers import KEY, OTHER_KEY

DATA = "许昌某人".encode()


def test_a_seal_opens_where_it_was_made_and_shows_nothing() -> None:
    seals = Seals(KEY)
    sealed = seals.seal(DATA, "R-1", "contact", "a")
    assert DATA not in sealed
    assert seals.open(sealed, "R-1", "contact", "a") == DATA
    assert Seals(KEY).open(sealed, "R-1", "contact", "a") == DATA


def test_the_same_data_is_never_sealed_alike() -> None:
    seals = Seals(KEY)
    assert seals.seal(DATA, "R-1") != seals.seal(DATA, "R-1")


@pytest.mark.parametrize(
    "bound",
    [("R-2", "contact", "a"), ("R-1", "licence", "a"), ("R-1", "contact", "b"), ("R-1c", "ontact", "a"), ("R-1", "contact")],
)
def test_a_seal_opens_nowhere_else(bound: tuple[str, ...]) -> None:
    seals = Seals(KEY)
    sealed = seals.seal(DATA, "R-1", "contact", "a")
    with pytest.raises(Unopened, match="belongs elsewhere"):
        seals.open(sealed, *bound)


def test_a_seal_that_was_touched_anywhere_does_not_open() -> None:
    seals = Seals(KEY)
    sealed = seals.seal(DATA, "R-1")
    for place in range(len(sealed)):
        with pytest.raises(Unopened):
            seals.open(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :], "R-1")
    for size in range(len(sealed)):
        with pytest.raises(Unopened):
            seals.open(sealed[:size], "R-1")


def test_a_former_key_opens_and_the_present_one_seals() -> None:
    old = Seals(OTHER_KEY).seal(DATA, "R-1")
    with pytest.raises(Unopened, match=r"node\.seal_keys_former"):
        Seals(KEY).open(old, "R-1")
    both = Seals(KEY, [OTHER_KEY])
    assert both.open(old, "R-1") == DATA
    assert not both.is_current(old)
    new = both.seal(DATA, "R-1")
    assert both.is_current(new)
    assert Seals(KEY).open(new, "R-1") == DATA
