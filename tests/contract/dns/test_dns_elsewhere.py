"""Identifiers that live on other nodes, asked for over DNS: by the one chain, with their age, for whom it may be done."""

import asyncio

import dns.flags
import dns.message
import dns.rcode
import pytest

from node.client.dns import resolve
from node.client.document import Outcome
from proto.errors import Reason
from proto.model.prefix import Delegation
from proto.model.value import Value
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.message import Message
from proto.wire.handle.typed import compose_site
from resolver.chain.order import build_chain
from resolver.chain.recursion import Recursion
from resolver.listeners.dns import datagrams
from resolver.upstream.limits import UpstreamLimits
from tests.contract.dns.conftest import Serve, both
from tests.support.dns import asked, question, records
from tests.support.foreign_chain import foreign_chain
from tests.support.foreign_node import NOT_FOUND, ForeignNode, error, site

THING = "10.1000/thing"
URL = Value(1, "URL", b"https://far.example/1", ttl=600)
SHOWN = ("URI", '1 1 "https://far.example/1"')


async def far() -> ForeignNode:
    node = await ForeignNode().open()
    node.put(THING, URL)
    node.answers["10.1000/none"] = NOT_FOUND
    node.answers["0.NA/10.1000"] = node.answers["10.1000"] = NOT_FOUND
    return node


def is_authoritative(answer: dns.message.Message) -> bool:
    return bool(answer.flags & dns.flags.AA)


@pytest.mark.parametrize("flags", [0, dns.flags.RD])
async def test_what_lives_elsewhere_is_fetched_and_told_with_lowered_ttls(serve: Serve, flags: int) -> None:
    node = await far()
    async with foreign_chain(node) as chain:
        served = await serve(chain.chain)
        for passed_s in (0, 100):
            chain.pass_s(passed_s)
            for answer in await both(served, asked(THING, "URI", flags=flags)):
                assert answer.rcode() is dns.rcode.NOERROR
                assert [record[1:] for record in records(answer)] == [(SHOWN[0], 600 - passed_s, SHOWN[1])]
                assert (is_authoritative(answer), bool(answer.flags & dns.flags.RA)) == (False, True)
        assert node.questions == [THING]


async def test_on_behalf_of_other_networks_nobody_is_asked(serve: Serve) -> None:
    node = await far()
    async with foreign_chain(node) as chain:
        elsewhere = Recursion(["192.0.2.0/24"], has_upstream=True)
        served = await serve(build_chain(chain.reader, chain.clock, chain.counts.metrics, chain.upstream, elsewhere))
        for answer in await both(served, asked(THING, "URI", flags=dns.flags.RD)):
            assert (answer.rcode(), records(answer)) == (dns.rcode.REFUSED, [])
            assert not answer.flags & dns.flags.RA
        assert node.questions == []


async def test_what_is_not_there_either_is_denied_but_not_what_lies_below_a_prefix(serve: Serve) -> None:
    node = await far()
    async with foreign_chain(node) as chain:
        served = await serve(chain.chain)
        for answer in await both(served, asked("10.1000/none")):
            assert (answer.rcode(), is_authoritative(answer)) == (dns.rcode.NXDOMAIN, False)
        for name in ("1000.10.id.internal.", "_.1000.10.id.internal."):
            for answer in await both(served, question(name)):
                assert (answer.rcode(), is_authoritative(answer)) == (dns.rcode.NOERROR, False)


async def test_while_its_node_is_away_a_copy_is_told_stale_and_without_one_the_failure(serve: Serve) -> None:
    node = await far()
    async with foreign_chain(node) as chain:
        served = await serve(chain.chain)
        await both(served, asked(THING, "URI"))
        await node.close()
        chain.pass_s(700)
        for answer in await both(served, asked(THING, "URI")):
            assert [record[1:] for record in records(answer)] == [(SHOWN[0], 0, SHOWN[1])]
            assert [(error.code, error.text) for error in answer.extended_errors()] == [(3, "700 s old")]
        for answer in await both(served, asked("10.1000/other")):
            assert (answer.rcode(), records(answer)) == (dns.rcode.SERVFAIL, [])


async def test_what_is_delegated_is_referred_and_with_rd_fetched(serve: Serve) -> None:
    node = await far()
    async with foreign_chain() as chain:
        delegation = Delegation((compose_site(site(node.endpoint)),), "https://node.example")
        chain.reader.put_prefix("10.1000", delegation=delegation)
        served = await serve(chain.chain)
        for answer in await both(served, asked(THING, "URI")):
            assert [record[3] for record in records(answer)] == ['1 1 "https://node.example"']
        assert node.questions == []
        for answer in await both(served, asked(THING, "URI", flags=dns.flags.RD)):
            assert [record[3] for record in records(answer)] == [SHOWN[1]]
    await node.end()


async def test_the_command_line_does_not_take_another_nodes_answer_without_values_for_a_referral(serve: Serve) -> None:
    node = await far()
    node.answers["10.1000/empty"] = error(ResponseCode.VALUES_NOT_FOUND)
    async with foreign_chain(node) as chain:
        served = await serve(chain.chain)
        assert (await resolve("10.1000/empty", served.host, served.port)).outcome is Outcome.VALUES_NOT_FOUND
        assert (await resolve("10.1000/none", served.host, served.port)).outcome is Outcome.NOT_FOUND
        found = await resolve(THING, served.host, served.port)
        assert (found.outcome, found.source, found.values[0]["ttl"]) == (Outcome.FOUND, "cached", 600)


class Silent:
    """A node that answers when it is told to."""

    def __init__(self, node: ForeignNode) -> None:
        self.may_answer = asyncio.Event()
        node.misbehave = self._wait

    async def _wait(self, _message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
        await self.may_answer.wait()
        writer.write(reply)


async def test_no_question_waits_for_another_one_on_its_connection(serve: Serve) -> None:
    node = await far()
    silent = Silent(node)
    async with foreign_chain(node) as chain:
        served = await serve(chain.chain)
        chain.reader.put_record("88.118/here", URL)
        caller = await served.caller()
        far_away, here = asked(THING, "URI", 1), asked("88.118/here", "URI", 2)
        caller.send(far_away.to_wire(), here.to_wire())
        assert (await caller.answer())[:2] == b"\0\2"
        silent.may_answer.set()
        assert (await caller.answer())[:2] == b"\0\1"


async def test_no_more_datagrams_wait_than_the_limit(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "MAX_UDP_PENDING", 2)
    node = await far()
    silent = Silent(node)
    async with foreign_chain(node) as chain:
        served = await serve(chain.chain)
        packets = await served.packet_caller()
        for ident in (1, 2, 3):
            packets.transport.sendto(asked(THING, "URI", ident).to_wire())
        refused = dns.message.from_wire(await packets.packet())
        assert (refused.id, refused.rcode()) == (3, dns.rcode.REFUSED)
        assert served.refused(Reason.OVERLOADED) == 1
        silent.may_answer.set()
        answers = [dns.message.from_wire(await packets.packet()) for _ in range(2)]
        assert sorted((answer.id, answer.rcode()) for answer in answers) == [(1, dns.rcode.NOERROR), (2, dns.rcode.NOERROR)]


async def test_a_node_that_never_answers_is_waited_for_as_long_as_configured(serve: Serve) -> None:
    node = await far()
    Silent(node)
    async with foreign_chain(node, limits=UpstreamLimits(total_s=0.2, attempt_s=0.1)) as chain:
        served = await serve(chain.chain)
        for answer in await both(served, asked(THING, "URI")):
            assert answer.rcode() is dns.rcode.SERVFAIL
