"""Tallied metrics say the same as those that are counted one by one, a little later."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from node.metrics import build_metrics
from node.tally import Tally
from proto.metrics import Metrics

# Below, on and between bounds, and above the last.
SECONDS = [0.0, 0.00005, 0.00006, 0.0001, 0.004, 0.03, 0.031, 2.5, 5.0, 5.1, 60.0]


def count(metrics: Metrics) -> None:
    for seconds in SECONDS:
        metrics.resolve_seconds.labels("http").observe(seconds)
    metrics.resolve_seconds.labels("grpc").observe(0.002)
    metrics.resolve_requests.labels("http", "found", "handle").inc()
    metrics.resolve_requests.labels("http", "found", "handle").inc(2)
    metrics.resolve_requests.labels("grpc", "retired", "handle").inc()
    metrics.answer_cache_hits.inc()


def page(fill: Callable[[Metrics], None]) -> dict[str, str]:
    registry = CollectorRegistry()
    fill(build_metrics(registry))
    lines = (line.rpartition(" ") for line in generate_latest(registry).decode().splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in lines if not name.partition("{")[0].endswith("_created")}


@pytest.mark.parametrize("rounds", [1, 3])
def test_what_is_reported_is_what_was_counted(rounds: int) -> None:
    def one_by_one(metrics: Metrics) -> None:
        for _ in range(rounds):
            count(metrics)

    def tallied(metrics: Metrics) -> None:
        tally = Tally(metrics)
        for _ in range(rounds):
            count(tally.metrics)
            tally.report()
        tally.report()

    expected, found = page(one_by_one), page(tallied)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: float(value) for name, value in expected.items()}
    )


@pytest.mark.parametrize("is_tallied", [False, True])
def test_many_observations_at_once_are_as_many_one_by_one(is_tallied: bool) -> None:
    def one_by_one(metrics: Metrics) -> None:
        for seconds in SECONDS:
            for _ in range(7):
                metrics.resolve_seconds.labels("http").observe(seconds)

    def at_once(metrics: Metrics) -> None:
        tally = Tally(metrics)
        histogram = (tally.metrics if is_tallied else metrics).resolve_seconds.labels("http")
        for seconds in SECONDS:
            histogram.observe_many(seconds, 7)
        histogram.observe_many(0.02, 0)
        tally.report()

    expected, found = page(one_by_one), page(at_once)
    # Numbers of observations are exact; a sum of floats is what its order makes of it.
    assert {name: value for name, value in found.items() if "_sum" not in name} == {
        name: value for name, value in expected.items() if "_sum" not in name
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: float(value) for name, value in expected.items()}
    )


def test_what_has_not_been_reported_is_not_shown() -> None:
    registry = CollectorRegistry()
    tally = Tally(build_metrics(registry))
    tally.metrics.answer_cache_hits.inc()
    assert registry.get_sample_value("biaojie_answer_cache_hits_total") == 0
    tally.report()
    assert registry.get_sample_value("biaojie_answer_cache_hits_total") == 1


def test_other_metrics_are_the_same_ones() -> None:
    metrics = build_metrics(CollectorRegistry())
    assert Tally(metrics).metrics.refused is metrics.refused
