"""Expressions: what each step makes of a cell, what is nothing, and what is said of those that are wrong."""

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from adapters.sources.core.cells import text_of
from adapters.sources.core.expression import STEPS, parse_expression

MAPS = {"states": {"1": "in use", "0": "sold"}, "open": {"1": "one", "*": "other"}}


@pytest.mark.parametrize(
    ("expression", "cells", "expected"),
    [
        ("88.1/{serial}", {"serial": "T-1"}, "88.1/T-1"),
        ("{a}{b}", {"a": 1, "b": True}, "1true"),
        ("{{{a}}}", {"a": "x"}, "{x}"),
        ("{'rated | kV'} kV", {"rated | kV": Decimal("110.50")}, "110.50 kV"),
        ("{ 额定电压 | trim }", {"额定电压": " 110 "}, "110"),
        ("{a | trim | upper}", {"a": " ab "}, "AB"),
        ("{a | lower}", {"a": "AB"}, "ab"),
        ("{a | fold}", {"a": "ＳＣＢ１８"}, "SCB18"),
        ("{a | default '10'}", {"a": None}, "10"),
        ("{a | default '10'}", {"a": "7"}, "7"),
        ("{a | trim | default 'it''s | none'}", {"a": "  "}, "it's | none"),
        ("{a | default '2' | map open}", {}, "other"),
        ("{a | map states}", {"a": 1}, "in use"),
        ("{a | map open}", {"a": "9"}, "other"),
        ("{a | replace '-' ''}", {"a": "1-2-3"}, "123"),
        ("{a | pad 5}", {"a": 42}, "00042"),
        ("{a | first 2}{a | last 2}", {"a": "abcd"}, "abcd"),
        ("{a | last 0 | default 'x'}", {"a": "abcd"}, "x"),
        ("{a | number}", {"a": " 1e3 "}, "1000"),
        ("{a | number 2}", {"a": "1.005"}, "1.00"),
        ("{a | integer | pad 3}", {"a": "7.0"}, "007"),
        ("{a | date '%Y年%m月%d日'}", {"a": "2026年01月31日"}, "2026-01-31"),
        ("{a | date '%Y/%m/%d %H:%M' | format '%Y%m%dT%H%M'}", {"a": "2026/01/31 08:05"}, "20260131T0805"),
        ("{a | date iso | format '%d.%m.%Y'}", {"a": "2026-01-31T08:00:00+08:00"}, "31.01.2026"),
        ("{a | date iso}", {"a": "2026-01-31"}, "2026-01-31"),
        ("{a | date seconds | format '%Y-%m-%d'}", {"a": 1_769_817_600}, "2026-01-31"),
        ("{a | date milliseconds | format '%Y-%m-%d'}", {"a": "1769817600000"}, "2026-01-31"),
        ("{a | date '%Y' | format '%y'}", {"a": date(2026, 1, 31)}, "26"),
        ("{a | json}", {"a": {"变": [1, None, Decimal("1.5")]}}, '{"变":[1,null,1.5]}'),
        ("{a}", {"a": ""}, None),
        ("text {a}", {}, None),
        ("{a | trim | upper}", {"a": None}, None),
        ("", {}, None),
    ],
)
def test_what_an_expression_makes_of_a_row(expression: str, cells: dict[str, Any], expected: str | None) -> None:
    assert parse_expression(expression, MAPS).text(cells) == expected


@pytest.mark.parametrize(
    ("expression", "cell", "said"),
    [
        ("{a}", ["x"], "column a: it is no text but a list"),
        ("{a}", b"x", "column a: it is no text but bytes"),
        ("{a}", float("nan"), "column a: nan is no number to register"),
        ("{a}", Decimal("1e9999"), "column a: it is a number of more than 400 digits"),
        ("{a}", "\ud800", "column a: it is not valid Unicode"),
        ("{a | map states}", "2", 'column a: "2" is not in the map states'),
        ("{a | date '%Y-%m-%d'}", "31.01.2026", 'column a: "31.01.2026" is no date of the form %Y-%m-%d'),
        ("{a | date iso}", "yesterday", 'column a: "yesterday" is no date of the form iso'),
        ("{a | date seconds}", "1e300", "is no time"),
        ("{a | format '%Y'}", "2026", "column a: it is no date: the step date makes one of a text"),
        ("{a | number}", "eleven", 'column a: "eleven" is no number'),
        ("{a | number}", True, "column a: it is no number but true or false"),
        ("{a | number 2}", "1e50", "is too large a number"),
        ("{a | integer}", "1.5", 'column a: "1.5" is no whole number'),
        ("{a | integer}", "1e400", "is no whole number"),
        ("{a | json}", {1, 2}, "column a: it cannot be said in JSON"),
    ],
)
def test_what_is_said_of_a_cell_that_will_not_do(expression: str, cell: object, said: str) -> None:
    with pytest.raises(ValueError, match="column a") as found:
        parse_expression(expression, MAPS).text({"a": cell})
    assert said in str(found.value)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("{a", "a { without its }"),
        ("a}", "a } without its {"),
        ("{}", "the name of a column is wanted"),
        ("{a b}", "the name of a column is wanted"),
        ("{a | }", "nothing: a step is one of"),
        ("{a | eval '1'}", ["eval", "'1'"][0]),
        ("{a | map}", "map: 1 arguments are wanted"),
        ("{a | map lost}", "there is no map lost; there are open, states"),
        ("{a | pad x}", "x: a number from 0 to 64 is wanted"),
        ("{a | pad 65}", "65: a number from 0 to 64 is wanted"),
        ("{a | number 1 2}", "number: 0 or 1 arguments are wanted"),
        ("{a | date '%B'}", "a form of dates has some of"),
        ("{a | date 'today'}", "a form of dates has some of"),
        ("{a | date '%d %d'}", "nothing of this form can be read as a date"),
        ("{a | format '%A'}", "a form of dates has some of"),
        ("{a | replace '' 'x'}", "a text to replace"),
        ("{a | default 'x}", "a { without its }"),
        ("{a" + " | trim" * 17 + "}", "at most 16 steps"),
        ("x" * 2_049, "at most 2048 characters"),
    ],
)
def test_what_is_said_of_an_expression_that_is_wrong(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_expression(expression, MAPS)


def test_members_of_json_keep_numbers_and_flags() -> None:
    cells = {"kv": "110", "mva": "1.50", "sold": False, "name": "T", "none": ""}
    texts = ("{kv}", "{kv | number}", "{mva | number}", "{kv | integer}", "{sold}", "{name} {kv | number}", "{none}")
    found = {text: parse_expression(text, {}).member(cells) for text in texts}
    assert found == {
        "{kv}": "110", "{kv | number}": 110, "{mva | number}": 1.5, "{kv | integer}": 110, "{sold}": False,
        "{name} {kv | number}": "T 110", "{none}": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, None),
        ("", None),
        (" ", " "),
        (0, "0"),
        (-7, "-7"),
        (1.0, "1.0"),
        (1e22, "10000000000000000000000"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.00001"), "0.00001"),
        (datetime(2026, 1, 31, 8, tzinfo=UTC), "2026-01-31T08:00:00+00:00"),
        (time(8, 5), "08:05:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_the_text_of_a_cell(cell: object, text: str | None) -> None:
    assert text_of(cell) == text


def test_the_readme_describes_every_step() -> None:
    readme = (Path(__file__).parents[2] / "adapters" / "sources" / "README.md").read_text()
    assert not [name for name in STEPS if f"`{name}" not in readme]
