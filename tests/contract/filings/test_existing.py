"""What the upstream has already (2302): ours, of an earlier life, or somebody else's; and answers about something else."""

import asyncio
from typing import Any

import pytest

from adapters.upstream.epp.core.commands import Acknowledge, CheckEnterprise, CheckPrefix, Command
from adapters.upstream.epp.core.replies import Audit, EntityData, PrefixData, Response
from adapters.upstream.epp.fake import BusinessSystem, Client
from adapters.upstream.epp.fake_books import Misbehaviour
from registry.service.filings import DOUBT_MS
from tests.support.filings import RunningFilings, counted_once, until
from tests.support.rest import RestNode
from tests.support.world import HOLDER, OTHER, World

pytestmark = pytest.mark.slow

ONE = f"/api/v1/filings/registrant/{HOLDER}"
PREFIX = "/api/v1/filings/prefix/88.118.1001"


def have(system: BusinessSystem, what: str, name: str, entity: str, reporter: str = "another") -> None:
    """Let the system have something, approved, that this registry never told it."""
    system._write({
        "do": "take", "what": what, "name": name, "entity": entity, "transaction": f"of-{reporter}-{name}",
        "reporter": reporter, "server_transaction": "s-0", "is_update": False, "content": {"code": name, "name": "从前"},
    })  # fmt: skip
    system.audit()
    system.books.messages.clear()


async def shown(node: RestNode, one: str) -> dict[str, Any]:
    document: dict[str, Any] = (await node("GET", one)).document
    return document


def states_of(filing: dict[str, Any]) -> list[str]:
    return [step["state"] for step in filing["steps"]]


async def test_answers_that_are_lost_at_a_system_that_forgets(node: RestNode, system: BusinessSystem) -> None:
    system.forgets = True
    system.misbehaviours.extend([Misbehaviour.CLOSE, Misbehaviour.HALF] * 3)
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
    state = system.state()
    assert not system.misbehaviours
    assert set(state["prefixes"]) == {"88.118.1001", "88.118.1002"}
    assert counted_once(state)
    assert all(entry["updated"] == 0 for entry in (*state["enterprises"].values(), *state["prefixes"].values()))


async def test_a_replay_of_what_is_being_audited_waits_for_the_audit(node: RestNode, system: BusinessSystem) -> None:
    system.forgets = system.holds = True
    system.misbehaviours.append(Misbehaviour.CLOSE)
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="pending") == 2)
        doubtful = await shown(node, ONE)
        assert (doubtful["is_held"], doubtful["entity"], doubtful["steps"][-1]["code"]) == (True, "ent-1", 2302)
        system.rejects = {HOLDER}
        system.holds = False
        system.audit()
        await until(lambda: running.counted("filings", state="rejected") == 1)
    assert states_of(await shown(node, ONE)) == ["draft", "submitted", "pending", "rejected"]


async def test_a_kill_between_sending_and_storing_costs_nothing(node: RestNode, system: BusinessSystem) -> None:
    system.forgets = True
    async with RunningFilings(node, system) as running:
        killed = asyncio.Event()

        async def die(*_: Any) -> Any:
            killed.set()
            await asyncio.Event().wait()

        running.client.answer = die  # type: ignore[method-assign, assignment]  # the moment of the kill
        await asyncio.wait_for(killed.wait(), 30)
    assert list(system.state()["enterprises"]) == [HOLDER]
    assert (await shown(node, ONE))["state"] == "submitted"
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
    assert counted_once(system.state())
    assert states_of(await shown(node, ONE))[-1] == "approved"


async def test_a_prefix_of_ours_from_a_history_that_was_lost_is_filed(node: RestNode, system: BusinessSystem) -> None:
    have(system, "enterprise", HOLDER, "ent-77", "ours")
    have(system, "prefix", "88.118.1001", "ent-77")
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
    assert states_of(await shown(node, PREFIX)) == ["draft", "submitted", "draft", "submitted", "pending", "approved"]
    assert system.state()["prefixes"]["88.118.1001"] == {"entity": "ent-77", "created": 1, "updated": 1, "result": "1"}


async def test_a_prefix_of_somebody_else_is_rejected_with_the_reason(node: RestNode, system: BusinessSystem) -> None:
    have(system, "enterprise", "R-99", "ent-99")
    have(system, "prefix", "88.118.1001", "ent-99")
    async with RunningFilings(node, system) as running:
        await running.until_states("approved", "rejected")
        rejected = await shown(node, PREFIX)
        assert (rejected["state"], rejected["steps"][-1]["code"], rejected["is_held"]) == ("rejected", 2201, False)
        assert "前缀已存在" in rejected["steps"][2]["message"]
        # It was a mistake over there, and is mended: the operator tries again.
        del system.books.prefixes["88.118.1001"]
        assert (await node("POST", f"{PREFIX}/redraft")).status == 200
        await running.until_states("approved")
    assert system.state()["prefixes"]["88.118.1001"]["entity"] != "ent-99"


async def test_an_enterprise_of_another_node_is_filed_and_left_as_it_is(node: RestNode, system: BusinessSystem) -> None:
    have(system, "enterprise", HOLDER, "ent-77")
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        # What is changed later is changed for whom it belongs to, and nobody else.
        await node("POST", f"{ONE}/details", {"details": {"address": "许昌市魏都区"}})
        await running.until_states("approved", "rejected")
    assert system.state()["enterprises"][HOLDER]["content"] == {"code": HOLDER, "name": "从前"}
    assert (await shown(node, ONE))["steps"][-1]["code"] == 2201


@pytest.mark.parametrize("hand", ["time", "operator"])
async def test_a_doubt_about_anothers_enterprise_ends(world: World, node: RestNode, system: BusinessSystem, hand: str) -> None:
    """The first create never arrived, and nobody here can know that: the second meets what somebody else had there."""
    have(system, "enterprise", HOLDER, "ent-77")
    system.misbehaviours.append(Misbehaviour.DROP)
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="pending") == 1)
        assert (await shown(node, ONE))["is_held"]
        if hand == "operator":
            assert (await node("POST", f"{ONE}/redraft")).status == 200
        else:
            world.clock.now = world.clock.now_ms() + DOUBT_MS
        await running.until_states("approved")
    filing = await shown(node, ONE)
    assert (filing["entity"], filing["steps"][-1]["code"]) == ("ent-77", 2201)
    assert system.state()["enterprises"][HOLDER]["updated"] == 0
    assert system.state()["prefixes"]["88.118.1001"]["entity"] == "ent-77"


async def test_a_doubt_about_anothers_prefix_ends(node: RestNode, system: BusinessSystem) -> None:
    have(system, "enterprise", "R-99", "ent-99")
    have(system, "prefix", "88.118.1001", "ent-99")
    take, lost = system._take, list[str]()

    def lose(command: Any, transaction: str) -> Response:
        if getattr(command, "prefix", "") == "88.118.1001" and not lost:
            lost.append(transaction)
            raise OSError("the line was cut before it came")
        return take(command, transaction)

    system._take = lose  # type: ignore[method-assign]  # a fault of the line, which only this end can play
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="pending") == 1)
        assert (await node("POST", f"{PREFIX}/redraft")).status == 200
        await running.until_states("approved", "rejected")
    assert (await shown(node, PREFIX))["steps"][-1]["code"] == 2201


async def test_what_was_rejected_and_exists_is_not_taken_for_filed(node: RestNode, system: BusinessSystem) -> None:
    """A system that keeps what its auditor rejected: the next create of it exists, and that is no approval."""
    system.rejects = {HOLDER}
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="rejected") == 1)
        system.books.enterprises[HOLDER]["result"] = ""
        await node("POST", f"{ONE}/redraft")
        await until(lambda: system.state()["enterprises"][HOLDER]["updated"] == 1)
        await until(lambda: running.counted("filings", state="rejected") == 1)
        assert not (await shown(node, ONE))["is_known"]
        system.rejects.clear()
        await node("POST", f"{ONE}/redraft")
        await running.until_states("approved")


@pytest.mark.parametrize("about", [PrefixData("88.118.7", is_free=False), EntityData("ent-1", is_check=True)])
async def test_a_check_that_answers_for_another_prefix_settles_nothing(
    node: RestNode, system: BusinessSystem, about: PrefixData | EntityData
) -> None:
    have(system, "enterprise", HOLDER, "ent-77", "ours")
    have(system, "prefix", "88.118.1001", "ent-77")
    carry_out, is_confused = system._carry_out, True

    def confuse(command: Command, transaction: str, client: Client) -> Response:
        if isinstance(command, CheckPrefix) and is_confused:
            return Response(1000, "好", transaction, "s-1", about)
        return carry_out(command, transaction, client)

    system._carry_out = confuse  # type: ignore[method-assign]  # a system that mixes up what it is asked
    async with RunningFilings(node, system) as running:
        await until(lambda: "prefix/88.118.1001: 2302" in running.filings.hindrance)
        assert (await shown(node, PREFIX))["state"] == "submitted"
        is_confused = False
        await running.until_states("approved")
    assert running.filings.hindrance == ""


async def test_a_create_that_answers_for_another_prefix_is_not_believed(node: RestNode, system: BusinessSystem) -> None:
    take, is_confused = system._take, True

    def confuse(command: Any, transaction: str) -> Response:
        if getattr(command, "prefix", "") and is_confused:
            return Response(1000, "好", transaction, "s-1", PrefixData("88.118.7"))
        return take(command, transaction)

    system._take = confuse  # type: ignore[method-assign]  # a system that mixes up what it is told
    async with RunningFilings(node, system) as running:
        await until(lambda: "something else" in running.filings.hindrance)
        assert (await shown(node, PREFIX))["state"] == "submitted"
        is_confused = False
        await running.until_states("approved")
    assert counted_once(system.state())


async def test_an_enterprise_whose_id_is_not_told_is_awaited(node: RestNode, system: BusinessSystem) -> None:
    have(system, "enterprise", HOLDER, "ent-77")
    carry_out, is_silent = system._carry_out, True

    def hush(command: Command, transaction: str, client: Client) -> Response:
        if isinstance(command, CheckEnterprise) and is_silent:
            return Response(2101, "未实现", transaction, "s-1")
        return carry_out(command, transaction, client)

    system._carry_out = hush  # type: ignore[method-assign]  # a system without check
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="pending") == 1)
        assert "id is not told" in (await shown(node, ONE))["steps"][-1]["message"]
        is_silent = False
        await node("POST", f"{ONE}/redraft")
        await running.until_states("approved")
    assert (await shown(node, ONE))["entity"] == "ent-77"


def audit(transaction: str, result: str = "1", prefix: str = "", entity: str = "ent-1") -> Audit:
    return Audit(transaction, "s-0", entity, prefix, "1", result, "")


async def test_messages_that_are_repeated_contradict_or_are_about_something_else(
    node: RestNode, system: BusinessSystem
) -> None:
    system.holds = True
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="pending") == 2)
        transaction = (await shown(node, ONE))["transaction"]
        messages = (
            audit(transaction, prefix="88.118.7"), audit(transaction, entity="ent-99"), audit("of-nobody"), audit(transaction),
            audit(transaction), audit(transaction, "0"),
        )  # fmt: skip
        system.books.messages.update({f"extra-{number}": each for number, each in enumerate(messages)})
        await until(lambda: not system.books.messages)
        await until(lambda: running.counted("filing_answers_total", outcome="unknown") == 4)
        assert running.counted("filing_answers_total", outcome="approved") == 1
        assert states_of(await shown(node, ONE)) == ["draft", "submitted", "pending", "approved"]
        system.holds = False
        system.audit()
        await running.until_states("approved")
    assert states_of(await shown(node, f"/api/v1/filings/registrant/{OTHER}"))[-1] == "approved"


async def test_audits_of_two_transactions_may_come_in_the_wrong_order(node: RestNode, system: BusinessSystem) -> None:
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        first = (await shown(node, ONE))["transaction"]
        system.holds = True
        await node("POST", f"{ONE}/details", {"details": {"address": "许昌市魏都区"}})
        await until(lambda: system.state()["enterprises"][HOLDER]["updated"] == 1)
        system.holds = False
        system.audit()
        system.books.messages["late"] = audit(first, "0")
        await running.until_states("approved")
        await until(lambda: not system.books.messages)
    assert (await shown(node, ONE))["approved_content"]["details"] == {"address": "许昌市魏都区"}


async def test_a_message_that_stays_is_not_asked_for_without_end(node: RestNode, system: BusinessSystem) -> None:
    carry_out, asked = system._carry_out, list[str]()

    def keep(command: Command, transaction: str, client: Client) -> Response:
        if isinstance(command, Acknowledge):
            asked.append(command.message)
            return Response(1000, "好", transaction, "s-1")
        return carry_out(command, transaction, client)

    system.holds = True
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="pending") == 2)
        running.filings._poll_s = 3_600
        system._carry_out = keep  # type: ignore[method-assign]  # it says that it took the message out, and did not
        system.books.messages["stays"] = audit((await shown(node, ONE))["transaction"])
        running.filings._polled = float("-inf")
        await until(lambda: running.counted("filings", state="approved") == 1)
        await node("POST", "/api/v1/registrants", {"code": "R-9", "name": "长葛电缆厂"})
        await until(lambda: running.counted("filings", state="pending") == 3)
    assert asked == ["stays"]
