"""The DNS listener over UDP: packets that are no questions, and what may be sent to whom."""

import asyncio
from collections.abc import Awaitable, Callable

import dns.flags
import dns.message
import dns.rcode
import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason
from proto.model.answer import Answer, Found, NotFound
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.handle.value import compose_value
from resolver.answer_cache import AnswerCache
from resolver.listeners.dns import DnsLimits, Zone
from resolver.listeners.dns.datagrams import Datagrams, Source
from resolver.listeners.dns.dialogue import Dialogue, datagram_room
from resolver.listeners.dns.interiors import Interiors
from resolver.listeners.dns.limits import MAX_UDP_PENDING
from tests.contract.dns.conftest import Serve, Served
from tests.support.dns import WHOLE, ZONE, asked, furnish, question
from tests.support.handle import until
from tests.support.reader import DictReader, StoppedClock

STRANGER = ("192.0.2.7", 4242)


@pytest.mark.parametrize("raw", [b"\0", b"x" * 11])
async def test_less_than_a_header_gets_nothing(served: Served, raw: bytes) -> None:
    caller = await served.packet_caller()
    caller.transport.sendto(raw)
    assert (await caller.ask(asked(WHOLE))).rcode() == dns.rcode.NOERROR
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1


async def test_a_response_gets_nothing_so_that_servers_do_not_talk_to_each_other(served: Served) -> None:
    caller = await served.packet_caller()
    echo = asked(WHOLE, ident=1)
    echo.flags |= dns.flags.QR
    caller.transport.sendto(echo.to_wire())
    assert (await caller.ask(asked(WHOLE, ident=2))).id == 2
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1


@pytest.mark.parametrize(
    ("opcode", "rcode"), [(0, dns.rcode.FORMERR), *((opcode, dns.rcode.NOTIMP) for opcode in (1, 2, 4, 5, 6, 15))]
)
async def test_other_operations_and_broken_queries_get_a_header(served: Served, opcode: int, rcode: dns.rcode.Rcode) -> None:
    raw = bytearray(asked(WHOLE, ident=42, flags=dns.flags.RD).to_wire())
    raw[2] |= opcode << 3
    reply = await (await served.packet_caller()).exchange(bytes(raw[:-1]))
    answer = dns.message.from_wire(reply)
    assert (answer.id, answer.rcode(), answer.opcode()) == (42, rcode, opcode)
    assert (len(reply), bool(answer.flags & dns.flags.RD), bool(answer.flags & dns.flags.QR)) == (12, True, True)


async def test_late_answers_go_to_who_asked(serve: Serve) -> None:
    waiting: dict[str, asyncio.Future[Answer]] = {}

    def resolve(query: Query) -> Awaitable[Answer]:
        waiting[query.identifier] = asyncio.get_running_loop().create_future()
        return waiting[query.identifier]

    served = await serve(resolve)
    one, two = await served.packet_caller(), await served.packet_caller()
    one.transport.sendto(asked("88.118/1", ident=1).to_wire())
    two.transport.sendto(asked("88.118/2", ident=2).to_wire())
    await until(lambda: len(waiting) == 2)
    waiting["88.118/2"].set_result(NotFound("88.118/2"))
    assert dns.message.from_wire(await two.packet()).id == 2
    closing = asyncio.ensure_future(served.listener.close(20))
    waiting["88.118/1"].set_result(NotFound("88.118/1"))
    assert dns.message.from_wire(await one.packet()).id == 1
    await closing


class Socket:
    """A transport that notes what is sent through it."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Source]] = []

    def sendto(self, packet: bytes, addr: Source) -> None:
        self.sent.append((packet, addr))

    def close(self) -> None:
        pass


class Bench:
    """The UDP half with strangers as its clients, which loopback has none of."""

    def __init__(self, resolve: Callable[[Query], Answer | Awaitable[Answer]], limits: DnsLimits | None = None) -> None:
        self._registry = CollectorRegistry()
        metrics = build_metrics(self._registry)
        self.clock = StoppedClock()
        answers, reader = AnswerCache(0), furnish(DictReader())
        kept, interiors = answers.shelf("dns", metrics), Interiors(reader, answers)
        dialogue = Dialogue(
            resolve, "dns", metrics.refused, Zone(ZONE), reader, interiors, kept, datagram_room, self.clock.now_ms, None
        )
        self.datagrams = Datagrams(dialogue, limits or DnsLimits(), self.clock)
        self.socket = Socket()
        self.datagrams.connect(self.socket)

    def ask(self, raw: bytes, source: tuple[str, int] = STRANGER) -> list[bytes]:
        """What is sent in reply to one packet."""
        self.socket.sent.clear()
        self.datagrams.datagrams_received([(raw, source)])
        assert all(addr == source for _, addr in self.socket.sent)
        return [packet for packet, _ in self.socket.sent]

    def refused(self, reason: Reason) -> float:
        return self._registry.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0


def addressed(query: Query) -> Answer:
    """An answer of some 400 octets."""
    url = compose_value(Value(1, "URL", b"https://example.cn/" + b"x" * 300))
    return Found(query.identifier, query.identifier, 1, (), "", "", 60, values=(url,))


ASKED = asked(WHOLE, "URI").to_wire()


def is_short(packets: list[bytes]) -> bool | None:
    """Whether what is sent only says "ask over TCP"; None if nothing is."""
    return bool(dns.message.from_wire(packets[0]).flags & dns.flags.TC) if packets else None


async def test_beyond_its_budget_a_network_is_sent_to_tcp_every_second_time_and_else_nothing() -> None:
    size = len(Bench(addressed).ask(ASKED)[0])
    bench = Bench(addressed, DnsLimits(udp_source_bytes_per_s=size, udp_source_burst_bytes=4 * size))
    assert [is_short(bench.ask(ASKED)) for _ in range(8)] == [False] * 4 + [None, True, None, True]
    assert bench.refused(Reason.QUOTA_EXCEEDED) == 4
    assert is_short(bench.ask(ASKED, ("192.0.2.99", 1))) is None
    assert is_short(bench.ask(ASKED, ("192.0.3.99", 1))) is False
    assert is_short(bench.ask(ASKED, ("127.0.0.1", 1))) is False
    bench.clock.now += 2_000
    assert [is_short(bench.ask(ASKED)) for _ in range(4)] == [False, False, True, None]


async def test_what_slips_is_no_longer_than_its_question_and_garbage_gets_nothing() -> None:
    bench = Bench(addressed, DnsLimits(udp_source_bytes_per_s=0, udp_source_burst_bytes=0))
    for raw in (ASKED, question("id.internal.", "SOA").to_wire(), question("example.cn.", "A", edns=False).to_wire()):
        slipped = [packets[0] for _ in range(4) if (packets := bench.ask(raw))]
        assert len(slipped) == 2
        assert all(is_short([packet]) and len(packet) <= len(raw) for packet in slipped)
    assert [bench.ask(ASKED[:-1]) for _ in range(4)] == [[]] * 4


async def test_while_the_socket_takes_nothing_nothing_is_answered() -> None:
    bench = Bench(addressed)
    bench.datagrams.pause_writing()
    assert bench.ask(ASKED) == []
    assert bench.refused(Reason.OVERLOADED) == 1
    bench.datagrams.resume_writing()
    assert len(bench.ask(ASKED)) == 1


async def test_only_so_many_questions_wait_for_others() -> None:
    held: list[asyncio.Future[Answer]] = []

    def resolve(query: Query) -> Awaitable[Answer]:
        held.append(asyncio.get_running_loop().create_future())
        return held[-1]

    bench = Bench(resolve)
    for _ in range(MAX_UDP_PENDING):
        assert bench.ask(ASKED) == []
    (packet,) = bench.ask(asked(WHOLE, "URI", 4711).to_wire())
    answer = dns.message.from_wire(packet)
    assert (answer.id, answer.rcode()) == (4711, dns.rcode.REFUSED)
    assert bench.refused(Reason.OVERLOADED) == 1
    await until(lambda: len(held) == MAX_UDP_PENDING)
    for future in held:
        future.set_result(NotFound(WHOLE))
    await bench.datagrams.finish()
    assert len(bench.socket.sent) == MAX_UDP_PENDING + 1


async def test_after_retiring_nothing_new_is_taken() -> None:
    bench = Bench(addressed)
    bench.datagrams.retire()
    assert bench.ask(ASKED) == []
