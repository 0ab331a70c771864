"""What another node's answers cost that are here as copies, beside the same records at the node that they live on.

    python -m load_tests foreign

Two nodes with one worker each, asked in turn: one has the records, the other has fetched them from it. First with a few records
that are asked for again and again, as both keep them rendered; then with many and no answer cache, so that every answer is made
anew on both sides. Both nodes share their core: what counts is the ratio of processor times, and of the rates in turn.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from load_tests import cores
from load_tests.alternation import alternate
from load_tests.figure import Figure
from load_tests.generator.expectation import registered
from load_tests.lookups import speed
from load_tests.protocols import PROTOCOLS, Protocol
from load_tests.running import Node, running_node
from load_tests.stores import filled_folder
from load_tests.workloads import uniform

HOT_RECORDS: Final = 10
RECORDS: Final = 5_000
SECONDS: Final = 1.0
# Both are to have answered everything once before anything is measured.
WARM_SECONDS: Final = 1.0
WARM_LIMIT: Final = 60
MUST: Final = 0.8


def run() -> list[Figure]:
    with filled_folder(RECORDS) as data:
        hot = _measured(data, HOT_RECORDS, "again and again")
        anew = _measured(data, RECORDS, "made anew", "resolver.answer_cache_mib=0")
        return [*hot, *anew]


def _measured(data: Path, count: int, how: str, *settings: str) -> list[Figure]:
    with (
        running_node(*settings, data=data, workers=1, on=[cores.SERVER]) as home,
        running_node(
            "node.kind=recursive", f"upstream.handle=127.0.0.1:{home.ports['resolver.handle_port']}", *settings,
            sample=False, workers=1, on=[cores.SERVER],
        ) as away,
        cores.here(cores.GENERATOR),
    ):  # fmt: skip
        fetch_all(away, count)
        return [_protocol(home, away, protocol, count, how) for protocol in PROTOCOLS]


def fetch_all(away: Node, count: int) -> None:
    """Let the other node have a copy of every record. Raises `RuntimeError` if it never has."""
    protocol, numbers = PROTOCOLS[0], itertools.cycle(range(count))
    with protocol.lines(away.ports[protocol.port], registered(RECORDS)) as lines:
        for _ in range(WARM_LIMIT):
            lines.closed_loop(numbers, WARM_SECONDS)
            if sum(each.value for each in away.samples("biaojie_foreign_copies")) >= count:
                return
    raise RuntimeError("the copies did not come")


def _protocol(home: Node, away: Node, protocol: Protocol, count: int, how: str) -> Figure:
    with (
        protocol.lines(home.ports[protocol.port], registered(RECORDS)) as here,
        protocol.lines(away.ports[protocol.port], registered(RECORDS)) as there,
    ):
        numbers: Iterator[int] = uniform(count, 1)
        for lines in (here, there):
            lines.closed_loop(numbers, WARM_SECONDS)
        compared = alternate(
            speed(away.workers(), there, numbers, SECONDS), speed(home.workers(), here, numbers, SECONDS)
        )  # fmt: skip
    return Figure(
        f"{protocol.name}, another node's answer, {how}, a second of processor time", compared.per_processor_s, "/s",
        ratio=compared.processor_ratio.median, ratio_of="a local one", ratio_limit=MUST, spread=compared.processor_ratio.spread,
    )  # fmt: skip
