"""What the node tells of itself, as events: figures grow old, alarms never do, and each feed has its own."""

import json
from typing import Any

from adapters.city.core.backlog import Entry
from adapters.city.core.event import head_of
from adapters.city.core.page import PORTION_CHANGES, Page
from adapters.city.core.profile import Profile
from adapters.city.core.receipt import Receipt, Verdict, letters_settled, settle
from tests.support.rows import make_profile, record_row, value


def brain(name: str = "brain") -> Profile:
    return make_profile(name=name, indicators={})


def notice(sequence: int, kind: str, name: str, at: str, feed: str = "brain", **data: Any) -> dict[str, Any]:
    """A change with one notice."""
    noun = {"feed": feed, "kind": kind, "name": name, "data": data, "at": at, "at_ms": sequence, "version": sequence}
    row = {
        "kind": "notice",
        "name": f"{feed}/{kind}/{name}",
        "version": sequence,
        "prior_version": sequence - 1,
        "notice": noun,
    }
    return {"position": str(sequence), "time": at, "rows": [row]}


def moment(minute: int) -> str:
    return f"2026-01-31T{minute // 60:02}:{minute % 60:02}:00.000Z"


def entries_of(changes: list[dict[str, Any]], profile: Profile) -> list[Entry]:
    page = Page(changes, "0", changes[-1]["position"], changes[-1]["position"])
    return [entry for entries, _ in page.told(profile) for entry in entries]


def told(entries: list[Entry]) -> list[dict[str, Any]]:
    return [json.loads(head_of("/x") + entry.event.rest) for entry in entries]


def test_an_alarm_is_an_event_under_its_own_name_and_kind() -> None:
    raised = notice(7, "alarm", "enterprise-node/88.118.5", moment(3), alarm="enterprise-node/88.118.5", state="raised")
    (event,) = told(entries_of([raised], brain()))
    assert event | {"id": ""} == {
        "specversion": "1.0", "source": "/x", "id": "", "type": "biaojie.alarm.changed", "subject": "enterprise-node/88.118.5",
        "time": moment(3), "rowversion": 7, "datacontenttype": "application/json",
        "data": {"kind": "alarm", "alarm": "enterprise-node/88.118.5", "state": "raised"},
    }  # fmt: skip


def test_each_feed_tells_its_own_notices_and_no_registrations() -> None:
    record = {"position": "1", "time": moment(0), "rows": [record_row("88.118.1001/a", value(1, "URL"))]}
    changes = [record, notice(2, "alarm", "a", moment(1)), notice(3, "alarm", "b", moment(1), feed="other")]
    assert [event["subject"] for event in told(entries_of(changes, brain()))] == ["a"]
    assert [event["subject"] for event in told(entries_of(changes, brain("other")))] == ["b"]
    assert [event["subject"] for event in told(entries_of(changes, make_profile()))] == ["88.118.1001/a"]


def test_of_figures_of_one_hour_the_newest_are_told_and_of_alarms_each() -> None:
    changes = []
    for minute in range(6 * PORTION_CHANGES):
        changes.append(notice(2 * minute + 1, "indicators", "node", moment(minute), active=minute))
        changes.append(notice(2 * minute + 2, "alarm", "a", moment(minute), state=("raised", "cleared")[minute % 2]))
    events = told(entries_of(changes, brain()))
    figures = [event["data"]["active"] for event in events if event["data"]["kind"] == "indicators"]
    assert figures == [59, 119, 179, 239, 299, 359, 383]
    alarms = [event["data"]["state"] for event in events if event["data"]["kind"] == "alarm"]
    assert alarms == ["raised", "cleared"] * (3 * PORTION_CHANGES)
    assert [event["rowversion"] for event in events] == sorted(event["rowversion"] for event in events)


def test_an_alarm_that_was_not_taken_is_not_made_needless_by_its_end() -> None:
    batch = entries_of([notice(number, "alarm", "a", moment(number)) for number in (1, 2)], brain())
    raised, cleared = batch
    for verdict in (Verdict.REFUSED, Verdict.FAILED):
        settlement = settle(batch, Receipt(Verdict.DELIVERED, single={raised.event.id: verdict}))
        assert (settlement.superseded, settlement.delivered) == ([], [cleared])
    assert letters_settled({raised.event.key: raised.event.version}, [cleared]) == set()
    # Of figures the later ones will do.
    figures = entries_of([notice(number, "indicators", "node", moment(60 * number)) for number in (1, 2)], brain())
    settlement = settle(figures, Receipt(Verdict.DELIVERED, single={figures[0].event.id: Verdict.FAILED}))
    assert settlement.superseded == [figures[0]]
