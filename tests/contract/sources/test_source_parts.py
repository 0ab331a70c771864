"""A run of a source in parts: what the parts before have come to stands, whatever becomes of the next."""

from pathlib import Path

import pytest

from adapters.sources.core import plan
from adapters.sources.readers import files as reader_of_files
from tests.support.rest import RestNode
from tests.support.sources import ROWS, RunningSource, coming_between, folder_of, profile, write_csv
from tests.support.world import World


@pytest.mark.parametrize(("share", "state", "replaced"), [(1.0, "done", 40), (0.5, "stopped", 16)])
async def test_a_part_that_is_planned_anew_forgets_nothing_of_those_before_it(
    node: RestNode, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, state: str, replaced: int
) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path), brake={"share": share}))
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    monkeypatch.setattr(plan, "MAX_PART_ROWS", 8)
    monkeypatch.setattr(reader_of_files, "PORTION_ROWS", 4)
    write_csv(tmp_path / "2.csv", [[serial, "?", note] for serial, _, note in ROWS])
    with coming_between(world, node, [serial for serial, _, _ in ROWS[8:16]], at=4):  # the second part's writing
        result = await source.run()
    assert (result.state, result.counts["replaced"]) == (state, replaced)
    assert (await source.stored())["counts"]["replaced"] == replaced
    assert [version for _, version in (await source.states()).values()].count(1) == len(ROWS) - replaced
