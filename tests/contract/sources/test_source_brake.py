"""The brake of sources: which plans it holds, what lets one pass, and that another never passes in its place."""

from pathlib import Path

import pytest

from adapters.sources.core import plan
from adapters.sources.readers import files as reader_of_files
from tests.support.rest import RestNode
from tests.support.sources import PREFIX, ROWS, RunningSource, coming_between, folder_of, profile, values_of, whole, write_csv
from tests.support.world import World


@pytest.mark.parametrize("then", ["suspend", "retire"])
async def test_a_table_that_shrinks_by_nine_tenths_is_held_by_the_brake_until_the_operator_lifts_it(
    node: RestNode, tmp_path: Path, then: str
) -> None:
    source = RunningSource(node, whole(tmp_path, gone={"then": then}))
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    before, bookmark = await source.states(), (await source.stored())["bookmark"]
    write_csv(tmp_path / "2.csv", ROWS[:4])
    result = await source.run()
    assert (result.state, "36 of 40" in result.message, "90%" in result.message) == ("stopped", True, True)
    stored = await source.stored()
    assert (await source.states(), stored["bookmark"], stored["state"]) == (before, bookmark, "stopped")
    # It is held again and again, and goes once somebody means it.
    assert (await source.run()).state == "stopped"
    lifted = await source.run(over_brake=stored["plan_digest"])
    assert (lifted.state, lifted.counts[f"{then}ed" if then == "suspend" else "retired"]) == ("done", 36)
    assert sorted(state for state, _ in (await source.states()).values()).count("active") == 4


async def test_only_the_plan_that_was_seen_passes_the_brake_and_another_is_told(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, whole(tmp_path, gone={"then": "suspend"}))
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    write_csv(tmp_path / "2.csv", ROWS[:4])
    seen = (await source.run()).plan_digest
    assert f"(plan {seen})" in (await source.stored())["message"]
    before = await source.states()

    # The source changes.
    write_csv(tmp_path / "3.csv", ROWS[:3])
    other = await source.run(over_brake=seen)
    assert (other.state, await source.states()) == ("stopped", before)
    assert f"plan {seen} may pass, and this is another, {other.plan_digest}: 37 to suspend; 37 of 40" in other.message

    # The registry changes.
    await node("POST", f"/api/v1/identifiers/{PREFIX}/T-39/suspend", {}, by="holder")
    before = await source.states()
    third = await source.run(over_brake=other.plan_digest)
    assert (third.state, await source.states()) == ("stopped", before)
    assert third.plan_digest not in (seen, other.plan_digest)

    # Nothing would be held any more, and still it is not what was let pass; it goes when nobody names a plan.
    write_csv(tmp_path / "4.csv", [*ROWS[:-1], ["T-40", "变压器 40", ""]])
    healed = await source.run(over_brake=third.plan_digest)
    assert (healed.state, "1 to create; nothing holds it" in healed.message) == ("stopped", True)
    assert (await source.run()).counts["created"] == 1


async def test_what_others_write_while_a_plan_passes_stops_what_is_left_of_it(
    node: RestNode, world: World, tmp_path: Path
) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    write_csv(tmp_path / "2.csv", [[serial, "?", note] for serial, _, note in ROWS])
    held = await source.run()
    with coming_between(world, node, ["T-1"], at=2):
        result = await source.run(over_brake=held.plan_digest)
    assert (result.state, "this is another" in result.message, "1 to replace" in result.message) == ("stopped", True, True)
    assert values_of(await source.record("T-1")) == {1: "https://erp.example/T-1", 2: "变压器 1", 9: "passed 2"}
    assert values_of(await source.record("T-2"))[2] == "?"
    # One is few enough.
    assert (await source.run()).counts["replaced"] == 1


async def test_a_plan_that_nothing_is_left_of_is_told(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    write_csv(tmp_path / "2.csv", [[serial, "?", note] for serial, _, note in ROWS])
    held = await source.run()
    (tmp_path / "2.csv").unlink()
    result = await source.run(over_brake=held.plan_digest)
    assert (result.state, "nothing left to do" in result.message) == ("done", True)
    assert {version for _, version in (await source.states()).values()} == {1}


async def test_what_is_read_behind_the_plan_that_passed_is_held_again(
    node: RestNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_PART_ROWS", 20)
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", ROWS[:20])
    write_csv(tmp_path / "2.csv", ROWS[20:])
    await source.run()
    write_csv(tmp_path / "3.csv", [[serial, "?", note] for serial, _, note in ROWS[:20]])
    write_csv(tmp_path / "4.csv", [[serial, "?", note] for serial, _, note in ROWS[20:]])
    first = await source.run()
    second = await source.run(over_brake=first.plan_digest)
    assert (second.state, second.counts["replaced"]) == ("stopped", 20)
    assert second.plan_digest != first.plan_digest
    third = await source.run(over_brake=second.plan_digest)
    assert third.state == "done", third.message
    assert {version for _, version in (await source.states()).values()} == {2}


async def test_a_listing_without_any_row_is_held_however_few_are_registered(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, whole(tmp_path, gone={"then": "suspend"}))
    write_csv(tmp_path / "1.csv", ROWS[:3])
    await source.run()
    write_csv(tmp_path / "2.csv", [])
    result = await source.run()
    assert (result.state, "no rows at all" in result.message) == ("stopped", True)
    assert {state for state, _ in (await source.states()).values()} == {"active"}


async def test_a_column_that_is_filled_with_something_else_is_held_by_the_brake(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    write_csv(tmp_path / "2.csv", [[serial, "?", note] for serial, _, note in ROWS])
    result = await source.run()
    assert (result.state, "40 of 40" in result.message) == ("stopped", True)
    assert {version for _, version in (await source.states()).values()} == {1}


async def test_new_rows_and_a_few_changes_are_never_held(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", ROWS[:10])
    await source.run()
    write_csv(tmp_path / "2.csv", [*[[serial, "new", ""] for serial, _, _ in ROWS[:10]], *ROWS[10:]])
    result = await source.run()
    assert (result.state, result.counts["replaced"], result.counts["created"]) == ("done", 10, 30)


async def test_too_many_faulty_rows_are_held_and_the_bookmark_stays_before_them(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(
        tmp_path / "1.csv", [[serial, "", ""] if number else [serial, "a", ""] for number, (serial, _, _) in enumerate(ROWS)]
    )
    result = await source.run()
    assert (result.state, "39 of 40 rows are faulty" in result.message) == ("stopped", True)
    assert ((await source.stored())["bookmark"], await source.states()) == ("", {})


async def test_the_brake_counts_over_all_parts_of_a_run(
    node: RestNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path), brake={"share": 0.5}))
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    monkeypatch.setattr(plan, "MAX_PART_ROWS", 8)
    monkeypatch.setattr(reader_of_files, "PORTION_ROWS", 4)
    write_csv(tmp_path / "2.csv", [[serial, "?", note] for serial, _, note in ROWS])
    result = await source.run()
    assert (result.state, "24 of 40" in result.message) == ("stopped", True)
    assert sorted(version for _, version in (await source.states()).values()) == [1] * 24 + [2] * 16


async def test_a_small_source_in_a_large_prefix_is_measured_by_what_is_its_own(node: RestNode, tmp_path: Path) -> None:
    write_csv(tmp_path / "1.csv", [[f"other-{number}", "a", ""] for number in range(200)])
    await RunningSource(node, profile(folder_of(tmp_path, pattern="1.csv"), name="others")).run()
    source = RunningSource(node, whole(tmp_path))
    write_csv(tmp_path / "2.csv", ROWS)
    await source.run()
    write_csv(tmp_path / "3.csv", [[serial, "?", note] for serial, _, note in ROWS])
    result = await source.run()
    assert (result.state, "40 of 40" in result.message) == ("stopped", True)
