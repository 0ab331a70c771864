"""Requests of one turn of the event loop: looked up together, each connection answered as if it were alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import pytest

from resolver.listeners.http.plain_connection import PlainConnection, PlainHost
from tests.contract.http.conftest import fill, value
from tests.support.http import Served, compose_request, parse_answer

KEEP = {"connection": "keep-alive"}
SAMPLE = compose_request("GET", "/api/handles/88.118.1/Sample-1", KEEP)
ABSENT = compose_request("GET", "/api/handles/88.118.1/nothing", KEEP)
SUSPENDED = compose_request("GET", "/api/v1/resolve/88.118.1/suspended", KEEP)
LAST = compose_request("GET", "/api/handles/88.118.1/Sample-1")
OTHERS = compose_request("POST", "/api/v1/resolve", {**KEEP, "content-length": "0"})


class Transport:
    """Takes what is written; a test says when it is full."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = self.is_aborted = False
        self.is_reading = True
        self.protocol: Any = None

    def get_extra_info(self, _name: str) -> Any:
        return ("127.0.0.1", 1)

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    @property
    def said(self) -> bytes:
        return b"".join(self.writes)

    @property
    def statuses(self) -> list[bytes]:
        return [part[:3] for part in self.said.split(b"HTTP/1.1 ")[1:]]


class Plainly:
    """The connections of a listener without sockets; `asked` tells what was looked up together."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        self.served = served
        self.host = cast(PlainHost, served.listener._plain)
        self.asked: list[list[str]] = []
        self.lines: list[tuple[PlainConnection, Transport]] = []
        way = self.host.answers.way
        assert way is not None
        self._look_up_turn = way.look_up_turn
        object.__setattr__(self.host.answers, "way", way._replace(look_up_turn=self._note))
        self.host = PlainHost(self.host.answers, self.host.successor)

    def _note(self, asked: Sequence[tuple[str, bool, bool]]) -> list[bytes | None]:
        self.asked.append([identifier for identifier, *_ in asked])
        return self._look_up_turn(asked)

    def connect(self, *requests: bytes) -> tuple[PlainConnection, Transport]:
        """A connection on which common requests are known as such, and whose requests these are."""
        made, transport = self.host(), Transport()
        made.connection_made(cast(asyncio.Transport, transport))
        self.lines.append((made, transport))
        for request in requests:
            made.data_received(request)
        return made, transport


@pytest.fixture
async def plainly(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Plainly]:
    async with Served() as served:
        fill(served)
        host = Plainly(served, monkeypatch)
        connection, transport = host.connect(SAMPLE)  # its header block is known from here on
        await until(lambda: transport.statuses == [b"200"])
        connection.connection_lost(None)
        yield host
        for made, _ in host.lines:
            made.connection_lost(None)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to that")


async def answered(lines: list[tuple[PlainConnection, Transport]]) -> None:
    await until(lambda: all(transport.writes for _, transport in lines))


async def test_requests_that_come_alone_are_looked_up_together(plainly: Plainly) -> None:
    lines = [plainly.connect(request) for request in (SAMPLE, ABSENT, SUSPENDED, SAMPLE)]
    assert [transport.writes for _, transport in lines] == [[]] * 4
    await answered(lines)
    assert [transport.statuses for _, transport in lines] == [[b"200"], [b"404"], [b"403"], [b"200"]]
    assert plainly.asked == [["88.118.1/Sample-1", "88.118.1/nothing", "88.118.1/suspended", "88.118.1/Sample-1"]]
    assert [plainly.served.resolved(outcome) for outcome in ("found", "not_found", "suspended")] == [3, 1, 1]


async def test_a_client_alone_does_not_wait(plainly: Plainly) -> None:
    connection, transport = plainly.connect(SAMPLE)
    await until(lambda: len(transport.writes) == 1)
    connection.data_received(ABSENT)
    connection.data_received(SAMPLE)
    assert transport.statuses == [b"200", b"404", b"200"]
    _, told = plainly.connect(SAMPLE)
    assert not told.writes
    await until(lambda: len(told.writes) == 1)


async def test_what_is_asked_for_again_is_told_from_the_cache_and_counted_as_before(plainly: Plainly) -> None:
    for hits in (0, 0, 3):  # noted, kept, told
        before = plainly.served.hits()
        lines = [plainly.connect(ABSENT) for _ in range(hits or 1)]
        await answered(lines)
        assert plainly.served.hits() - before == hits
    assert plainly.served.resolved("not_found") == 5
    bodies = {parse_answer(transport.said).body for _, transport in plainly.lines[1:]}
    assert len(bodies) == 1
    ids = [parse_answer(transport.said).headers["x-request-id"] for _, transport in plainly.lines[1:]]
    assert len({*ids}) == len(ids) == 5
    plainly.served.reader.put_record("88.118.1/nothing", value(1, "URL", "u"))
    _, transport = plainly.connect(ABSENT)
    await until(lambda: transport.statuses == [b"200"])


async def test_answers_keep_their_order_if_more_comes_before_the_end_of_the_turn(plainly: Plainly) -> None:
    _, transport = plainly.connect(SAMPLE, ABSENT, SUSPENDED + SAMPLE)
    await until(lambda: len(transport.statuses) == 4)
    assert transport.statuses == [b"200", b"404", b"403", b"200"]


async def test_a_client_that_ends_its_half_before_the_end_of_the_turn_is_answered(plainly: Plainly) -> None:
    connection, transport = plainly.connect(SAMPLE)
    assert connection.eof_received()
    assert transport.statuses == [b"200"]
    await until(lambda: transport.is_closed)
    assert not transport.is_aborted


async def test_a_client_that_is_gone_before_the_end_of_the_turn_is_not_looked_up(plainly: Plainly) -> None:
    connection, transport = plainly.connect(SAMPLE)
    _, other = plainly.connect(ABSENT)
    connection.connection_lost(None)
    await until(lambda: other.statuses == [b"404"])
    assert not transport.writes
    assert plainly.asked == [["88.118.1/nothing"]]


async def test_a_listener_that_retires_answers_what_has_come(plainly: Plainly) -> None:
    _, transport = plainly.connect(SAMPLE)
    plainly.host.retire()
    assert transport.statuses == [b"200"]
    assert transport.is_closed


async def test_who_does_not_take_what_was_written_is_answered_when_it_does(plainly: Plainly) -> None:
    connection, transport = plainly.connect(SAMPLE)
    connection.pause_writing()
    connection.data_received(ABSENT)
    assert not transport.is_reading
    await asyncio.sleep(0)
    assert not transport.writes
    connection.resume_writing()
    await until(lambda: transport.statuses == [b"200", b"404"])
    assert transport.is_reading


async def test_the_last_request_of_a_connection_closes_it(plainly: Plainly) -> None:
    _, transport = plainly.connect(LAST)
    await until(lambda: transport.is_closed)
    assert transport.statuses == [b"200"]


async def test_a_request_of_another_kind_goes_over_behind_the_answers_to_those_before_it(
    plainly: Plainly, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[bytes] = []
    successor = plainly.host.successor()
    monkeypatch.setattr(type(successor), "take_over", lambda _self, _transport, data, _due_s: taken.append(data))
    _, transport = plainly.connect(SAMPLE, OTHERS + SAMPLE)
    assert (transport.statuses, taken) == ([b"200"], [OTHERS + SAMPLE])
    plainly.connect(OTHERS)
    await until(lambda: taken == [OTHERS + SAMPLE, OTHERS])


async def test_what_cannot_be_answered_together_is_answered_one_by_one(
    plainly: Plainly, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_reads: list[bytes]) -> list[bytes | None]:
        raise ZeroDivisionError

    assert plainly.host.turn is not None
    plainly.host.turn._answer = fail
    lines = [plainly.connect(SAMPLE), plainly.connect(ABSENT)]
    await answered(lines)
    assert [transport.statuses for _, transport in lines] == [[b"200"], [b"404"]]
    assert [record.message for record in caplog.records] == ["what came in one turn could not be answered together"]
