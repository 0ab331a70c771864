"""`biaojie serve`: the parent of the process tree. It starts, watches, restarts and drains; it serves nobody's identifiers.

Small on purpose: it imports neither gRPC nor RocksDB nor uvloop, so it can hardly fail, and it costs little memory. Workers
start beside the registry, import what they need, and begin as soon as the registry is ready or has shown that it cannot be
(a worker needs files only, and answers without a registry).
"""

import asyncio
import logging
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from node.child import Child, Program
from node.config import Config, value_of
from node.control import Assignment
from node.folder import DataFolder
from node.observe import Observatory
from node.reservations import Reservations
from node.sealing import without_keys

logger = logging.getLogger(__name__)

REGISTRY: Final = "registry"
WORKER: Final = "worker"
ADAPTERS: Final = "adapters"

# How long workers wait for a registry that neither becomes ready nor ends: a store that takes long to open.
REGISTRY_FIRST_S: Final = 10.0
# How often children are looked at for having fallen silent.
WATCH_S: Final = 5.0
# Every connection is a descriptor; the soft limit of most systems is 1,024.
MAX_DESCRIPTORS: Final = 1 << 20

Programs = Mapping[str, str]
"""The module of each kind of child."""
PROGRAMS: Final[Programs] = {REGISTRY: "node.registry", WORKER: "node.worker", ADAPTERS: "node.adapters"}


class Supervisor:
    """One node. The folder is locked, the ports are reserved, and the environment names the folder of metrics already."""

    def __init__(
        self,
        config: Config,
        folder: DataFolder,
        reservations: Reservations,
        *,
        sample: bool = False,
        programs: Programs = PROGRAMS,
        on_ready: Callable[["Supervisor"], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.folder = folder
        self.sample = sample
        self._programs = programs
        self._on_ready = on_ready
        self._was_ready = False
        self._reservations = reservations
        self._observatory = Observatory(self.describe)
        self._children: dict[str, Child] = {}
        self._stopping = asyncio.Event()
        self._signals = 0
        self._failed = False
        self._started = time.monotonic()

    @property
    def ports(self) -> Mapping[str, int | None]:
        """The ports of this node by their configuration keys."""
        return self._reservations.ports

    @property
    def is_ready(self) -> bool:
        """Whether registrations are taken and identifiers resolved."""
        workers = [child for name, child in self._children.items() if _kind_of(name) == WORKER]
        return self._children[REGISTRY].is_ready and any(worker.is_ready for worker in workers)

    def describe(self) -> dict[str, Any]:
        """What `/status` tells."""
        node = self.config.node
        return {
            "ready": bool(self._children) and self.is_ready and not self._stopping.is_set(),
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._started, 1),
            "data": str(self.folder.path),
            "role": node.role,
            "kind": node.kind,
            "ports": dict(self.ports),
            "processes": [describe_child(child) for child in self._children.values()],
        }

    async def run(self) -> int:
        """Serve until told to stop. Returns the exit status."""
        _allow_many_connections()
        self._install_signals()
        try:
            await self._observe()
            self._make_children()
            self.folder.write_ports(self._ports_document())
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(child.keep(self._observatory.forget)) for child in self._children.values()]
                others = [group.create_task(self._begin_work()), group.create_task(self._watch())]
                await self._stopping.wait()
                await self._drain(keepers)
                for task in others:
                    task.cancel()
        finally:
            await self._observatory.close()
            self.folder.forget_ports()
        return 1 if self._failed else 0

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._told_to_stop, number)

    def _told_to_stop(self, number: signal.Signals) -> None:
        self._signals += 1
        logger.info("told to stop", extra={"signal": number.name})
        self._stopping.set()
        if self._signals > 1:
            for child in self._children.values():
                child.kill()

    async def _observe(self) -> None:
        port = self.ports["node.metrics_port"]
        if port is not None:
            await self._observatory.open(self.config.node.host, port)

    def _make_children(self) -> None:
        descriptors = (self.folder.lock,)
        workers = [f"{WORKER}-{number}" for number in range(1, self._worker_count() + 1)]
        adapters = [ADAPTERS] if self.config.adapters else []
        for name in (REGISTRY, *workers, *adapters):
            program = Program(self._programs[_kind_of(name)], descriptors)
            config = config_for(name, self.config)
            assignment = Assignment(name, config, self.ports, self.sample, self._worker_count())
            self._children[name] = Child(program, assignment, self._changed)

    def _worker_count(self) -> int:
        return self.config.resolver.workers or len(os.sched_getaffinity(0))

    def _ports_document(self) -> dict[str, Any]:
        places = [*(f"{section}.host" for section in _SECTIONS), "resolver.dns_zone"]
        return dict(self.ports) | {key: value_of(self.config, key) for key in places}

    async def _begin_work(self) -> None:
        registry = self._children[REGISTRY]
        registry.go()
        try:
            await asyncio.wait_for(registry.settled.wait(), REGISTRY_FIRST_S)
        except TimeoutError:
            logger.warning("the registry is not ready yet; workers begin with what is there")
        for child in self._children.values():
            if child is not registry:
                child.go()

    def _changed(self, child: Child) -> None:
        is_vital = _kind_of(child.name) != ADAPTERS
        if child.refusal is not None and is_vital and not child.was_ready and not self._stopping.is_set():
            # It never came up with this data, and will not: say so and end, instead of trying for ever. Adapters that
            # cannot begin are their own trouble alone.
            self._failed = True
            self._stopping.set()
        if child.pid is None and not self._stopping.is_set():
            self._observatory.metrics.process_restarts.labels(_kind_of(child.name)).inc()
        if self.is_ready and not self._was_ready:
            self._was_ready = True
            self._on_ready(self)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            for child in self._children.values():
                if child.is_silent():
                    logger.error("killing a child that has fallen silent", extra={"child": child.name})
                    child.kill()

    async def _drain(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        for child in self._children.values():
            child.stop()
        _, late = await asyncio.wait(keepers, timeout=self.config.node.drain_s)
        if late:
            logger.error("killing children that did not finish in time", extra={"children": len(late)})
            for child in self._children.values():
                child.kill()
            await asyncio.wait(late)


_SECTIONS: Final = ("resolver", "registry", "node")


def config_for(name: str, config: Config) -> Config:
    """What a child is told of the configuration: the keys of seals are for the registry alone."""
    return config if name == REGISTRY else without_keys(config)


def _kind_of(name: str) -> str:
    return name.partition("-")[0]


def describe_child(child: Child) -> dict[str, Any]:
    """What `/status` tells of a process. What it tells of its own may be called as a feed is, which takes no fact's place."""
    facts = {
        "name": child.name,
        "state": child.state,
        "pid": child.pid,
        "restarts": child.restarts,
        "uptime_s": round(child.uptime_s, 1),
        "refusal": child.refusal,
    }
    return facts | {f"{child.name} {key}" if key in facts else key: detail for key, detail in child.details.items()}


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
