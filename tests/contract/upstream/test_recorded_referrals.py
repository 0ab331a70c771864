"""Referrals of stock servers, replayed: two Handle.Net 9.2.0 servers of which the first refers to the second.

`hs92_referral_site`, `_service` and `_notfound` are what the stock client asked and heard; `_walk` is what our own asked of the
same servers and heard. Answers are said again byte for byte, but for the ports of the two servers where sites name them. What
no recording holds, a service referral (302), which these servers never send, is constructed from what is known of its bytes.
"""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proto.model.answer import Answer, Found, NotFound, Refused
from proto.wire.handle.codes import PUBLIC_ONLY, ResponseCode
from proto.wire.handle.envelope import ENVELOPE_BYTES, compose_envelope, parse_envelope
from proto.wire.handle.message import Message, parse_message
from proto.wire.handle.resolution import parse_referral_body, parse_resolution_body, parse_resolution_request
from proto.wire.handle.typed import compose_site
from proto.wire.handle.value import compose_value, parse_value
from resolver.listeners.handle.replies import render
from resolver.upstream.sites import HS_SITE_PREFIX, endpoints_of, sites_in
from tests.contract.upstream.test_delegation import PREFIX, delegated
from tests.interop.handle_replay import RECORDINGS
from tests.support.foreign_chain import ForeignChain, foreign_chain, refusal
from tests.support.foreign_node import ForeignNode, open_nodes, site_value

FIRST, SECOND = 1, 2
# Where the two servers were when they were recorded, as sites write it.
PORTS = {FIRST: struct.pack(">I", 26_621), SECOND: struct.pack(">I", 26_622)}
NAMES = ("site", "service", "notfound", "walk")


def recorded(name: str) -> list[dict[str, Any]]:
    """The lines of a recording, each with its bytes and what our codec makes of them."""
    path = RECORDINGS / f"hs92_referral_{name}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["raw"] = raw = bytes.fromhex(line["envelope"] + line["message"])
        line["read"] = parse_message(parse_envelope(raw), raw[ENVELOPE_BYTES:])
    return lines


def answers_in(lines: list[dict[str, Any]]) -> dict[tuple[int, str, tuple[str, ...]], bytes]:
    """What each server answered, by identifier and types that were asked for."""
    asked = {(line["conn"], line["req"]): line["read"] for line in lines if line["dir"] == ">"}
    found = {}
    for line in lines:
        if line["dir"] == "<":
            question = parse_resolution_request(asked[line["conn"], line["req"]].body)
            found[line["server"], question.identifier, question.types] = line["raw"]
    return found


@asynccontextmanager
async def replayed(name: str) -> AsyncIterator[tuple[ForeignChain, list[tuple[int, Message]]]]:
    """A chain whose upstream is the first server; and what the two are asked. What nobody had asked them is not theirs."""
    nodes = dict(zip((FIRST, SECOND), await open_nodes(2), strict=True))
    answers, questions = answers_in(recorded(name)), list[tuple[int, Message]]()

    def speak_as(server: int, node: ForeignNode) -> None:
        async def say_it_again(message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
            questions.append((server, message))
            question = parse_resolution_request(message.body)
            # Our own question may name more types than the stock client's; a server's answer is of those there are.
            raw = answers.get((server, question.identifier, question.types)) or next(
                (raw for (who, what, _), raw in answers.items() if (who, what) == (server, question.identifier)), None
            )
            if raw is None:
                writer.write(reply)
                return
            for other, port in PORTS.items():
                raw = raw.replace(port, struct.pack(">I", nodes[other].endpoint.port))
            writer.write(
                compose_envelope(parse_envelope(raw)._replace(request=message.envelope.request)) + raw[ENVELOPE_BYTES:]
            )

        node.misbehave = say_it_again

    for server, node in nodes.items():
        speak_as(server, node)
    async with foreign_chain(nodes[FIRST], others=(nodes[SECOND],), home="77") as chain:
        yield chain, questions


def values_recorded(name: str, identifier: str) -> tuple[bytes, ...]:
    raw = answers_in(recorded(name))[SECOND, identifier, ()]
    return parse_resolution_body(parse_message(parse_envelope(raw), raw[ENVELOPE_BYTES:]).body).values


@pytest.mark.parametrize(
    ("name", "identifier", "kind"),
    [
        ("site", "88.200.7/PUMP", Found),
        ("service", "88.201.9/VALVE", Found),
        ("notfound", "88.200.8/NONE", Refused),
        ("walk", "88.200.7/PUMP", Found),
        ("walk", "88.201.9/VALVE", Found),
        ("walk", "88.200.7/NONE", NotFound),
        ("walk", "88.200.8/NONE", Refused),
    ],
)
async def test_a_recorded_referral_is_followed(name: str, identifier: str, kind: type[Answer]) -> None:
    async with replayed(name) as (chain, questions):
        answer = await chain.ask(identifier)
        assert isinstance(answer, kind), answer
        if isinstance(answer, Found):
            assert answer.values == values_recorded(name, identifier)
        elif isinstance(answer, Refused):
            assert refusal(answer) == "not_homed"
        assert {server for server, _ in questions} == {FIRST, SECOND}


async def test_what_our_client_asked_of_stock_servers_it_asks_today() -> None:
    lines = [line for line in recorded("walk") if line["dir"] == ">"]
    told = [(line["server"], line["read"].flags, line["read"].body) for line in lines]
    async with replayed("walk") as (chain, questions):
        for identifier in ("88.200.7/PUMP", "88.201.9/VALVE", "88.200.7/NONE", "88.200.8/NONE"):
            # Each was asked by somebody who knew nothing yet.
            async with replayed("walk") as (anew, asked):
                await anew.ask(identifier)
                questions += asked
        assert [(server, message.flags, message.body) for server, message in questions] == told
        assert not chain.upstream.walks


@pytest.mark.parametrize("name", NAMES)
def test_recordings_hold_prefix_referrals_as_they_are_described(name: str) -> None:
    referrals = [line["read"] for line in recorded(name) if line["rc"] == ResponseCode.PREFIX_REFERRAL]
    assert referrals
    for message in referrals:
        body = parse_referral_body(message.body)
        assert body.service == ""
        assert {parse_value(packed)[0].type for packed in body.values} <= {"HS_SITE.PREFIX", "HS_SERV.PREFIX"}


async def test_our_own_referral_has_the_form_of_the_recorded_one() -> None:
    (raw,) = {
        raw for (server, what, _), raw in answers_in(recorded("site")).items() if (server, what) == (FIRST, "0.NA/88.200.7")
    }
    stock = parse_message(parse_envelope(raw), raw[ENVELOPE_BYTES:])
    async with delegated() as (chain, node):
        for identifier, code in ((f"0.NA/{PREFIX}.1", stock.code), (f"{PREFIX}/x", ResponseCode.SERVICE_REFERRAL)):
            own = render(chain.ask_now(identifier), PUBLIC_ONLY)
            assert own.code == code
            ours, theirs = parse_referral_body(b"".join(own.body)), parse_referral_body(stock.body)
            assert ours.service == theirs.service
            for body, kinds in ((ours, ()), (theirs, (HS_SITE_PREFIX,))):
                (info,) = sites_in(body.values, *kinds)
                assert len(endpoints_of([info], identifier)) == 1
            assert endpoints_of(sites_in(ours.values), identifier) == (node.endpoint,)


def constructed(service: bytes, values: tuple[bytes, ...], code: int = 302) -> bytes:
    """A referral by its description alone: a header of 24 bytes, `str` handle, `[n]` values, and no credential."""
    body = struct.pack(">I", len(service)) + service + struct.pack(">I", len(values)) + b"".join(values)
    return struct.pack(">IIIHBBII", 1, code, 0x1900_0000, 1, 0, 0, 0, len(body)) + body + bytes(4)


@pytest.mark.parametrize("way", ["values", "service"])
async def test_a_constructed_service_referral_is_followed(way: str) -> None:
    first, second = await open_nodes(2)
    second.put("88.200/MOVED", site_value(second.site))
    first.put("0.NA/SERVICE", site_value(second.site))
    value = compose_value(site_value(second.site), 1)
    said = constructed(b"", (value,)) if way == "values" else constructed(b"0.NA/SERVICE", ())

    async def refer(message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
        is_moved = parse_resolution_request(message.body).identifier == "88.200/MOVED"
        envelope = message.envelope._replace(length=len(said))
        writer.write(compose_envelope(envelope) + said if is_moved else reply)

    first.misbehave = refer
    async with foreign_chain(first, others=(second,), home="77") as chain:
        answer = await chain.find("88.200/MOVED")
        assert answer.values == (compose_value(site_value(second.site), 1),)
        assert second.questions == ["88.200/MOVED"]
        assert compose_site(second.site) in answer.values[0]
