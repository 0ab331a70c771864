"""Running nodes for the tests of this folder. `tests.support.node` says what can be done with one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.edges import Edges
from tests.support.harm import Harm
from tests.support.node import RunningNode

StartNode = Callable[..., RunningNode]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """One node with the sample for all tests that leave it as it was but for identifiers of their own."""
    running = RunningNode(tmp_path_factory.mktemp("node") / "data", sample=True)
    try:
        running.until_ready()
        yield running
    finally:
        running.destroy()


@pytest.fixture(scope="session")
def edges(node: RunningNode) -> Iterator[Edges]:
    """The edges of that node, for any bytes."""
    opened = Edges(node)
    yield opened
    opened.close()


@pytest.fixture
def harm(node: RunningNode) -> Harm:
    """What that node has counted since the test began, and whether it is as well as then."""
    return Harm(node)


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Starts nodes of a test's own: `start_node(*settings, data=..., sample=..., workers=...)`; they end with the test."""
    started: list[RunningNode] = []

    def start(*settings: str, data: Path | None = None, sample: bool = False, workers: int = 2) -> RunningNode:
        running = RunningNode(data or tmp_path / "data", *settings, sample=sample, workers=workers)
        started.append(running)
        return running

    yield start
    for running in started:
        running.destroy()
