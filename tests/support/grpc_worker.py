"""The inside of a worker with an open gRPC listener: ours, or the oracle in its place."""

import ssl

from prometheus_client import CollectorRegistry

from node.metrics import build_metrics
from proto.errors import Reason
from proto.model.account import Role
from proto.model.prefix import PrefixState
from proto.model.record import State
from proto.model.value import PRIVATE, Value
from resolver.answer_cache import AnswerCache
from resolver.chain.order import build_chain
from resolver.chain.plain import PlainLookups
from resolver.chain.together import resolve_together
from resolver.listeners.grpc import SERVICE, GrpcListener
from resolver.listeners.grpc.limits import GrpcLimits
from resolver.listeners.listener import Listener
from tests.support.grpc_oracle import Oracle
from tests.support.reader import DictReader, StoppedClock

HOST = "127.0.0.1"
TOKEN = "bj_acme_secret"
RESOLVE = f"/{SERVICE}/Resolve"


class Worker:
    """A worker's inside: a reader, the chain, a listener and its counters. What it tells of itself, only ours tells."""

    def __init__(
        self, limits: GrpcLimits | None = None, *, is_oracle: bool = False, encryption: ssl.SSLContext | None = None
    ) -> None:
        self.registry = CollectorRegistry()
        self.metrics = build_metrics(self.registry)
        self.reader = DictReader()
        self.reader.put_prefix("88.118", registrant="")
        self.reader.put_prefix("88.118.9", PrefixState.SUSPENDED)
        self.reader.put_account("acme", TOKEN, Role.REGISTRANT, "ACME")
        self.reader.put_record(
            "88.118.1/Pump",
            Value(1, "URL", b"https://pump.example"),
            Value(2, "TITLE", "水泵".encode(), ttl=60),
            Value(900, "NOTE", b"secret", permissions=0x0C, audience=PRIVATE),
            registrant="ACME",
            aliases=("88.118.1/p-1",),
            version=4,
        )
        self.reader.put_record("88.118.1/gone", state=State.RETIRED, version=9)
        self.reader.put_record("88.118.1/held", Value(1, "URL", b"x"), state=State.SUSPENDED)
        self.clock = clock = StoppedClock()
        self.answers = AnswerCache()
        resolve = build_chain(self.reader, clock, self.metrics)
        plain = PlainLookups(self.reader, clock, self.metrics, GrpcListener.protocol)
        self.own = GrpcListener(
            resolve, self.metrics, clock, limits, self.answers, encryption, resolve_together(resolve, self.reader), plain
        )
        self.listener: Listener = Oracle(resolve, self.metrics) if is_oracle else self.own
        self.port = 0

    def refused(self, reason: Reason) -> float:
        return self.registry.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0.0

    def counted(self, name: str, **labels: str) -> float:
        """A figure of the metrics, without `biaojie_`."""
        return self.registry.get_sample_value(f"biaojie_{name}", labels) or 0.0

    @property
    def open_calls(self) -> int:
        """Calls that wait for their message or their answer."""
        return self.own.calls.open_calls

    @property
    def held_bytes(self) -> int:
        """Bytes of large messages, either way, that are accounted for."""
        return self.own.calls.held.total

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"
