"""The resolver over gRPC, over real sockets, asked by stock clients."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client import CollectorRegistry

from node.client import grpc as client
from node.client.document import Outcome, Unanswered
from node.metrics import build_metrics
from proto.errors import Reason, Refusal
from proto.limits import MAX_MESSAGE_BYTES, MAX_RESOLVE_BATCH
from proto.model.account import Role
from proto.model.answer import Answer, Refused
from proto.model.change import Position
from proto.model.prefix import PrefixState
from proto.model.query import Query
from proto.model.record import State
from proto.model.value import PRIVATE, Value
from proto.v1 import model_pb2, resolver_pb2
from proto.v1.resolver_pb2 import BatchResolveRequest, ResolveRequest
from proto.v1.resolver_pb2_grpc import ResolverStub
from proto.wire.grpc.metadata import parse_failure
from resolver.chain.order import build_chain
from resolver.listeners import grpc as listener_module
from resolver.listeners.grpc import SERVICE, TRANSPORT_MESSAGE_BYTES, GrpcListener
from tests.support.reader import DictReader, StoppedClock

if TYPE_CHECKING:
    from proto.v1.resolver_pb2_grpc import ResolverAsyncStub

HOST = "127.0.0.1"
TOKEN = "bj_acme_secret"
RESOLVE = f"/{SERVICE}/Resolve"


class Node:
    """A worker's inside: a reader, the chain, a listener and its counters."""

    def __init__(self) -> None:
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
        self.listener = GrpcListener(build_chain(self.reader, StoppedClock(), self.metrics), self.metrics)
        self.port = 0

    def refused(self, reason: Reason) -> float:
        return self.registry.get_sample_value("biaojie_refused_total", {"reason": reason}) or 0.0

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node()
    node.port = await node.listener.open(HOST, 0)
    yield node
    await node.listener.close(0)


@pytest.fixture
async def channel(node: Node) -> AsyncIterator[aio.Channel]:
    async with aio.insecure_channel(node.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: aio.Channel) -> "ResolverAsyncStub":
    return ResolverStub(channel)


async def failure_of(call: Awaitable[object]) -> tuple[grpc.StatusCode, model_pb2.Failure]:
    """The status and the failure in the trailing metadata of a call that must fail."""
    with pytest.raises(aio.AioRpcError) as failed:
        await call
    trailing = pairs(failed.value.trailing_metadata())
    failure = parse_failure(trailing.items())
    assert failure is not None, failed.value
    assert trailing["biaojie-reason"] == failure.reason
    assert failure.code == failed.value.code().value[0]
    assert failure.detail == failed.value.details()
    return failed.value.code(), failure


def pairs(metadata: Iterable[tuple[str, str | bytes]]) -> dict[str, str | bytes]:
    return dict(tuple(metadata))


def call_raw(channel: aio.Channel, path: str, message: bytes) -> Awaitable[bytes]:
    method: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    return method(message)


def call_without_message(channel: aio.Channel) -> Awaitable[bytes]:
    method: aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(RESOLVE)
    return method(iter(()))


async def until(holds: Callable[[], bool], timeout_s: float = 5) -> None:
    """Poll until something holds."""
    for _ in range(int(timeout_s / 0.01)):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")


async def test_a_record_is_answered_with_its_public_values(stub: "ResolverAsyncStub") -> None:
    answer = await stub.Resolve(ResolveRequest(identifier="88.118.1/PUMP"))
    assert (answer.identifier, answer.state, answer.version) == ("88.118.1/Pump", model_pb2.STATE_ACTIVE, 4)
    assert answer.asked == "88.118.1/PUMP"
    assert [(value.index, value.type, value.data) for value in answer.values] == [
        (1, "URL", b"https://pump.example"),
        (2, "TITLE", "水泵".encode()),
    ]
    assert (answer.registrant, list(answer.aliases), answer.ttl_s) == ("ACME", ["88.118.1/p-1"], 60)
    assert answer.source == resolver_pb2.SOURCE_AUTHORITATIVE


async def test_an_alias_is_answered_with_the_record_s_own_identifier(stub: "ResolverAsyncStub") -> None:
    answer = await stub.Resolve(ResolveRequest(identifier="88.118.1/P-1", explain=True))
    assert (answer.identifier, answer.asked) == ("88.118.1/Pump", "88.118.1/P-1")
    assert any("alias" in line for line in answer.explanation)


@pytest.mark.parametrize(
    ("request_", "indexes"),
    [
        (ResolveRequest(indexes=[2]), [2]),
        (ResolveRequest(types=["url"]), [1]),
        (ResolveRequest(indexes=[2], types=["URL"]), [1, 2]),
        (ResolveRequest(indexes=[77]), []),
        (ResolveRequest(types=["NOTE"]), []),
    ],
)
async def test_filters_select_values(stub: "ResolverAsyncStub", request_: ResolveRequest, indexes: list[int]) -> None:
    request_.identifier = "88.118.1/Pump"
    answer = await stub.Resolve(request_)
    assert [value.index for value in answer.values] == indexes
    assert answer.version == 4


async def test_a_key_opens_the_own_registrant_s_values(stub: "ResolverAsyncStub") -> None:
    request = ResolveRequest(identifier="88.118.1/Pump", wants_private=True)
    answer = await stub.Resolve(request, metadata=(("authorization", f"Bearer {TOKEN}"),))
    assert [value.index for value in answer.values] == [1, 2, 900]


ANSWERS = [
    ("88.118.1/none", grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    ("88.118.1/gone", grpc.StatusCode.NOT_FOUND, "RETIRED"),
    ("88.118.1/held", grpc.StatusCode.FAILED_PRECONDITION, "SUSPENDED"),
    ("88.118.9/any", grpc.StatusCode.FAILED_PRECONDITION, "SUSPENDED"),
    ("20.500/x", grpc.StatusCode.NOT_FOUND, "NOT_HOMED"),
    ("", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_IDENTIFIER"),
    ("88.118.1/\x01", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_IDENTIFIER"),
]


@pytest.mark.parametrize(("identifier", "status", "reason"), ANSWERS)
async def test_what_is_not_found_ends_in_its_status(
    node: Node, stub: "ResolverAsyncStub", identifier: str, status: grpc.StatusCode, reason: str
) -> None:
    code, failure = await failure_of(stub.Resolve(ResolveRequest(identifier=identifier, explain=True)))
    assert (code, failure.reason) == (status, reason)
    assert failure.version == (9 if reason == "RETIRED" else 0)
    if reason in Reason.__members__ and reason not in ("NOT_FOUND", "RETIRED", "SUSPENDED"):
        assert node.refused(Reason[reason]) == 1


@pytest.mark.parametrize("authorization", ["Bearer bj_acme_wrong", "Bearer bj_nobody_x", "Basic dTpw"])
async def test_a_wrong_key_is_refused(node: Node, stub: "ResolverAsyncStub", authorization: str) -> None:
    call = stub.Resolve(ResolveRequest(identifier="88.118.1/Pump"), metadata=(("authorization", authorization),))
    code, failure = await failure_of(call)
    assert (code, failure.field) == (grpc.StatusCode.UNAUTHENTICATED, "authorization")
    assert node.refused(Reason.UNAUTHENTICATED) == 1


async def test_private_values_are_refused_to_those_who_insist(node: Node, stub: "ResolverAsyncStub") -> None:
    code, _ = await failure_of(stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", wants_private=True)))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    node.reader.put_account("city", "bj_city_k", Role.CITY)
    asked = ResolveRequest(identifier="88.118.1/Pump", wants_private=True)
    code, _ = await failure_of(stub.Resolve(asked, metadata=(("authorization", "Bearer bj_city_k"),)))
    assert code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_request_id_comes_back_and_is_made_if_there_is_none(stub: "ResolverAsyncStub") -> None:
    asked = ResolveRequest(identifier="88.118.1/Pump")
    call = stub.Resolve(asked, metadata=(("x-request-id", "abc-1"),))
    await call
    assert pairs(await call.trailing_metadata())["x-request-id"] == "abc-1"
    call = stub.Resolve(asked)
    await call
    assert len(str(pairs(await call.trailing_metadata())["x-request-id"])) == 32
    with pytest.raises(aio.AioRpcError) as failed:
        await stub.Resolve(ResolveRequest(identifier="88.118.1/none"), metadata=(("x-request-id", "abc-2"),))
    assert pairs(failed.value.trailing_metadata())["x-request-id"] == "abc-2"


async def test_after_waits_for_a_position(node: Node, stub: "ResolverAsyncStub") -> None:
    epoch, sequence = node.reader.position
    asked = ResolveRequest(identifier="88.118.1/new", after=Position(epoch, sequence + 1).to_cursor())
    call = asyncio.ensure_future(stub.Resolve(asked))
    await asyncio.sleep(0)
    node.reader.put_record("88.118.1/new", Value(1, "URL", b"x"))
    assert (await call).values[0].data == b"x"


async def test_a_cursor_of_somebody_else_is_refused(node: Node, stub: "ResolverAsyncStub") -> None:
    code, failure = await failure_of(stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", after="nonsense")))
    assert (code, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, "after")
    assert node.refused(Reason.INVALID_ARGUMENT) == 1


async def test_a_batch_has_one_result_for_each_identifier_in_order(node: Node, stub: "ResolverAsyncStub") -> None:
    identifiers = [identifier for identifier, _, _ in ANSWERS] + ["88.118.1/Pump"]
    reply = await stub.BatchResolve(BatchResolveRequest(identifiers=identifiers, indexes=[1]))
    assert [result.failure.reason for result in reply.results] == [reason for _, _, reason in ANSWERS] + [""]
    assert [result.failure.code for result in reply.results[:-1]] == [status.value[0] for _, status, _ in ANSWERS]
    assert reply.results[-1].answer.identifier == "88.118.1/Pump"
    assert [value.index for value in reply.results[-1].answer.values] == [1]
    assert node.refused(Reason.NOT_HOMED) == 1


async def test_a_full_batch_is_answered_and_a_longer_one_refused(node: Node, stub: "ResolverAsyncStub") -> None:
    names = [f"88.118.1/{number}" for number in range(MAX_RESOLVE_BATCH)]
    node.reader.put_record(names[-1], Value(1, "URL", b"last"))
    reply = await stub.BatchResolve(BatchResolveRequest(identifiers=names))
    assert len(reply.results) == MAX_RESOLVE_BATCH
    assert reply.results[-1].answer.values[0].data == b"last"
    code, failure = await failure_of(stub.BatchResolve(BatchResolveRequest(identifiers=[*names, "88.118.1/x"])))
    assert (code, failure.reason, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE", "identifiers")
    assert node.refused(Reason.BATCH_TOO_LARGE) == 1


async def test_a_batch_answer_never_outgrows_a_stock_client(node: Node, stub: "ResolverAsyncStub") -> None:
    node.reader.put_record("88.118.1/big", Value(1, "BLOB", bytes(200_000)))
    reply = await stub.BatchResolve(BatchResolveRequest(identifiers=["88.118.1/big"] * 40 + ["88.118.1/Pump"]))
    kinds = ["full" if result.failure.reason == "MESSAGE_TOO_LARGE" else "answer" for result in reply.results]
    assert kinds == ["answer"] * kinds.count("answer") + ["full"] * (40 - kinds.count("answer") + 1) or kinds[-1] == "answer"
    assert 15 < kinds.count("answer") < 40
    assert node.refused(Reason.MESSAGE_TOO_LARGE) == kinds.count("full")
    full = reply.results[kinds.index("full")].failure
    assert full.row == kinds.index("full")


async def test_a_batch_with_a_wrong_key_ends_as_a_whole(node: Node, stub: "ResolverAsyncStub") -> None:
    asked = BatchResolveRequest(identifiers=["88.118.1/Pump"] * 5)
    code, _ = await failure_of(stub.BatchResolve(asked, metadata=(("authorization", "Bearer bj_acme_x"),)))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert node.refused(Reason.UNAUTHENTICATED) == 1


BAD_MESSAGES = [
    (b"\x0a\x02\xff\xfe", grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_ENCODING),
    (b"\x0a\x7fab", grpc.StatusCode.INVALID_ARGUMENT, Reason.MALFORMED_MESSAGE),
    (b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, Reason.MALFORMED_MESSAGE),
    (bytes(MAX_MESSAGE_BYTES + 1), grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.MESSAGE_TOO_LARGE),
    (ResolveRequest(indexes=range(1, 3_000)).SerializeToString(), grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_ARGUMENT),
]


@pytest.mark.parametrize(("raw", "status", "reason"), BAD_MESSAGES, ids=lambda value: str(value)[:20])
async def test_a_bad_message_is_refused_by_name(
    node: Node, channel: aio.Channel, raw: bytes, status: grpc.StatusCode, reason: Reason
) -> None:
    code, failure = await failure_of(call_raw(channel, RESOLVE, raw))
    assert (code, failure.reason) == (status, reason.name)
    assert node.refused(reason) == 1


async def test_a_message_over_the_transport_s_limit_is_refused_and_counted(node: Node, channel: aio.Channel) -> None:
    with pytest.raises(aio.AioRpcError) as failed:
        await call_raw(channel, RESOLVE, bytes(TRANSPORT_MESSAGE_BYTES + 1))
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await until(lambda: node.refused(Reason.MALFORMED_MESSAGE) == 1)
    assert (await ResolverStub(channel).Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4


async def test_a_call_without_a_message_is_refused(node: Node, channel: aio.Channel) -> None:
    code, failure = await failure_of(call_without_message(channel))
    assert (code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert node.refused(Reason.MALFORMED_MESSAGE) == 1


@pytest.mark.parametrize("path", [f"/{SERVICE}/Register", "/biaojie.v1.Registry/Register", "/none"])
async def test_an_unknown_method_is_refused(node: Node, channel: aio.Channel, path: str) -> None:
    code, failure = await failure_of(call_raw(channel, path, b""))
    assert (code, failure.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED_OPERATION")
    assert node.refused(Reason.UNSUPPORTED_OPERATION) == 1


async def test_a_deadline_that_passes_is_counted_and_harms_nothing(node: Node, stub: "ResolverAsyncStub") -> None:
    far = Position(node.reader.position.epoch, node.reader.position.sequence + 100).to_cursor()
    with pytest.raises(aio.AioRpcError) as failed:
        await stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", after=far), timeout=0.2)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: node.refused(Reason.TIMEOUT) == 1)
    assert (await stub.Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4


async def test_a_failure_of_the_node_is_told_as_one(node: Node) -> None:
    def broken(query: Query) -> Answer:
        if query.identifier == "a/refused":
            return Refused(query.identifier, Refusal(Reason.STORE_FAILED, retry_after_s=2))
        raise ZeroDivisionError

    listener = GrpcListener(broken, node.metrics)
    port = await listener.open(HOST, 0)
    async with aio.insecure_channel(f"{HOST}:{port}") as channel:
        stub = ResolverStub(channel)
        code, failure = await failure_of(stub.Resolve(ResolveRequest(identifier="a/b")))
        assert (code, "division" in failure.detail) == (grpc.StatusCode.INTERNAL, False)
        code, failure = await failure_of(stub.Resolve(ResolveRequest(identifier="a/refused")))
        assert (code, failure.retry_after_s) == (grpc.StatusCode.UNAVAILABLE, 2)
    await listener.close(0)
    assert node.refused(Reason.INTERNAL) == 1


async def test_more_calls_than_the_limit_are_told_to_slow_down(
    node: Node, stub: "ResolverAsyncStub", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "MAX_CALLS", 2)
    far = Position(node.reader.position.epoch, node.reader.position.sequence + 1).to_cursor()
    asked = ResolveRequest(identifier="88.118.1/Pump", after=far)
    waiting = [asyncio.ensure_future(stub.Resolve(asked)) for _ in range(3)]
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = (call.exception() for call in done)
    assert isinstance(refused, aio.AioRpcError)
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert node.refused(Reason.OVERLOADED) == 1
    node.reader.put_record("88.118.1/other", Value(1, "URL", b"x"))
    assert [answer.version for answer in await asyncio.gather(*pending)] == [4, 4]


DOCUMENTS = [
    ("88.118.1/PUMP", "88.118.1/Pump", Outcome.FOUND, "active", 4),
    ("88.118.1/p-1", "88.118.1/Pump", Outcome.FOUND, "active", 4),
    ("88.118.1/none", "88.118.1/none", Outcome.NOT_FOUND, "", None),
    ("88.118.1/gone", "88.118.1/gone", Outcome.RETIRED, "retired", 9),
    ("88.118.1/held", "88.118.1/held", Outcome.SUSPENDED, "suspended", None),
    ("20.500/x", "20.500/x", Outcome.NOT_HOMED, "", None),
]


@pytest.mark.parametrize(("asked", "identifier", "outcome", "state", "version"), DOCUMENTS)
async def test_the_command_line_s_client_reads_every_answer(
    node: Node, asked: str, identifier: str, outcome: Outcome, state: str, version: int | None
) -> None:
    document = await client.resolve(asked, HOST, node.port, types=["URL"], explain=True)
    assert (document.identifier, document.outcome, document.state, document.version) == (identifier, outcome, state, version)
    assert (len(document.values) == 1) == (outcome is Outcome.FOUND)
    if document.values:
        assert document.values[0]["data"] == {"format": "string", "value": "https://pump.example"}
    assert bool(document.detail) == (outcome is not Outcome.FOUND)
    assert document.explanation


async def test_the_command_line_s_client_tells_refusal_from_silence(node: Node) -> None:
    document = await client.resolve("88.118.1/\x01", HOST, node.port)
    assert (document.outcome, document.reason) == (Outcome.REFUSED, "invalid_identifier")
    assert (await client.resolve("88.118.1/Pump", HOST, node.port, indexes=[9])).outcome is Outcome.VALUES_NOT_FOUND
    await node.listener.close(0)
    with pytest.raises(Unanswered):
        await client.resolve("88.118.1/Pump", HOST, node.port, timeout_s=2)


async def test_a_synchronous_client_is_answered(node: Node) -> None:
    def ask() -> tuple[int, str]:
        with grpc.insecure_channel(node.address) as channel:
            stub = ResolverStub(channel)
            version = stub.Resolve(ResolveRequest(identifier="88.118.1/Pump"), timeout=5).version
            try:
                stub.Resolve(ResolveRequest(identifier="88.118.1/gone"), timeout=5)
            except grpc.RpcError as error:
                return version, str(pairs((datum.key, datum.value) for datum in error.trailing_metadata())["biaojie-reason"])
        return version, ""

    assert await asyncio.to_thread(ask) == (4, "RETIRED")


async def test_health_is_served_and_ends_with_the_listener(node: Node, channel: aio.Channel) -> None:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    closing = asyncio.create_task(node.listener.close(30))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    await asyncio.wait_for(closing, 10)


async def test_reflection_describes_the_service(node: Node) -> None:
    def describe() -> tuple[set[str], list[str]]:
        with grpc.insecure_channel(node.address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            service = descriptor_pool.DescriptorPool(database).FindServiceByName(SERVICE)
            return set(database.get_services()), sorted(service.methods_by_name)

    services, methods = await asyncio.to_thread(describe)
    assert {SERVICE, "grpc.health.v1.Health"} <= services
    assert methods == ["BatchResolve", "Resolve"]


async def test_every_method_of_the_contract_is_served(channel: aio.Channel) -> None:
    for method in resolver_pb2.DESCRIPTOR.services_by_name["Resolver"].methods:
        with contextlib.suppress(aio.AioRpcError):
            await call_raw(channel, f"/{SERVICE}/{method.name}", b"")
            continue
        code, _ = await failure_of(call_raw(channel, f"/{SERVICE}/{method.name}", b""))
        assert code is not grpc.StatusCode.UNIMPLEMENTED


async def test_closing_lets_a_call_in_flight_finish(node: Node, stub: "ResolverAsyncStub") -> None:
    far = Position(node.reader.position.epoch, node.reader.position.sequence + 1).to_cursor()
    call = asyncio.ensure_future(stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", after=far)))
    await until(lambda: bool(node.listener._calls))
    closing = asyncio.create_task(node.listener.close(30))
    await asyncio.sleep(0.05)
    assert not call.done()
    node.reader.put_record("88.118.1/other", Value(1, "URL", b"x"))
    assert (await call).version == 4
    await asyncio.wait_for(closing, 10)


async def test_a_listener_opens_again_after_it_was_closed_and_shares_its_port(node: Node) -> None:
    port = node.port
    other = Node()
    assert await other.listener.open(HOST, port) == port
    await node.listener.close(0)
    async with aio.insecure_channel(f"{HOST}:{port}") as channel:
        assert (await ResolverStub(channel).Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4
    await other.listener.close(0)
    assert await node.listener.open(HOST, port) == port
    async with aio.insecure_channel(f"{HOST}:{port}") as channel:
        assert (await ResolverStub(channel).Resolve(ResolveRequest(identifier="88.118.1/Pump"))).version == 4


async def test_an_address_that_cannot_be_had_is_an_os_error(node: Node) -> None:
    with pytest.raises(OSError, match="cannot listen"):
        await Node().listener.open("192.0.2.1", 0)
