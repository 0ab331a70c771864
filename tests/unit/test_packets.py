"""The UDP socket of a listener: what is read in a turn, and what happens when the kernel takes no more."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from resolver.listeners.packets import MAX_PACKETS_A_TURN, Packets
from tests.support.ways import both_ways

ANYBODY = ("127.0.0.1", 4242)


class Bound:
    """A real socket for the event loop to watch, with a kernel behind it that a test commands."""

    def __init__(self, real: socket.socket) -> None:
        self.real = real
        self.waiting: list[bytes | OSError] = []
        self.sent: list[bytes] = []
        self.failure: OSError | None = None
        self.failures: dict[bytes, OSError] = {}

    def fileno(self) -> int:
        return self.real.fileno()

    def getsockname(self) -> Any:
        return self.real.getsockname()

    def close(self) -> None:
        self.real.close()

    def recvfrom(self, _size: int) -> tuple[bytes, Any]:
        if not self.waiting:
            raise BlockingIOError
        packet = self.waiting.pop(0)
        if isinstance(packet, OSError):
            raise packet
        return packet, ANYBODY

    def sendto(self, packet: bytes, _addr: Any) -> None:
        if self.failure is not None:
            raise self.failure
        if packet in self.failures:
            raise self.failures[packet]
        self.sent.append(packet)


class Told:
    """What the socket's owner is told."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def datagrams_received(self, received: Sequence[tuple[bytes, Any]]) -> None:
        for data, addr in received:
            assert addr == ANYBODY
            self.said.append(data)

    def error_received(self, exc: Exception) -> None:
        self.said.append(type(exc))

    def pause_writing(self) -> None:
        self.said.append("pause")

    def resume_writing(self) -> None:
        self.said.append("resume")


@pytest.fixture
def bound() -> Iterator[Bound]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as real:
        real.bind(("127.0.0.1", 0))
        yield Bound(real)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def packets(bound: Bound, told: Told) -> Packets:
    return Packets(bound, told)  # type: ignore[arg-type]  # of a socket it uses no more than this one has


async def test_a_wake_up_reads_what_is_there_and_no_more_than_a_turn_of_it(bound: Bound, told: Told, packets: Packets) -> None:
    packets.open()
    bound.waiting = [b"%d" % number for number in range(MAX_PACKETS_A_TURN + 3)]
    packets._read()
    assert len(told.said) == MAX_PACKETS_A_TURN
    packets._read()
    assert told.said == [b"%d" % number for number in range(MAX_PACKETS_A_TURN + 3)]
    packets.close()


async def test_an_error_that_a_host_reported_ends_a_turn_and_nothing_else(bound: Bound, told: Told, packets: Packets) -> None:
    packets.open()
    bound.waiting = [b"1", ConnectionRefusedError(), b"2"]
    packets._read()
    packets._read()
    assert told.said == [b"1", ConnectionRefusedError, b"2"]
    bound.failure = PermissionError()
    packets.sendto(b"x", ANYBODY)
    assert told.said[-1] is PermissionError
    packets.close()


async def test_while_the_kernel_takes_nothing_its_owner_pauses(bound: Bound, told: Told, packets: Packets) -> None:
    packets.open()
    bound.failure = BlockingIOError()
    packets.sendto(b"1", ANYBODY)
    packets.sendto(b"2", ANYBODY)
    assert told.said == ["pause"]
    bound.failure = None
    async with asyncio.timeout(20):
        while told.said != ["pause", "resume"]:  # noqa: ASYNC110 # the loop finds the real socket writable
            await asyncio.sleep(0)
    packets.sendto(b"3", ANYBODY)
    assert bound.sent == [b"3"]
    packets.close()


async def test_what_is_said_in_a_turn_goes_out_at_its_end_even_if_its_owner_closes(
    bound: Bound, told: Told, packets: Packets
) -> None:
    packets.open()
    bound.waiting = [b"1", b"2"]
    sent: list[list[bytes]] = []

    def answer(received: Sequence[tuple[bytes, Any]]) -> None:
        for data, addr in received:
            packets.sendto(data * 2, addr)
            sent.append([*bound.sent])
        packets.close()

    told.datagrams_received = answer  # type: ignore[method-assign]  # its owner answers
    packets._read()
    assert sent == [[], []]
    assert bound.sent == [b"11", b"22"]
    assert bound.fileno() == -1
    packets.close()


async def test_a_packet_that_cannot_be_sent_costs_no_other(bound: Bound, told: Told, packets: Packets) -> None:
    packets.open()
    bound.failures = {b"2": PermissionError()}
    bound.waiting = [b"1", b"2", b"3"]

    def echo(received: Sequence[tuple[bytes, Any]]) -> None:
        for data, addr in received:
            packets.sendto(data, addr)

    told.datagrams_received = echo  # type: ignore[method-assign]  # its owner answers
    packets._read()
    assert bound.sent == [b"1", b"3"]
    assert told.said == [PermissionError]
    packets.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_many_packets_come_and_go_together(host: str, is_compiled: bool) -> None:
    ways = [both_ways("resolver.listeners.packets", name)[is_compiled] for name in ("receive_many", "send_many")]
    receive, send = ways
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as here, socket.socket(family, socket.SOCK_DGRAM) as there:
        for each in (here, there):
            each.setblocking(False)
            each.bind((host, 0))
        assert receive(here, 2) == ([], None)
        whole = [b"%d" % number * size for number, size in enumerate((0, 1, 512, 9_000))]
        assert send(there, [(packet, here.getsockname()) for packet in whole]) == 4
        assert receive(here, 3) == ([(packet, there.getsockname()) for packet in whole[:3]], None)
        assert receive(here, 64) == ([(whole[3], there.getsockname())], None)
        with pytest.raises(OSError, match="too long"):
            send(there, [(bytes(70_000), here.getsockname())])
        # What comes before is sent; the fault is told when it comes first.
        assert send(there, [(b"x", here.getsockname()), (bytes(70_000), here.getsockname())]) == 1
        assert receive(here, 64) == ([(b"x", there.getsockname())], None)
