"""What a dead upstream adds to answers that are here as copies: those within their TTL, and those past it.

    python -m load_tests dead_upstream

Two nodes have fetched the records of a third; with one they hold for a day, with the other for a second. The third is stopped
in the middle of everything (SIGSTOP: it accepts connections and says nothing, which takes longer to find out than a refusal)
and goes on, in turn. Waits are those of an open loop at a rate that leaves the nodes idle for most of the time, from when a
question was due; of each round the quantiles are compared. What stale answers take while nobody has found out yet, for which
they wait a fifth of a second at most, stands beside.
"""

import os
import signal
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from load_tests import cores
from load_tests.figure import Figure
from load_tests.foreign import HOT_RECORDS, RECORDS, WARM_SECONDS, fetch_all
from load_tests.generator.expectation import registered
from load_tests.generator.loop import Lines
from load_tests.protocols import HANDLE, HTTP, Protocol
from load_tests.running import Node, running_node
from load_tests.stores import filled_folder
from load_tests.workloads import uniform

ROUNDS: Final = 5
RATE: Final = 1_000.0
SECONDS: Final = 2.0
# An attempt at a server that says nothing ends after two seconds; three of them open its breaker.
FOUND_OUT_SECONDS: Final = 5.0
BRIEF: Final = "upstream.max_ttl_s=1"
MUST_MS: Final = 1.0
# The hundredth longest wait moves with whoever else uses the machine, by more than the limit: it is shown and not judged.
QUANTILES: Final = (("median", 0.5, MUST_MS), ("99th percentile", 0.99, None))


Waits = list[float]
"""Of one round."""


@dataclass(frozen=True, slots=True)
class Round:
    """What was waited for, one after the other."""

    alive: Waits
    unnoticed: Waits
    cached: Waits
    stale: Waits


def run() -> list[Figure]:
    with filled_folder(RECORDS) as data, running_node(data=data, workers=1, on=[cores.SERVER]) as home:
        upstream = ("node.kind=recursive", f"upstream.handle=127.0.0.1:{home.ports['resolver.handle_port']}")
        with (
            running_node(*upstream, sample=False, workers=1, on=[cores.SERVER]) as lasting,
            running_node(*upstream, BRIEF, sample=False, workers=1, on=[cores.SERVER]) as brief,
            cores.here(cores.GENERATOR),
        ):
            for away in (lasting, brief):
                fetch_all(away, HOT_RECORDS)
            return [figure for protocol in (HTTP, HANDLE) for figure in _protocol(home, lasting, brief, protocol)]


def _protocol(home: Node, lasting: Node, brief: Node, protocol: Protocol) -> Iterator[Figure]:
    with (
        protocol.lines(lasting.ports[protocol.port], registered(RECORDS)) as cached,
        protocol.lines(brief.ports[protocol.port], registered(RECORDS)) as stale,
    ):
        for lines in (cached, stale):
            lines.closed_loop(uniform(HOT_RECORDS, 1), WARM_SECONDS)
        rounds = [_round(home, brief, cached, stale, seed) for seed in range(ROUNDS)]
    for name, share, must in QUANTILES:
        alive = [_quantile(each.alive, share) for each in rounds]
        for what, dead in (
            ("a copy within its TTL", [_quantile(each.cached, share) for each in rounds]),
            ("a stale one", [_quantile(each.stale, share) for each in rounds]),
        ):
            ratios = [ours / theirs for ours, theirs in zip(dead, alive, strict=True)]
            added_s = statistics.median(ours - theirs for ours, theirs in zip(dead, alive, strict=True))
            yield Figure(
                f"{protocol.name}, {what}, upstream silent: added to the {name}", added_s * 1e3, "ms", must, at_least=False,
                ratio=statistics.median(ratios), spread=(min(ratios), max(ratios)),
                ratio_of=f"a copy's with it alive, {statistics.median(alive) * 1e3:.3g} ms",
            )  # fmt: skip
    unnoticed_s = statistics.median(_quantile(each.unnoticed, QUANTILES[-1][1]) for each in rounds)
    yield Figure(f"{protocol.name}, beside it: a stale one until that is found out, 99th percentile", unnoticed_s * 1e3, "ms")


def _round(home: Node, brief: Node, cached: Lines, stale: Lines, seed: int) -> Round:
    def asked(lines: Lines, seconds: float = SECONDS) -> Waits:
        return lines.open_loop(uniform(HOT_RECORDS, seed), RATE, seconds, seed)

    alive = asked(cached)
    _signal(home, signal.SIGSTOP)
    try:
        unnoticed = asked(stale, FOUND_OUT_SECONDS)
        _check_is_found_out(brief)
        return Round(alive, unnoticed, asked(cached), asked(stale))
    finally:
        _signal(home, signal.SIGCONT)
        # Until it is asked again, and what was stale is new.
        asked(stale, FOUND_OUT_SECONDS)


def _check_is_found_out(away: Node) -> None:
    """Raises `RuntimeError` if the upstream is still waited for."""
    if not sum(each.value for each in away.samples("biaojie_upstream_breakers_open")):
        raise RuntimeError("the upstream is not taken for dead")


def _signal(node: Node, number: signal.Signals) -> None:
    for worker in node.workers():
        os.kill(worker, number)


def _quantile(waits: list[float], share: float) -> float:
    return statistics.quantiles(waits, n=100)[round(share * 100) - 1]
