"""The command line's DNS client: against our listener, and against servers that lose, cut and lie."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from node.client import dns as client
from node.client.dns import resolve
from node.client.document import Outcome, Unanswered
from proto.model.answer import Answer, Referral
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.dns.pieces import piece_strings, summary_of
from proto.wire.handle.value import compose_value
from tests.contract.dns.conftest import HOST, Serve, Served
from tests.support.dns import HOME, HUGE, HUGE_OCTETS, LARGE, WHOLE


async def test_a_record_with_state_version_and_values_as_the_json_api_has_them(served: Served) -> None:
    document = await resolve(WHOLE, served.host, served.port)
    assert document.is_found
    told = document.to_json()
    assert (told["identifier"], told["state"], told["version"]) == (WHOLE, "active", 7)
    assert [(value["index"], value["type"]) for value in told["values"]] == [(1, "URL"), (2, "TITLE"), (3, "URL.MIRROR")]
    assert told["values"][0]["data"] == {"format": "string", "value": "https://example.cn/1"}
    assert served.connections == 0


async def test_filters(served: Served) -> None:
    for types, indexes, shown in ((["title"], [1], [1, 2]), (["URL."], [], [1, 3]), ([], [2], [2])):
        document = await resolve(WHOLE, served.host, served.port, types=types, indexes=indexes)
        assert [value["index"] for value in document.values] == shown
    nothing = await resolve(WHOLE, served.host, served.port, types=["NOPE"])
    assert (nothing.outcome, nothing.state, nothing.version) == (Outcome.VALUES_NOT_FOUND, "active", 7)
    assert nothing.is_found


@pytest.mark.parametrize(
    ("identifier", "outcome", "state", "version"),
    [
        (f"{HOME}/nothing", Outcome.NOT_FOUND, "", None),
        (f"{HOME}/retired", Outcome.RETIRED, "retired", 3),
        (f"{HOME}/suspended", Outcome.SUSPENDED, "suspended", None),
        (f"{HOME}/hidden", Outcome.VALUES_NOT_FOUND, "active", 1),
        ("99.9/X", Outcome.NOT_HOMED, "", None),
        (f"{HOME}/", Outcome.REFUSED, "", None),
        (f"{HOME}/a\tb", Outcome.REFUSED, "", None),
    ],
)
async def test_what_is_not_found(served: Served, identifier: str, outcome: Outcome, state: str, version: int | None) -> None:
    document = await resolve(identifier, served.host, served.port)
    assert (document.identifier, document.outcome, document.state, document.version) == (identifier, outcome, state, version)
    assert document.is_found is (outcome is Outcome.VALUES_NOT_FOUND)


@pytest.mark.parametrize("identifier", ["", "88..118/x", f"{HOME}/{'X' * 400}", f"{'x' * 70}/a"])
async def test_what_has_no_name_is_refused_before_it_is_asked(identifier: str) -> None:
    document = await resolve(identifier, HOST, 1)
    assert (document.outcome, document.reason) == (Outcome.REFUSED, "invalid_identifier")
    assert "no DNS name" in document.detail


async def test_an_alias_and_another_spelling_show_the_records_own_identifier(served: Served) -> None:
    for asked, own in ((f"{HOME}/code-1", WHOLE), (f"{HOME}/s20-m-630", f"{HOME}/S20-M-630")):
        assert (await resolve(asked, served.host, served.port)).identifier == own


async def test_values_too_long_for_a_datagram_or_a_message_are_fetched_over_tcp(served: Served) -> None:
    for identifier, size in ((LARGE, 3_000), (HUGE, HUGE_OCTETS)):
        document = await resolve(identifier, served.host, served.port)
        assert len(document.values[0]["data"]["value"]) == size
    assert served.resolved("dns-tcp", "found") == 1 + 3


async def test_a_referral_shows_where_to_ask(serve: Serve) -> None:
    def elsewhere(query: Query) -> Answer:
        return Referral(query.identifier, "88.200", (), "https://example.cn/")

    served = await serve(elsewhere)
    document = await resolve("88.200/x", served.host, served.port)
    assert (document.outcome, document.detail) == (Outcome.REFERRAL, "ask at https://example.cn/")


async def test_another_zone(served: Served) -> None:
    document = await resolve(WHOLE, served.host, served.port, zone="id.example.cn")
    assert (document.outcome, document.detail) == (Outcome.NOT_HOMED, "the name lies in no zone of this server")
    with pytest.raises(ValueError, match="not a domain name"):
        await resolve(WHOLE, served.host, served.port, zone="-")


VALUE: Final = compose_value(Value(1, "URL", b"https://example.cn/"))
Script = Callable[[dns.message.Message, int], bytes | None]
"""What a made-up server sends back for its so many-th question."""


class Actor(asyncio.DatagramProtocol):
    """A server over UDP that plays a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._transport: asyncio.DatagramTransport
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked += 1
        reply = self._script(dns.message.from_wire(data), self.asked)
        if reply is not None:
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def playing(script: Script) -> AsyncIterator[tuple[Actor, int]]:
    transport, actor = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Actor(script), local_addr=(HOST, 0))
    try:
        yield actor, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def telling(query: dns.message.Message, strings: list[bytes]) -> bytes:
    """An answer with one TXT record."""
    answer = dns.message.make_response(query)
    answer.flags |= dns.flags.AA
    data = b"".join(bytes((len(string),)) + string for string in strings)
    record = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.TXT, data, 0, len(data))
    answer.answer.append(dns.rrset.from_rdata(query.question[0].name, 60, record))
    return answer.to_wire()


def whole(query: dns.message.Message, version: int = 1) -> bytes:
    return telling(query, piece_strings(summary_of("a/b", version, [VALUE]), [VALUE], 0))


async def test_a_lost_datagram_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Soon, but on a busy machine the first of them may be over before they were sent.
    monkeypatch.setattr(client, "_UDP_WAITS_S", (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, None))
    async with playing(lambda query, turn: whole(query) if turn > 1 else None) as (actor, port):
        assert (await resolve("a/b", HOST, port)).is_found
        assert actor.asked > 1


async def test_a_server_that_says_nothing_is_waited_for_only_so_long() -> None:
    async with playing(lambda _query, _turn: None) as (_, port):
        with pytest.raises(Unanswered, match=r"no answer within 0\.1 s"):
            await resolve("a/b", HOST, port, timeout_s=0.1)


async def test_nobody_there_is_no_answer() -> None:
    async with playing(lambda _query, _turn: None) as (_, port):
        pass
    with pytest.raises(Unanswered):
        await resolve("a/b", HOST, port, timeout_s=0.1)


def with_bad_digest(query: dns.message.Message, _turn: int) -> bytes:
    return telling(query, piece_strings(summary_of("a/b", 1, [VALUE, b"more"]), [VALUE], 0))


def with_broken_value(query: dns.message.Message, _turn: int) -> bytes:
    return telling(query, piece_strings(summary_of("a/b", 1, [VALUE[:-1]]), [VALUE[:-1]], 0))


def with_text_of_others(query: dns.message.Message, _turn: int) -> bytes:
    return telling(query, [b"v=spf1 -all"])


def with_endless_pieces(query: dns.message.Message, _turn: int) -> bytes:
    strings = piece_strings(summary_of("a/b", 1, [VALUE]), [VALUE], 0)
    return telling(query, [b"piece=0/999" if string.startswith(b"piece=") else string for string in strings])


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (with_bad_digest, "the values do not have the digest that is told of them"),
        (with_broken_value, "the answer cannot be read"),
        (with_text_of_others, "a TXT record is no piece"),
        (with_endless_pieces, "a record of 999 pieces"),
    ],
)
async def test_an_answer_that_lies_is_none(script: Script, why: str) -> None:
    async with playing(script) as (_, port):
        with pytest.raises(Unanswered, match=why):
            await resolve("a/b", HOST, port)


async def test_garbage_and_answers_to_others_are_passed_over() -> None:
    def script(query: dns.message.Message, _turn: int) -> bytes:
        query.id ^= 1
        return whole(query)

    async with playing(script) as (_, port):
        with pytest.raises(Unanswered):
            await resolve("a/b", HOST, port, timeout_s=0.1)


def torn(query: dns.message.Message, turn: int) -> bytes:
    """Two pieces, of a record that changes with every question."""
    values = [b"x" * 60_000, VALUE]
    number = 1 if query.question[0].name.labels[0].startswith(b"_record-") else 0
    strings = piece_strings(summary_of("a/b", turn, values), values, number)
    return telling(query, strings[: strings.index(b"") + 1])


async def test_a_record_that_changes_while_it_is_read_is_read_again_and_not_for_ever() -> None:
    async with playing(torn) as (actor, port):
        with pytest.raises(Unanswered, match="changed while its pieces were read"):
            await resolve("a/b", HOST, port)
        assert actor.asked >= 6  # three times two pieces
