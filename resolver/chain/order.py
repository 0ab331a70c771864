"""The order of the steps. This list is the only place that says it."""

from proto.metrics import Metrics
from proto.ports import Clock, FollowingReader
from resolver.chain.access import AccessStep
from resolver.chain.delegation import DelegationStep
from resolver.chain.freshness import FreshnessStep
from resolver.chain.metrics import MetricsStep
from resolver.chain.step import Resolve, Step, link
from resolver.service import Service


def build_chain(reader: FollowingReader, clock: Clock, metrics: Metrics) -> Resolve:
    """What every listener of a worker asks: a function from queries to answers, which never raises."""
    steps: list[Step] = [
        MetricsStep(metrics, clock),
        FreshnessStep(reader),
        AccessStep(reader),
        DelegationStep(reader),
    ]
    return link(steps, Service(reader, clock).resolve)
