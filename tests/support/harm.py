"""What a node counted since some moment, and whether it is as well as before: the same processes, still answering."""

from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from tests.interop.handle_replay import ask_tcp
from tests.support.handle import question
from tests.support.node import RunningNode

SAMPLE: Final = "88.118.1001/SAMPLE-1"
_REFUSED: Final = "biaojie_refused_total"
Sample = tuple[str, tuple[tuple[str, str], ...]]


class Harm:
    """A node with the sample, watched from now on."""

    def __init__(self, node: RunningNode) -> None:
        self._node = node
        self._pids = node.pids()
        self._before = self._scrape()

    def counted(self, name: str, **labels: str) -> float:
        """By how much the sum of a metric's samples with these labels has grown."""
        return _total(self._scrape(), name, labels) - _total(self._before, name, labels)

    def refused(self, reason: str = "") -> float:
        """How many refusals were counted, of one reason or of all."""
        return self.counted(_REFUSED, **({"reason": reason} if reason else {}))

    def check_none(self, refused: int | None = None) -> None:
        """The node runs in the same processes, is ready, and answers over HTTP and Handle; it refused so many in all."""
        status = self._node.status()
        assert status["ready"]
        assert [process["pid"] for process in status["processes"]] == self._pids
        assert all(process["restarts"] == 0 for process in status["processes"])
        now = self._scrape()
        assert _total(now, "biaojie_process_restarts_total", {}) == 0
        internal = {"reason": "internal"}
        assert _total(now, _REFUSED, internal) == _total(self._before, _REFUSED, internal), self._node.log_text()[-4_000:]
        if refused is not None:
            assert _total(now, _REFUSED, {}) - _total(self._before, _REFUSED, {}) == refused
        assert self._node.resolve(SAMPLE).json()["responseCode"] == 1
        (answer,) = ask_tcp("127.0.0.1", self._node.ports["resolver.handle_port"], question(SAMPLE))
        assert int.from_bytes(answer[24:28]) == 1

    def _scrape(self) -> dict[Sample, float]:
        return {
            (sample.name, tuple(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self._node.fetch("/metrics").text)
            for sample in family.samples
        }


def _total(samples: dict[Sample, float], name: str, labels: dict[str, str]) -> float:
    return sum(value for (found, pairs), value in samples.items() if found == name and labels.items() <= dict(pairs).items())
