"""Ten million identifiers beside a hundred thousand: what size costs a look-up, and what a worker weighs then.

    python -m load_tests large        (some minutes and about 15 GB in the temporary folder)

Two nodes stand side by side on the same core, one asleep while the other is asked.
"""

from collections.abc import Iterator
from typing import Final

from load_tests import cores
from load_tests.alternation import alternate
from load_tests.figure import Figure
from load_tests.generator.expectation import registered
from load_tests.lookups import SECONDS, speed
from load_tests.protocols import GRPC, HANDLE, HTTP, Protocol
from load_tests.running import Node, running_node
from load_tests.stores import filled_folder
from load_tests.workloads import uniform

MANY: Final = 10_000_000
FEW: Final = 100_000
# Until the pages that questions touch are in memory, as far as there is room for them.
WARM_SECONDS: Final = 20
MEBIBYTE: Final = 1024 * 1024


def run() -> list[Figure]:
    with (
        filled_folder(FEW) as small,
        filled_folder(MANY) as large,
        running_node(data=small, workers=1, on=[cores.SERVER]) as few,
        running_node(data=large, workers=1, on=[cores.SERVER]) as many,
        cores.here(cores.GENERATOR),
    ):
        figures = [figure for protocol in (HTTP, GRPC, HANDLE) for figure in _compare(many, few, protocol)]
        (worker,) = many.workers()
        weight = cores.private_bytes(worker) / MEBIBYTE
    return [*figures, Figure("private memory of a worker, ten million identifiers", weight, "MiB", 300, at_least=False)]


def _compare(many: Node, few: Node, protocol: Protocol) -> Iterator[Figure]:
    with (
        protocol.lines(many.ports[protocol.port], registered(MANY)) as to_many,
        protocol.lines(few.ports[protocol.port], registered(FEW)) as to_few,
    ):
        # Pages that were never read are read once: that is the disk's speed, and not what is asked here.
        to_many.closed_loop(uniform(MANY, 1), WARM_SECONDS)
        compared = alternate(
            speed(many.workers(), to_many, uniform(MANY, 2), SECONDS), speed(few.workers(), to_few, uniform(FEW, 2), SECONDS)
        )
    yield Figure(
        f"{protocol.name} look-up, ten million identifiers", compared.per_s, "/s", ratio=compared.ratio.median,
        ratio_of="that of a hundred thousand", ratio_limit=0.7, ratio_goal=0.85, spread=compared.ratio.spread,
    )  # fmt: skip
