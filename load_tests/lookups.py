"""One worker on one core: look-ups a second in every protocol, beside peers on the same core in the same run.

    python -m load_tests lookups

The store holds a million records, far more than a worker's answer cache; the generator has the other core. Node and peer are
measured in turn, five times; a ratio is the median of the rounds, with the least and the greatest beside it. Every answer's
status and content are looked at.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from load_tests import cores
from load_tests.alternation import Comparison, Speed, alternate, speed_of
from load_tests.figure import Figure
from load_tests.generator import dnsperf, wrk
from load_tests.generator.expectation import constant, registered
from load_tests.generator.loop import Lines
from load_tests.peers import aiohttp_server, grpc_aio, multi_get, nghttpd, nginx, nsd, redis
from load_tests.protocols import BATCH, DNS, GRPC, HANDLE, HANDLE_UDP, HTTP, Protocol, batches_of, grpc_batches, whole_batch
from load_tests.running import Node, running_node
from load_tests.stores import filled_folder
from load_tests.workloads import uniform

RECORDS: Final = 1_000_000
# Of one measurement: the fastest answers 100,000 times in it. Whole seconds, because wrk knows no others.
SECONDS: Final = 2
# Node and peer are asked for the same keys.
BATCH_SEED: Final = 3
GETS: Final = 120_000
FRAMED_GETS: Final = 200_000


def run() -> list[Figure]:
    with (
        filled_folder(RECORDS) as data,
        tempfile.TemporaryDirectory(prefix="biaojie-bench-") as folder,
        running_node(data=data, workers=1, on=[cores.SERVER]) as node,
        cores.here(cores.GENERATOR),
    ):
        measurements = (_http, _resolve, _batches, _handle, _dns)
        return [figure for measure in measurements for figure in measure(node, Path(folder))]


def _http(node: Node, folder: Path) -> Iterator[Figure]:
    size = _answer_bytes(node, HTTP)
    with nginx.constant(size, folder) as peer, HTTP.lines(node.ports[HTTP.port], registered(RECORDS)) as lines:
        compared = alternate(
            speed(node.workers(), lines, uniform(RECORDS, 1), SECONDS),
            lambda: speed_of([peer.pid], lambda: wrk.gets(peer.port, SECONDS)),
        )
    yield from _against("HTTP JSON look-up", "/s", compared, "nginx serving a constant of that size", must=0.35, goal=0.5)
    with aiohttp_server.constant(size, folder) as peer:
        yield Figure("beside it: aiohttp serving a constant", wrk.gets(peer.port, SECONDS)[0] / SECONDS, "/s")


def _resolve(node: Node, folder: Path) -> Iterator[Figure]:
    message = b"x" * _answer_bytes(node, GRPC)
    with (
        grpc_aio.constant(message, folder) as peer,
        GRPC.lines(node.ports[GRPC.port], registered(RECORDS)) as ours,
        GRPC.lines(peer.port, constant(message)) as theirs,
    ):
        compared = alternate(
            speed(node.workers(), ours, uniform(RECORDS, 2), SECONDS), speed([peer.pid], theirs, uniform(RECORDS, 2), SECONDS)
        )
    yield from _against("gRPC Resolve", "/s", compared, "grpc.aio serving messages of that size", must=6, goal=9)
    with nghttpd.constant(len(message), folder) as peer:
        framed = speed_of([peer.pid], lambda: nghttpd.gets(peer, FRAMED_GETS))
    yield Figure("beside it: nghttpd serving a file over HTTP/2", framed.per_s, "/s")


def _batches(node: Node, _folder: Path) -> Iterator[Figure]:
    protocol = grpc_batches(batches_of(RECORDS, BATCH_SEED))
    with protocol.lines(node.ports[protocol.port], whole_batch) as lines:
        measure = speed(node.workers(), lines, itertools.count(), SECONDS, answers=BATCH)
        compared = alternate(measure, lambda: multi_get.speed(node.data, RECORDS, BATCH_SEED, SECONDS))
    peer = "rocksdict multi-get of 100"
    yield from _against("gRPC BatchResolve of 100", "identifiers/s", compared, peer, must=0.5, goal=0.8)


def _handle(node: Node, folder: Path) -> Iterator[Figure]:
    with redis.filled(_answer_bytes(node, HANDLE), folder) as peer:
        for protocol in (HANDLE, HANDLE_UDP):
            with protocol.lines(node.ports[protocol.port], registered(RECORDS)) as lines:
                compared = alternate(
                    speed(node.workers(), lines, uniform(RECORDS, 5), SECONDS),
                    lambda: speed_of([peer.pid], lambda: redis.gets(peer, GETS)),
                )
            name = f"{protocol.name} look-up"
            yield from _against(name, "/s", compared, "redis-server GET of that size", must=0.5, goal=0.7)


def _dns(node: Node, folder: Path) -> Iterator[Figure]:
    numbers, port = uniform(RECORDS, 6), node.ports[DNS.port]
    with nsd.filled(RECORDS, folder) as peer:
        family = cores.family_of(peer.pid)
        compared = alternate(
            lambda: speed_of(node.workers(), lambda: dnsperf.asks(port, SECONDS, folder, numbers)),
            lambda: speed_of(family, lambda: dnsperf.asks(peer.port, SECONDS, folder, numbers)),
        )
    yield from _against("DNS look-up (NAPTR)", "/s", compared, "NSD serving the same names", must=0.08, goal=0.12)


def speed(pids: list[int], lines: Lines, numbers: Iterator[int], seconds: float, answers: int = 1) -> Callable[[], Speed]:
    """Measures a closed loop; each reply holds so many `answers`."""

    def measure() -> tuple[float, float]:
        answered = lines.closed_loop(numbers, seconds)
        return answered.count * answers, answered.seconds

    return lambda: speed_of(pids, measure)


def _answer_bytes(node: Node, protocol: Protocol) -> int:
    """The size of what is found for a record: the body, or the message."""
    sizes: list[int] = []

    def note(_number: int, _found: bool, content: bytes) -> None:
        sizes.append(len(content))

    with protocol.lines(node.ports[protocol.port], note, connections=1) as lines:
        lines.once(RECORDS // 2)
    return sizes[0]


def _against(name: str, unit: str, compared: Comparison, peer: str, *, must: float, goal: float) -> Iterator[Figure]:
    yield Figure(
        name, compared.per_s, unit, ratio=compared.ratio.median, ratio_of=peer, ratio_limit=must, ratio_goal=goal,
        spread=compared.ratio.spread,
    )  # fmt: skip
    yield Figure(
        "the same for a second of processor time", compared.per_processor_s, unit, ratio=compared.processor_ratio.median,
        ratio_of=peer, spread=compared.processor_ratio.spread,
    )  # fmt: skip
