"""kill -9 and cut links between this node, the one above it and one below it, at random moments, while both are asked for.

Above: a top-level node in which identifiers are registered and replaced all the time, reached by a link. Below: an enterprise's
node that a prefix is moved to and back from all the time, reached by another. Every answer is held against what was true: what
was registered above when its age says that its home said so; who answered for the prefix while it was asked for. What can be
shown stale is shown, and nothing else; that there was nothing is never shown past its time. In the end all is as new as it can
be, and the metrics say that nobody is taken for dead.
"""

import os
import random
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from node.tally import REPORT_S
from proto.wire.handle import codes
from tests.support.edges import connect, read_message
from tests.support.federation import INNER, create_prefix, handle_port, register, site_of, text_value
from tests.support.handle import question
from tests.support.handle import read_message as read_message_of
from tests.support.link import Link, State
from tests.support.node import DEADLINE_S, RunningNode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

UPPER, HOME, MOVED = "99", "88.118", "88.118.8"
NAMES = [f"{UPPER}/S-{number}" for number in range(8)]
PRODUCT = f"{MOVED}/PRODUCT"
# Of what is registered above, and of that there is nothing.
TTL_S = 1
# Between a moment at home and the worker's clock: a machine on which everything else runs as well.
SLACK_S = 1.5
# A failure is remembered, and a walk that fails may have begun this long before.
AFTERMATH_S = 9.0


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(2**32)))
    print(f"KILL_SEED={chosen}")
    return chosen


@dataclass(slots=True)
class Write:
    """When a state was asked for, and when it was acknowledged (infinity: not yet)."""

    what: int
    begun: float
    done: float = float("inf")


class Course:
    """What a thing was over time, in writes one after the other; the last may be under way."""

    def __init__(self, what: int) -> None:
        self._writes = [Write(what, 0.0, 0.0)]
        self._lock = threading.Lock()

    @contextmanager
    def writing(self, what: int) -> Iterator[None]:
        with self._lock:
            self._writes.append(write := Write(what, time.time()))
        yield
        write.done = time.time()

    @property
    def now(self) -> int:
        return self._writes[-1].what

    def between(self, begin: float, end: float) -> Sequence[int]:
        """What it may have been at some moment of that time."""
        with self._lock:
            writes = [*self._writes]
        first = bisect_right([write.done for write in writes], begin) - 1
        return [write.what for write in writes[max(first, 0) :] if write.begun <= end]


@dataclass(slots=True)
class Troubles:
    """When the way to a node was not clear."""

    times: list[list[float]] = field(default_factory=list)

    @contextmanager
    def during(self) -> Iterator[None]:
        self.times.append(span := [time.time(), float("inf")])
        yield
        span[1] = time.time()

    def touch(self, begin: float, end: float) -> bool:
        """Whether there were any that may be felt in that time."""
        return any(since <= end and until >= begin - AFTERMATH_S for since, until in self.times)


class World:
    """Three nodes, two links, and what is true of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.upper, self.lower = self.start("upper", UPPER), self.start("lower", MOVED)
        self.upper.until_ready()
        self.up = Link(handle_port(self.upper))
        settings = (f"upstream.handle=127.0.0.1:{self.up.port}", f"upstream.negative_ttl_s={TTL_S}", INNER)
        self.node = self.start("node", HOME, *settings)
        for each in (self.lower, self.node):
            each.until_ready()
        self.down = Link(handle_port(self.lower))
        create_prefix(self.node, MOVED)
        register(self.node, PRODUCT, text_value("URL", "0") | {"ttl": TTL_S})
        self.site = site_of(self.lower)
        self.site["servers"][0]["interfaces"][0]["port"] = self.down.port
        self.records = {name: Course(-1) for name in NAMES}
        self.moves = Course(0)
        self.above, self.below, self.own = Troubles(), Troubles(), Troubles()
        self.over = threading.Event()
        self.wrong: list[str] = []
        self.seen = Counter[str]()
        self.life = 0

    def start(self, name: str, homed: str, *settings: str) -> RunningNode:
        return RunningNode(self.folder / name, f"node.homed={homed}", *settings, workers=1)

    def close(self) -> None:
        self.over.set()
        for link in (self.up, self.down):
            link.close()
        for node in (self.upper, self.lower, self.node):
            node.destroy()

    def go_on(self, count: int) -> None:
        """Until so many more answers have come: moments are counted in what was done."""
        until, deadline = self.seen.total() + count, time.monotonic() + DEADLINE_S
        while self.seen.total() < until and not self.wrong:
            assert time.monotonic() < deadline, "nobody answers any more"
            time.sleep(0.01)

    def until_done(self, act: Callable[[], Any]) -> None:
        """Do something at a registry that may be between two lives."""
        while not self.over.is_set():
            try:
                act()
            except (OSError, ValueError, AssertionError):
                time.sleep(0.05)
            else:
                return

    def write_on(self, moments: random.Random) -> None:
        """Register and replace what is above, one after the other."""
        number = 0
        while not self.over.is_set():
            number += 1
            name, value = moments.choice(NAMES), text_value("URL", str(number)) | {"ttl": TTL_S}
            with self.records[name].writing(number):
                self.until_done(partial(self.register_above, name, value))
            time.sleep(moments.uniform(0.0, 0.1))

    def register_above(self, name: str, value: dict[str, Any]) -> None:
        register(self.upper, name, value)

    def register_below(self, text: str) -> None:
        register(self.lower, PRODUCT, text_value("URL", text) | {"ttl": TTL_S})

    def move_on(self, moments: random.Random) -> None:
        """Hand the prefix over and take it back. Each time it is handed over the product is another one there."""
        delegation, number = f"/api/v1/prefixes/{MOVED}/delegation", 0
        while not self.over.is_set():
            number += 1
            to = 0 if self.moves.now else number
            if to:
                self.until_done(partial(self.register_below, str(to)))

            def move(to: int = to) -> None:
                document = {"sites": [{"format": "site", "value": self.site}]} if to else None
                answered = self.node.call("PUT" if to else "DELETE", delegation, document)
                # What was done by an attempt that nobody heard of is done.
                assert answered.status == 200 or (not to and answered.status in (404, 409)), answered.text

            with self.moves.writing(to):
                self.until_done(move)
            time.sleep(moments.uniform(0.1, 1.0))

    def ask_on(self, moments: random.Random, ask: Callable[[random.Random], None]) -> None:
        while not self.over.is_set():
            try:
                ask(moments)
            except (OSError, ValueError) as error:
                if not self.own.touch(time.time(), time.time()):
                    self.wrong.append(f"a worker that nobody killed: {error}")
                time.sleep(0.02)

    def ask_above(self, known: dict[str, int], moments: random.Random) -> None:
        """An identifier of the node above; `known` are those that this worker has a copy of."""
        name, life, begin = moments.choice(NAMES), self.life, time.time()
        answer = self.node.fetch(f"/api/v1/resolve/{name}", "resolver.http_port")
        end, document = time.time(), answer.json()
        if answer.status == 200:
            said, age_s, source = int(document["values"][0]["data"]["value"]), document["age_s"], document["source"]
            # Its home said so at a moment that the age names to the second.
            possible = self.records[name].between(begin - age_s - 1 - SLACK_S, end - age_s + SLACK_S)
            self.check(said in possible, f"{name} was {possible} and not {said}, {source}, {age_s} s ago")
            self.check(source == "stale" or age_s <= TTL_S + SLACK_S, f"{name} is {age_s} s old and not stale")
            self.check(source != "stale" or document["values"][0]["ttl"] == 0, f"{name} is stale and holds")
            self.check(source != "stale" or self.above.touch(begin, end), f"{name} is stale and its node is there")
            self.seen[source] += 1
            if life == self.life:
                known[name] = life
        elif answer.status == 404:
            possible = self.records[name].between(begin - TTL_S - SLACK_S, end)
            self.check(-1 in possible, f"{name} was {possible} and is said not to exist")
            self.seen["absent"] += 1
        else:
            is_known = life == self.life and known.get(name) == life
            self.check(answer.status == 502 and self.above.touch(begin, end), f"{name} is answered {answer.text}")
            self.check(not is_known, f"{name} has a copy and is answered {answer.text}")
            self.seen["failed"] += 1

    def ask_below(self, moments: random.Random) -> None:
        """The product of the prefix that moves, by this node or as a referral."""
        begin, said = time.time(), ""
        if moments.random() < 0.3:
            with connect(self.node.ports["resolver.handle_port"]) as connection:
                connection.sendall(question(PRODUCT, flags=codes.PUBLIC_ONLY))
                code = read_message_of(read_message(connection)).code
            is_here = code == codes.ResponseCode.SUCCESS
            is_there = code == codes.ResponseCode.SERVICE_REFERRAL
            what = f"code {code}"
        else:
            answer = self.node.fetch(f"/api/v1/resolve/{PRODUCT}?recursive=true", "resolver.http_port")
            said = answer.json()["values"][0]["data"]["value"] if answer.status == 200 else ""
            is_here, what = said == "0", answer.text
            # Somebody else's word, or that he is not to be had.
            is_there = said not in ("", "0") or (answer.status == 502 and self.below.touch(begin, time.time()))
        possible = self.moves.between(begin, time.time())
        holds = (is_here and 0 in possible) or (is_there and any(possible))
        if said not in ("", "0"):
            holds = int(said) in possible
        self.check(holds, f"{PRODUCT} is answered {what} while the prefix is {possible}")
        self.seen["here" if is_here else "there"] += 1

    def check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong.append(f"{time.time():.3f}: {otherwise}")

    # What happens to them

    def befall(self, what: str, moments: random.Random) -> None:
        """One mishap from its beginning to its end."""
        state = State(moments.choice((State.CUT, State.SILENT)))
        if what == "link above":
            with self.above.during():
                self.up.turn(state)
                # Some are asked for, whether they can be had or not: so it is found out that nobody is there.
                self.node.until(lambda: self.node.metric("biaojie_upstream_breakers_open") >= 1 or bool(self.wrong))
                self.go_on(moments.randrange(100))
                self.up.turn(State.OPEN)
                self.node.until(self.is_fresh_above)
        elif what == "link below":
            with self.below.during():
                self.down.turn(state)
                self.go_on(moments.randrange(20, 300))
                self.down.turn(State.OPEN)
        elif what == "node above":
            with self.above.during():
                self.upper.destroy()
                self.upper = self.start("upper", UPPER)
                self.upper.until_ready()
                self.up.to = handle_port(self.upper)
                self.node.until(self.is_fresh_above)
        elif what in ("worker above", "worker below"):
            node, troubles = (self.upper, self.above) if what == "worker above" else (self.lower, self.below)
            with troubles.during():
                kill_worker(node)
        elif what == "worker":
            with self.own.during(), self.above.during(), self.below.during():
                self.life += 1
                kill_worker(self.node)
        else:
            self.node.kill("registry")
        self.go_on(moments.randrange(20, 200))

    def is_fresh_above(self) -> bool:
        """Whether what is asked for above comes from there again."""
        answers = [self.node.fetch(f"/api/v1/resolve/{name}", "resolver.http_port") for name in NAMES]
        return bool(self.wrong) or all(
            answer.status == 404 or (answer.status == 200 and answer.json()["source"] == "cached") for answer in answers
        )

    def register_where_nobody_was(self, number: int) -> None:
        """What nobody knew a moment ago is answered at once when it is registered here."""
        prefix = f"88.119.{number}"
        name = f"{prefix}/NEW"
        before = self.node.fetch(f"/api/v1/resolve/{name}", "resolver.http_port")
        self.check(before.status in (404, 502), f"{name} is answered {before.text}")
        self.until_done(lambda: self.node.call("POST", "/api/v1/prefixes", {"name": prefix}).status in (201, 409) or 1 / 0)
        self.until_done(lambda: register(self.node, name, text_value("URL", "new")))
        self.node.until(lambda: self.node.fetch("/readyz", "resolver.http_port").status == 200)
        after = self.node.fetch(f"/api/v1/resolve/{name}", "resolver.http_port")
        self.check(after.status == 200 and after.json()["source"] == "authoritative", f"{name} is answered {after.text}")


def kill_worker(node: RunningNode) -> None:
    """Kill a worker and wait until its next life answers."""
    pid = node.kill("worker-1")
    node.until(lambda: node.child("worker-1")["pid"] not in (None, pid))
    node.until_whole()


MISHAPS = (
    "link above", "link above", "link below", "link below", "node above", "worker above", "worker below", "worker", "registry",
)  # fmt: skip


def test_whatever_dies_above_and_below_no_answer_is_wrong(tmp_path: Path, seed: int) -> None:
    moments, world, known = random.Random(seed), World(tmp_path), dict[str, int]()
    work: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (world.write_on, (random.Random(seed + 1),)),
        (world.move_on, (random.Random(seed + 2),)),
        (world.ask_on, (random.Random(seed + 3), lambda chosen: world.ask_above(known, chosen))),
        (world.ask_on, (random.Random(seed + 4), world.ask_below)),
    ]
    threads = [threading.Thread(target=target, args=arguments) for target, arguments in work]
    try:
        for thread in threads:
            thread.start()
        world.go_on(200)
        mishaps = [*MISHAPS]
        moments.shuffle(mishaps)
        for number, mishap in enumerate(mishaps):
            world.befall(mishap, moments)
            world.register_where_nobody_was(number)
            assert not world.wrong, (mishaps[: number + 1], world.wrong[:5])
        world.over.set()
        for thread in threads:
            thread.join()
        # All is quiet: everything is as new as it can be, and nobody is taken for dead.
        world.node.until(lambda: newest(world))
        world.node.until(lambda: world.node.metric("biaojie_upstream_breakers_open") == 0)
        world.node.until(lambda: not sum(each.value for each in world.node.samples("biaojie_delegate_down", prefix=MOVED)))
        check_counts(world)
        assert not world.wrong, world.wrong[:5]
        assert {"cached", "stale", "absent", "here", "there"} <= world.seen.keys(), world.seen
        assert world.node.end() == 0
    finally:
        world.over.set()
        world.close()
        print(world.seen)


def check_counts(world: World) -> None:
    """What is asked for now is counted, no more and no less."""

    def counted() -> float:
        return world.node.metric("biaojie_resolve_requests_total", protocol="http")

    # What was asked before may not be handed on yet.
    readings = [-1.0, counted()]
    while readings[-1] != readings[-2]:
        time.sleep(3 * REPORT_S)
        readings.append(counted())
    asked = 3 * len(NAMES)
    for number in range(asked):
        world.node.fetch(f"/api/v1/resolve/{NAMES[number % len(NAMES)]}", "resolver.http_port")
    world.node.until(lambda: counted() == readings[-1] + asked)


def newest(world: World) -> bool:
    """Whether everything is answered as it is now, above and below."""
    for name, course in world.records.items():
        answer = world.node.fetch(f"/api/v1/resolve/{name}", "resolver.http_port")
        if course.now == -1:
            assert answer.status == 404
        elif answer.status != 200 or answer.json()["values"][0]["data"]["value"] != str(course.now):
            return False
    answer = world.node.fetch(f"/api/v1/resolve/{PRODUCT}?recursive=true", "resolver.http_port")
    return answer.status == 200 and answer.json()["values"][0]["data"]["value"] == str(world.moves.now)
