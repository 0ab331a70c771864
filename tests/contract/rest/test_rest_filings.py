"""Filings over REST: what is drafted, each step of a filing in its order and once, and who may see and do what."""

import json
from typing import Any

import pytest

from proto.errors import Reason
from proto.model.account import Role
from proto.model.filing import FilingState
from registry.doors.rest.filings import STATES
from registry.service.filings import DOUBT_MS, MAX_MESSAGE_CHARS, MAX_STEPS
from tests.support.rest import Got, RestNode
from tests.support.world import HOLDER, OPERATOR, OTHER, World, context

FILINGS = "/api/v1/filings"
ONE = f"{FILINGS}/registrant/{HOLDER}"
PREFIX = f"{FILINGS}/prefix/88.118.1001"


@pytest.fixture
async def node(world: World, node: RestNode) -> RestNode:
    made = await world.registry.create_account(context(OPERATOR), "filings", Role.UPSTREAM)
    node.tokens["upstream"] = made.token
    return node


async def drafted(node: RestNode, by: str = "upstream") -> list[str]:
    got = await node("POST", f"{FILINGS}/draft", {"home": "88.118"}, by=by)
    assert got.status == 200, got.document
    names: list[str] = got.document["drafted"]
    return names


async def submit(node: RestNode, transaction: str = "t-1", one: str = ONE, **headers: Any) -> Got:
    return await node("POST", f"{one}/submit", {"transaction": transaction}, by="upstream", **headers)


async def answer(node: RestNode, state: str, transaction: str = "t-1", one: str = ONE, **more: Any) -> Got:
    document = {"transaction": transaction, "state": state, "code": 1001 if state == "pending" else 1301, **more}
    return await node("POST", f"{one}/answer", document, by="upstream")


def refused(got: Got, reason: Reason) -> bool:
    return got.document.get("reason") == reason


async def test_what_is_approved_is_drafted_once(node: RestNode) -> None:
    first = await drafted(node)
    assert first == [f"registrant/{HOLDER}", f"registrant/{OTHER}", "prefix/88.118.1001", "prefix/88.118.1002"]
    assert await drafted(node) == []
    shown = (await node("GET", ONE, by="upstream")).document
    assert (shown["state"], shown["content"]) == ("draft", {"code": HOLDER, "name": "许昌变压器有限公司"})
    assert [step["state"] for step in shown["steps"]] == ["draft"]
    prefix = (await node("GET", PREFIX, by="upstream")).document
    assert prefix["content"] == {"prefix": "88.118.1001", "registrant": HOLDER}


async def test_drafts_come_in_portions_and_up_to_a_number(node: RestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.service.filings.MAX_DRAFTED_BYTES", 1)
    found = [await drafted(node) for _ in range(3)]
    assert [len(names) for names in found] == [1, 1, 1]
    monkeypatch.setattr("registry.service.filings.MAX_FILINGS", 3)
    got = await node("POST", f"{FILINGS}/draft", {"home": "88.118"}, by="upstream")
    assert refused(got, Reason.QUOTA_EXCEEDED)
    monkeypatch.undo()
    assert len(await drafted(node)) == 1


async def test_what_is_not_approved_or_elsewhere_is_not_drafted(node: RestNode) -> None:
    await drafted(node)
    await node("POST", "/api/v1/registrants", {"code": "R-9", "name": "待定", "state": "draft"})
    await node("POST", "/api/v1/prefixes", {"name": "88.382"})
    await node("POST", "/api/v1/prefixes", {"name": "88.382.1", "registrant": HOLDER})
    await node("POST", "/api/v1/prefixes", {"name": "88.118.9", "registrant": HOLDER, "state": "submitted"})
    assert await drafted(node) == []
    await node("POST", "/api/v1/prefixes/88.118.9/approve")
    assert await drafted(node) == ["prefix/88.118.9"]


async def test_a_filing_walks_from_draft_to_decision(node: RestNode) -> None:
    await drafted(node)
    assert (await submit(node, If_Match='"1"')).document["state"] == "submitted"
    pending = await answer(node, "pending", server_transaction="s-1", message="等待审核")
    assert pending.document["state"] == "pending"
    approved = (await answer(node, "approved", entity="ent-7", message="通过")).document
    assert (approved["state"], approved["entity"], approved["server_transaction"]) == ("approved", "ent-7", "s-1")
    assert [step["state"] for step in approved["steps"]] == ["draft", "submitted", "pending", "approved"]
    assert [step["code"] for step in approved["steps"]] == [0, 0, 1001, 1301]
    counted = await node("POST", f"{FILINGS}/draft", {"home": "88.118"}, by="upstream")
    assert counted.document["states"] == {"draft": 3, "submitted": 0, "pending": 0, "approved": 1, "rejected": 0}


async def test_a_step_said_again_changes_nothing(node: RestNode) -> None:
    await drafted(node)
    for _ in range(2):
        assert (await submit(node)).status == 200
    for state in ("pending", "approved"):
        for _ in range(2):
            assert (await answer(node, state)).status == 200
    # The answer to a create that was sent again comes after the audit: it says nothing new.
    late = await answer(node, "pending")
    assert (late.document["state"], late.document["outcome"]) == ("approved", "unchanged")
    assert len(late.document["steps"]) == 4


async def test_an_audit_may_come_before_the_answer(node: RestNode) -> None:
    await drafted(node)
    await submit(node)
    assert (await answer(node, "rejected", message="执照过期")).document["state"] == "rejected"


async def test_what_does_not_fit_is_refused(node: RestNode) -> None:
    await drafted(node)
    assert refused(await answer(node, "approved"), Reason.INVALID_STATE)
    assert refused(await submit(node, If_Match='"7"'), Reason.VERSION_CONFLICT)
    assert refused(await submit(node, "no spaces here"), Reason.INVALID_ARGUMENT)
    await submit(node)
    assert refused(await submit(node, "t-2"), Reason.INVALID_STATE)
    assert refused(await answer(node, "approved", "t-2"), Reason.INVALID_STATE)
    assert refused(await answer(node, "approved", entity="a\nb"), Reason.INVALID_ARGUMENT)
    await answer(node, "approved")
    assert refused(await answer(node, "rejected"), Reason.INVALID_STATE)
    assert refused(await submit(node, one=f"{FILINGS}/registrant/nobody"), Reason.NOT_FOUND)
    assert refused(await node("GET", f"{FILINGS}/colour/red", by="upstream"), Reason.NOT_FOUND)


async def test_details_are_told_and_lead_to_an_update(node: RestNode) -> None:
    await drafted(node)
    details = {"address": "许昌市魏都区", "website": "https://transformer.example"}
    shown = (await node("POST", f"{ONE}/details", {"details": details})).document
    assert shown["content"] == {"code": HOLDER, "name": "许昌变压器有限公司", "details": details}
    assert (shown["state"], len(shown["steps"])) == ("draft", 1)
    await submit(node)
    assert refused(await node("POST", f"{ONE}/details", {"details": {}}), Reason.INVALID_STATE)
    await answer(node, "approved")
    again = (await node("POST", f"{ONE}/details", {"details": details})).document
    assert (again["state"], again["outcome"]) == ("approved", "unchanged")
    changed = (await node("POST", f"{ONE}/details", {"details": {"address": "长葛市"}})).document
    assert (changed["state"], changed["is_known"], changed["details"]) == ("draft", True, {"address": "长葛市"})
    assert (await submit(node, "t-2")).status == 200


@pytest.mark.parametrize("details", [{"colour": "red"}, {"address": "x" * 2_049}, {"address": "a\nb"}])
async def test_details_have_names_and_bounds(node: RestNode, details: dict[str, str]) -> None:
    await drafted(node)
    got = await node("POST", f"{ONE}/details", data=json.dumps({"details": details}).encode())
    assert refused(got, Reason.INVALID_ARGUMENT)
    prefix = await node("POST", f"{PREFIX}/details", {"details": {}})
    assert refused(prefix, Reason.INVALID_ARGUMENT)


async def test_what_was_rejected_is_tried_again_by_the_operator(node: RestNode) -> None:
    await drafted(node)
    assert (await node("POST", f"{ONE}/redraft")).document["outcome"] == "unchanged"
    await submit(node)
    await answer(node, "rejected")
    assert await drafted(node) == []
    again = (await node("POST", f"{ONE}/redraft")).document
    assert (again["state"], again["is_known"]) == ("draft", False)
    # The old transaction says nothing any more.
    assert refused(await answer(node, "approved"), Reason.INVALID_STATE)


@pytest.mark.parametrize("reached", ["submitted", "pending"])
async def test_the_operator_need_not_wait_for_an_answer_or_an_audit(node: RestNode, reached: str) -> None:
    await drafted(node)
    await submit(node)
    if reached == "pending":
        await answer(node, "pending")
    assert (await node("POST", f"{ONE}/redraft")).document["state"] == "draft"
    assert (await node("POST", f"{ONE}/details", {"details": {"address": "长葛市"}})).status == 200
    assert (await submit(node, "t-2")).document["state"] == "submitted"
    await answer(node, "approved", "t-2")
    assert refused(await node("POST", f"{ONE}/redraft"), Reason.INVALID_STATE)


async def test_what_the_upstream_holds_is_told_as_an_update(node: RestNode) -> None:
    await drafted(node)
    await submit(node)
    for _ in range(2):
        held = (await answer(node, "draft", entity="ent-7", holds=True)).document
        assert (held["state"], held["is_held"], held["is_known"], held["entity"]) == ("draft", True, False, "ent-7")
    assert [step["state"] for step in held["steps"]] == ["draft", "submitted", "draft"]
    # Only what is there is a draft again, and only what was submitted.
    assert refused(await answer(node, "draft"), Reason.INVALID_ARGUMENT)
    await submit(node, "t-2")
    taken = (await answer(node, "pending", "t-2")).document
    assert (taken["state"], taken["is_held"]) == ("pending", False)
    assert (await answer(node, "draft", "t-2", holds=True)).document["outcome"] == "unchanged"
    approved = (await answer(node, "approved", "t-2")).document
    assert (approved["is_known"], approved["approved_content"]) == (True, approved["content"])


async def test_what_is_in_doubt_is_asked_anew_after_days(world: World, node: RestNode) -> None:
    await drafted(node)
    await submit(node)
    await submit(node, "t-9", f"{FILINGS}/registrant/{OTHER}")
    doubtful = (await answer(node, "pending", entity="ent-7", holds=True)).document
    assert (doubtful["state"], doubtful["is_held"]) == ("pending", True)
    await answer(node, "pending", "t-9", f"{FILINGS}/registrant/{OTHER}")
    world.clock.now += DOUBT_MS - 1
    assert await drafted(node) == []
    world.clock.now += 1
    # The other one was taken: its audit may last as long as it will.
    assert await drafted(node) == [f"registrant/{HOLDER}"]
    again = (await node("GET", ONE)).document
    assert (again["state"], again["is_held"], again["entity"]) == ("draft", True, "ent-7")
    assert "3 days" in again["steps"][-1]["message"]
    assert await drafted(node) == []


async def test_what_the_upstream_has_no_more_is_created_again(node: RestNode) -> None:
    await drafted(node)
    await submit(node)
    await answer(node, "approved", entity="ent-7")
    await node("POST", f"{ONE}/details", {"details": {"address": "长葛市"}})
    await submit(node, "t-2")
    lost = (await answer(node, "rejected", "t-2", holds=False)).document
    assert (lost["state"], lost["is_known"], lost["entity"], lost["approved_content"]) == ("rejected", False, "", {})


async def test_an_update_that_is_rejected_leaves_what_was_approved(node: RestNode) -> None:
    await drafted(node)
    await submit(node)
    approved = (await answer(node, "approved", entity="ent-7")).document
    await node("POST", f"{ONE}/details", {"details": {"address": "长葛市"}})
    await submit(node, "t-2")
    rejected = (await answer(node, "rejected", "t-2")).document
    assert (rejected["is_known"], rejected["entity"]) == (True, "ent-7")
    assert rejected["approved_content"] == approved["content"] != rejected["content"]


async def test_a_history_is_bounded_and_keeps_its_beginning(node: RestNode) -> None:
    await drafted(node)
    for turn in range(MAX_STEPS // 3 + 2):
        await submit(node, f"turn-{turn}")
        await answer(node, "rejected", f"turn-{turn}", message="不" * 2 * MAX_MESSAGE_CHARS)
        await node("POST", f"{ONE}/redraft")
    steps = (await node("GET", ONE)).document["steps"]
    assert len(steps) == MAX_STEPS
    assert [step["transaction"] for step in steps[:3]] == ["", "turn-0", "turn-0"]
    assert steps[-2]["transaction"] == f"turn-{MAX_STEPS // 3 + 1}"
    assert len(steps[2]["message"]) == MAX_MESSAGE_CHARS


async def test_lists_by_state_and_by_registrant(node: RestNode) -> None:
    await drafted(node)
    await submit(node)
    await answer(node, "approved")

    async def names(query: str, by: str = "operator") -> list[str]:
        page = await node("GET", f"{FILINGS}{query}", by=by)
        return [each["name"] for each in page.document["filings"]]

    assert await names("?state=approved") == [HOLDER]
    assert await names("?state=open") == ["88.118.1001", "88.118.1002", OTHER]
    assert await names("", by="holder") == ["88.118.1001", HOLDER]
    first = await node("GET", f"{FILINGS}?limit=1", by="upstream")
    assert first.document["cursor"] == "prefix/88.118.1001"
    assert await names("?kind=prefix&state=draft") == ["88.118.1001", "88.118.1002"]
    assert await names("?transaction=t-1") == [HOLDER]
    assert await names("?transaction=t-2") == []
    for query in ("?state=lost", "?kind=colour"):
        assert refused(await node("GET", f"{FILINGS}{query}"), Reason.INVALID_ARGUMENT)


async def test_a_prefix_is_due_once_its_registrant_has_an_id(node: RestNode) -> None:
    async def due() -> list[str]:
        page = (await node("GET", f"{FILINGS}?state=due", by="upstream")).document["filings"]
        counted = (await node("POST", f"{FILINGS}/draft", {"home": "88.118"}, by="upstream")).document
        assert counted["due"] == len(page)
        return [each["name"] for each in page]

    await drafted(node)
    assert await due() == [HOLDER, OTHER]
    await submit(node)
    assert await due() == [HOLDER, OTHER]
    await answer(node, "pending", entity="ent-7")
    assert await due() == [OTHER]
    await answer(node, "approved")
    assert await due() == ["88.118.1001", OTHER]
    await submit(node, "t-9", PREFIX)
    assert await due() == ["88.118.1001", OTHER]
    await answer(node, "rejected", "t-9", PREFIX)
    assert await due() == [OTHER]


@pytest.mark.parametrize(
    ("who", "reads", "runs", "administers"),
    [
        ("nobody", 401, 401, 401),
        ("city", 200, 403, 403),
        ("stranger", 404, 403, 403),
        ("holder", 200, 403, 403),
        ("upstream", 200, 200, 403),
        ("operator", 200, 200, 200),
    ],
)
async def test_who_may_do_what(node: RestNode, who: str, reads: int, runs: int, administers: int) -> None:
    await drafted(node)
    assert (await node("GET", ONE, by=who)).status == reads
    assert (await node("POST", f"{FILINGS}/draft", {"home": "88.118"}, by=who)).status == runs
    assert (await node("POST", f"{ONE}/submit", {"transaction": "t-1"}, by=who)).status == runs
    assert (await node("POST", f"{ONE}/details", {"details": {}}, by=who)).status in (administers, 409)
    assert (await node("POST", f"{PREFIX}/redraft", by=who)).status == administers


async def test_the_city_learns_how_it_stands_and_no_more(node: RestNode) -> None:
    await drafted(node)
    shown = (await node("GET", ONE, by="city")).document
    assert (shown["state"], shown["content"], shown["steps"]) == ("draft", {}, [])
    page = (await node("GET", FILINGS, by="city")).document
    assert all(each["steps"] == [] for each in page["filings"])


async def test_filings_are_nobodys_change_to_follow(node: RestNode) -> None:
    head = (await node("GET", "/api/v1/changes?limit=1000")).document["head"]
    await drafted(node)
    assert (await node("GET", f"/api/v1/changes?after={head}")).document["changes"] == []


def test_every_state_can_be_asked_for() -> None:
    assert frozenset().union(*STATES.values()) == frozenset(FilingState)
