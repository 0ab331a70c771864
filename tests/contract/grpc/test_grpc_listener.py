"""The resolver over gRPC, over real sockets, asked by stock clients."""

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc import aio

from proto.errors import Reason
from proto.limits import MAX_RESOLVE_BATCH
from proto.model.account import Role
from proto.model.change import Position
from proto.model.value import Value
from proto.v1 import model_pb2, resolver_pb2
from proto.v1.resolver_pb2 import BatchResolveRequest, ResolveRequest
from tests.support.grpc_calls import failure_of, pairs
from tests.support.grpc_worker import TOKEN, Worker

if TYPE_CHECKING:
    from proto.v1.resolver_pb2_grpc import ResolverAsyncStub

pytestmark = pytest.mark.parametrize("server", ["own", "oracle"])


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
    worker: Worker, stub: "ResolverAsyncStub", identifier: str, status: grpc.StatusCode, reason: str
) -> None:
    code, failure = await failure_of(stub.Resolve(ResolveRequest(identifier=identifier, explain=True)))
    assert (code, failure.reason) == (status, reason)
    assert failure.version == (9 if reason == "RETIRED" else 0)
    if reason in Reason.__members__ and reason not in ("NOT_FOUND", "RETIRED", "SUSPENDED"):
        assert worker.refused(Reason[reason]) == 1


@pytest.mark.parametrize("authorization", ["Bearer bj_acme_wrong", "Bearer bj_nobody_x", "Basic dTpw"])
async def test_a_wrong_key_is_refused(worker: Worker, stub: "ResolverAsyncStub", authorization: str) -> None:
    call = stub.Resolve(ResolveRequest(identifier="88.118.1/Pump"), metadata=(("authorization", authorization),))
    code, failure = await failure_of(call)
    assert (code, failure.field) == (grpc.StatusCode.UNAUTHENTICATED, "authorization")
    assert worker.refused(Reason.UNAUTHENTICATED) == 1


async def test_private_values_are_refused_to_those_who_insist(worker: Worker, stub: "ResolverAsyncStub") -> None:
    code, _ = await failure_of(stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", wants_private=True)))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    worker.reader.put_account("city", "bj_city_k", Role.CITY)
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


async def test_after_waits_for_a_position(worker: Worker, stub: "ResolverAsyncStub") -> None:
    epoch, sequence = worker.reader.position
    asked = ResolveRequest(identifier="88.118.1/new", after=Position(epoch, sequence + 1).to_cursor())
    call = asyncio.ensure_future(stub.Resolve(asked))
    await asyncio.sleep(0)
    worker.reader.put_record("88.118.1/new", Value(1, "URL", b"x"))
    assert (await call).values[0].data == b"x"


async def test_a_cursor_of_somebody_else_is_refused(worker: Worker, stub: "ResolverAsyncStub") -> None:
    code, failure = await failure_of(stub.Resolve(ResolveRequest(identifier="88.118.1/Pump", after="nonsense")))
    assert (code, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, "after")
    assert worker.refused(Reason.INVALID_ARGUMENT) == 1


async def test_a_batch_has_one_result_for_each_identifier_in_order(worker: Worker, stub: "ResolverAsyncStub") -> None:
    identifiers = [identifier for identifier, _, _ in ANSWERS] + ["88.118.1/Pump"]
    reply = await stub.BatchResolve(BatchResolveRequest(identifiers=identifiers, indexes=[1]))
    assert [result.failure.reason for result in reply.results] == [reason for _, _, reason in ANSWERS] + [""]
    assert [result.failure.code for result in reply.results[:-1]] == [status.value[0] for _, status, _ in ANSWERS]
    assert reply.results[-1].answer.identifier == "88.118.1/Pump"
    assert [value.index for value in reply.results[-1].answer.values] == [1]
    assert worker.refused(Reason.NOT_HOMED) == 1


async def test_a_full_batch_is_answered_and_a_longer_one_refused(worker: Worker, stub: "ResolverAsyncStub") -> None:
    names = [f"88.118.1/{number}" for number in range(MAX_RESOLVE_BATCH)]
    worker.reader.put_record(names[-1], Value(1, "URL", b"last"))
    reply = await stub.BatchResolve(BatchResolveRequest(identifiers=names))
    assert len(reply.results) == MAX_RESOLVE_BATCH
    assert reply.results[-1].answer.values[0].data == b"last"
    code, failure = await failure_of(stub.BatchResolve(BatchResolveRequest(identifiers=[*names, "88.118.1/x"])))
    assert (code, failure.reason, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE", "identifiers")
    assert worker.refused(Reason.BATCH_TOO_LARGE) == 1


async def test_a_batch_answer_never_outgrows_a_stock_client(worker: Worker, stub: "ResolverAsyncStub") -> None:
    worker.reader.put_record("88.118.1/big", Value(1, "BLOB", bytes(200_000)))
    reply = await stub.BatchResolve(BatchResolveRequest(identifiers=["88.118.1/big"] * 40 + ["88.118.1/Pump"]))
    kinds = ["full" if result.failure.reason == "MESSAGE_TOO_LARGE" else "answer" for result in reply.results]
    assert kinds == ["answer"] * kinds.count("answer") + ["full"] * (40 - kinds.count("answer") + 1) or kinds[-1] == "answer"
    assert 15 < kinds.count("answer") < 40
    assert worker.refused(Reason.MESSAGE_TOO_LARGE) == kinds.count("full")
    full = reply.results[kinds.index("full")].failure
    assert full.row == kinds.index("full")


async def test_a_batch_with_a_wrong_key_ends_as_a_whole(worker: Worker, stub: "ResolverAsyncStub") -> None:
    asked = BatchResolveRequest(identifiers=["88.118.1/Pump"] * 5)
    code, _ = await failure_of(stub.BatchResolve(asked, metadata=(("authorization", "Bearer bj_acme_x"),)))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert worker.refused(Reason.UNAUTHENTICATED) == 1
