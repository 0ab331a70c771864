"""The order of the steps. This list is the only place that says it."""

from proto.metrics import Metrics
from proto.ports import Clock, FollowingReader
from resolver.chain.access import AccessStep
from resolver.chain.delegation import DelegationStep
from resolver.chain.forward import ForwardStep
from resolver.chain.freshness import FreshnessStep
from resolver.chain.metrics import MetricsStep
from resolver.chain.recursion import Recursion
from resolver.chain.step import Resolve, Step, link
from resolver.readings import Readings
from resolver.service import Service
from resolver.tallies import Tallies
from resolver.upstream.upstream import Upstream


def build_chain(
    reader: FollowingReader,
    clock: Clock,
    metrics: Metrics,
    upstream: Upstream | None = None,
    recursion: Recursion | None = None,
    tallies: Tallies | None = None,
    readings: Readings | None = None,
) -> Resolve:
    """What every listener of a worker asks: a function from queries to answers, which never raises.

    Without an `upstream` nobody else is ever asked. `tallies` count by prefix; `readings` write down what
    the city is shown that the public does not see.
    """
    steps: list[Step] = [
        MetricsStep(metrics, clock, tallies),
        FreshnessStep(reader),
        AccessStep(reader, readings),
        DelegationStep(reader, recursion or Recursion()),
    ]
    if upstream is not None:
        steps.append(ForwardStep(upstream, reader, clock, metrics))
    return link(steps, Service(reader, clock).resolve)
