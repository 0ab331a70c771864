"""What the systems with code of their own make of registrants, records and figures."""

from collections.abc import Sequence
from typing import Any

import pytest

from adapters.city.brain.mapping import UNSEEN_S, Watch
from adapters.city.core.indicators import Indicators, Said
from adapters.city.core.profile import parse_profile
from adapters.city.data_exchange.mapping import map_noun
from adapters.city.mappings import MAPPINGS
from adapters.section import ProfileMistakes
from proto.model.feed import FeedKind

USCC = "91411000MA40XCDL1K"


def value(kind: str, text: Any, audience: str = "public") -> dict[str, Any]:
    return {"index": 1, "type": kind, "data": {"format": "string", "value": text}, "audience": audience}


def record(*values: dict[str, Any], registrant: str = USCC, identifier: str = "88.118.1001/a") -> dict[str, Any]:
    return map_noun(
        FeedKind.RECORD, {"identifier": identifier, "registrant": registrant, "created": "2026-11-25T00:00:00Z"}, values
    )


def test_a_record_with_a_dataset_code_is_a_data_set() -> None:
    found = record(
        value("DATASET_CODE", "41C001/1"), value("TITLE", "变压器产品"), value("DATASET_PREFIX", "88.118.1001"),
        value("DATASET_CYCLE", "实时", "city"), value("OTHER", "not of the catalogue"),
    )  # fmt: skip
    assert found == {
        "entry": "data_set", "provider_uscc": USCC, "title": "变压器产品", "collection": "88.118.1001", "update_cycle": "实时",
        "published": "2026-11-25T00:00:00Z", "share": "有条件共享",
    }  # fmt: skip
    assert record(value("DATASET_CODE", "41C001/1"))["share"] == "无条件共享"


def test_any_other_record_is_data_item_by_item() -> None:
    found = record(
        value("META", '{"kva": 400}'), value("NOTE", "x", "city"), value("COUNT", "7"), value("HS_SITE", {"version": 1}),
        registrant="LAB-1", identifier="88.118.1001/A",
    )  # fmt: skip
    assert found == {
        "entry": "data", "provider_code": "LAB-1", "collection": "88.118.1001",
        "items": [
            {"name": "META", "data": {"kva": 400}, "share": "无条件共享"},
            {"name": "NOTE", "data": "x", "share": "有条件共享"},
            {"name": "COUNT", "data": "7", "share": "无条件共享"},
        ],
    }  # fmt: skip
    assert "provider_code" not in record(registrant="")


def test_a_registrant_provides_and_a_prefix_is_nothing() -> None:
    found = map_noun(FeedKind.REGISTRANT, {"code": USCC, "name": "许昌变压器"}, ())
    assert found == {"entry": "provider", "provider_uscc": USCC, "provider_name": "许昌变压器"}
    assert map_noun(FeedKind.PREFIX, {"name": "88.118"}, ()) == {}


def statistics(resolved: int, missed: int, second: int = 0, **day: int) -> dict[str, Any]:
    days = [{"day": "2026-11-25", "registered": 3, "active": 3, "added": 3, "resolved": 0, "missed": 0, **day}]
    return {
        "position": "x", "at": f"2026-11-25T08:{second // 60:02}:{second % 60:02}.000Z", "enterprises": 2, "prefixes": 3,
        "total": {"registered": 3, "active": 3, "resolved": resolved, "missed": missed}, "groups": {}, "days": days,
    }  # fmt: skip


def told(looked: list[Said]) -> dict[str, dict[str, Any]]:
    return {said.name: {"kind": said.kind, **said.data} for said in looked}


def watch(stored: Sequence[Said] = ()) -> Watch:
    return Watch(Indicators(least_questions=10, least_success=0.9, window_s=100.0), stored)


def test_the_first_look_tells_how_everything_stands_and_the_next_what_changed() -> None:
    watching = watch()
    first = told(watching.look(statistics(0, 0), {"88.118.5": True, "88.118.6": False}, 0))
    assert first["node"] == {
        "kind": "indicators", "enterprises": 2, "prefixes": 3, "registered": 3, "active": 3, "resolved": 0, "missed": 0,
        "success": None, "alarms": ["enterprise-node/88.118.5"],
    }  # fmt: skip
    assert {name: data.get("state") for name, data in first.items() if name not in ("node", "2026-11-25")} == {
        "enterprise-node/88.118.5": "raised",
        "enterprise-node/88.118.6": "cleared",
    }
    watching.settle()
    assert told(watching.look(statistics(0, 0, 1), {"88.118.5": True, "88.118.6": False}, 1)).keys() == {"node"}
    watching.settle()
    changed = told(watching.look(statistics(0, 0, 2, added=4), {"88.118.5": False, "88.118.6": False}, 2))
    assert changed.keys() == {"node", "2026-11-25", "enterprise-node/88.118.5"}
    assert changed["enterprise-node/88.118.5"]["state"] == "cleared"


def test_a_node_of_which_nothing_is_said_for_a_moment_is_not_said_to_be_back() -> None:
    """Who asks it died, and whoever is in its place has not asked yet; only long after, the prefix was taken back."""
    watching, last = watch(), 10 + int(UNSEEN_S)
    watching.look(statistics(0, 0), {"88.118.5": True}, 0)
    watching.settle()
    alarm = "enterprise-node/88.118.5"
    for second in (5, 10, 50):
        said = told(watching.look(statistics(0, 0, second), {}, second))
        assert (alarm in said, said["node"]["alarms"]) == (False, [alarm])
    watching.look(statistics(0, 0, 60), {"88.118.5": True}, 60)
    assert alarm not in told(watching.look(statistics(0, 0, 70), {}, 70))
    assert alarm not in told(watching.look(statistics(0, 0, last), {}, last)), "it was heard of in between"
    assert told(watching.look(statistics(0, 0, 70 + last), {}, 70 + last))[alarm]["state"] == "cleared"


def test_what_was_not_stored_is_said_again_as_it_is_then() -> None:
    watching = watch()
    watching.look(statistics(0, 0), {"88.118.5": True}, 0)
    again = told(watching.look(statistics(0, 0, 1), {"88.118.5": False}, 1))
    assert again["enterprise-node/88.118.5"]["state"] == "cleared"
    assert "2026-11-25" in again


def test_a_watch_that_begins_goes_on_from_what_is_stored() -> None:
    first = watch().look(statistics(0, 0), {"88.118.5": True, "88.118.6": False}, 0)
    assert told(watch(first).look(statistics(0, 0, 1), {"88.118.5": True, "88.118.6": False}, 1)).keys() == {"node"}
    # What ended meanwhile is said; so it is, in time, of a node of which nothing is said any more.
    cleared = told(watch(first).look(statistics(0, 0, 1), {"88.118.5": False, "88.118.6": False}, 1))
    assert cleared["enterprise-node/88.118.5"]["state"] == "cleared"
    again = watch(first)
    assert told(again.look(statistics(0, 0, 1), {}, 0))["node"]["alarms"] == ["enterprise-node/88.118.5"]
    assert told(again.look(statistics(0, 0, 1), {}, UNSEEN_S))["enterprise-node/88.118.5"]["state"] == "cleared"


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(0, 0), (95, 5)], (0.95, "cleared")),
        ([(0, 0), (80, 20)], (0.8, "raised")),
        ([(0, 0), (4, 4)], (None, None)),
        ([(0, 0), (0, 50), (50, 50), (150, 50)], (0.75, "raised")),
        # After a restore the node counts from less.
        ([(1_000, 0), (5, 0), (100, 0)], (1.0, "cleared")),
    ],
)
def test_success_is_judged_over_the_window(looks: list[tuple[int, int]], expected: tuple[float | None, str | None]) -> None:
    watching = watch()
    for number, (resolved, missed) in enumerate(looks):
        last = told(watching.look(statistics(resolved, missed, number), {}, number))
    assert (last["node"]["success"], last.get("resolution-success", {}).get("state")) == expected


def test_what_lies_before_the_window_is_forgotten_and_few_questions_change_nothing() -> None:
    watching = watch()
    watching.look(statistics(0, 0), {}, 0)
    raised = told(watching.look(statistics(0, 100, 10), {}, 10))
    assert raised["resolution-success"]["state"] == "raised"
    watching.settle()
    quiet = told(watching.look(statistics(0, 100, 300), {}, 300))
    assert quiet["node"]["success"] is None
    assert quiet["node"]["alarms"] == ["resolution-success"]
    cleared = told(watching.look(statistics(100, 100, 350), {}, 350))
    assert (cleared["node"]["success"], cleared["resolution-success"]["state"]) == (1.0, "cleared")


@pytest.mark.parametrize(
    ("more", "mistake"),
    [
        ({"select": {"states": ["active"]}}, "select: indicators are figures of the whole node"),
        ({"shape": {"fields": ["identifier"]}}, "shape: indicators are figures of the whole node"),
        ({"indicators": {"every_s": 0}}, "indicators.every_s: a number from 1 to 86400"),
        ({"indicators": {"least_success": 2}}, "indicators.least_success: a number from 0 to 1"),
        ({"indicators": {"colour": 1}}, "indicators.colour: unknown key"),
        ({"indicators": []}, "indicators: a section is wanted"),
        ({"transport": {"kind": "files", "folder": "/srv"}}, "transport.kind: indicators go by webhook"),
    ],
)
def test_mistakes_in_a_profile_of_indicators(more: dict[str, Any], mistake: str) -> None:
    document = {"name": "brain", "indicators": {}, "transport": {"kind": "webhook", "url": "http://x"}, **more}
    with pytest.raises(ProfileMistakes) as mistakes:
        parse_profile(document, str, MAPPINGS)
    assert any(each.startswith(mistake) for each in mistakes.value.mistakes), mistakes.value.mistakes
