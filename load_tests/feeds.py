"""Feeds: how fast a backlog goes to one webhook consumer and into Redis Streams, and what five feeds cost who registers.

    python -m load_tests feeds

A feed that is new begins with the first change that is kept, so a store with many changes is a backlog for it; the memory of
the adapters is looked at while thirteen feeds have it. The node has run on that store before and counted what is in it, which
it does once. Registrations are measured at one node in turn, while five feeds keep up and while they are paused: by the clock,
and by the processor time of the registry's process. Everything shares all cores.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

from load_tests import cores
from load_tests.alternation import Speed, alternate, speed_of
from load_tests.consumer import consuming
from load_tests.figure import Figure
from load_tests.peers.process import HOST, serving
from load_tests.running import Node, running_node
from load_tests.stores import filled_folder
from node.started import free_port

BACKLOG: Final = 300_000
BATCH: Final = 1_000
# From the first delivery on, or until the backlog is gone.
RATE_SECONDS: Final = 5.0
LOOK_S: Final = 0.1
BEGIN_LIMIT_S: Final = 30.0
COUNT_LIMIT_S: Final = 300.0
MEBIBYTE: Final = 1024 * 1024
MEMORY_MUST_MIB: Final = 200

FEEDS: Final = 5
# Of the city's plan.
SYSTEMS: Final = 13
PREFIX: Final = "88.118.1002"
IN_FLIGHT: Final = 64
SECONDS: Final = 2.0
# Adapters look after their feeds once a second.
NOTICE_S: Final = 1.5


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="biaojie-bench-") as name, consuming() as url:
        folder = Path(name)
        with filled_folder(BACKLOG, rows=1) as data, _redis(folder) as redis:
            webhook = _profile(folder, "webhook", f'kind = "webhook"\nurl = "{url}"')
            stream = _profile(folder, "stream", f'kind = "redis"\nurl = "{redis}"\nstream = "changes"')
            _count(data)
            to_webhook, _ = _drain(data, webhook)
            to_stream, _ = _drain(data, stream)
            _, memory = _drain(data, *_systems(folder, url))
        return [
            Figure("changes to one webhook consumer, in batches of 1,000", to_webhook, "/s", 5_000),
            Figure("changes to a stream of Redis", to_stream, "/s", 20_000),
            Figure(
                "private memory of the adapters, thirteen feeds, each 300,000 changes behind",
                memory,
                "MiB",
                MEMORY_MUST_MIB,
                at_least=False,
            ),
            *_beside_registrations(folder, url),
        ]


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    port = free_port()
    with serving(["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"], port, folder):
        yield f"redis://{HOST}:{port}/0"


def _profile(folder: Path, name: str, transport: str, shape: str = "") -> Path:
    file = folder / f"{name}.toml"
    file.write_text(f'name = "{name}"\n{shape}[transport]\nbatch = {BATCH}\n{transport}\n')
    return file


def _systems(folder: Path, url: str) -> list[Path]:
    """Profiles of as many feeds as there are systems in the city's plan; no two are told the same, so each is composed anew."""
    return [
        _profile(
            folder,
            f"system-{number}",
            f'kind = "webhook"\nurl = "{url}"',
            f'[shape.members]\ncode_{number} = {{ from = "identifier", about = "the product\'s identifier" }}\n',
        )
        for number in range(SYSTEMS)
    ]


def _count(data: Path) -> None:
    """Start a node until it has counted what is in its store: once in its life it reads all of its stream for that.

    Raises `RuntimeError` if it never has.
    """
    with running_node(data=data, workers=1) as node:
        limit = time.monotonic() + COUNT_LIMIT_S
        while not _has_counted(node):
            if time.monotonic() > limit:
                raise RuntimeError(f"the node does not count its store: {node.status()}")
            time.sleep(LOOK_S)


def _has_counted(node: Node) -> bool:
    authorisation = {"Authorization": f"Bearer {node.token}"}
    reply = node.fetch("/api/v1/statistics", "registry.http_port", headers=authorisation)
    if reply.status == HTTPStatus.SERVICE_UNAVAILABLE:  # it says that it is at it
        return False
    registered: int = reply.json()["total"]["registered"]
    return registered >= BACKLOG


def _drain(data: Path, *profiles: Path) -> tuple[float, float]:
    """Events delivered a second while there is a backlog, and the most memory that the adapters had, in MiB."""
    backlog = BACKLOG * len(profiles)
    with running_node(f"feeds.profiles={','.join(map(str, profiles))}", data=data, workers=1) as node:
        (adapters,) = node.pids("adapters")
        limit = time.monotonic() + BEGIN_LIMIT_S
        while not (begun := _delivered(node)):
            if time.monotonic() > limit:
                raise RuntimeError(f"nothing was delivered: {node.status()}")
            time.sleep(LOOK_S)
        started, seconds, done, memory = time.perf_counter(), 0.0, begun, 0
        while seconds < RATE_SECONDS and done < backlog:
            memory = max(memory, cores.private_bytes(adapters))
            time.sleep(LOOK_S)
            done, seconds = _delivered(node), time.perf_counter() - started
        return (done - begun) / seconds, memory / MEBIBYTE


def _delivered(node: Node) -> float:
    return sum(each.value for each in node.samples("biaojie_feed_deliveries_total", outcome="delivered"))


def _beside_registrations(folder: Path, url: str) -> Iterator[Figure]:
    names = [f"feed-{number}" for number in range(FEEDS)]
    profiles = ",".join(str(_profile(folder, name, f'kind = "webhook"\nurl = "{url}"')) for name in names)
    with running_node(f"feeds.profiles={profiles}", workers=1) as node:
        registering = _registering(node)

        def without() -> Speed:
            _for_all(node, names, "pause")
            return registering()

        def beside() -> Speed:
            _for_all(node, names, "resume")
            _until_told(node)
            return registering()

        without()
        compared = alternate(beside, without)
    yield Figure(
        "registrations over REST with five feeds", compared.per_s, "/s", ratio=compared.ratio.median, ratio_of="those without",
        ratio_limit=0.95, spread=compared.ratio.spread,
    )  # fmt: skip
    yield Figure(
        "registrations with five feeds, a second of the registry's processor time", compared.per_processor_s, "/s",
        ratio=compared.processor_ratio.median, ratio_of="those without", spread=compared.processor_ratio.spread,
    )  # fmt: skip


def _for_all(node: Node, names: list[str], verb: str) -> None:
    """Pause or resume feeds."""
    headers = {"Authorization": f"Bearer {node.token}", "Content-Type": "application/json"}
    for name in names:
        path = f"/api/v1/feeds/{name}/{verb}"
        reply = node.fetch(path, "registry.http_port", method="POST", headers=headers, body=b"{}")
        if reply.status != HTTPStatus.OK:
            raise RuntimeError(f"{path}: {reply.text}")
    time.sleep(NOTICE_S)


def _until_told(node: Node) -> None:
    """Wait until feeds have told what came while they were paused. Raises `RuntimeError` if they never have."""
    limit = time.monotonic() + BEGIN_LIMIT_S
    while any(each.value for each in node.samples("biaojie_feed_lag_changes")):
        if time.monotonic() > limit:
            raise RuntimeError(f"feeds do not keep up: {node.status()}")
        time.sleep(LOOK_S)


def _registering(node: Node) -> Callable[[], Speed]:
    registry = node.pids("registry")
    return lambda: speed_of(registry, lambda: asyncio.run(_register(node)))


async def _register(node: Node) -> tuple[float, float]:
    """Registrations for a while, so many in flight: how many, in how many seconds."""
    numbers = itertools.count(time.time_ns())
    started = time.perf_counter()
    headers = {"Authorization": f"Bearer {node.token}"}
    async with aiohttp.ClientSession(f"http://{HOST}:{node.ports['registry.http_port']}", headers=headers) as session:

        async def register() -> int:
            done = 0
            while time.perf_counter() - started < SECONDS:
                number = next(numbers)
                url = {"format": "string", "value": f"https://example.cn/{number}"}
                body = {"values": [{"index": 1, "type": "URL", "data": url}]}
                async with session.put(f"/api/v1/identifiers/{PREFIX}/F-{number}", json=body) as answer:
                    if answer.status != 201:
                        raise RuntimeError(f"a registration was answered {answer.status}: {await answer.text()}")
                done += 1
            return done

        done = sum(await asyncio.gather(*(register() for _ in range(IN_FLIGHT))))
    return done, time.perf_counter() - started
