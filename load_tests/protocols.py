"""The protocols that a worker is measured in, each with the half of a conversation that a generator needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from load_tests.generator.dns import DnsDatagrams
from load_tests.generator.expectation import Expectation
from load_tests.generator.handle import HandleDatagrams, HandleDialogue
from load_tests.generator.http import HttpDialogue
from load_tests.generator.http2 import GrpcDialogue
from load_tests.generator.loop import Dialogue, Lines, WrongAnswerError
from load_tests.records import MARK, name_of
from load_tests.workloads import uniform
from proto.v1 import resolver_pb2

# As many as the peers' own load generators are told to keep.
CONNECTIONS: Final = 32
BATCH: Final = 100
# Together as many identifiers as there are records.
BATCHES: Final = 10_000
RESOLVE: Final = "/biaojie.v1.Resolver/Resolve"
BATCH_RESOLVE: Final = "/biaojie.v1.Resolver/BatchResolve"


@dataclass(frozen=True, slots=True)
class Protocol:
    """How to ask a node: the configuration key of the port, and what one conversation is made of."""

    name: str
    port: str
    make: Callable[[Expectation], Dialogue]
    datagrams: bool = False

    def lines(self, port: int, expect: Expectation, connections: int = CONNECTIONS) -> Lines:
        return Lines(port, lambda: self.make(expect), connections, datagrams=self.datagrams)


def resolve_request(number: int) -> bytes:
    """A `ResolveRequest` for a record; field 1, a string of less than 128 bytes."""
    name = name_of(number).encode()
    return b"\x0a" + bytes((len(name),)) + name


def batches_of(records: int, seed: int, batches: int = BATCHES) -> list[bytes]:
    """`BatchResolve` requests for 100 records each, drawn uniformly."""
    numbers = uniform(records, seed)
    named = ([name_of(number) for number in islice(numbers, BATCH)] for _ in range(batches))
    return [resolver_pb2.BatchResolveRequest(identifiers=names).SerializeToString() for names in named]


def whole_batch(number: int, found: bool, content: bytes) -> None:
    """Expect a batch in which every record was found."""
    if not found or content.count(MARK) != BATCH:
        raise WrongAnswerError(f"batch {number}: {content.count(MARK)} of {BATCH} records were found")


def grpc_batches(requests: Sequence[bytes]) -> Protocol:
    """`BatchResolve`, asked with these requests in turn."""
    return Protocol(
        "gRPC batches", GRPC.port,
        lambda expect: GrpcDialogue(BATCH_RESOLVE, lambda number: requests[number % len(requests)], expect),
    )  # fmt: skip


HTTP: Final = Protocol("HTTP", "resolver.http_port", HttpDialogue)
GRPC: Final = Protocol("gRPC", "resolver.grpc_port", lambda expect: GrpcDialogue(RESOLVE, resolve_request, expect))
HANDLE: Final = Protocol("Handle TCP", "resolver.handle_port", HandleDialogue)
HANDLE_UDP: Final = Protocol("Handle UDP", "resolver.handle_port", HandleDatagrams, datagrams=True)
DNS: Final = Protocol("DNS", "resolver.dns_port", DnsDatagrams, datagrams=True)
PROTOCOLS: Final = (HTTP, GRPC, HANDLE, HANDLE_UDP, DNS)
