"""Identifiers over gRPC, over real sockets and a real store, by stock clients."""

from typing import TYPE_CHECKING

import grpc
import pytest

from proto.errors import Reason
from proto.model.change import parse_cursor
from proto.v1 import model_pb2, registry_pb2
from proto.v1.registry_pb2 import (
    Draft,
    GetIdentifierRequest,
    IdentifierWrite,
    RegisterRequest,
    UpdateRequest,
)
from registry.doors.grpc.door import REGISTRY_SERVICE
from registry.service.context import Context
from tests.support.control_plane import ACME
from tests.support.grpc_calls import (
    bearer,
    call_raw,
    failure_of,
    pairs,
)
from tests.support.grpc_door import Served, draft, register, url

if TYPE_CHECKING:
    pass

Status = grpc.StatusCode
REGISTER = f"/{REGISTRY_SERVICE}/Register"


async def test_an_identifier_lives_its_whole_life(node: Served) -> None:
    me = bearer(node.acme)
    note = model_pb2.Value(index=900, type="NOTE", data=b"secret", audience="private")
    created = await register(node, "Pump", url("https://1.example", ttl=60), note, aliases=[f"{ACME}/p-1"])
    assert (created.outcome, created.version, created.state) == (registry_pb2.OUTCOME_CREATED, 1, model_pb2.STATE_ACTIVE)
    assert node.view.position >= parse_cursor(created.position)

    assert (await register(node, "Pump", url("https://1.example", ttl=60), note, aliases=[f"{ACME}/p-1"])).outcome == (
        registry_pb2.OUTCOME_UNCHANGED
    )
    update = UpdateRequest(identifier=f"{ACME}/PUMP", set=[url("https://2.example")], remove=[900, 77], expected_version=1)
    updated = await node.stub.Update(update, metadata=me)
    assert (updated.outcome, updated.version) == (registry_pb2.OUTCOME_REPLACED, 2)

    record = await node.stub.GetIdentifier(GetIdentifierRequest(identifier=f"{ACME}/P-1", after=updated.position), metadata=me)
    assert (record.identifier, record.version, list(record.aliases)) == (f"{ACME}/Pump", 2, [f"{ACME}/p-1"])
    assert [(value.index, value.data, value.ttl) for value in record.values] == [(1, b"https://2.example", 86_400)]
    assert record.values[0].timestamp > 0

    held = await node.stub.Suspend(IdentifierWrite(identifier=f"{ACME}/Pump"), metadata=me)
    assert (held.version, held.state) == (3, model_pb2.STATE_SUSPENDED)
    back = await node.stub.Resume(IdentifierWrite(identifier=f"{ACME}/Pump", expected_version=3), metadata=me)
    assert (back.version, back.state) == (4, model_pb2.STATE_ACTIVE)
    gone = await node.stub.Retire(IdentifierWrite(identifier=f"{ACME}/Pump"), metadata=me)
    assert (gone.version, gone.state) == (5, model_pb2.STATE_RETIRED)
    code, failure = await failure_of(register(node, "Pump"))
    assert (code, failure.reason) == (Status.NOT_FOUND, "RETIRED")
    assert node.refused(Reason.RETIRED) == 1


async def test_aliases_and_template_stay_unless_an_update_names_them(node: Served) -> None:
    await register(node, "x", aliases=[f"{ACME}/y"])
    await node.stub.Update(UpdateRequest(identifier=f"{ACME}/x", set=[url("2")]), metadata=bearer(node.acme))
    asked = GetIdentifierRequest(identifier=f"{ACME}/x")
    assert list((await node.stub.GetIdentifier(asked, metadata=bearer(node.acme))).aliases) == [f"{ACME}/y"]
    none = UpdateRequest(identifier=f"{ACME}/x", aliases=registry_pb2.Aliases())
    await node.stub.Update(none, metadata=bearer(node.acme))
    assert not (await node.stub.GetIdentifier(asked, metadata=bearer(node.acme))).aliases


REFUSED: list[tuple[Draft, Status, Reason, str]] = [
    (draft("a", url("x"), url("y")), Status.INVALID_ARGUMENT, Reason.DUPLICATE_INDEX, "values[1].index"),
    (draft("a", model_pb2.Value(type="URL")), Status.INVALID_ARGUMENT, Reason.INVALID_VALUE, "values[0].index"),
    (
        draft("a", url("x", permissions=12, audience="public")),
        Status.INVALID_ARGUMENT,
        Reason.INVALID_VALUE,
        "values[0].permissions",
    ),
    (draft("a", url("x" * 256_000)), Status.INVALID_ARGUMENT, Reason.RECORD_TOO_LARGE, "values"),
    (draft("a", url("x" * 256_001)), Status.INVALID_ARGUMENT, Reason.VALUE_TOO_LARGE, "values[0].data"),
    (
        draft("a", *(model_pb2.Value(index=index, type="T") for index in range(1, 2_050))),
        Status.INVALID_ARGUMENT,
        Reason.TOO_MANY_VALUES,
        "values",
    ),
    (Draft(identifier="no slash?", values=[url("x")]), Status.INVALID_ARGUMENT, Reason.INVALID_IDENTIFIER, "identifier"),
    (Draft(identifier="20.500/x", values=[url("x")]), Status.NOT_FOUND, Reason.NOT_HOMED, "identifier"),
    (draft("a", expected_version=7), Status.ABORTED, Reason.VERSION_CONFLICT, "expected_version"),
]


@pytest.mark.parametrize(("wrong", "status", "reason", "field"), REFUSED, ids=lambda each: str(each)[-30:])
async def test_what_cannot_be_registered_is_refused_by_name(
    node: Served, wrong: Draft, status: Status, reason: Reason, field: str
) -> None:
    code, failure = await failure_of(node.stub.Register(RegisterRequest(draft=wrong), metadata=bearer(node.operator)))
    assert (code, failure.reason, failure.field) == (status, reason.name, field)
    assert node.refused(reason) == 1


async def test_conditions_hold_or_refuse(node: Served) -> None:
    await register(node, "a", expected_version=0)
    code, failure = await failure_of(register(node, "a", url("2"), expected_version=0))
    assert (code, failure.reason) == (Status.ABORTED, "VERSION_CONFLICT")
    code, failure = await failure_of(register(node, "a", url("2"), only_if_absent=True))
    assert (code, failure.reason) == (Status.ALREADY_EXISTS, "ALREADY_EXISTS")
    assert (await register(node, "a", url("2"), expected_version=1)).version == 2


async def test_a_key_is_needed_and_opens_its_own_alone(node: Served) -> None:
    request = RegisterRequest(draft=draft("a"))
    code, _ = await failure_of(node.stub.Register(request))
    assert code is Status.UNAUTHENTICATED
    for wrong in ("Bearer bj_acme_x", "Basic YTpi", f"Bearer {node.acme}x"):
        code, failure = await failure_of(node.stub.Register(request, metadata=(("authorization", wrong),)))
        assert (code, failure.field) == (Status.UNAUTHENTICATED, "authorization")
    code, failure = await failure_of(node.stub.Register(request, metadata=bearer(node.city)))
    assert (code, failure.reason) == (Status.PERMISSION_DENIED, "PERMISSION_DENIED")
    foreign = RegisterRequest(draft=Draft(identifier="88.118/x", values=[url("x")]))
    code, _ = await failure_of(node.stub.Register(foreign, metadata=bearer(node.acme)))
    assert code is Status.PERMISSION_DENIED
    assert node.refused(Reason.UNAUTHENTICATED) == 4
    assert node.refused(Reason.PERMISSION_DENIED) == 2


async def test_a_request_id_and_trace_are_kept_with_the_change(node: Served) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    metadata = bearer(node.acme, ("x-request-id", "abc-1"), ("traceparent", trace))
    call = node.stub.Register(RegisterRequest(draft=draft("a")), metadata=metadata)
    written = await call
    assert pairs(await call.trailing_metadata())["x-request-id"] == "abc-1"
    context = Context(node.registry.authenticate(node.operator), "test")
    position = parse_cursor(written.position)
    page = await node.registry.changes(context, position._replace(sequence=position.sequence - 1))
    assert [(change.request_id, change.traceparent, change.actor) for change in page.changes] == [("abc-1", trace, "acme")]


@pytest.mark.parametrize("place", ["metadata", "request"])
async def test_an_idempotency_key_gives_the_first_outcome_again(node: Served, place: str) -> None:
    metadata = bearer(node.acme, ("idempotency-key", "k-1")) if place == "metadata" else bearer(node.acme)
    key = "k-1" if place == "request" else ""
    request = RegisterRequest(draft=draft("a"), idempotency_key=key)
    first = await node.stub.Register(request, metadata=metadata)
    again = await node.stub.Register(request, metadata=metadata)
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.outcome, again.version, again.position) == (first.outcome, first.version, first.position)
    # The key is the same thing wherever it stands.
    moved = RegisterRequest(draft=draft("a"), idempotency_key="" if key else "k-1")
    other = bearer(node.acme, ("idempotency-key", "k-1")) if key else bearer(node.acme)
    assert (await node.stub.Register(moved, metadata=other)).replayed
    code, failure = await failure_of(
        node.stub.Register(RegisterRequest(draft=draft("b"), idempotency_key=key), metadata=metadata)
    )
    assert (code, failure.reason) == (Status.INVALID_ARGUMENT, "IDEMPOTENCY_MISMATCH")


async def test_a_refusal_is_remembered_under_its_key_too(node: Served) -> None:
    metadata = bearer(node.acme, ("idempotency-key", "k-2"))
    bad = RegisterRequest(draft=draft("a", url("x", permissions=12, audience="public")))
    for _ in range(2):
        code, failure = await failure_of(node.stub.Register(bad, metadata=metadata))
        assert (code, failure.reason) == (Status.INVALID_ARGUMENT, "INVALID_VALUE")
    code, failure = await failure_of(call_raw(node.channel, REGISTER, b"\xff\xff", metadata))
    assert failure.reason == "IDEMPOTENCY_MISMATCH"
    code, failure = await failure_of(call_raw(node.channel, REGISTER, b"", bearer(node.acme, ("idempotency-key", "a b"))))
    assert (code, failure.reason) == (Status.INVALID_ARGUMENT, "INVALID_IDEMPOTENCY_KEY")
