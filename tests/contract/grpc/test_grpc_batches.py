"""Batches of any length and listings over gRPC."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc import aio

from proto.errors import Reason
from proto.limits import MAX_BATCH_ROWS
from proto.v1 import model_pb2, registry_pb2
from proto.v1.registry_pb2 import (
    BatchRegisterRequest,
    Draft,
    GetIdentifierRequest,
    ListIdentifiersRequest,
)
from tests.support.control_plane import ACME
from tests.support.grpc_calls import (
    bearer,
    failure_of,
    read_failure,
)
from tests.support.grpc_door import Served, draft, url

if TYPE_CHECKING:
    pass

Status = grpc.StatusCode


async def batch(
    node: Served, chunks: list[list[Draft]], metadata: tuple[tuple[str, str], ...] | None = None, **more: Any
) -> list[registry_pb2.BatchRegisterResponse]:
    requests = [BatchRegisterRequest(drafts=drafts, **more) for drafts in chunks]
    call = node.stub.BatchRegister(iter(requests), metadata=metadata or bearer(node.acme))
    return [reply async for reply in call]


async def next_of(
    call: aio.StreamStreamCall[BatchRegisterRequest, registry_pb2.BatchRegisterResponse],
) -> registry_pb2.BatchRegisterResponse:
    reply = await call.read()
    assert isinstance(reply, registry_pb2.BatchRegisterResponse)
    return reply


async def test_five_thousand_rows_come_through_in_chunks_and_each_has_its_result(node: Served) -> None:
    rows = [draft(f"n-{number}", url(str(number))) for number in range(5_000)]
    wrong = {17: Reason.INVALID_VALUE, 1_999: Reason.DUPLICATE_INDEX, 2_000: Reason.INVALID_IDENTIFIER, 4_999: Reason.NOT_HOMED}
    rows[17] = draft("n-17", model_pb2.Value(index=1, type="URL", permissions=12, audience="public"))
    rows[1_999] = draft("n-1999", url("a"), url("b"))
    rows[2_000] = Draft(identifier=f"{ACME}/\x00", values=[url("x")])
    rows[4_999] = Draft(identifier="20.500/n", values=[url("x")])
    chunks = [rows[:1], rows[1:2_000], rows[2_000:4_000], rows[4_000:]]
    replies = await batch(node, chunks)
    assert [len(reply.results) for reply in replies] == [len(chunk) for chunk in chunks]
    results = [result for reply in replies for result in reply.results]
    assert [result.row for result in results] == list(range(5_000))
    assert [result.identifier for result in results] == [row.identifier for row in rows]
    refused = {result.row: result.failure.reason for result in results if result.outcome == registry_pb2.OUTCOME_REFUSED}
    assert refused == {row: reason.name for row, reason in wrong.items()}
    assert all(result.version == 1 for result in results if result.row not in wrong)
    assert [result.failure.row for result in results if result.row in wrong] == sorted(wrong)
    for reason in wrong.values():
        assert node.refused(reason) == 1

    listed = node.stub.ListIdentifiers(ListIdentifiersRequest(prefix=ACME), metadata=bearer(node.acme))
    names = [record.identifier async for part in listed for record in part.records]
    assert names == sorted(row.identifier for number, row in enumerate(rows) if number not in wrong)


async def test_a_batch_that_is_sent_again_under_its_key_is_written_once(node: Served) -> None:
    chunks = [[draft("a"), draft("b")], [draft("c")]]
    keyed = bearer(node.acme, ("idempotency-key", "job-1"))
    first = await batch(node, chunks, keyed)
    head = node.view.position
    again = await batch(node, [*chunks, [draft("d")]], keyed)
    assert [reply.replayed for reply in again] == [True, True, False]
    assert [reply.position for reply in again[:2]] == [reply.position for reply in first]
    assert again[2].results[0].row == 3
    assert node.view.position.sequence == head.sequence + 1


async def test_what_was_answered_stays_when_a_batch_breaks_off(node: Served) -> None:
    too_long = BatchRegisterRequest(drafts=[draft(str(number)) for number in range(MAX_BATCH_ROWS + 1)])
    requests = [BatchRegisterRequest(drafts=[draft("a")]), too_long]
    call = node.stub.BatchRegister(iter(requests), metadata=bearer(node.acme))
    assert [result.version for result in (await next_of(call)).results] == [1]
    with pytest.raises(aio.AioRpcError) as failed:
        await call.read()
    code, failure = read_failure(failed.value)
    assert (code, failure.reason, failure.field) == (Status.INVALID_ARGUMENT, "BATCH_TOO_LARGE", "drafts")
    record = await node.stub.GetIdentifier(GetIdentifierRequest(identifier=f"{ACME}/a"), metadata=bearer(node.acme))
    assert record.version == 1


async def test_an_atomic_chunk_is_written_whole_or_not_at_all(node: Served) -> None:
    requests = [
        BatchRegisterRequest(drafts=[draft("a"), draft("b")], mode=registry_pb2.MODE_ATOMIC),
        BatchRegisterRequest(drafts=[draft("c"), draft("d", url("x"), url("y"))], mode=registry_pb2.MODE_ATOMIC),
    ]
    call = node.stub.BatchRegister(iter(requests), metadata=bearer(node.acme))
    assert len((await next_of(call)).results) == 2
    with pytest.raises(aio.AioRpcError) as failed:
        await call.read()
    _, failure = read_failure(failed.value)
    assert (failure.reason, failure.row) == ("DUPLICATE_INDEX", 3)
    code, _ = await failure_of(
        node.stub.GetIdentifier(GetIdentifierRequest(identifier=f"{ACME}/c"), metadata=bearer(node.acme))
    )
    assert code is Status.NOT_FOUND


async def test_a_rehearsal_writes_nothing(node: Served) -> None:
    head = node.view.position
    (reply,) = await batch(node, [[draft("a")]], mode=registry_pb2.MODE_REHEARSAL)
    assert reply.results[0].outcome == registry_pb2.OUTCOME_CREATED
    assert node.view.position == head
    with pytest.raises(aio.AioRpcError) as failed:
        await batch(node, [[draft("a")]], mode=9)
    assert read_failure(failed.value)[1].field == "mode"


async def test_a_listing_stops_at_its_limit_and_goes_on_from_its_cursor(node: Served) -> None:
    names = [f"{ACME}/n-{number:03}" for number in range(250)]
    await batch(node, [[draft(name.partition("/")[2]) for name in names]])
    call = node.stub.ListIdentifiers(ListIdentifiersRequest(prefix=ACME, limit=120), metadata=bearer(node.acme))
    parts = [part async for part in call]
    assert [record.identifier for part in parts for record in part.records] == names[:120]
    call = node.stub.ListIdentifiers(ListIdentifiersRequest(prefix=ACME, after=parts[-1].cursor), metadata=bearer(node.acme))
    assert [record.identifier async for part in call for record in part.records] == names[120:]


async def test_a_listing_of_large_records_fits_a_stock_client(node: Served) -> None:
    large = [draft(f"big-{number:02}", url("x" * 250_000)) for number in range(24)]
    await batch(node, [large[:12], large[12:]])
    call = node.stub.ListIdentifiers(ListIdentifiersRequest(prefix=ACME), metadata=bearer(node.acme))
    names = [record.identifier async for part in call for record in part.records]
    assert names == [row.identifier for row in large]


async def test_a_batch_ends_at_its_next_pause_when_the_node_drains(node: Served) -> None:
    async def requests() -> AsyncIterator[BatchRegisterRequest]:
        yield BatchRegisterRequest(drafts=[draft("a")])
        await asyncio.Event().wait()

    call = node.stub.BatchRegister(requests(), metadata=bearer(node.acme))
    assert (await next_of(call)).results[0].version == 1
    closing = asyncio.create_task(node.door.close(30))
    with pytest.raises(aio.AioRpcError) as failed:
        await call.read()
    code, failure = read_failure(failed.value)
    assert (code, failure.reason) == (Status.UNAVAILABLE, "NOT_READY")
    await asyncio.wait_for(closing, 10)
