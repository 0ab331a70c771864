"""Following changes over gRPC: every change once, in order, from any cursor, however often the connection is cut."""

import asyncio
import random
from types import ModuleType
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc import aio

from proto.errors import Reason
from proto.model.change import START, Position, parse_cursor
from proto.v1 import model_pb2
from proto.v1.changes_pb2 import Change, ChangedRow, FollowRequest, FollowResponse
from proto.v1.changes_pb2_grpc import ChangesStub
from proto.v1.registry_pb2 import AccountWrite, BatchRegisterRequest, IdentifierWrite
from registry.doors.grpc import calls, follow
from tests.support.control_plane import ACME
from tests.support.grpc_calls import Proxy, bearer, read_failure
from tests.support.grpc_door import HOST, Served, draft, register, url

if TYPE_CHECKING:
    from proto.v1.changes_pb2_grpc import ChangesAsyncStub

FollowCall = aio.UnaryStreamCall[FollowRequest, FollowResponse]


@pytest.fixture
def changes(node: Served) -> "ChangesAsyncStub":
    return ChangesStub(node.channel)


async def next_of(call: FollowCall) -> FollowResponse:
    async with asyncio.timeout(20):
        response = await call.read()
    assert isinstance(response, FollowResponse)
    return response


async def changes_until(call: FollowCall, end: Position) -> list[Change]:
    """The changes of a stream, put together from their parts, up to a position."""
    found: list[Change] = []
    unfinished: Change | None = None
    while True:
        response = await next_of(call)
        if response.HasField("change"):
            if unfinished is None:
                found.append(response.change)
            else:
                unfinished.rows.extend(response.change.rows)
            unfinished = found[-1] if response.more else None
        if parse_cursor(response.cursor) >= end and not response.more:
            return found


def records_of(change: Change) -> list[ChangedRow]:
    """The rows that are identifiers (a prefix's first registration changes the prefix too)."""
    return [row for row in change.rows if row.HasField("record")]


def positions(found: list[Change]) -> list[Position]:
    return [Position(change.epoch, change.sequence) for change in found]


async def test_the_stream_begins_at_the_start_and_goes_on_with_what_is_committed(
    node: Served, changes: "ChangesAsyncStub"
) -> None:
    call = changes.Follow(FollowRequest(), metadata=bearer(node.operator, ("x-request-id", "f-1")))
    assert ("x-request-id", "f-1") in tuple(await call.initial_metadata())
    past = await changes_until(call, node.view.position)
    assert positions(past) == [Position(1, sequence) for sequence in range(1, node.view.position.sequence + 1)]
    kinds = [row.WhichOneof("image") for change in past for row in change.rows]
    assert set(kinds) == {"prefix", "account", "registrant"}

    written = await register(node, "New", url("https://new.example"), aliases=[f"{ACME}/alias"])
    response = await next_of(call)
    assert response.cursor == written.position
    (row,) = records_of(response.change)
    assert (response.change.actor, row.name, row.version, row.prior_version) == ("acme", f"{ACME}/new", 1, 0)
    assert (row.record.identifier, row.record.values[0].data) == (f"{ACME}/New", b"https://new.example")
    assert row.prior_state == model_pb2.STATE_UNSPECIFIED

    await node.stub.Suspend(IdentifierWrite(identifier=f"{ACME}/New"), metadata=bearer(node.acme))
    (row,) = records_of((await next_of(call)).change)
    assert (row.record.state, row.prior_state, row.prior_version) == (model_pb2.STATE_SUSPENDED, model_pb2.STATE_ACTIVE, 1)


async def test_each_sees_what_is_open_to_it(node: Served, changes: "ChangesAsyncStub") -> None:
    private = model_pb2.Value(index=900, type="NOTE", data=b"secret", audience="private")
    await register(node, "a", url("https://a.example"), private)
    head = node.view.position
    seen = {}
    for name, token in (("operator", node.operator), ("acme", node.acme), ("city", node.city)):
        call = changes.Follow(FollowRequest(prefix=ACME), metadata=bearer(token))
        seen[name] = [change for change in await changes_until(call, head) if records_of(change)]
        call.cancel()
    indexes = {name: [value.index for value in records_of(found[0])[0].record.values] for name, found in seen.items()}
    assert indexes == {"operator": [1, 900], "acme": [1, 900], "city": [1]}
    assert (seen["acme"][0].actor, seen["city"][0].actor) == ("acme", "")


async def test_a_follower_of_little_is_told_how_far_the_stream_is(
    node: Served, changes: "ChangesAsyncStub", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "HEARTBEAT_S", 0.05)
    start = node.view.position.to_cursor()
    await register(node, "a")
    call = changes.Follow(FollowRequest(after=start, prefix="88.118.7"), metadata=bearer(node.operator))
    first, second = await next_of(call), await next_of(call)
    assert not first.HasField("change")
    assert parse_cursor(first.cursor) == node.view.position
    assert second.cursor == first.cursor


async def test_the_stream_resumes_from_every_cursor(node: Served, changes: "ChangesAsyncStub") -> None:
    for number in range(12):
        await register(node, f"n-{number}")
    head = node.view.position
    me = bearer(node.operator)
    whole = positions(await changes_until(changes.Follow(FollowRequest(), metadata=me), head))
    for place, position in enumerate(whole[:-1]):
        call = changes.Follow(FollowRequest(after=position.to_cursor()), metadata=me)
        assert positions(await changes_until(call, head)) == whole[place + 1 :]
        call.cancel()


async def test_a_follower_that_is_cut_again_and_again_sees_each_change_once_in_order(node: Served) -> None:
    chance = random.Random(7)
    writer = asyncio.create_task(write_many(node, 150))
    seen: list[Position] = []
    cursor, cuts = START.to_cursor(), 0
    while not (writer.done() and seen and seen[-1] == node.view.position):
        async with Proxy(node.port) as port, aio.insecure_channel(f"{HOST}:{port}") as channel:
            call = ChangesStub(channel).Follow(FollowRequest(after=cursor), metadata=bearer(node.operator))
            for _ in range(chance.randrange(1, 30)):
                response = await next_of(call)
                if response.HasField("change"):
                    seen.append(Position(response.change.epoch, response.change.sequence))
                cursor = response.cursor
                if writer.done() and seen[-1] == node.view.position:
                    break
        cuts += 1
    assert cuts > 3
    assert seen == [Position(1, sequence) for sequence in range(1, node.view.position.sequence + 1)]


async def write_many(node: Served, count: int) -> None:
    for number in range(count):
        await register(node, f"w-{number}")


async def test_a_change_too_large_for_one_message_comes_in_parts(node: Served, changes: "ChangesAsyncStub") -> None:
    before = node.view.position
    rows = [draft(f"big-{number}", url("x" * 240_000)) for number in range(16)]
    async for _ in node.stub.BatchRegister(iter([BatchRegisterRequest(drafts=rows)]), metadata=bearer(node.acme)):
        pass
    me = bearer(node.operator)
    call = changes.Follow(FollowRequest(after=before.to_cursor()), metadata=me)
    first = await next_of(call)
    assert first.more
    assert parse_cursor(first.cursor) == before
    # Cut in the middle of the parts, it begins with the whole change again.
    call.cancel()
    (change,) = await changes_until(changes.Follow(FollowRequest(after=first.cursor), metadata=me), node.view.position)
    assert [row.record.identifier for row in records_of(change)] == [row.identifier for row in rows]


async def test_a_follower_that_does_not_read_holds_nobody_up(node: Served, changes: "ChangesAsyncStub") -> None:
    large = url("x" * 200_000)
    call = changes.Follow(FollowRequest(after=node.view.position.to_cursor()), metadata=bearer(node.operator))
    await call.initial_metadata()
    for number in range(40):
        await register(node, f"l-{number}", large)
    await asyncio.wait_for(node.door.close(60), 20)


@pytest.mark.parametrize(
    ("after", "prefix", "field"),
    [("nonsense", "", "after"), (Position(1, 9_999).to_cursor(), "", "after"), ("", "no prefix", "prefix")],
)
async def test_a_stream_from_nowhere_is_refused(
    node: Served, changes: "ChangesAsyncStub", after: str, prefix: str, field: str
) -> None:
    call = changes.Follow(FollowRequest(after=after, prefix=prefix), metadata=bearer(node.operator))
    with pytest.raises(aio.AioRpcError) as failed:
        await call.read()
    code, failure = read_failure(failed.value)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.field in (field, "identifier")


async def test_a_key_is_needed_to_follow_and_is_asked_for_again_and_again(node: Served, changes: "ChangesAsyncStub") -> None:
    with pytest.raises(aio.AioRpcError) as failed:
        await changes.Follow(FollowRequest()).read()
    assert read_failure(failed.value)[0] is grpc.StatusCode.UNAUTHENTICATED
    call = changes.Follow(FollowRequest(), metadata=bearer(node.city))
    await changes_until(call, node.view.position)
    await node.stub.DisableAccount(AccountWrite(name="city"), metadata=bearer(node.operator))
    await register(node, "after the end")
    far = Position(1, 10**6)
    with pytest.raises(aio.AioRpcError) as failed:
        await changes_until(call, far)
    assert read_failure(failed.value)[0] is grpc.StatusCode.UNAUTHENTICATED
    assert node.refused(Reason.UNAUTHENTICATED) == 2


@pytest.mark.parametrize(
    ("module", "limit"),
    [
        (follow, "MAX_FOLLOWERS"),
        (follow, "MAX_FOLLOWERS_PER_ACCOUNT"),
        (calls, "MAX_STREAMS_PER_ACCOUNT"),
        (calls, "MAX_CALLS"),
    ],
)
async def test_more_followers_than_a_limit_are_refused(
    node: Served, changes: "ChangesAsyncStub", monkeypatch: pytest.MonkeyPatch, module: ModuleType, limit: str
) -> None:
    monkeypatch.setattr(module, limit, 1)
    first = changes.Follow(FollowRequest(), metadata=bearer(node.operator))
    await next_of(first)
    with pytest.raises(aio.AioRpcError) as failed:
        await changes.Follow(FollowRequest(), metadata=bearer(node.operator)).read()
    assert read_failure(failed.value)[1].reason == "OVERLOADED"
    first.cancel()

    async def is_free() -> bool:
        call = changes.Follow(FollowRequest(), metadata=bearer(node.operator))
        try:
            return isinstance(await call.read(), FollowResponse)
        except aio.AioRpcError:
            return False

    async with asyncio.timeout(5):
        while not await is_free():
            pass


async def test_followers_are_let_go_when_the_node_drains(node: Served, changes: "ChangesAsyncStub") -> None:
    call = changes.Follow(FollowRequest(after=node.view.position.to_cursor()), metadata=bearer(node.operator))
    await call.initial_metadata()
    closing = asyncio.create_task(node.door.close(60))
    with pytest.raises(aio.AioRpcError) as failed:
        await call.read()
    code, failure = read_failure(failed.value)
    assert (code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_READY")
    await asyncio.wait_for(closing, 10)
