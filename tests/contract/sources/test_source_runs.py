"""What a run of a source does to the registry: what is registered, kept, left to others, suspended."""

from pathlib import Path

import pytest

from adapters.sources.core import plan
from adapters.sources.readers import files as reader_of_files
from tests.support.rest import RestNode
from tests.support.sources import PREFIX, ROWS, RunningSource, coming_between, folder_of, profile, values_of, whole, write_csv
from tests.support.world import World


async def test_rows_become_identifiers_and_the_same_rows_change_nothing(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", [["T-1", " 油浸式变压器 ", "internal"], ["T-2", "干式变压器", ""]])
    result = await source.run()
    assert (result.state, result.counts["created"], result.faults) == ("done", 2, ())
    record = await source.record("T-1")
    assert values_of(record) == {1: "https://erp.example/T-1", 2: "油浸式变压器", 3: "internal"}
    assert [value["audience"] for value in record["values"]] == ["public", "public", "private"]
    assert values_of(await source.record("T-2")) == {1: "https://erp.example/T-2", 2: "干式变压器"}
    assert record["registrant"] == (await source.stored())["registrant"]

    write_csv(tmp_path / "2.csv", [["T-1", "油浸式变压器", "internal"], ["T-2", "干式变压器 SCB18", ""]])
    second = await source.run()
    assert (second.counts["unchanged"], second.counts["replaced"]) == (1, 1)
    assert await source.states() == {"T-1": ("active", 1), "T-2": ("active", 2)}
    assert (await source.record("T-1"))["values"] == record["values"]


async def test_a_run_without_news_writes_no_record_and_keeps_the_last_counts(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", [["T-1", "a", ""], ["", "b", ""]])
    await source.run()
    first = await source.stored()
    result = await source.run()
    assert (result.state, result.counts.get("rows", 0)) == ("done", 0)
    second = await source.stored()
    assert (second["counts"], second["faults"], second["bookmark"]) == (first["counts"], first["faults"], first["bookmark"])
    assert second["faults"] == [{"row": "1.csv, line 3", "reason": "identifier: column serial is empty"}]


async def test_values_of_others_stay_and_a_value_that_has_become_empty_goes(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", [["T-1", "a", "n"]])
    await source.run()
    others = {"index": 7, "type": "CHECK", "data": {"format": "string", "value": "passed"}, "permissions": "1110"}
    assert (
        await node("PATCH", f"/api/v1/identifiers/{PREFIX}/T-1", {"set": [others], "template": "transformer"})
    ).status == 200
    (kept,) = [value for value in (await source.record("T-1"))["values"] if value["index"] == 7]
    write_csv(tmp_path / "2.csv", [["T-1", "b", ""]])
    await source.run()
    record = await source.record("T-1")
    assert values_of(record) == {1: "https://erp.example/T-1", 2: "b", 7: "passed"}
    assert (record["template"], kept in record["values"]) == ("transformer", True)


async def test_faulty_rows_are_named_and_stop_no_other(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    await node("PUT", f"/api/v1/identifiers/{PREFIX}/gone", {"values": [{"index": 1, "type": "URL", "data": "x"}]})
    await node("DELETE", f"/api/v1/identifiers/{PREFIX}/gone")
    write_csv(
        tmp_path / "1.csv",
        [["T-1", "a", ""], ["", "b", ""], ["T-3", "", ""], ["gone", "c", ""], ["T-5", "d", "", "x"], ["T-6", "e", ""]],
    )
    result = await source.run()
    assert (result.state, result.counts["created"], result.counts["faulty"]) == ("done", 2, 4)
    reasons = {fault["row"]: fault["reason"] for fault in (await source.stored())["faults"]}
    assert reasons == {
        "1.csv, line 3": "identifier: column serial is empty",
        "1.csv, line 4": "value 2 TITLE: column title is empty",
        "1.csv, line 6": "4 cells under 3 columns",
        "1.csv, line 5": reasons["1.csv, line 5"],
    }
    assert "retired" in reasons["1.csv, line 5"]
    assert await source.states() == {"T-1": ("active", 1), "T-6": ("active", 1), "gone": ("retired", 2)}


async def test_an_identifier_elsewhere_and_one_that_is_an_alias_are_faults(node: RestNode, tmp_path: Path) -> None:
    described = profile(folder_of(tmp_path), record={"identifier": "{serial}"})
    body = {"values": [{"index": 1, "type": "URL", "data": "x"}], "aliases": [f"{PREFIX}/other-name"]}
    await node("PUT", f"/api/v1/identifiers/{PREFIX}/T-0", body)
    source = RunningSource(node, described)
    write_csv(tmp_path / "1.csv", [["88.118.1002/T-1", "a", ""], ["no identifier", "b", ""], [f"{PREFIX}/other-name", "c", ""]])
    result = await source.run()
    assert (result.state, result.counts["faulty"], result.counts["created"]) == ("done", 3, 0)
    assert (await source.record("T-0"))["version"] == 1


async def test_a_source_is_bound_to_what_its_account_may_write(node: RestNode, tmp_path: Path) -> None:
    write_csv(tmp_path / "1.csv", [["T-1", "a", ""]])
    stranger = RunningSource(node, profile(folder_of(tmp_path), name="theirs"), by="stranger")
    result = await stranger.run()
    assert (result.state, await stranger.states()) == ("failed", {})
    assert "permission_denied" in result.message.lower() or "not_found" in result.message.lower()


async def test_rows_of_one_identifier_are_told_apart_by_order_or_are_a_fault(node: RestNode, tmp_path: Path) -> None:
    changes, listing = tmp_path / "changes", tmp_path / "listing"
    changes.mkdir()
    listing.mkdir()
    rows = [["T-1", "old", ""], ["T-1", "new", ""]]
    write_csv(changes / "1.csv", rows)
    write_csv(listing / "1.csv", [["L-1", "first", ""], ["l-1", "second", ""]])
    source = RunningSource(node, profile(folder_of(changes)))
    await source.run()
    assert values_of(await source.record("T-1"))[2] == "new"
    result = await RunningSource(node, whole(listing, name="listing")).run()
    assert [fault.reason for fault in result.faults] == ["an earlier row is the same identifier"]
    assert values_of(await source.record("L-1"))[2] == "first"


async def test_what_is_gone_is_suspended_if_the_profile_says_so_and_resumed_when_it_is_back(
    node: RestNode, tmp_path: Path
) -> None:
    gone = {"then": "suspend", "resume": True, "begins": "T-"}
    source = RunningSource(node, whole(tmp_path, gone=gone))
    await node("PUT", f"/api/v1/identifiers/{PREFIX}/other", {"values": [{"index": 1, "type": "URL", "data": "x"}]})
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    write_csv(tmp_path / "2.csv", ROWS[1:])
    result = await source.run()
    assert (result.counts["suspended"], result.counts["unchanged"]) == (1, 39)
    states = await source.states()
    assert (states["T-0"], states["T-1"], states["other"]) == (("suspended", 2), ("active", 1), ("active", 1))
    write_csv(tmp_path / "3.csv", [["T-0", "renamed", ""], *ROWS[1:]])
    back = await source.run()
    assert (back.counts["replaced"], back.counts["resumed"]) == (1, 1)
    assert (await source.states())["T-0"] == ("active", 4)
    assert values_of(await source.record("T-0"))[2] == "renamed"


async def test_what_is_gone_is_kept_unless_the_profile_says_otherwise_and_retired_if_it_does(
    node: RestNode, tmp_path: Path
) -> None:
    write_csv(tmp_path / "1.csv", ROWS)
    await RunningSource(node, whole(tmp_path)).run()
    write_csv(tmp_path / "2.csv", ROWS[1:])
    keeping = RunningSource(node, whole(tmp_path))
    await keeping.run()
    assert (await keeping.states())["T-0"] == ("active", 1)
    retiring = RunningSource(node, whole(tmp_path, name="strict", gone={"then": "retire"}))
    assert (await retiring.run()).counts["retired"] == 1
    assert (await retiring.states())["T-0"] == ("retired", 2)


async def test_a_row_that_is_faulty_is_not_gone_and_one_without_a_name_hinders_all_going(
    node: RestNode, tmp_path: Path
) -> None:
    source = RunningSource(node, whole(tmp_path, gone={"then": "retire"}))
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    write_csv(tmp_path / "2.csv", [["T-0", "", ""], *ROWS[1:]])
    assert (await source.run()).counts["faulty"] == 1
    assert (await source.states())["T-0"] == ("active", 1)
    write_csv(tmp_path / "3.csv", [["", "变压器 0", ""], *ROWS[1:]])
    result = await source.run()
    assert (result.state, "nobody knows what is gone" in result.message) == ("done", True)
    assert (await source.states())["T-0"] == ("active", 1)


async def test_a_renamed_column_fails_the_run_by_name_and_changes_nothing(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, whole(tmp_path, gone={"then": "retire"}))
    write_csv(tmp_path / "1.csv", ROWS)
    await source.run()
    before = await source.states()
    write_csv(tmp_path / "2.csv", ROWS, columns=("serial_no", "title", "note"))
    result = await source.run()
    assert (result.state, result.message) == ("failed", "there is no column serial; there are serial_no, title, note")
    assert (await source.states(), (await source.stored())["state"]) == (before, "failed")


async def test_a_member_that_was_renamed_in_every_row_fails_the_run(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path, format="ndjson")))
    (tmp_path / "1.ndjson").write_text('{"serialNo": "T-1", "title": "a"}\n{"serialNo": "T-2", "title": "b"}\n')
    result = await source.run()
    assert (result.state, "not one of 2 rows has a name" in result.message) == ("failed", True)
    assert (await source.stored())["bookmark"] == ""


async def test_what_others_write_between_plan_and_apply_is_read_and_not_overwritten(
    node: RestNode, world: World, tmp_path: Path
) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", [["T-1", "a", ""]])
    await source.run()
    write_csv(tmp_path / "2.csv", [["T-1", "b", ""]])
    with coming_between(world, node, ["T-1"], at=2):
        result = await source.run()
    assert (result.state, result.counts["replaced"]) == ("done", 1)
    assert values_of(await source.record("T-1")) == {1: "https://erp.example/T-1", 2: "b", 9: "passed 2"}


async def test_who_always_comes_in_between_fails_the_run_and_loses_nothing(
    node: RestNode, world: World, tmp_path: Path
) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", [["T-1", "a", ""]])
    await source.run()
    bookmark = (await source.stored())["bookmark"]
    write_csv(tmp_path / "2.csv", [["T-1", "b", ""]])
    with coming_between(world, node, ["T-1"]):
        result = await source.run()
    assert (result.state, "changed by others" in result.message) == ("failed", True)
    assert (await source.stored())["bookmark"] == bookmark
    assert (await source.run()).counts["replaced"] == 1


async def test_a_suffix_rule_decides_what_is_the_same_identifier(node: RestNode, tmp_path: Path) -> None:
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", [["abc", "a", ""]])
    await source.run()
    write_csv(tmp_path / "2.csv", [["ABC", "b", ""]])
    assert (await source.run()).counts["replaced"] == 1
    assert await source.states() == {"abc": ("active", 2)}


async def test_aliases_and_templates_are_the_sources_if_it_names_them(node: RestNode, tmp_path: Path) -> None:
    record = {"template": "transformer", "aliases": [f"{PREFIX}/OLD-{{note}}"]}
    source = RunningSource(node, profile(folder_of(tmp_path), record=record))
    write_csv(tmp_path / "1.csv", [["T-1", "a", "7"], ["T-2", "b", ""]])
    await source.run()
    first, second = await source.record("T-1"), await source.record("T-2")
    assert (first["aliases"], first["template"], second["aliases"]) == ([f"{PREFIX}/OLD-7"], "transformer", [])
    write_csv(tmp_path / "2.csv", [["T-1", "a", "8"]])
    await source.run()
    assert (await source.record("T-1"))["aliases"] == [f"{PREFIX}/OLD-8"]


async def test_a_long_backlog_is_registered_in_parts_and_a_failure_costs_the_last_of_them(
    node: RestNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_PART_ROWS", 10)
    monkeypatch.setattr(reader_of_files, "PORTION_ROWS", 4)
    source = RunningSource(node, profile(folder_of(tmp_path)))
    write_csv(tmp_path / "1.csv", ROWS)
    with (tmp_path / "1.csv").open("a") as opened:
        opened.write('T-x,"cut')
    result = await source.run()
    assert (result.state, "not whole" in result.message) == ("failed", True)
    registered = len(await source.states())
    assert registered == 36  # three parts of twelve rows; four rows and the broken one were the beginning of the next
    bookmark = (await source.stored())["bookmark"]
    assert bookmark.endswith(":36")
    write_csv(tmp_path / "1.csv", ROWS)
    again = await source.run()
    assert (again.state, again.counts["unchanged"], again.counts["created"]) == ("done", 36, 4)


async def test_a_whole_listing_that_cannot_be_held_is_refused_whole(
    node: RestNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_HELD_ROWS", 30)
    source = RunningSource(node, whole(tmp_path, gone={"then": "retire"}))
    write_csv(tmp_path / "1.csv", ROWS)
    result = await source.run()
    assert (result.state, "cannot be compared at once" in result.message) == ("failed", True)
    monkeypatch.setattr(plan, "MAX_HELD_ROWS", 100)
    monkeypatch.setattr(plan, "MAX_PLANNED_BYTES", 1_000)
    result = await source.run()
    assert (result.state, "more than 0 MiB" in result.message, await source.states()) == ("failed", True, {})
