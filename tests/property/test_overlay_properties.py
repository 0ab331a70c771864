"""The overlay against a plain history: whatever is put, dropped and asked, the newest value of a key wins."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.view import overlay as module
from resolver.view.overlay import Overlay

KEYS = st.integers(0, 30).map(lambda number: b"k%02d" % number)
CHANGES = st.lists(st.dictionaries(KEYS, st.binary(max_size=3), min_size=1, max_size=6), min_size=1, max_size=40)


@pytest.fixture(autouse=True, scope="module")
def _small_generations() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "GENERATION_ENTRIES", 8)
    yield
    patch.undo()


def checkpoint_at(changes: list[dict[bytes, bytes]], sequence: int) -> dict[bytes, bytes]:
    """All that is stored after the change `sequence`."""
    state: dict[bytes, bytes] = {}
    for change in changes[:sequence]:
        state |= change
    return {key: value for key, value in state.items() if value}


@given(CHANGES, st.lists(st.integers(0, 40), max_size=5))
def test_overlay_and_checkpoint_together_are_the_state(changes: list[dict[bytes, bytes]], switches: list[int]) -> None:
    overlay, base = Overlay(), checkpoint_at(changes, 0)
    for sequence, change in enumerate(changes, start=1):
        overlay.put(sequence, change)
        if sequence in switches:
            covered = sequence - sequence % 3
            overlay.drop(covered)
            base = checkpoint_at(changes, covered)
        state = checkpoint_at(changes, sequence)
        for number in range(31):
            key = b"k%02d" % number
            value = overlay.get(key)
            assert (base.get(key) if value is None else value or None) == state.get(key)


@given(CHANGES, KEYS, KEYS)
def test_keys_come_once_and_in_order(changes: list[dict[bytes, bytes]], start: bytes, end: bytes) -> None:
    overlay = Overlay()
    known: set[bytes] = set()
    for sequence, change in enumerate(changes, start=1):
        overlay.put(sequence, change)
        known |= change.keys()
        assert list(overlay.keys_between(start, end)) == sorted(key for key in known if start <= key < end)


@given(CHANGES, st.integers(0, 40), st.integers(1, 7))
def test_what_is_dropped_is_freed_in_portions(changes: list[dict[bytes, bytes]], covered: int, portion: int) -> None:
    overlay = Overlay()
    for sequence, change in enumerate(changes, start=1):
        overlay.put(sequence, change)
    before = len(overlay)
    overlay.drop(covered)
    dropped = before - len(overlay)
    rounds = 0
    while overlay.free(portion):
        rounds += 1
    assert dropped <= (rounds + 1) * portion
    overlay.clear()
    assert len(overlay) == 0
    assert overlay.get(b"k00") is None


def test_the_size_counts_what_is_held_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1_000)
    overlay = Overlay()
    for sequence in range(1, 10_000):
        overlay.put(sequence, {b"k": bytes(100)})
    assert not overlay.is_full, "one key written ten thousand times is one entry"
    for sequence in range(10):
        overlay.put(10_000 + sequence, {b"k%d" % sequence: bytes(100)})
    assert overlay.is_full
    overlay.drop(10_009)
    assert not overlay.is_full
