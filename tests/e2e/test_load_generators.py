"""The generators of load tests against a running node: they come to answers in every protocol, and notice wrong ones."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from load_tests.generator.expectation import registered
from load_tests.generator.loop import WrongAnswerError
from load_tests.protocols import PROTOCOLS, Protocol
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow

LINES = 4


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    running = RunningNode(Path(tmp_path_factory.mktemp("node")) / "data", sample=True, workers=1)
    try:
        running.until_ready()
        yield running
    finally:
        running.destroy()


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_generator_asks_and_counts(node: RunningNode, protocol: Protocol) -> None:
    with protocol.lines(node.ports[protocol.port], registered(0), LINES) as lines:
        answered = lines.closed_loop(itertools.count(), 0.2)
        assert answered.count > 0
        assert answered.lost == 0
        latencies = lines.open_loop(itertools.count(), rate=200, seconds=0.3, seed=1)
        assert latencies
        assert min(latencies) > 0


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_generator_stops_at_a_wrong_answer(node: RunningNode, protocol: Protocol) -> None:
    # The node holds none of the records: whoever expects them is told so.
    with protocol.lines(node.ports[protocol.port], registered(10), LINES) as lines, pytest.raises(WrongAnswerError):
        lines.closed_loop(itertools.count(), 0.2)
