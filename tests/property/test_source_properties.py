"""Plans of sources against a model: any rows over any records end where the rows say, and doing it twice does nothing."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sources.core.cells import Cells, SourceRow
from adapters.sources.core.expression import STEPS, Maps, parse_expression
from adapters.sources.core.plan import Doing, Plan, Sheet
from adapters.sources.core.profile import Profile
from proto.model.identifier import SuffixRule
from tests.support.sources import PREFIX, profile

OWN = profile({"kind": "files", "folder": "/", "listing": "whole"}, gone={"then": "suspend", "resume": True})
NAMES = st.sampled_from(["a", "B", "c", "d", "É"])
TEXTS = st.sampled_from(["", "x", "y"])
ROWS = st.lists(st.tuples(st.one_of(NAMES, st.just("")), TEXTS, TEXTS), max_size=6)


def value(index: int, kind: str, text: str, audience: str = "public") -> dict[str, Any]:
    return {"index": index, "type": kind, "data": {"format": "string", "value": text}, "ttl": 86400, "audience": audience}


VALUES = [value(2, "TITLE", "x"), value(3, "NOTE", "y", "private"), value(9, "CHECK", "ok")]
RECORDS = st.dictionaries(
    NAMES,
    st.tuples(
        st.sampled_from(["active", "suspended", "retired"]),
        st.lists(st.sampled_from(VALUES), max_size=3,
                 unique_by=lambda each: each["index"]),
    ),
    max_size=5,
)  # fmt: skip


def planned(described: Profile, rows: list[tuple[str, str, str]], stored: dict[str, dict[str, Any]]) -> Plan:
    sheet = Sheet(described, SuffixRule.FOLD_ASCII)
    for number, row in enumerate(rows):
        sheet.add(SourceRow(f"row {number}", dict(zip(("serial", "title", "note"), row, strict=True))))
    for record in stored.values():
        sheet.meet(record)
    for key, _ in sheet.expected():
        sheet.create(key)
    return sheet.finish()


def applied(plan: Plan, stored: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the registry would make of a plan."""
    after = {key: dict(record) for key, record in stored.items()}
    for step in plan.steps:
        key = step.identifier.lower()
        record = after.get(key)
        assert (record["version"] if record is not None else 0) >= step.version
        if step.doing is Doing.CREATE:
            assert record is None
            record = {"identifier": step.identifier, "state": "active", "version": 0}
        assert record is not None
        record = record | (json.loads(step.body) if step.body else {})
        states = {Doing.SUSPEND: "suspended", Doing.RESUME: "active", Doing.RETIRE: "retired"}
        after[key] = record | {"state": states.get(step.doing, record["state"]), "version": record["version"] + 1}
    return after


@given(ROWS, RECORDS)
def test_a_plan_ends_where_the_rows_say_and_a_second_one_does_nothing(
    rows: list[tuple[str, str, str]], records: dict[str, tuple[str, list[dict[str, Any]]]]
) -> None:
    stored: dict[str, dict[str, Any]] = {
        f"{PREFIX}/{name}".lower(): {
            "identifier": f"{PREFIX}/{name}", "state": state, "version": 3, "values": values, "template": "", "aliases": [],
        }
        for name, (state, values) in records.items()
    }  # fmt: skip
    plan = planned(OWN, rows, stored)
    after = applied(plan, stored)
    assert plan.rows == len(rows) == plan.unchanged + plan.faults.count + len({step.row for step in plan.steps if step.row})
    first: dict[str, tuple[str, str, str]] = {}
    for row in rows:
        if row[0] and row[1]:
            first.setdefault(f"{PREFIX}/{row[0]}".lower(), row)
    for key, (serial, title, note) in first.items():
        if any(each[0].lower() == serial.lower() and not each[1] for each in rows):
            continue  # a faulty row of the same name came before or after it
        record = after[key]
        if stored.get(key, {}).get("state") == "retired":
            assert record == stored[key]
            continue
        texts = {each["index"]: each["data"]["value"] for each in record["values"]}
        there = stored[key]["values"] if key in stored else []
        others = {9: "ok"} if any(each["index"] == 9 for each in there) else {}
        assert texts == {1: f"https://erp.example/{serial}", 2: title, **({3: note} if note else {}), **others}
        assert record["state"] == "active"
    named = {f"{PREFIX}/{serial}".lower() for serial, _, _ in rows}
    for key, record in stored.items():
        if key not in named and record["state"] == "active":
            assert after[key]["state"] == ("suspended" if all(serial for serial, _, _ in rows) else "active")
    again = planned(OWN, rows, after)
    assert again.steps == []


def said_of(expression: str, maps: Maps, cells: Cells) -> str:
    """What is said of an expression that is wrong, or of a cell of it; empty if a text was made, or nothing."""
    try:
        parsed = parse_expression(expression, maps)
        assert parsed.text(cells) != ""
        parsed.member(cells)
    except ValueError as error:
        return str(error) or "nothing was said"
    return ""


PIECES = st.lists(st.sampled_from(["{", "}", "|", "'", "%Y", " ", "a", "b", *STEPS]), max_size=20).map("".join)


@given(PIECES, st.dictionaries(st.text(max_size=3), st.text(max_size=5)))
def test_no_expression_does_anything_but_make_a_text_or_say_what_is_wrong(text: str, cells: dict[str, str]) -> None:
    assert said_of(text, {"a": {"*": "b"}}, cells) != "nothing was said"


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(), st.dates(), st.datetimes(),
    st.lists(st.integers(), max_size=2),
)  # fmt: skip
ARGUMENTS = {
    "default": " 'x'", "map": " m", "replace": " 'a' 'b'", "pad": " 3", "first": " 2", "last": " 2", "date": " '%Y-%m-%d'",
    "format": " '%Y'",
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=50)
@given(CELLS)
def test_no_step_does_anything_with_any_cell_but_that(name: str, cell: object) -> None:
    said = said_of("{a | " + name + ARGUMENTS.get(name, "") + "}", {"m": {"a": "b"}}, {"a": cell})
    assert not said or "column a" in said
