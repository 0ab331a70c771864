"""What a system is told of a row: selection, mask, and events whose ids are made of their content."""

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters.city.core.event import Event, event_of, head_of
from adapters.city.core.page import PORTION_CHANGES, Page
from adapters.city.core.profile import Profile
from adapters.city.core.selection import Interest, Selection, Share, share_class
from adapters.city.core.shape import Shape
from adapters.city.industry.mapping import map_noun
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


def document_of(event: Event, profile: Profile) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((head_of(profile.source) + event.rest).decode())
    assert (document["id"], document["source"]) == (event.id, profile.source)
    return document


def told(row: dict[str, Any], **sections: Any) -> dict[str, Any]:
    profile = make_profile(**sections)
    event = event_of(row, profile.selection, profile.shape)
    assert event is not None
    return document_of(event, profile)


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
    change = {"position": "1", "time": "2026-01-01T00:00:00.000Z", "rows": [*rows, noun_row("prefix", "88.118", registrant="")]}
    ((entries, end),) = Page([change], "0", "1", "1").told(make_profile())
    assert [entry.event.key for entry in entries] == [("record", f"88.118.1001/{number}") for number in range(3)]
    assert [entry.before for entry in entries] == ["0"] * 3
    assert end == "1"


def test_feeds_that_tell_the_same_of_a_page_compose_it_once_and_each_under_its_own_source() -> None:
    page = Page(
        [{"position": "1", "time": "2026-01-01T00:00:00.000Z", "rows": [record_row("88.118.1001/a", URL, PRICE)]}],
        "0",
        "1",
        "1",
    )
    first, second, other = make_profile(), replace(make_profile(), name="second"), make_profile(shape={"fields": ["state"]})
    ((entries, _),) = page.told(first)
    ((same, _),) = page.told(second)
    ((others, _),) = page.told(other)
    assert same is entries is not others
    told_first, told_second = (document_of(entries[0].event, profile) for profile in (first, second))
    assert told_second == {**told_first, "source": second.source} != told_first


@pytest.mark.parametrize("count", [0, 1, PORTION_CHANGES - 1, PORTION_CHANGES, PORTION_CHANGES + 1, 3 * PORTION_CHANGES])
def test_a_page_is_told_in_portions_each_with_its_end(count: int) -> None:
    numbers = range(1, count + 1)
    # Every third change has nothing for the feed; the page ends behind more that is for nobody.
    rows = [[] if number % 3 == 0 else [record_row(f"88.118.1001/{number}", URL)] for number in numbers]
    changes = [
        {"position": str(number), "time": "2026-01-01T00:00:00.000Z", "rows": each}
        for number, each in zip(numbers, rows, strict=True)
    ]
    page = Page(changes, "0", str(count + 7), str(count + 9))
    # Two feeds in turn, one of them behind the other.
    ahead, behind = page.told(make_profile()), page.told(replace(make_profile(), name="second"))
    portions = []
    for portion in ahead:
        assert next(behind) is portion
        portions.append(portion)
    assert [entry.event.key[1] for entries, _ in portions for entry in entries] == [
        f"88.118.1001/{number}" for number in numbers if number % 3
    ]
    assert all(
        int(entry.before) == int(entry.event.key[1].partition("/")[2]) - 1 for entries, _ in portions for entry in entries
    )
    ends = [min(begin + PORTION_CHANGES, count) for begin in range(0, max(count, 1), PORTION_CHANGES)]
    assert [end for _, end in portions] == [*map(str, ends[:-1]), str(count + 7)]
    assert next(behind, None) is None


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
    event = event_of(row, profile.selection, Shape(mapping=map_noun))
    assert event is not None
    assert document_of(event, profile)["data"]["parameters"] == {"META": rendered}


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
