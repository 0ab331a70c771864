"""What becomes of a filing that the upstream has already: outcomes, the moves of a filing, and what updates tell."""

from typing import Any

import pytest

from adapters.upstream.epp.core.commands import CheckEnterprise, CheckPrefix, CheckReport, UpdateEnterprise, UpdatePrefix
from adapters.upstream.epp.core.objects import DayReport, EnterpriseChange, PrefixFigures, PrefixGrant
from adapters.upstream.epp.core.replies import Data, EntityData, PrefixData, Response
from adapters.upstream.epp.core.settle import OUTCOMES, Finding, Outcome, Part, find, settle
from adapters.upstream.epp.mapping import check_of, enterprise_of, update_of
from adapters.upstream.epp.telling import _WHY
from proto.model.filing import MOVES, SETTLED, FilingEvent, FilingState

DAY = DayReport("88.118", "2026-11-25", (PrefixFigures("88.118.1", 3, 2, 1, 0), PrefixFigures("88.118.2", 1, 1, 1, 0)))


def said(data: Data | None = None, code: int = 1000) -> Response:
    return Response(code, "ok", "t-1", "s-1", data)


@pytest.mark.parametrize(
    ("kind", "meant", "response", "finding"),
    [
        ("registrant", None, said(EntityData("ent-7", is_check=True)), Finding.NAMED),
        ("registrant", None, said(EntityData("", is_check=True)), Finding.UNNAMED),
        ("registrant", None, said(code=2303), Finding.UNNAMED),
        ("registrant", None, said(code=2101), Finding.UNNAMED),
        ("registrant", None, said(PrefixData("88.118.1", is_free=True)), Finding.ANOTHER),
        ("registrant", None, said(code=2400), None),
        ("prefix", None, said(PrefixData("88.118.1", is_free=False)), Finding.HELD),
        ("prefix", None, said(PrefixData("88.118.1", is_free=True)), Finding.NOT_THERE),
        ("prefix", None, said(PrefixData("88.118.2", is_free=False)), Finding.ANOTHER),
        ("prefix", None, said(EntityData("ent-7", is_check=True)), Finding.ANOTHER),
        ("prefix", None, said(code=2101), Finding.HELD),
        ("prefix", None, said(code=2200), None),
        ("statistics", DAY, said(DAY), Finding.SAME),
        ("statistics", DAY, said(DayReport("88.118", DAY.day, DAY.figures[::-1])), Finding.SAME),
        ("statistics", DAY, said(DayReport("88.118", DAY.day, DAY.figures[:1])), Finding.OTHER),
        ("statistics", DAY, said(DayReport("88.118", "2026-11-24", DAY.figures)), Finding.ANOTHER),
        ("statistics", DAY, said(code=2303), Finding.NOT_THERE),
        ("statistics", DAY, said(code=2101), Finding.UNTOLD),
        ("statistics", DAY, said(code=2502), None),
    ],
)
def test_what_a_check_says(kind: str, meant: object, response: Response, finding: Finding | None) -> None:
    assert find(kind, "88.118.1", meant, response) is finding


def test_every_finding_has_an_outcome_and_a_sentence() -> None:
    assert set(OUTCOMES) == set(Finding)
    for finding, outcomes in OUTCOMES.items():
        assert len(outcomes) == len(Part)
        for outcome in outcomes:
            assert outcome is Outcome.LATER or (finding, outcome) in _WHY


def test_nothing_of_somebody_else_is_taken_for_our_own_approval() -> None:
    for finding in (Finding.HELD, Finding.OTHER, Finding.NOT_THERE, Finding.ANOTHER, Finding.UNNAMED):
        assert Outcome.ACCEPT not in OUTCOMES[finding]
    # What may be our own and be rejected yet is not approved because it is there.
    assert settle(Part.THIS, Finding.NAMED) is Outcome.AWAIT
    assert settle(Part.EARLIER, Finding.NAMED) is Outcome.UPDATE


ADAPTER = {FilingEvent.SUBMIT, FilingEvent.TAKE, FilingEvent.FIND, FilingEvent.APPROVE, FilingEvent.REJECT, FilingEvent.DOUBT}


def test_no_state_is_without_a_way_out() -> None:
    assert set(MOVES) == set(FilingState)
    for state, moves in MOVES.items():
        assert set(moves) <= set(FilingEvent)
        if state in SETTLED:
            assert FilingEvent.NEWS in moves
        elif state is not FilingState.DRAFT:
            # The upstream may answer, and the operator need not wait for it.
            assert {FilingEvent.APPROVE, FilingEvent.REJECT, FilingEvent.RETRY} <= set(moves)
    assert set().union(*MOVES.values()) == set(FilingEvent)


def test_what_was_decided_is_undone_by_no_answer() -> None:
    for state in SETTLED:
        assert not ADAPTER & set(MOVES[state])


def content(name: str = "许昌变压器", **details: str) -> dict[str, Any]:
    return {"code": "R-1", "name": name, **({"details": details} if details else {})}


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (content(), content(address="许昌"), EnterpriseChange("node-1", address="许昌")),
        (content(address="许昌"), content(address="长葛"), EnterpriseChange("node-1", address="长葛")),
        (content(city="1", website="x"), content(city="2", website="x"), EnterpriseChange("node-1", city="2")),
        # As a whole: the name, what is taken back, and what is not known to differ.
        (content(), content("许昌电缆"), None),
        (content(address="许昌", city="1"), content(city="2"), None),
        (content(city="1"), content(city="1"), None),
        # What was there before us keeps what we say nothing of.
        ({}, content(city="1"), EnterpriseChange("node-1", name="许昌变压器", city="1")),
    ],
)
def test_an_update_tells_what_has_changed(before: dict[str, Any], now: dict[str, Any], told: EnterpriseChange | None) -> None:
    update = update_of("registrant", now, before, "88.118", "ent-7", "node-1")
    assert update == UpdateEnterprise("ent-7", told or enterprise_of(now, "88.118"))


def test_prefixes_are_updated_and_everything_is_checked() -> None:
    prefix = {"prefix": "88.118.1", "registrant": "R-1"}
    assert update_of("prefix", prefix, {}, "88.118", "ent-7", "u") == UpdatePrefix(PrefixGrant("88.118", "ent-7", "88.118.1"))
    assert check_of("prefix", prefix, "88.118", "u") == CheckPrefix("88.118", "88.118.1")
    assert check_of("registrant", content(), "88.118", "u") == CheckEnterprise("u", "3", "R-1")
    assert check_of("statistics", {"day": "2026-11-25"}, "88.118", "u") == CheckReport("88.118", "2026-11-25")
