"""Filing over EPP: from draft to decision, through everything that a business management system and a line can do wrong."""

import asyncio
import time
from pathlib import Path

import pytest

from adapters.registry_api import NotTaken
from adapters.upstream.epp.core.commands import Acknowledge, Command
from adapters.upstream.epp.core.replies import Response
from adapters.upstream.epp.fake import BusinessSystem, Client
from adapters.upstream.epp.fake_books import Misbehaviour
from tests.support.filings import PASSWORD, RunningFilings, counted_once, until
from tests.support.rest import RestNode
from tests.support.world import HOLDER, OTHER, World

pytestmark = pytest.mark.slow

FILED = {f"registrant/{HOLDER}", f"registrant/{OTHER}", "prefix/88.118.1001", "prefix/88.118.1002"}
ONE = f"/api/v1/filings/registrant/{HOLDER}"


async def test_registrants_and_then_their_prefixes_are_approved(node: RestNode, system: BusinessSystem) -> None:
    async with RunningFilings(node, system) as running:
        states = await running.until_states("approved")
        assert set(states) == FILED
        await until(lambda: running.counted("filings", state="approved") == 4)
        assert running.counted("filing_answers_total", outcome="approved") == 4
        assert running.counted("filing_answers_total", outcome="pending") == 4
        assert running.filings.describe() == {"filing": "connected; 1 draft, 4 approved"}
    shown = (await node("GET", ONE)).document
    assert [step["state"] for step in shown["steps"]] == ["draft", "submitted", "pending", "approved"]
    assert shown["steps"][-1]["message"] == "审核通过"
    state = system.state()
    assert state["enterprises"][HOLDER]["content"]["name"] == "许昌变压器有限公司"
    assert state["prefixes"]["88.118.1001"]["entity"] == state["enterprises"][HOLDER]["entity"]
    assert (state["messages"], state["waiting"]) == (0, 0)
    assert counted_once(state)


async def test_what_the_auditor_rejects_waits_for_the_operator(node: RestNode, system: BusinessSystem) -> None:
    system.rejects = {HOLDER}
    async with RunningFilings(node, system) as running:
        await until(lambda: system.state()["enterprises"].get(HOLDER, {}).get("result") == "0")
        await until(lambda: running.counted("filings", state="rejected") == 1)
        shown = (await node("GET", ONE)).document
        assert shown["steps"][-1]["message"] == "资料不符"
        # Its prefix waits: who is not there cannot hold one.
        assert (await node("GET", "/api/v1/filings/prefix/88.118.1001")).document["state"] == "draft"
        system.rejects.clear()
        await node("POST", f"{ONE}/redraft")
        await running.until_states("approved")


async def test_details_that_change_are_an_update_of_the_same_enterprise(node: RestNode, system: BusinessSystem) -> None:
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        await node("POST", f"{ONE}/details", {"details": {"address": "许昌市魏都区"}})
        await until(lambda: system.state()["enterprises"][HOLDER]["updated"] == 1)
        await running.until_states("approved")
    entry = system.state()["enterprises"][HOLDER]
    assert (entry["created"], entry["content"]["address"]) == (1, "许昌市魏都区")


async def test_an_audit_that_never_ends_holds_up_nothing_else(world: World, node: RestNode, system: BusinessSystem) -> None:
    system.holds = True
    world.clock.now = int(time.time() * 1000) - 5_000
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="pending") == 2)
        await node("POST", "/api/v1/registrants", {"code": "R-9", "name": "长葛电缆厂"})
        await until(lambda: running.counted("filings", state="pending") == 3)
        await until(lambda: running.counted("filing_waiting_seconds") > 0)
        system.holds = False
        system.audit()
        await running.until_states("approved")


@pytest.mark.parametrize(
    "how",
    [
        Misbehaviour.NO_GREETING,
        Misbehaviour.STRANGE_GREETING,
        Misbehaviour.OTHER_OBJECTS,
        Misbehaviour.OTHER_VERSION,
        Misbehaviour.BOMB,
    ],
)
async def test_a_wrong_greeting_is_said_and_tried_again(node: RestNode, system: BusinessSystem, how: Misbehaviour) -> None:
    # Nothing is told to who greets wrongly.
    system.misbehaviours.extend([how] * 2)
    async with RunningFilings(node, system) as running:
        await until(lambda: running.filings.hindrance != "")
        assert system.state()["enterprises"] == {}
        await running.until_states("approved")
        assert running.filings.hindrance == ""
    assert counted_once(system.state())


@pytest.mark.parametrize(
    "how",
    [
        Misbehaviour.HANG,
        Misbehaviour.CLOSE,
        Misbehaviour.HALF,
        Misbehaviour.DROP,
        Misbehaviour.LIE,
        Misbehaviour.BABBLE,
        Misbehaviour.OTHER,
        Misbehaviour.FAIL,
        Misbehaviour.SHUT,
        Misbehaviour.UNKNOWN_SUCCESS,
    ],
)
async def test_nothing_is_lost_or_counted_twice_by_bad_manners(
    node: RestNode, system: BusinessSystem, how: Misbehaviour
) -> None:
    system.misbehaviours.extend([how] * 3)
    async with RunningFilings(node, system, answer_timeout_s=0.3) as running:
        await running.until_states("approved")
    assert not system.misbehaviours
    state = system.state()
    assert (set(state["enterprises"]), set(state["prefixes"])) == ({HOLDER, OTHER}, {"88.118.1001", "88.118.1002"})
    assert counted_once(state)


async def test_a_refusal_with_an_unknown_code_is_kept_as_it_was_said(node: RestNode, system: BusinessSystem) -> None:
    system.misbehaviours.append(Misbehaviour.UNKNOWN_REFUSAL)
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="rejected") == 1)
    (filing,) = (await node("GET", "/api/v1/filings?state=rejected")).document["filings"]
    assert (filing["steps"][-1]["code"], filing["steps"][-1]["message"]) == (2999, "故障")


async def test_one_filing_that_breaks_the_line_does_not_stop_the_others(node: RestNode, system: BusinessSystem) -> None:
    took = system._take

    def take(command: object, transaction: str) -> object:
        if getattr(command, "code", "") == HOLDER:
            raise OSError("it crashed")
        return took(command, transaction)  # type: ignore[arg-type]  # whatever it is, it is passed on

    system._take = take  # type: ignore[method-assign, assignment]  # a fault of the system itself
    async with RunningFilings(node, system) as running:
        await until(lambda: running.counted("filings", state="approved") == 2)
        assert (await node("GET", ONE)).document["state"] == "submitted"
        system._take = took  # type: ignore[method-assign]  # the fault is mended
        await running.until_states("approved")


async def test_a_wrong_password_is_said(node: RestNode, system: BusinessSystem) -> None:
    async with RunningFilings(node, system, password="wrong word") as running:
        await until(lambda: "2200 密码不符" in running.filings.hindrance)
        assert "not connected" in running.filings.describe()["filing"]


async def test_what_was_there_before_us_is_taken_as_filed(node: RestNode, system: BusinessSystem) -> None:
    system._write({
        "do": "take", "what": "enterprise", "name": HOLDER, "entity": "ent-77", "transaction": "of-another-node",
        "server_transaction": "s-0", "is_update": False, "content": {},
    })  # fmt: skip
    system.audit()
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        # The audit of a transaction that is not ours is taken out of the queue, and said.
        await until(lambda: running.counted("filing_answers_total", outcome="unknown") == 1)
    shown = (await node("GET", ONE)).document
    assert (shown["entity"], shown["steps"][-1]["code"]) == ("ent-77", 2302)
    assert system.state()["prefixes"]["88.118.1001"]["entity"] == "ent-77"


async def test_a_prefix_that_another_holds_is_rejected(node: RestNode, system: BusinessSystem) -> None:
    system._write({
        "do": "take", "what": "prefix", "name": "88.118.1001", "entity": "ent-77", "transaction": "of-another-node",
        "server_transaction": "s-0", "is_update": False, "content": None,
    })  # fmt: skip
    async with RunningFilings(node, system) as running:
        await running.until_states("approved", "rejected")
    assert (await node("GET", "/api/v1/filings/prefix/88.118.1001")).document["state"] == "rejected"


async def test_weeks_of_outage_lose_nothing(node: RestNode, system: BusinessSystem) -> None:
    port = system.port
    await system.close()
    async with RunningFilings(node, system) as running:
        for number in range(8):
            await node("POST", "/api/v1/registrants", {"code": f"R-{number}", "name": f"企业{number}"})
            await node("POST", "/api/v1/prefixes", {"name": f"88.118.{number}", "registrant": f"R-{number}"})
        await until(lambda: running.counted("filings", state="draft") == 21)  # yesterday's figures too
        assert "attempt" in running.filings.hindrance
        back = BusinessSystem(PASSWORD)
        back.objects = system.objects
        await back.open(port)
        await running.until_states("approved")
        state = back.state()
        await back.close()
    assert (len(state["enterprises"]), len(state["prefixes"])) == (10, 10)
    assert counted_once(state)


async def test_what_was_taken_before_a_kill_is_not_taken_again_after_it(
    node: RestNode, system: BusinessSystem, tmp_path: Path
) -> None:
    await system.close()
    journal = tmp_path / "journal"
    first = await BusinessSystem(PASSWORD, journal, holds=True).open()
    async with RunningFilings(node, first, answer_timeout_s=0.3) as running:
        first.misbehaviours.append(Misbehaviour.HANG)
        await until(lambda: len(first.state()["enterprises"]) >= 1)
    await first.close()
    with journal.open("ab") as file:
        file.write(b'{"do": "take", "wh')
    second = await BusinessSystem(PASSWORD, journal).open()
    async with RunningFilings(node, second) as running:
        await running.until_states("approved")
    assert counted_once(second.state())
    await second.close()


async def test_an_acknowledgement_that_is_lost_costs_a_repetition(node: RestNode, system: BusinessSystem) -> None:
    carry_out, lost = system._carry_out, list[str]()

    def lose(command: Command, transaction: str, client: Client) -> Response:
        if isinstance(command, Acknowledge) and len(lost) < 3:
            lost.append(command.message)
            raise OSError("the line was cut before it came")
        return carry_out(command, transaction, client)

    system._carry_out = lose  # type: ignore[method-assign]  # a fault of the line, which only this end can play
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
        await until(lambda: system.state()["messages"] == 0)
        assert running.counted("filing_answers_total", outcome="approved") == 4
    assert lost[0] == lost[1] == lost[2]
    for name in (HOLDER, OTHER):
        steps = (await node("GET", f"/api/v1/filings/registrant/{name}")).document["steps"]
        assert [step["state"] for step in steps] == ["draft", "submitted", "pending", "approved"]


async def test_an_account_that_may_not_file_ends_the_work(node: RestNode, system: BusinessSystem) -> None:
    node.tokens["upstream"] = node.tokens["city"]
    async with RunningFilings(node, system) as running:
        with pytest.raises(NotTaken):
            await asyncio.wait_for(running.task, 30)


async def test_contents_are_stored_before_they_are_sent(node: RestNode, system: BusinessSystem) -> None:
    """Every transaction that the system saw is one that the registry had stored."""
    async with RunningFilings(node, system) as running:
        await running.until_states("approved")
    page = (await node("GET", "/api/v1/filings?limit=1000&state=approved")).document["filings"]
    assert set(system.books.answers) == {each["transaction"] for each in page}
