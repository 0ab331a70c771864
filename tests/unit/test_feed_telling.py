"""Of whom a feed has told: summed until it is committed, by registrant, with the prefixes."""

from typing import Any

import pytest

from adapters.city.core import telling as module
from adapters.city.core.backlog import Entry
from adapters.city.core.event import Event
from adapters.city.core.page import entry_of, whose
from adapters.city.core.telling import EVERY_REGISTRANT, Telling

EVENT = Event("id", ("record", "a"), 1, b"")


def entry(registrant: str, prefix: str = "") -> Entry:
    return Entry(EVENT, "", registrant=registrant, prefix=prefix)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"kind": "record", "record": {"identifier": "88.118.1001/a/b", "registrant": "R-1"}}, ("R-1", "88.118.1001")),
        ({"kind": "record", "record": {"identifier": "88.118/a", "registrant": ""}}, ("", "88.118")),
        ({"kind": "prefix", "prefix": {"name": "88.118.1001", "registrant": "R-1"}}, ("R-1", "88.118.1001")),
        ({"kind": "registrant", "registrant": {"code": "R-1"}}, ("R-1", "")),
        ({"kind": "notice", "notice": {"feed": "brain", "kind": "alarm", "name": "disk", "at": "2026-01-31"}}, ("", "")),
    ],
)
def test_a_row_is_somebodys(row: dict[str, Any], expected: tuple[str, str]) -> None:
    assert whose(row) == expected


def test_an_entry_says_when_its_change_was_made_and_whose_it_is() -> None:
    row = {"kind": "prefix", "prefix": {"name": "88.118.1001", "registrant": "R-1"}}
    made = entry_of(EVENT, "cursor", {"time": "2026-01-31T08:15:00.000Z"}, row)
    assert made == Entry(EVENT, "cursor", time="2026-01-31T08:15:00.000Z", registrant="R-1", prefix="88.118.1001")


def test_what_was_delivered_is_summed_until_it_is_taken() -> None:
    telling = Telling()
    telling.add([entry("R-1", "88.1"), entry("R-2"), entry("R-1", "88.2"), entry("R-1", "88.1")])
    assert telling.take() == [
        {"registrant": "R-1", "count": 3, "prefixes": ["88.1", "88.2"]},
        {"registrant": "R-2", "count": 1, "prefixes": []},
    ]
    assert telling.take() == []


def test_beyond_so_many_registrants_and_prefixes_they_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REGISTRANTS", 3)
    monkeypatch.setattr(module, "MAX_PREFIXES", 2)
    telling = Telling()
    telling.add([entry(f"R-{number % 5}", f"88.{number}") for number in range(50)])
    told = telling.take()
    assert [each["registrant"] for each in told] == ["R-0", "R-1", EVERY_REGISTRANT]
    assert sum(each["count"] for each in told) == 50
    assert {len(each["prefixes"]) for each in told} == {2}
