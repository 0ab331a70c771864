"""The committer's end of the wake-up socket, over a real socket: who is waited for, whose turn it is, who is given up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.model.change import START
from proto.wake import MESSAGE_BYTES, SOCKET_NAME, Message, Signal, compose_message
from registry.commit import wake_server
from registry.commit.wake_server import WakeServer
from tests.support.reader import StoppedClock
from tests.support.wake_reader import WakeReader, at


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def server(run: Path, clock: StoppedClock) -> AsyncIterator[WakeServer]:
    opened = WakeServer(run, clock, build_metrics(CollectorRegistry()))
    await opened.start(at(5), at(3))
    yield opened
    await opened.close()


@pytest.fixture
async def connect(server: WakeServer, run: Path) -> AsyncIterator[Callable[[], "asyncio.Task[WakeReader]"]]:
    readers: list[WakeReader] = []

    async def make() -> WakeReader:
        readers.append(await WakeReader.connect(run))
        return readers[-1]

    yield lambda: asyncio.ensure_future(make())
    for reader in readers:
        reader.close()


Connect = Callable[[], "asyncio.Task[WakeReader]"]


def announced(server: WakeServer, sequence: int) -> "asyncio.Future[None]":
    """Announce a head; the future is done when it may be shown to its senders."""
    shown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    server.announce(at(sequence), lambda: shown.set_result(None))
    return shown


async def settled() -> None:
    """Let everything that has arrived be dealt with."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_a_reader_is_told_where_the_stream_stands(server: WakeServer, connect: Connect) -> None:
    reader = await connect()
    assert await reader.hear() == Message(Signal.HEAD, at(5))
    announced(server, 6)
    assert await reader.hear() == Message(Signal.HEAD, at(6))


async def test_who_becomes_ready_is_told_the_head_once_more(server: WakeServer, connect: Connect) -> None:
    reader = await connect()
    await reader.hear()
    announced(server, 6)
    await reader.hear()
    reader.say(Signal.READY, 5)
    assert await reader.hear() == Message(Signal.HEAD, at(6))


async def test_without_ready_readers_nothing_waits(server: WakeServer, connect: Connect) -> None:
    await (await connect()).hear()
    assert announced(server, 6).done()


async def test_a_write_waits_for_every_ready_reader(server: WakeServer, connect: Connect) -> None:
    first, second, unready = await connect(), await connect(), await connect()
    await first.get_ready(5)
    await second.get_ready(5)
    await unready.hear()
    shown = announced(server, 7)
    first.say(Signal.APPLIED, 7)
    second.say(Signal.APPLIED, 6)
    await settled()
    assert not shown.done()
    second.say(Signal.APPLIED, 9)
    await asyncio.wait_for(shown, 10)


async def test_a_write_waits_no_longer_than_its_time(server: WakeServer, connect: Connect, clock: StoppedClock) -> None:
    reader = await connect()
    await reader.get_ready(5)
    first = announced(server, 6)
    await asyncio.sleep(0.1)
    assert not first.done(), "the clock stands still: its time has not passed"
    clock.now += 1_000
    await asyncio.wait_for(first, 10)


@pytest.mark.parametrize("leaves", ["hangs up", "is no longer ready"])
async def test_who_leaves_is_not_waited_for(server: WakeServer, connect: Connect, leaves: str) -> None:
    reader = await connect()
    await reader.get_ready(5)
    shown = announced(server, 6)
    reader.close() if leaves == "hangs up" else reader.say(Signal.UNREADY, 5)
    await asyncio.wait_for(shown, 10)


async def test_writes_are_shown_in_their_order(server: WakeServer, connect: Connect) -> None:
    reader = await connect()
    await reader.get_ready(5)
    order: list[int] = []
    for sequence in (6, 7, 8):
        server.announce(at(sequence), lambda sequence=sequence: order.append(sequence))  # type: ignore[misc]  # bound now
    reader.say(Signal.APPLIED, 7)
    await settled()
    assert order == [6, 7]
    reader.say(Signal.APPLIED, 8)
    await settled()
    assert order == [6, 7, 8]


async def test_readers_move_to_a_checkpoint_one_after_the_other(server: WakeServer, connect: Connect) -> None:
    readers = [await connect() for _ in range(3)]
    for reader in readers:
        await reader.get_ready(5)
    server.switch(at(5))
    heard = [asyncio.ensure_future(reader.hear()) for reader in readers]
    for _ in readers:
        done, _ = await asyncio.wait(heard, return_when=asyncio.FIRST_COMPLETED)
        await settled()
        newly = [place for place, task in enumerate(heard) if task in done]
        assert len(newly) == 1, "two were asked at once"
        assert heard[newly[0]].result() == Message(Signal.SWITCH, at(5))
        readers[newly[0]].say(Signal.SWITCHED, 5)
        heard[newly[0]] = asyncio.ensure_future(asyncio.sleep(3600, Message(Signal.SWITCH, START)))
    for task in heard:
        task.cancel()
    await settled()
    assert server.oldest_base == at(5)


async def test_who_leaves_does_not_hold_up_the_next(server: WakeServer, connect: Connect) -> None:
    readers = [await connect() for _ in range(2)]
    for reader in readers:
        await reader.get_ready(5)
    server.switch(at(5))
    asked = {asyncio.ensure_future(reader.hear()): reader for reader in readers}
    done, rest = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    asked[done.pop()].close()
    assert (await rest.pop()).signal is Signal.SWITCH


async def test_who_does_not_answer_does_not_hold_up_the_next(
    server: WakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_server, "SWITCH_WAIT_S", 0.05)
    readers = [await connect() for _ in range(2)]
    for reader in readers:
        await reader.get_ready(5)
    server.switch(at(5))
    assert [(await reader.hear()).signal for reader in readers] == [Signal.SWITCH] * 2


async def test_who_stands_on_an_old_checkpoint_is_asked_to_move(server: WakeServer, connect: Connect) -> None:
    reader = await connect()
    await reader.get_ready(5)
    reader.say(Signal.SWITCHED, 1)
    assert await reader.hear() == Message(Signal.SWITCH, at(3))
    assert server.oldest_base == at(1)
    reader.say(Signal.SWITCHED, 1)  # it could not: it is not asked again and again
    await settled()
    announced(server, 6)
    assert (await reader.hear()).signal is Signal.HEAD


async def test_who_does_not_follow_is_given_up(run: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake_server, "_LOOK_EVERY_S", 0.01)
    server = WakeServer(run, clock, build_metrics(CollectorRegistry()))
    await server.start(at(5), at(3))
    stuck, follows = await WakeReader.connect(run), await WakeReader.connect(run)
    await stuck.get_ready(5)
    await follows.get_ready(5)
    announced(server, 6)
    follows.say(Signal.APPLIED, 6)
    await settled()
    clock.now += int(wake_server.STUCK_S * 1000) + 1
    assert await stuck.is_hung_up_on()
    assert announced(server, 6).done()
    assert await follows.hear() == Message(Signal.HEAD, at(6))
    follows.close()
    await server.close()


@pytest.mark.parametrize("garbage", [b"\xff" * MESSAGE_BYTES, compose_message(Signal.HEAD, at(1))])
async def test_who_speaks_another_language_is_hung_up_on(server: WakeServer, run: Path, garbage: bytes) -> None:
    incoming, outgoing = await asyncio.open_unix_connection(run / SOCKET_NAME)
    outgoing.write(garbage)
    reader = WakeReader(incoming, outgoing)
    assert await reader.is_hung_up_on()
    reader.close()
    assert announced(server, 6).done()


async def test_who_does_not_read_is_sent_only_the_newest(server: WakeServer, connect: Connect) -> None:
    reader = await connect()
    for sequence in range(6, 100_000):
        server.announce(at(sequence), lambda: None)
    heard: list[Message] = []
    while not heard or heard[-1].position != at(99_999):
        heard.append(await reader.hear())
    assert len(heard) < 90_000
    assert heard == sorted(heard, key=lambda message: message.position)


async def test_too_many_readers_are_turned_away(server: WakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake_server, "MAX_READERS", 2)
    for _ in range(2):
        await (await connect()).hear()
    assert await (await connect()).is_hung_up_on()


async def test_the_socket_may_lie_deep(tmp_path: Path, clock: StoppedClock) -> None:
    run = tmp_path / ("deep" * 20) / ("deeper" * 10)
    run.mkdir(parents=True)
    server = WakeServer(run, clock, build_metrics(CollectorRegistry()))
    await server.start(at(5), at(3))
    assert (run / SOCKET_NAME).is_socket()
    await server.close()
    assert not (run / SOCKET_NAME).exists()
