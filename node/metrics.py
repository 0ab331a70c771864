"""Builds the metrics of `proto.metrics` with prometheus-client.

In a node every process writes its figures into files of one folder (prometheus-client's multi-process mode) and the
supervisor sums them up on one port; a test or a tool passes a registry of its own.
"""

import os
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import prometheus_client
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, values

from node.folder import METRICS_VARIABLE
from proto.metrics import CATALOGUE, Kind, Metrics, Spec


class Histogram(prometheus_client.Histogram):
    """A histogram that takes many observations at once.

    There is no public way to that: these are the fields behind `observe` of the pinned release, and a test compares what comes
    out with what observing one by one gives.
    """

    _buckets: list[Any]
    _sum: Any

    def observe_many(self, amount: float, count: int) -> None:
        """Take the same amount `count` times."""
        if count:
            self._buckets[bisect_left(self._upper_bounds, amount)].inc(count)
            self._sum.inc(amount * count)

    def add(self, counts: Sequence[int], total: float) -> None:
        """Take so many observations in each bucket, none of them counted in another, which come to `total` together."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(total)


def keep_figures_as(process: str) -> None:
    """Keep this process's figures in files of that name instead of its number; to be called before `build_metrics`.

    So the next life of a worker counts on where the last one ended, and the folder does not grow with the number of lives.
    Never two at a time may bear a name. Nothing happens outside of a node.
    """
    if METRICS_VARIABLE in os.environ:
        values.ValueClass = values.MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]  # it has no types


def build_metrics(registry: CollectorRegistry = REGISTRY) -> Metrics:
    """All metrics, with their preset label values present at zero."""
    built: dict[str, Any] = {attribute: _build(spec, registry) for attribute, spec in CATALOGUE.items()}
    return Metrics(**built)


def _build(spec: Spec, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    metric: Counter | Gauge | Histogram
    match spec.kind:
        case Kind.COUNTER:
            metric = Counter(spec.name, spec.help, spec.labels, registry=registry)
        case Kind.GAUGE:
            metric = Gauge(spec.name, spec.help, spec.labels, registry=registry, multiprocess_mode=spec.merge.value)
        case Kind.HISTOGRAM:
            metric = Histogram(spec.name, spec.help, spec.labels, registry=registry, buckets=spec.buckets)
    for preset in spec.presets:
        metric.labels(*preset)
    return metric
