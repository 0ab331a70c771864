"""The command line's HTTP client against the listener, and against servers that are none."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from node.client.document import Outcome, ResolvedDocument, Unanswered
from node.client.http import resolve
from tests.contract.http.conftest import value
from tests.support.http import HOST, Served

SAMPLE = "88.118.1/Sample-1"


async def ask(
    served: Served, identifier: str, *, types: Sequence[str] = (), indexes: Sequence[int] = (), explain: bool = False
) -> ResolvedDocument:
    return await resolve(identifier, HOST, served.port, types=types, indexes=indexes, explain=explain)


async def test_a_record_is_found_under_its_registered_spelling(served: Served) -> None:
    for asked in (SAMPLE, "88.118.1/SAMPLE-1", "88.118.1/old"):
        found = await ask(served, asked)
        assert (found.identifier, found.outcome, found.state, found.version) == (SAMPLE, Outcome.FOUND, "active", 4)
        assert [each["index"] for each in found.values] == [1, 2]


@pytest.mark.parametrize("suffix", ["油浸//..%2F?#&=+ ", "../x", "a\\b", "100%", "ü/"])
async def test_any_identifier_arrives(served: Served, suffix: str) -> None:
    served.reader.put_record(f"88.118/{suffix}", value(1, "URL", suffix))
    found = await ask(served, f"88.118/{suffix}")
    assert found.values[0]["data"]["value"] == suffix


async def test_filters(served: Served) -> None:
    assert [each["index"] for each in (await ask(served, SAMPLE, types=["TITLE"])).values] == [2]
    assert [each["index"] for each in (await ask(served, SAMPLE, indexes=[1, 2, 900])).values] == [1, 2]
    nothing = await ask(served, SAMPLE, indexes=[77])
    assert (nothing.outcome, nothing.values, nothing.version, nothing.is_found) == (Outcome.VALUES_NOT_FOUND, [], 4, True)


@pytest.mark.parametrize(
    ("identifier", "outcome", "state", "version", "reason"),
    [
        ("88.118.1/nothing", Outcome.NOT_FOUND, "", None, ""),
        ("88.118.1/suspended", Outcome.SUSPENDED, "suspended", None, ""),
        ("88.118.9/x", Outcome.SUSPENDED, "suspended", None, ""),
        ("88.118.1/retired", Outcome.RETIRED, "retired", 9, ""),
        ("10.1/x", Outcome.NOT_HOMED, "", None, ""),
        ("88..1/x", Outcome.REFUSED, "", None, "invalid_identifier"),
        ("88.118/\udcff", Outcome.REFUSED, "", None, "invalid_encoding"),
    ],
)
async def test_every_other_answer(
    served: Served, identifier: str, outcome: Outcome, state: str, version: int | None, reason: str
) -> None:
    answer = await ask(served, identifier)
    assert (answer.outcome, answer.state, answer.version, answer.reason) == (outcome, state, version, reason)
    assert answer.detail
    assert not answer.is_found


async def test_an_explanation(served: Served) -> None:
    assert (await ask(served, SAMPLE, explain=True)).explanation[0].startswith("prefix matched: 88.118.1")
    assert (await ask(served, "10.1/x", explain=True)).explanation
    assert not (await ask(served, SAMPLE)).explanation


@asynccontextmanager
async def saying(reply: bytes, *, hangs: bool = False) -> AsyncIterator[int]:
    """A server that says the same to everybody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        if hangs:
            await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        yield server.sockets[0].getsockname()[1]


def whole(body: bytes, length: Callable[[int], int] = lambda size: size) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length(len(body)) + body


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-x\r\n",
        whole(b"<html>"),
        whole(b"[]"),
        whole(b'{"values": 5}'),
        whole(b'{"values": []}', lambda size: size + 9),
        whole(b" " * (5 << 20)),
    ],
)
async def test_what_is_no_answer_is_said_to_be_none(reply: bytes) -> None:
    async with saying(reply) as port:
        with pytest.raises(Unanswered):
            await resolve(SAMPLE, HOST, port)


async def test_silence_ends() -> None:
    async with saying(b"HTTP/1.1 200 OK\r\n", hangs=True) as port:
        with pytest.raises(Unanswered, match="no answer within"):
            await resolve(SAMPLE, HOST, port, timeout_s=0.05)


async def test_nobody_there() -> None:
    async with saying(b"") as port:
        pass
    with pytest.raises(Unanswered):
        await resolve(SAMPLE, HOST, port)
