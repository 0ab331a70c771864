"""How replies are written: each by one write, together where they are ready together, never more than a client takes."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.model.answer import Answer, Found
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.value import compose_value
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.listeners.handle import HandleLimits, HandleListener, node_site
from resolver.listeners.handle.connection import Connection
from resolver.listeners.handle.limits import MAX_TURN
from resolver.listeners.turn import Turn
from tests.interop.handle_replay import resolutions
from tests.support.handle import question, read_messages, until
from tests.support.reader import DictReader, StoppedClock


class Transport:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_reading = True
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == HandleLimits().write_buffer_bytes

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 2641)

    @property
    def answered(self) -> int:
        return len(read_messages(b"".join(self.writes)))


def resolve(query: Query) -> Answer:
    size = int(query.identifier.rpartition("/")[2] or 1) if query.identifier.startswith("size/") else 1
    value = compose_value(Value(1, "BLOB", b"x" * size))
    return Found(query.identifier, query.identifier, 1, (), "", "", 60, values=(value,))


class Plainly:
    """A listener over a reader with one record, that looks up plainly; `asked` tells how many questions came together."""

    def __init__(self) -> None:
        metrics, clock, reader = build_metrics(CollectorRegistry()), StoppedClock(), DictReader()
        reader.put_prefix("88.118")
        reader.put_record("88.118/x", Value(1, "URL", b"u"))
        self.asked: list[int] = []
        self._listener = HandleListener(
            build_chain(reader, clock, metrics), metrics, clock, node_site, plain=partial(PlainLookups, reader, clock, metrics)
        )
        answer = self._listener.dialogue.respond_plainly_to

        def noted(packets: Sequence[bytes]) -> list[bytes | None]:
            self.asked.append(len(packets))
            return answer(packets)

        self._listener.turn = Turn(noted, MAX_TURN)

    def connect(self) -> tuple[Connection, Transport]:
        made, transport = Connection(self._listener), Transport()
        made.connection_made(cast(asyncio.Transport, transport))
        return made, transport


@pytest.fixture
def plainly() -> Plainly:
    return Plainly()


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def connection(transport: Transport) -> Connection:
    listener = HandleListener(resolve, build_metrics(CollectorRegistry()), StoppedClock(), node_site)
    made = Connection(listener)
    made.connection_made(cast(asyncio.Transport, transport))
    return made


@pytest.mark.parametrize("raw", [each.question for each in resolutions()])
async def test_a_reply_is_one_write_however_its_question_came(connection: Connection, transport: Transport, raw: bytes) -> None:
    for cut in range(1, len(raw)):
        transport.writes.clear()
        connection.data_received(raw[:cut])
        assert transport.writes == []
        connection.data_received(raw[cut:])
        (reply,) = transport.writes
        assert len(read_messages(reply)) == 1


async def test_questions_that_come_together_are_answered_by_one_write(connection: Connection, transport: Transport) -> None:
    connection.data_received(b"".join(question("a/b", n + 1) for n in range(20)) + question("a/b")[:9])
    await until(lambda: transport.writes)
    (write,) = transport.writes
    assert [answer.envelope.request for answer in read_messages(write)] == list(range(1, 21))
    connection.data_received(question("a/b")[9:])
    await until(lambda: transport.answered == 21)
    assert len(transport.writes) == 2


async def test_a_connection_with_many_questions_lets_others_take_their_turn(
    connection: Connection, transport: Transport
) -> None:
    connection.data_received(b"".join(question("a/b", n + 1) for n in range(3 * MAX_TURN)))
    assert transport.answered == MAX_TURN
    assert not transport.is_reading
    await until(lambda: transport.answered == 3 * MAX_TURN)
    assert [len(read_messages(write)) for write in transport.writes] == [MAX_TURN] * 3
    await until(lambda: transport.is_reading)


async def test_while_a_client_does_not_drain_nothing_is_read_or_answered(connection: Connection, transport: Transport) -> None:
    connection.data_received(question("a/b"))
    await until(lambda: transport.answered == 1)
    connection.pause_writing()
    assert not transport.is_reading
    connection.data_received(question("a/b") * 3)
    assert transport.answered == 1
    connection.resume_writing()
    await until(lambda: transport.answered == 4)
    assert transport.is_reading


async def test_large_replies_are_not_piled_up_for_a_whole_turn(connection: Connection, transport: Transport) -> None:
    connection.data_received(question("size/200000") * 40)
    assert transport.answered == 2
    await until(lambda: transport.answered == 40)
    assert max(map(len, transport.writes)) < 2 * 262_144


async def test_an_end_with_questions_still_to_answer_closes_behind_the_last(
    connection: Connection, transport: Transport
) -> None:
    connection.data_received(question("a/b") * (2 * MAX_TURN))
    assert connection.eof_received()
    await until(lambda: transport.is_closed)
    assert transport.answered == 2 * MAX_TURN


async def test_questions_that_come_alone_are_answered_together_at_the_end_of_the_turn(plainly: Plainly) -> None:
    connections = [plainly.connect() for _ in range(3)]
    for number, (connection, _) in enumerate(connections):
        connection.data_received(question("88.118/x", number))
    assert [transport.writes for _, transport in connections] == [[], [], []]
    await until(lambda: all(transport.answered for _, transport in connections))
    replies = [read_messages(b"".join(transport.writes)) for _, transport in connections]
    assert [[answer.envelope.request for answer in each] for each in replies] == [[0], [1], [2]]
    assert plainly.asked == [3]


async def test_a_question_that_cannot_be_answered_plainly_is_answered_all_the_same(plainly: Plainly) -> None:
    (one, told), (other, other_told) = plainly.connect(), plainly.connect()
    one.data_received(question("10.1/x", 1))
    other.data_received(question("88.118/x", 2))
    await until(lambda: told.answered + other_told.answered == 2)
    (refused,), (found,) = read_messages(told.writes[0]), read_messages(other_told.writes[0])
    assert (refused.code, found.code) == (ResponseCode.NOT_RESPONSIBLE, ResponseCode.SUCCESS)


@pytest.mark.parametrize("ends", [False, True])
async def test_what_follows_in_the_same_turn_is_answered_after_it(plainly: Plainly, ends: bool) -> None:
    connection, transport = plainly.connect()
    connection.data_received(question("88.118/x", 1))
    connection.data_received(question("88.118/absent", 2) + question("88.118/x", 3)[:7])
    connection.data_received(question("88.118/x", 3)[7:])
    if ends:
        assert connection.eof_received()
        await until(lambda: transport.is_closed)
    await until(lambda: transport.answered == 3)
    answers = read_messages(b"".join(transport.writes))
    assert [answer.envelope.request for answer in answers] == [1, 2, 3]


@pytest.mark.parametrize("how", ["eof_received", "retire"])
async def test_a_question_of_the_turn_in_which_its_connection_ends_is_answered(plainly: Plainly, how: str) -> None:
    connection, transport = plainly.connect()
    connection.data_received(question("88.118/x", 1))
    getattr(connection, how)()
    await until(lambda: transport.is_closed)
    assert transport.answered == 1


async def test_a_connection_that_is_lost_in_the_turn_costs_no_other_its_answer(plainly: Plainly) -> None:
    (lost, told), (other, other_told) = plainly.connect(), plainly.connect()
    lost.data_received(question("88.118/x", 1))
    other.data_received(question("88.118/x", 2))
    lost.connection_lost(None)
    await until(lambda: other_told.answered == 1)
    assert told.writes == []


async def test_a_client_that_stops_reading_in_the_turn_gets_its_answer_when_it_goes_on(plainly: Plainly) -> None:
    connection, transport = plainly.connect()
    connection.data_received(question("88.118/x", 1))
    connection.pause_writing()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transport.writes == []
    connection.resume_writing()
    await until(lambda: transport.answered == 1)
