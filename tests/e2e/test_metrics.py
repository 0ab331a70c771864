"""The metrics port from the first scrape on: every name is there with a figure, before anything has happened."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.started import Reply
from proto.errors import Reason
from proto.metrics import CATALOGUE, Kind
from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow

# What dashboards of cities and operators rely on: without `biaojie_`, with the labels.
AGREED = {
    "resolve_requests_total": {"protocol", "outcome", "scheme"},
    "resolve_seconds": {"protocol"},
    "answer_cache_hits_total": set(),
    "view_lag_changes": set(),
    "view_lag_seconds": set(),
    "commits_total": {"outcome"},
    "commit_seconds": set(),
    "log_head": set(),
    "upstream_requests_total": {"outcome"},
    "feed_lag_changes": {"feed"},
    "feed_lag_seconds": {"feed"},
    "feed_dead_letters": {"feed"},
    "feed_paused": {"feed"},
    "feed_deliveries_total": {"feed", "outcome"},
    "filings": {"state"},
    "connections": {"protocol"},
    "refused_total": {"reason"},
}  # fmt: skip


def test_every_name_has_a_figure_in_the_first_scrape(start_node: StartNode) -> None:
    node = start_node("node.homed=88.118")
    first: list[Reply] = []

    def is_there() -> bool:
        first.append(node.fetch("/metrics"))
        return True

    node.until(is_there)
    check(first[-1].text)
    node.until_ready()
    check(node.fetch("/metrics").text)


def test_names_and_labels_are_the_agreed_ones(node: RunningNode) -> None:
    found = labels_of(node.fetch("/metrics").text)
    assert {name: found[f"biaojie_{name}"] for name in AGREED} == AGREED


def test_every_reason_counts_from_zero(node: RunningNode) -> None:
    (refused,) = [
        family for family in text_string_to_metric_families(node.fetch("/metrics").text) if family.name == "biaojie_refused"
    ]
    assert {sample.labels["reason"] for sample in refused.samples} == {str(reason) for reason in Reason}


def check(page: str) -> None:
    found = labels_of(page)
    missing = {spec.name for spec in CATALOGUE.values()} - set(found)
    assert not missing
    for spec in CATALOGUE.values():
        assert found[spec.name] == set(spec.labels)


def labels_of(page: str) -> dict[str, set[str]]:
    """The labels of each metric that has at least one sample."""
    found: dict[str, set[str]] = {}
    counters = {spec.name for spec in CATALOGUE.values() if spec.kind is Kind.COUNTER}
    for family in text_string_to_metric_families(page):
        name = f"{family.name}_total" if f"{family.name}_total" in counters else family.name
        for sample in family.samples:
            found.setdefault(name, set()).update(set(sample.labels) - {"le"})
    return found
