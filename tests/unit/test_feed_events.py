"""What a system is told of a row: selection, mask, and events whose ids are made of their content."""

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters.city.core.event import compose_json, event_of, events_of
from adapters.city.core.selection import Interest, Selection, Share, share_class
from adapters.city.core.shape import Shape
from adapters.city.industry.mapping import map_noun
from adapters.city.registry_client import Page
from proto.model.feed import FeedKind
from tests.support.rows import make_profile, noun_row, record_row, value

URL, PRICE, NOTE = value(1, "URL"), value(2, "PRICE", audience="dealers"), value(3, "NOTE", audience="private")
BOTH = frozenset({Share.UNCONDITIONAL, Share.CONDITIONAL})
CHANGED, REMOVED, NONE = Interest.CHANGED, Interest.REMOVED, Interest.NONE


@pytest.mark.parametrize(
    ("selection", "row", "interest"),
    [
        (Selection(), record_row("88.118.1001/a", URL), CHANGED),
        (Selection(), noun_row("prefix", "88.118", registrant=""), NONE),
        (Selection(kinds=frozenset(FeedKind)), noun_row("prefix", "88.118", registrant=""), CHANGED),
        (Selection(kinds=frozenset(FeedKind)), noun_row("registrant", "R-1"), CHANGED),
        (Selection(kinds=frozenset(FeedKind), registrants=frozenset({"R-2"})), noun_row("registrant", "R-1"), NONE),
        (Selection(kinds=frozenset(FeedKind)), {"kind": "account", "name": "x"}, NONE),
        # Prefixes, by labels.
        (Selection(prefixes=("88.118",)), record_row("88.118.1001/a", URL), CHANGED),
        (Selection(prefixes=("88.118.1001",)), record_row("88.118.1001/a", URL), CHANGED),
        (Selection(prefixes=("88.118.100",)), record_row("88.118.1001/a", URL), NONE),
        (Selection(prefixes=("99", "88.118")), record_row("88.118.1001/a", URL), CHANGED),
        (Selection(prefixes=("88.118",)), record_row("88.119/a", URL, version=2), NONE),
        # Share classes: without anything to share a record is nobody's news, and one that had something is gone.
        (Selection(), record_row("88.118.1001/a", PRICE, NOTE), NONE),
        (Selection(), record_row("88.118.1001/a", PRICE, version=2), REMOVED),
        (Selection(share=BOTH), record_row("88.118.1001/a", PRICE), CHANGED),
        (Selection(share=BOTH), record_row("88.118.1001/a", NOTE), NONE),
        # Types, a family among them.
        (Selection(types=("url",)), record_row("88.118.1001/a", URL), CHANGED),
        (Selection(types=("META.",)), record_row("88.118.1001/a", value(1, "META.RATED")), CHANGED),
        (Selection(types=("PRICE",)), record_row("88.118.1001/a", URL, PRICE), NONE),
        (Selection(types=("PRICE",)), record_row("88.118.1001/a", URL, version=3), REMOVED),
        (Selection(templates=frozenset({"pile"})), record_row("88.118.1001/a", URL, template="pile"), CHANGED),
        (Selection(templates=frozenset({"pile"})), record_row("88.118.1001/a", URL), NONE),
        # States: only what was selected can leave.
        (Selection(states=frozenset({"active"})), record_row("88.118.1001/a", state="retired", version=2), REMOVED),
        (
            Selection(states=frozenset({"active"})),
            record_row("88.118.1001/a", state="retired", version=3, prior_state="suspended"),
            NONE,
        ),
        (Selection(), record_row("88.118.1001/a", state="suspended", version=2), CHANGED),
        (Selection(types=("URL",)), record_row("88.118.1001/a", state="suspended", version=2), REMOVED),
    ],
)
def test_what_is_told_of_a_row(selection: Selection, row: dict[str, Any], interest: Interest) -> None:
    assert selection.judge(row) is interest


def told(row: dict[str, Any], **sections: Any) -> dict[str, Any]:
    event = event_of(row, make_profile(**sections))
    assert event is not None
    document: dict[str, Any] = json.loads(event.body)
    assert document["id"] == event.id
    return document


def test_what_is_not_shared_is_in_no_event() -> None:
    row = record_row("88.118.1001/变压器", URL, PRICE, NOTE)
    assert [each["type"] for each in told(row)["data"]["values"]] == ["URL"]
    shared = told(row, select={"share": ["unconditional", "conditional"]})
    assert [(each["type"], each["share"]) for each in shared["data"]["values"]] == [
        ("URL", "unconditional"),
        ("PRICE", "conditional"),
    ]
    assert "dealers" not in json.dumps(shared)


@pytest.mark.parametrize(
    ("fields", "members"),
    [
        ([], {"state", "version", "values", "registrant", "template", "aliases", "created", "changed"}),
        (["registrant"], {"state", "version", "registrant"}),
        (["values.TITLE"], {"state", "version", "values"}),
        (["values", "aliases"], {"state", "version", "values", "aliases"}),
    ],
)
def test_a_mask_leaves_what_names_a_thing(fields: list[str], members: set[str]) -> None:
    row = record_row("88.118.1001/a", URL, value(2, "TITLE"))
    data = told(row, shape={"fields": fields})["data"]
    assert set(data) == {"kind", "identifier"} | members
    if fields == ["values.TITLE"]:
        assert [each["type"] for each in data["values"]] == ["TITLE"]


def test_an_id_says_what_is_told_and_nothing_else() -> None:
    first, again = told(record_row("88.118.1001/a", URL)), told(record_row("88.118.1001/a", URL))
    assert first["id"] == again["id"]
    others = [
        told(record_row("88.118.1001/a", URL, version=2)),
        told(record_row("88.118.1001/b", URL)),
        told(record_row("88.118.1001/a", value(1, "URL", "y"))),
        told(record_row("88.118.1001/a", URL), shape={"fields": ["registrant"]}),
        told(record_row("88.118.1001/a", version=2), select={"types": ["URL"]}),
    ]
    assert len({first["id"], *(each["id"] for each in others)}) == 1 + len(others)


def test_a_change_is_told_row_by_row() -> None:
    rows = [record_row(f"88.118.1001/{number}", URL) for number in range(3)]
    change = {"time": "2026-01-01T00:00:00.000Z", "rows": [*rows, noun_row("prefix", "88.118", registrant="")]}
    events = list(events_of(change, make_profile()))
    assert [event.key for event in events] == [("record", f"88.118.1001/{number}") for number in range(3)]


def test_feeds_that_tell_the_same_of_a_page_compose_it_once_and_each_under_its_own_source() -> None:
    page = Page([{"rows": [record_row("88.118.1001/a", URL, PRICE)]}, {"rows": []}], "", "")
    first, second, other = make_profile(), replace(make_profile(), name="second"), make_profile(shape={"fields": ["state"]})
    assert page.news(second) is page.news(first)
    assert page.news(other) is not page.news(first)
    events = {
        profile.name: [[news.told_by(compose_json(profile.source)) for news in told] for told in page.news(profile)]
        for profile in (first, second)
    }
    for profile in (first, second):
        assert events[profile.name] == [[*events_of(change, profile)] for change in page.changes]
    told_first, told_second = (json.loads(events[profile.name][0][0].body) for profile in (first, second))
    assert told_second == {**told_first, "source": second.source} != told_first


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ('{"a": "\\ud800"}', {"a": "?"}),
        ('{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        ('{"a": "油\\u0001\\"/"}', {"a": '油\x01"/'}),
    ],
)
def test_whatever_the_json_of_a_value_holds_the_event_is_json_in_utf_8(text: str, rendered: dict[str, Any]) -> None:
    row = record_row("88.118.1001/a", value(1, "META", text))
    profile = make_profile()
    event = event_of(row, replace(profile, shape=Shape(mapping=map_noun)))
    assert event is not None
    assert json.loads(event.body.decode())["data"]["parameters"] == {"META": rendered}


def test_what_is_never_shared_cannot_be_selected() -> None:
    with pytest.raises(ValueError, match="不予共享"):
        share_class("none")


def test_members_are_taken_from_where_the_profile_says() -> None:
    values = [
        value(1, "TITLE", "变压器"),
        value(2, "META", '{"rated": {"power_kva": 400}, "list": [1]}'),
        value(3, "CODE", "a b"),
    ]
    members: dict[str, Any] = {
        "device": "identifier",
        "maker": "registrant",
        "title": "values.TITLE",
        "power": "values.META#rated.power_kva",
        "nothing": "values.META#rated.power_kva.x",
        "no_json": "values.TITLE#x",
        "absent": "values.ABSENT",
        "code": {"from": "values.CODE", "pattern": r"\S+"},
        "number": {"from": "values.META#rated.power_kva", "pattern": r"\d+"},
    }
    data = told(record_row("88.118.1001/a", *values), shape={"members": members})["data"]
    assert data == {
        "kind": "record", "identifier": "88.118.1001/a", "version": 1, "state": "active",
        "device": "88.118.1001/a", "maker": "R-1", "title": "变压器", "power": 400, "unfit": ["code", "number"],
    }  # fmt: skip


def test_a_pattern_is_not_tried_on_a_document() -> None:
    long = value(1, "CODE", "a" * 10_000)
    members = {"code": {"from": "values.CODE", "pattern": "(a+)+b"}}
    assert told(record_row("88.118.1001/a", long), shape={"members": members})["data"]["unfit"] == ["code"]
