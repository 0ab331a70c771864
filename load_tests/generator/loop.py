"""Many conversations in one thread: each asks, hears a whole reply, and asks again.

Two ways of asking. *Closed loop*: every conversation asks as soon as it was answered; gives a rate. *Open loop*: questions
are due at random times at a set rate, whether or not earlier ones are answered; a latency is counted from the time when the
question was due, so that a stall is felt by all that fell due in it (corrected for coordinated omission).
"""

import itertools
import random
import select
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

HOST: Final = "127.0.0.1"
READ_BYTES: Final = 1 << 18
# Each may be sent about 2,000 answers in a burst and 500 a second: together more than any run asks for.
NETWORKS_OF_A_LINE: Final = 32
# A datagram that is not answered for so long has been lost, or its answer has.
LOST_S: Final = 0.5
# Over a connection nothing is lost: a server that says nothing for so long has failed, however busy its machine is.
SILENT_S: Final = 10.0
# More than any server here answers in a second: so many numbers are drawn before the clock runs.
MOST_PER_S: Final = 200_000
# Looking at the clock costs as much as a tenth of a question.
TURNS_BETWEEN_CLOCKS: Final = 16


class WrongAnswerError(Exception):
    """A server answered something else than what is registered."""


class Dialogue(Protocol):
    """One conversation's half of a protocol: bytes to send, bytes heard. It looks at every reply."""

    def greet(self) -> bytes:
        """What is sent once, before any question."""

    def ask(self, number: int) -> bytes:
        """The question for a record."""

    def hear(self, data: bytes) -> bool:
        """Whether the reply is whole now. Raises `WrongAnswerError` if it is not what was asked for."""


@dataclass(slots=True)
class Line:
    """A dialogue and its sockets, used in turn: one, or several for datagrams (a server sends only so many to one network)."""

    dialogue: Dialogue
    sockets: Iterator[socket.socket]
    used: socket.socket
    question: bytes = b""
    due_s: float = 0.0
    asked_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What a closed loop counted. `lost` datagrams were asked for again."""

    count: int
    seconds: float
    lost: int

    @property
    def per_s(self) -> float:
        return self.count / self.seconds


class Lines:
    """Open connections (or connected datagram sockets) to one server."""

    def __init__(
        self, port: int, make: Callable[[], Dialogue], count: int, *, datagrams: bool = False, host: str = HOST
    ) -> None:
        self._datagrams = datagrams
        self._silence_s = LOST_S if datagrams else SILENT_S
        self._poll = select.epoll()
        self._lines: list[Line] = []
        self._by_descriptor: dict[int, tuple[socket.socket, Line]] = {}
        for number in range(count):
            opened = _datagram_sockets((host, port), number) if datagrams else [_connection((host, port))]
            line = Line(make(), itertools.cycle(opened), opened[0])
            opened[0].sendall(line.dialogue.greet())
            self._lines.append(line)
            for each in opened:
                each.setblocking(False)
                self._by_descriptor[each.fileno()] = (each, line)
                self._poll.register(each, select.EPOLLIN)

    def close(self) -> None:
        self._poll.close()
        for opened, _ in self._by_descriptor.values():
            opened.close()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def once(self, number: int) -> None:
        """Ask for one record on every line."""
        for line in self._lines:
            _send(line, line.dialogue.ask(number))
        self._hear_out(self._lines)

    def closed_loop(self, numbers: Iterator[int], seconds: float) -> Answered:
        """Ask and ask again for so long. Raises `WrongAnswerError`, `ConnectionError`.

        It never sleeps: to wake a generator that does costs a server that is slower than it as much as half of an answer. Nor
        does it draw numbers meanwhile: while ten thousand are drawn by Zipf's law a server waits for ten milliseconds.
        """
        drawn = itertools.islice(numbers, int(seconds * MOST_PER_S))
        numbers = itertools.chain([*drawn], numbers)
        by_descriptor, poll = self._by_descriptor, self._poll.poll
        count = lost = turns = answers = 0
        for line in self._lines:
            _send(line, line.dialogue.ask(next(numbers)))
        begun_s = now_s = heard_s = time.perf_counter()
        while now_s - begun_s < seconds:
            events = poll(0)
            for descriptor, _ in events:
                opened, line = by_descriptor[descriptor]
                if line.dialogue.hear(_receive(opened)):
                    count += 1
                    _send(line, line.dialogue.ask(next(numbers)))
            turns += 1
            if turns % TURNS_BETWEEN_CLOCKS == 0:
                now_s = time.perf_counter()
                if count > answers:
                    heard_s, answers = now_s, count
                elif now_s - heard_s > self._silence_s:
                    lost += self._ask_again(self._lines)
                    heard_s = now_s
        lost += self._hear_out(self._lines)
        return Answered(count, now_s - begun_s, lost)

    def open_loop(self, numbers: Iterator[int], rate: float, seconds: float, seed: int) -> list[float]:
        """Seconds from when each question was due to its whole answer, at `rate` questions/s for so long.

        Every question that fell due is asked and heard out, however late that is: one that the server's stall or the end of the
        run left out would take the longest waits with it. A datagram that was lost is asked for again, and has been due since
        the first time. It never sleeps: a processor of its own is what makes its clock right. Raises `WrongAnswerError`,
        `ConnectionError`.
        """
        due = [*random_times(rate, seconds, seed)]
        drawn = [*itertools.islice(numbers, len(due))]
        latencies: list[float] = []
        idle = list(self._lines)
        busy: dict[int, Line] = {}  # by identity, those that have waited longest first
        begun_s = time.perf_counter()
        while len(latencies) < len(due):
            now_s = time.perf_counter()
            while idle and (asked := len(latencies) + len(busy)) < len(due) and begun_s + due[asked] <= now_s:
                line = idle.pop()
                line.due_s, line.asked_s = begun_s + due[asked], now_s
                busy[id(line)] = line
                _send(line, line.dialogue.ask(drawn[asked]))
            for descriptor, _ in self._poll.poll(0):
                opened, line = self._by_descriptor[descriptor]
                if line.dialogue.hear(_receive(opened)):
                    latencies.append(time.perf_counter() - line.due_s)
                    del busy[id(line)]
                    idle.append(line)
            self._ask_overdue(busy, now_s)
        return latencies

    def _ask_overdue(self, busy: dict[int, Line], now_s: float) -> None:
        """Ask again for what has not been answered in time."""
        while (longest := next(iter(busy.values()), None)) is not None and now_s - longest.asked_s > self._silence_s:
            self._ask_again([longest])
            longest.asked_s = now_s
            busy[id(longest)] = busy.pop(id(longest))

    def _hear_out(self, lines: Iterable[Line]) -> int:
        """Wait for the replies that are under way, so that the next loop starts with none. Returns how many were lost."""
        missing = {id(line): line for line in lines}
        lost = 0
        while missing:
            events = self._poll.poll(self._silence_s)
            if not events:
                lost += self._ask_again(missing.values())
            for descriptor, _ in events:
                opened, line = self._by_descriptor[descriptor]
                if line.dialogue.hear(_receive(opened)):
                    missing.pop(id(line), None)
        return lost

    def _ask_again(self, lines: Collection[Line]) -> int:
        if not self._datagrams:
            raise ConnectionError("the server has fallen silent")
        for line in lines:
            line.used.send(line.question)
        return len(lines)


def random_times(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """When questions fall due that come at random, so many a second for so long (a Poisson process)."""
    gap_s = random.Random(seed).expovariate
    due_s = gap_s(rate)
    while due_s < seconds:
        yield due_s
        due_s += gap_s(rate)


def _connection(address: tuple[str, int]) -> socket.socket:
    opened = socket.create_connection(address)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def _datagram_sockets(address: tuple[str, int], line: int) -> list[socket.socket]:
    """Sockets to a server on this machine in networks of their own: every /24 of loopback passes for another client's."""
    if address[0] != HOST:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.connect(address)
        return [opened]
    sockets = []
    for number in range(line * NETWORKS_OF_A_LINE, (line + 1) * NETWORKS_OF_A_LINE):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((f"127.{1 + number // 256}.{number % 256}.1", 0))
        opened.connect(address)
        sockets.append(opened)
    return sockets


def _send(line: Line, question: bytes) -> None:
    line.question, line.used = question, next(line.sockets)
    if line.used.send(question) != len(question):
        raise ConnectionError("the server takes no more questions")


def _receive(opened: socket.socket) -> bytes:
    data = opened.recv(READ_BYTES)
    if not data:
        raise ConnectionError("the server closed a connection")
    return data
