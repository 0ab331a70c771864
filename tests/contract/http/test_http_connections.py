"""Connections: kept, pipelined, refused, slow, and ended; and bytes that are no request."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from proto.errors import Reason
from proto.model.answer import Answer, NotFound
from proto.model.query import Query
from resolver.listeners.http.limits import MAX_HEADER_FIELD_BYTES, MAX_HEADERS, MAX_REQUEST_LINE_BYTES, HttpLimits
from tests.contract.http.conftest import fill, value
from tests.support.http import WAIT_S, Served, compose_request, parse_answer

SAMPLE = "/api/handles/88.118.1/Sample-1"
KEEP = {"connection": "keep-alive"}
JSON = {"content-type": "application/json"}


@asynccontextmanager
async def serving(limits: HttpLimits) -> AsyncIterator[Served]:
    async with Served(limits=limits) as served:
        fill(served)
        yield served


async def until(holds: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while not holds():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_a_connection_serves_many_requests_one_after_another_or_at_once(served: Served) -> None:
    one, last = compose_request("GET", SAMPLE, KEEP), compose_request("GET", "/api/handles/88.118.1/nothing")
    said = await served.talk(one, one, one + one, one + last)
    assert said.count(b"HTTP/1.1 200 OK") == 5
    assert parse_answer(said[said.rindex(b"HTTP/1.1 ") :]).status == 404


async def test_a_request_may_come_byte_by_byte(served: Served) -> None:
    raw = compose_request("GET", SAMPLE)
    said = await served.talk(*(raw[place : place + 1] for place in range(len(raw))))
    assert parse_answer(said).status == 200


async def test_an_old_client_is_answered_and_let_go(served: Served) -> None:
    answer = await served.send(f"GET {SAMPLE} HTTP/1.0\r\n\r\n".encode())
    assert (answer.status, answer.json()["responseCode"]) == (200, 1)


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, Reason.MALFORMED_MESSAGE),
        (b"NONSENSE\r\n\r\n", 400, Reason.MALFORMED_MESSAGE),
        (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400, Reason.MALFORMED_MESSAGE),
        (b"GET / HTTP/9.9\r\n\r\n", 400, Reason.MALFORMED_MESSAGE),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, Reason.MALFORMED_MESSAGE),
        (b"POST /api/v1/resolve HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400, Reason.MALFORMED_MESSAGE),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, Reason.MALFORMED_MESSAGE),
        (b"GET /" + b"x" * MAX_REQUEST_LINE_BYTES + b" HTTP/1.1\r\n\r\n", 414, Reason.MESSAGE_TOO_LARGE),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * (MAX_HEADER_FIELD_BYTES + 1) + b"\r\n\r\n", 431, Reason.MESSAGE_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431, Reason.MESSAGE_TOO_LARGE),
    ],
)  # fmt: skip
async def test_bytes_that_are_no_request_are_refused_by_name(served: Served, raw: bytes, status: int, reason: Reason) -> None:
    answer = await served.send(raw)
    assert (answer.status, answer.json()["reason"]) == (status, reason)
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert served.refused(reason) == 1
    assert (await served.get(SAMPLE)).status == 200


async def test_a_client_that_ends_its_half_gets_its_answers(served: Served) -> None:
    one = compose_request("GET", SAMPLE, KEEP)
    batch = compose_request("POST", "/api/v1/resolve", {**KEEP, **JSON, "content-length": "18"}) + b'{"identifiers":[]}'
    for raw, count in ((one, 1), (batch, 1), (one * 3, 3), (batch + one, 2), (one[:-4] + b"\r\n\r\n" + batch, 2)):
        said = await served.talk(raw, ends=True)
        assert said.count(b"HTTP/1.1 200 OK") == count
    assert served.refused(Reason.MALFORMED_MESSAGE) == 0


@pytest.mark.parametrize("cut", [1, 20, -1])
async def test_a_request_that_ends_within_its_headers_is_refused_by_name(served: Served, cut: int) -> None:
    answer = parse_answer(await served.talk(compose_request("GET", SAMPLE, KEEP)[:cut], ends=True))
    assert (answer.status, answer.json()["reason"]) == (400, Reason.MALFORMED_MESSAGE)
    assert answer.headers["x-request-id"]
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1


@pytest.mark.parametrize("rest", [{"content-length": "100"}, {"transfer-encoding": "chunked"}], ids=["announced", "chunked"])
@pytest.mark.parametrize("begun", [b"", b"5\r\n{", b'{"identifiers":'])
@pytest.mark.parametrize("together", [True, False])
async def test_a_body_that_breaks_off_is_refused_by_name(
    served: Served, rest: dict[str, str], begun: bytes, together: bool
) -> None:
    head = compose_request("POST", "/api/v1/resolve", {**KEEP, **JSON, **rest})
    if "transfer-encoding" in rest and begun.startswith(b"{"):
        begun = b"80000000\r\n" + begun
    answer = parse_answer(await served.talk(*([head + begun] if together else [head, begun]), ends=True))
    assert (answer.status, answer.json()["reason"], answer.json()["field"]) == (400, Reason.MALFORMED_MESSAGE, "body")
    assert served.refused(Reason.MALFORMED_MESSAGE) == 1


async def test_a_chunk_that_cannot_be_read_is_refused_by_name_whenever_it_comes(served: Served) -> None:
    head = compose_request("POST", "/api/v1/resolve", {**KEEP, **JSON, "transfer-encoding": "chunked"})
    pieces = (head + b"zz\r\n{",), (head, b"zz\r\n{"), (head, b"1\r\n{\r\n", b"zz\r\n{"), (head + b"1\r\n{\r\n", b"1\r\n{zz")
    for count, conversation in enumerate(pieces, 1):
        said = await served.talk(*conversation)
        assert re.findall(rb"HTTP/1\.[01] \d+", said) in ([b"HTTP/1.0 400"], [b"HTTP/1.1 400"])
        assert parse_answer(said).json()["reason"] == Reason.MALFORMED_MESSAGE
        assert served.refused(Reason.MALFORMED_MESSAGE) == count


async def test_a_client_that_vanishes_within_a_body_is_no_failure_of_the_node(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await served.connect()
    writer.write(compose_request("POST", "/api/v1/resolve", {**KEEP, **JSON, "content-length": "100"}) + b"{")
    await until(lambda: served.connections() == 1)
    await asyncio.sleep(0.05)
    writer.transport.abort()
    await until(lambda: served.connections() == 0 and served.refused(Reason.MALFORMED_MESSAGE) == 1)
    assert served.refused(Reason.INTERNAL) == 0
    assert not caplog.records


async def test_a_client_that_goes_away_harms_nobody(served: Served) -> None:
    raw = compose_request("GET", SAMPLE, KEEP)
    for cut in (0, 3, 20, len(raw)):
        _, writer = await served.connect()
        writer.write(raw[:cut])
        writer.transport.abort()
    await until(lambda: served.connections() == 0)
    assert (await served.get(SAMPLE)).status == 200


async def test_open_connections_are_counted(served: Served) -> None:
    writers = [(await served.connect())[1] for _ in range(3)]
    await until(lambda: served.connections() == 3)
    for writer in writers:
        writer.close()
    await until(lambda: served.connections() == 0)


async def test_a_connection_too_many_is_told_so(served: Served) -> None:
    async with serving(HttpLimits(max_connections=1)) as small:
        reader, writer = await small.connect()
        writer.write(compose_request("GET", "/healthz", KEEP))
        assert await reader.readuntil(b"alive")
        refused = parse_answer(await small.talk())
        assert (refused.status, refused.json()["reason"], refused.headers["retry-after"]) == (503, Reason.OVERLOADED, "1")
        assert (small.refused(Reason.OVERLOADED), small.connections()) == (1, 1)
        writer.close()
        await until(lambda: small.connections() == 0)
        assert (await small.get(SAMPLE)).status == 200


async def test_an_idle_connection_is_closed(served: Served) -> None:
    async with serving(HttpLimits(idle_s=0.3)) as impatient:
        assert await impatient.talk() == b""
        said = await impatient.talk(compose_request("GET", "/healthz", KEEP))
        assert parse_answer(said).status == 200


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\n", b"GET /x HTTP/1.1\r\nX: ", b"\r\n"])
async def test_headers_that_take_too_long_are_cut_off(begun: bytes) -> None:
    async with serving(HttpLimits(head_s=0.05)) as impatient:
        answer = parse_answer(await impatient.talk(begun))
        assert (answer.status, answer.json()["reason"]) == (408, Reason.TIMEOUT)
        reader, writer = await impatient.connect()
        writer.write(compose_request("GET", "/healthz", KEEP))
        assert await reader.readuntil(b'alive"}')
        writer.write(begun)
        async with asyncio.timeout(WAIT_S):
            assert parse_answer(await reader.read()).status == 408
        assert impatient.refused(Reason.TIMEOUT) == 2
        writer.close()


async def test_a_body_that_takes_too_long_is_cut_off(served: Served) -> None:
    async with serving(HttpLimits(body_s=0.05, linger_s=0.05)) as impatient:
        fields = {"content-type": "application/json", "content-length": "100"}
        answer = parse_answer(await impatient.talk(compose_request("POST", "/api/v1/resolve", fields) + b"{"))
        assert (answer.status, answer.json()["field"]) == (408, "body")
        assert impatient.refused(Reason.TIMEOUT) == 1


async def test_a_client_that_does_not_read_loses_its_connection(served: Served) -> None:
    async with serving(HttpLimits(send_s=0.2)) as impatient:
        impatient.reader.put_record("88.118/large", value(1, "BLOB", "x" * 250_000))
        with socket.create_connection(("127.0.0.1", impatient.port)) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            request = compose_request("GET", "/api/handles/88.118/large", KEEP)
            with_many = request * 40
            await asyncio.get_running_loop().sock_sendall(deaf, with_many)
            await until(lambda: impatient.refused(Reason.TIMEOUT) == 1 and impatient.connections() == 0)


class Waiting:
    """A chain that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.told = asyncio.Event()

    async def __call__(self, query: Query) -> Answer:
        self.asked.set()
        await self.told.wait()
        return NotFound(query.identifier)


async def test_closing_finishes_what_is_in_flight_and_drops_what_is_idle() -> None:
    chain = Waiting()
    async with Served(resolve=chain) as served:
        asking = asyncio.create_task(served.get("/api/handles/88.118/x"))
        _, idle = await served.connect()
        await chain.asked.wait()
        closing = asyncio.create_task(served.listener.close(WAIT_S))
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionError):
            await served.connect()
        assert not closing.done()
        chain.told.set()
        assert (await asking).status == 404
        await closing
        assert served.connections() == 0
        idle.close()


async def test_closing_waits_no_longer_than_its_grace() -> None:
    chain = Waiting()
    async with Served(resolve=chain) as served:
        asking = asyncio.create_task(served.talk(compose_request("GET", "/api/handles/88.118/x")))
        await chain.asked.wait()
        await served.listener.close(0.05)
        assert await asking == b""
        await until(lambda: served.connections() == 0)


async def test_a_listener_opens_again_on_its_port(served: Served) -> None:
    await served.listener.close(0)
    await served.listener.close(0)
    assert await served.listener.open("127.0.0.1", served.port) == served.port
    assert (await served.get(SAMPLE)).status == 200


async def test_two_listeners_share_a_port_and_a_taken_one_is_an_error(served: Served) -> None:
    other = Served(port=served.port)
    async with other:
        assert other.port == served.port
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match=r"in use"):
        await served.listener.open("127.0.0.1", taken.getsockname()[1])
