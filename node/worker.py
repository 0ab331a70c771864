"""A worker: everything that answers, wired. One of several equal processes; the kernel spreads connections over
them, and they even out what it does not.

It binds its sockets when its view is ready and closes them when it is not: the kernel goes on routing to whatever is bound.
"""

import asyncio
import gc
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from node.clock import SystemClock
from node.config import Config, parse_servers
from node.control import Assignment
from node.encryption import make_encryption
from node.loop_wait import measure_loop_wait
from node.metrics import build_metrics
from node.part import Announce, run_part
from node.tally import Tally
from proto import compiled, places
from proto.metrics import Metrics
from proto.ports import Clock
from proto.wire.dns.name import parse_written_name
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups, no_copies
from resolver.chain.recursion import Recursion
from resolver.chain.together import resolve_together
from resolver.listeners.dns import DnsListener, Zone
from resolver.listeners.grpc import GrpcListener
from resolver.listeners.handle import HandleListener, node_site
from resolver.listeners.http.listener import HttpListener
from resolver.listeners.listener import Listener
from resolver.listeners.neighbours import Neighbours
from resolver.readings import Readings
from resolver.tallies import Tallies, TallyFile
from resolver.upstream.copies import Terms
from resolver.upstream.limits import UpstreamLimits
from resolver.upstream.upstream import Shared, Upstream
from resolver.upstream.watch import DelegateWatch
from resolver.view.layers import Watcher
from resolver.view.view import View

logger = logging.getLogger(__name__)

# A view that is lost cannot answer what is in flight: its listeners close at once, other workers take the connections.
LOST_GRACE_S: Final = 0.0

# One of the workers looks after the nodes that prefixes are delegated to, for all of them.
FIRST_WORKER: Final = "worker-1"

MIB: Final = 1024 * 1024


class Worker:
    """One worker process (a `node.part.Part`)."""

    def __init__(self, assignment: Assignment, announce: Announce) -> None:
        clock, config, metrics = SystemClock(), assignment.config, build_metrics()
        self._announce = announce
        self._host = config.resolver.host
        self._clock = clock
        self._changed = asyncio.Event()
        tallies = Tallies()
        self._tally_file = TallyFile(tallies, config.node.data / places.TALLIES, assignment.name, clock)
        data = config.node.data
        self._readings = Readings(data / places.READINGS, data / places.READINGS_FULL, assignment.name, clock)
        self._upstream = build_upstream(config, clock, metrics)
        recursion = Recursion(config.upstream.networks, self._upstream.has_root)
        keeps_copies = recursion.serves_all_at(config.resolver.host)
        answers = AnswerCache(config.resolver.answer_cache_mib * MIB, keeps_copies, tallies=tallies)
        self._tally = Tally(metrics, also=(answers.report,))
        self._metrics = metrics = self._tally.metrics
        watcher = Watchers(answers, self._upstream)
        self._view = View(config.node.data, clock, metrics, lambda _: self._changed.set(), watcher)
        self._listeners = build_listeners(
            assignment, self._view, answers, self._upstream, recursion, clock, metrics, self._readings
        )
        self._watch = None
        if assignment.name == FIRST_WORKER:
            self._watch = DelegateWatch(self._view, self._upstream.servers, metrics)
        self._open: list[Listener] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(measure_loop_wait(self._metrics.loop_wait_seconds, self._clock))
            group.create_task(self._tally.run())
            group.create_task(self._tally_file.run())
            group.create_task(self._readings.run())
            group.create_task(self._upstream.run())
            if self._watch is not None:
                group.create_task(self._watch.run())
            group.create_task(self._view_lives())
            group.create_task(self._follow_readiness())

    async def stop(self, grace_s: float) -> None:
        await self._close(grace_s)
        await self._upstream.close()
        await self._view.close()
        self._tally.report()
        self._tally_file.close()
        self._readings.close()

    def describe(self) -> Mapping[str, Any]:
        code = {"code": compiled.summary()}
        return {"position": list(self._view.position)} | code if self._view.is_ready else code

    async def _view_lives(self) -> None:
        await self._view.open()
        await self._view.wait_failed()

    async def _follow_readiness(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._view.is_ready and not self._open:
                # What is there now stays: a full collection, which stops every answer, then looks only at what came since.
                gc.collect()
                gc.freeze()
                for listener, port in self._listeners:
                    self._open.append(listener)
                    await listener.open(self._host, port)
                self._announce(True)
            elif not self._view.is_ready and self._open:
                self._announce(False)
                await self._close(LOST_GRACE_S)

    async def _close(self, grace_s: float) -> None:
        closing, self._open = self._open, []
        await asyncio.gather(*(listener.close(grace_s) for listener in closing))


class Watchers:
    """Tells all who keep answers what is no longer as it was (`resolver.view.layers.Watcher`)."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def forget(self, records: Iterable[bytes]) -> None:
        for watcher in self._watchers:
            watcher.forget(records)

    def forget_all(self) -> None:
        for watcher in self._watchers:
            watcher.forget_all()


def build_upstream(config: Config, clock: Clock, metrics: Metrics) -> Upstream:
    """What asks other nodes, as configured."""
    section = config.upstream
    root = parse_servers(section.handle) if section.handle else ()
    terms = Terms(section.max_ttl_s, section.negative_ttl_s, section.stale_s)
    shared: Shared | None = None
    if config.redis.url:
        # Only here: a node without Redis shall not carry its client's 7 MB in every worker.
        from resolver.upstream.shared_copies import SharedCopies

        shared = SharedCopies(config.redis.url, ",".join(map(str, root)), terms, clock, metrics)
    limits = UpstreamLimits(total_s=section.timeout_s)
    return Upstream(root, section.cache_mib * MIB, terms, limits, clock, metrics, shared, section.inner_networks)


def build_listeners(
    assignment: Assignment,
    view: View,
    answers: AnswerCache,
    upstream: Upstream,
    recursion: Recursion,
    clock: Clock,
    metrics: Metrics,
    readings: Readings,
) -> Sequence[tuple[Listener, int]]:
    """The listeners that are not `off`, each with its port.

    Raises `EncryptionMistake`; files that were good when the node started are likely to be so again, and the worker with them.
    """
    resolve = build_chain(view, clock, metrics, upstream, recursion, answers.tallies, readings)
    resolve_many = resolve_together(resolve, view)
    ports = assignment.ports
    http_port = ports["resolver.http_port"]

    resolver = assignment.config.resolver
    zone = Zone(parse_written_name(resolver.dns_zone), tuple(map(parse_written_name, resolver.dns_servers)))

    def beside(protocol: str) -> Neighbours | None:
        if assignment.workers == 1:
            return None
        folder = assignment.config.node.data / places.RUN
        return Neighbours(folder, protocol, assignment.number - 1, assignment.workers, clock)

    site = partial(node_site, http_port=http_port)
    copied = upstream.show_each if upstream.has_root else no_copies
    plain = partial(PlainLookups, view, clock, metrics, tallies=answers.tallies, copied=copied, serves=recursion.serves)
    http = HttpListener(
        resolve,
        view,
        metrics,
        answers=answers,
        resolve_many=resolve_many,
        neighbours=beside(HttpListener.protocol),
        plain=plain(HttpListener.protocol),
    )
    handle = HandleListener(
        resolve, metrics, clock, site, answers=answers, plain=plain, neighbours=beside(HandleListener.protocol)
    )
    grpc = GrpcListener(
        resolve, metrics, clock, answers=answers, encryption=make_encryption(assignment.config), resolve_many=resolve_many,
        plain=plain(GrpcListener.protocol), neighbours=beside(GrpcListener.protocol),
    )  # fmt: skip
    every: Sequence[tuple[Listener, int | None]] = (
        (http, http_port),
        (handle, ports["resolver.handle_port"]),
        (grpc, ports["resolver.grpc_port"]),
        (DnsListener(resolve, view, metrics, clock, answers, zone, plain=plain), ports["resolver.dns_port"]),
    )
    return [(listener, port) for listener, port in every if port is not None]


if __name__ == "__main__":
    sys.exit(run_part(Worker))
