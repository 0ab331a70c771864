"""Metrics of a test, and what they have come to."""

from prometheus_client import CollectorRegistry

from node.metrics import build_metrics


class Counts:
    """A registry of metrics of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.metrics = build_metrics(self._registry)

    def of(self, name: str, **labels: str) -> float:
        """The value of `biaojie_NAME` with these labels; 0 if nothing was counted."""
        return self._registry.get_sample_value(f"biaojie_{name}", labels) or 0
