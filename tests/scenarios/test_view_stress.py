"""No view is ever wrong, whatever the committer and its machine do: with a committer in pieces, so that every fault happens at
every moment.
"""

import random
from pathlib import Path

import pytest
import uvloop

from resolver.view import follower, overlay
from tests.support.view_stress import ViewStress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("seed", range(100, 106))
def test_every_fault_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(overlay, "GENERATION_ENTRIES", chance.choice([16, 64, 500]))
    monkeypatch.setattr(overlay, "MAX_ENTRIES", chance.choice([400, 300_000]))
    monkeypatch.setattr(follower, "SLICE_S", chance.choice([0.0, 0.0005, 0.002]))
    monkeypatch.setattr(follower, "PORTION_ROWS", 7)
    monkeypatch.setattr(follower, "FREE_ENTRIES", 10)
    stress = ViewStress(tmp_path, seed, views=3)
    uvloop.run(stress.run(steps=500))
    assert min(stress.done.values()) > 0, "everything has happened"
    assert stress.judge.answers > 20_000
