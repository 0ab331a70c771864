"""What moves the rate of look-ups: what is asked for, writes beside them, a second worker. Latency and memory besides.

    python -m load_tests mixes

Ratios are to the same protocol's own uniform figure, measured in turn on the same connections.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from load_tests import cores
from load_tests.alternation import Comparison, Speed, alternate, speed_of
from load_tests.figure import Figure
from load_tests.generator import wrk
from load_tests.generator.expectation import registered
from load_tests.lookups import RECORDS, speed
from load_tests.protocols import HTTP, PROTOCOLS, Protocol
from load_tests.running import Node, running_node
from load_tests.stores import filled_folder
from load_tests.workloads import half_absent, hot, uniform, zipf

SECONDS: Final = 1.0
# Before what a cache remembers is measured: it lets in what it has missed before.
WARM_SECONDS: Final = 4.0
FEW_ROUNDS: Final = 3
LATENCY_SECONDS: Final = 3.0
# Half of what a worker can do at most: where operators should keep it.
LATENCY_LOAD: Final = 0.5
QUANTILES: Final = ((0.5, "median"), (0.99, "99 %"), (0.999, "99.9 %"))
MEMORY_LOOKUPS: Final = 1_000_000
MEBIBYTE: Final = 1024 * 1024
# An import that was begun is waited for.
WRITER_LIMIT_S: Final = 60.0
# So that both workers get their share of connections.
MANY_CONNECTIONS: Final = 128
# wrk asks there: workers that wait for a slower generator are woken for every few requests, which costs each of them more.
SECOND_WORKER_SECONDS: Final = 2


def run() -> list[Figure]:
    with filled_folder(RECORDS) as data:
        with running_node(data=data, workers=1, on=[cores.SERVER]) as node, cores.here(cores.GENERATOR):
            measured = [figure for protocol in PROTOCOLS for figure in _protocol(node, protocol)]
            measured.append(_memory(node))
        with running_node(data=data, workers=1) as node:
            measured += _beside_writes(node)
        measured.append(_second_worker(data))
    return measured


def _protocol(node: Node, protocol: Protocol) -> Iterator[Figure]:
    with protocol.lines(node.ports[protocol.port], registered(RECORDS)) as lines:

        def asked(numbers: Iterator[int]) -> Callable[[], Speed]:
            return speed(node.workers(), lines, numbers, SECONDS)

        evenly, unevenly = uniform(RECORDS, 1), zipf(RECORDS, 2)
        lines.closed_loop(unevenly, WARM_SECONDS)
        compared = alternate(asked(unevenly), asked(evenly))
        yield _compared(f"{protocol.name}, Zipf 0.99", compared, "its uniform figure", must=1.2, goal=1.5)
        for name, numbers in (("nine of ten for one key", hot(RECORDS, 3)), ("half absent", half_absent(RECORDS, 4))):
            compared = alternate(asked(numbers), asked(evenly), FEW_ROUNDS)
            yield _compared(f"{protocol.name}, {name}", compared, "its uniform figure")
        rate = lines.closed_loop(evenly, SECONDS).per_s
        latencies = sorted(lines.open_loop(evenly, rate * LATENCY_LOAD, LATENCY_SECONDS, seed=5))
    for share, name in QUANTILES:
        latency_s = latencies[int(len(latencies) * share)]
        yield Figure(f"{protocol.name}, latency at half of its rate, {name}", latency_s * 1e6, "µs")


def _memory(node: Node) -> Figure:
    (worker,) = node.workers()
    done, numbers = 0, uniform(RECORDS, 6)
    with HTTP.lines(node.ports[HTTP.port], registered(RECORDS)) as lines:
        while done < MEMORY_LOOKUPS:
            done += lines.closed_loop(numbers, SECONDS).count
    weight = cores.private_bytes(worker) / MEBIBYTE
    return Figure("private memory of a worker after a million look-ups", weight, "MiB", 200, at_least=False)


def _beside_writes(node: Node) -> Iterator[Figure]:
    """Node, writers and generator share every core: what writes take from look-ups is the writers' own work, too."""
    numbers = uniform(RECORDS, 7)
    with HTTP.lines(node.ports[HTTP.port], registered(RECORDS)) as lines:
        alone = speed(node.workers(), lines, numbers, SECONDS)
        for name, kind in (("single registrations", "singles"), ("an import", "import")):

            def beside(kind: str = kind) -> Speed:
                with _writing(node, kind):
                    return alone()

            compared = alternate(beside, alone, FEW_ROUNDS)
            yield _compared(f"HTTP look-ups beside {name} on the same cores", compared, "their rate without")


@contextmanager
def _writing(node: Node, kind: str) -> Iterator[None]:
    """Write in a process of its own, for as long as the block lasts. Raises `RuntimeError` if that went wrong."""
    command = [sys.executable, "-m", "load_tests.writes", kind, str(node.ports["registry.http_port"]), node.token]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the writer did not begin")
        yield
        process.stdin.close()
        if process.wait(WRITER_LIMIT_S):
            raise RuntimeError("the writer failed")


def _second_worker(data: Path) -> Figure:
    def with_workers(count: int) -> Callable[[], Speed]:
        def measure() -> Speed:
            with running_node(data=data, workers=count) as node:
                port, workers = node.ports[HTTP.port], node.workers()
                with HTTP.lines(port, registered(RECORDS)) as lines:
                    lines.once(RECORDS // 2)
                return speed_of(workers, lambda: wrk.random_gets(port, RECORDS, MANY_CONNECTIONS, SECOND_WORKER_SECONDS))

        return measure

    compared = alternate(with_workers(2), with_workers(1))
    return Figure(
        "processor time of an HTTP look-up, two workers", 1e6 / compared.per_processor_s, "µs", at_least=False,
        ratio=compared.cost.median, ratio_of="that with one worker", ratio_limit=1.15, ratio_goal=1.05,
        spread=compared.cost.spread,
    )  # fmt: skip


def _compared(name: str, compared: Comparison, other: str, *, must: float | None = None, goal: float | None = None) -> Figure:
    return Figure(
        name, compared.per_s, "/s", ratio=compared.ratio.median, ratio_of=other, ratio_limit=must, ratio_goal=goal,
        spread=compared.ratio.spread,
    )  # fmt: skip
