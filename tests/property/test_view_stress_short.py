"""The stress test of the view in small: what `tests/scenarios/test_view_stress.py` does for minutes, for seconds."""

from pathlib import Path

import pytest

from resolver.view import follower, overlay
from tests.support.view_stress import ViewStress


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_answer_is_ever_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(overlay, "GENERATION_ENTRIES", 64)
    monkeypatch.setattr(follower, "SLICE_S", 0.0)
    monkeypatch.setattr(follower, "PORTION_ROWS", 7)
    monkeypatch.setattr(follower, "FREE_ENTRIES", 10)
    stress = ViewStress(tmp_path, seed)
    await stress.run(steps=120)
    assert stress.judge.answers > 5_000
