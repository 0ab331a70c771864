"""A node to measure: started by the command line in a folder of its own, asked over its own ports."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from load_tests import cores
from node.started import StartedNode, Surroundings, serving


class Node(StartedNode):
    """A running node."""

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return self.pids("worker")

    def histogram(self, name: str) -> list[tuple[float, float]]:
        """(upper bound in seconds, cumulative count) of a histogram without labels of its own."""
        return sorted((float(bucket.labels["le"]), bucket.value) for bucket in self.samples(f"{name}_bucket"))


def since(before: list[tuple[float, float]], after: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """What a histogram gained between two readings."""
    earlier = dict(before)
    return [(bound, count - earlier.get(bound, 0.0)) for bound, count in after]


def quantile(histogram: list[tuple[float, float]], share: float) -> float:
    """The upper bound of the bucket in which the `share` quantile lies; 0 if nothing was observed."""
    total = histogram[-1][1] if histogram else 0.0
    return next((bound for bound, count in histogram if total and count >= share * total), 0.0)


@contextmanager
def running_node(
    *settings: str, data: Path | None = None, sample: bool = True, workers: int = 2, on: Sequence[int] = cores.EVERY
) -> Iterator[Node]:
    """A node on free ports and on these cores, stopped at the end; without `data` in a folder of its own, removed then.

    Raises `NotReady` with its log if it does not get ready.
    """
    with tempfile.TemporaryDirectory(prefix="biaojie-bench-") as folder:
        data, log = data or Path(folder) / "data", Path(folder) / "log"
        command = cores.pinned(serving(data, *settings, workers=workers, sample=sample), *on)
        node = Node(command, data, log, Surroundings())
        try:
            node.until_ready()
            yield node
        finally:
            node.end()
