"""Asks over gRPC, as a stock client does. What the answer says comes from its message, or from the failure in its metadata."""

from collections.abc import Sequence
from typing import Final

import grpc
from grpc import aio

from node.client.document import DEFAULT_TIMEOUT_S, Outcome, ResolvedDocument, Unanswered
from proto.convert import SHIFT, value_from
from proto.errors import Refusal
from proto.handle_json import render_value
from proto.model.answer import Source
from proto.model.record import State
from proto.v1 import model_pb2, resolver_pb2
from proto.v1.resolver_pb2_grpc import ResolverStub
from proto.wire.grpc.metadata import parse_failure

_OUTCOMES: Final = {
    "NOT_FOUND": Outcome.NOT_FOUND,
    "SUSPENDED": Outcome.SUSPENDED,
    "RETIRED": Outcome.RETIRED,
    "NOT_HOMED": Outcome.NOT_HOMED,
    "REFERRAL": Outcome.REFERRAL,
}
_STATES: Final = {Outcome.SUSPENDED: State.SUSPENDED, Outcome.RETIRED: State.RETIRED}

_SOURCES: Final = {
    resolver_pb2.SOURCE_AUTHORITATIVE: Source.AUTHORITATIVE,
    resolver_pb2.SOURCE_CACHED: Source.CACHED,
    resolver_pb2.SOURCE_STALE: Source.STALE,
}

# Statuses that the transport itself makes when nobody answered.
_SILENT: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


async def resolve(
    identifier: str,
    host: str,
    port: int,
    *,
    types: Sequence[str] = (),
    indexes: Sequence[int] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
    explain: bool = False,
    authority: bytes = b"",
) -> ResolvedDocument:
    """Ask for one identifier, wherever it lives; over TLS with a node whose certificate comes from an `authority` (PEM), if one
    is given. Raises `Unanswered`."""
    request = resolver_pb2.ResolveRequest(identifier=identifier, indexes=indexes, types=types, explain=explain, recursive=True)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    async with _connect(address, authority) as channel:
        try:
            answer = await ResolverStub(channel).Resolve(request, timeout=timeout_s)
        except aio.AioRpcError as error:
            return _read_error(identifier, error)
    return _read_answer(answer)


def _connect(address: str, authority: bytes) -> aio.Channel:
    if not authority:
        return aio.insecure_channel(address)
    return aio.secure_channel(address, grpc.ssl_channel_credentials(authority))


def _read_answer(answer: resolver_pb2.ResolveResponse) -> ResolvedDocument:
    try:
        values = [render_value(value_from(value, f"values[{place}]")) for place, value in enumerate(answer.values)]
        state = State(answer.state - SHIFT)
    except (Refusal, ValueError) as error:
        raise Unanswered(f"the answer cannot be read: {error}") from None
    outcome = Outcome.FOUND if values else Outcome.VALUES_NOT_FOUND
    explanation = tuple(answer.explanation)
    return ResolvedDocument(
        answer.identifier,
        outcome,
        state.name.lower(),
        answer.version or None,
        values,
        explanation=explanation,
        source=_SOURCES.get(answer.source, ""),
        age_s=answer.age_s,
    )


def _read_error(identifier: str, error: aio.AioRpcError) -> ResolvedDocument:
    failure = parse_failure(tuple(error.trailing_metadata() or ()))
    if failure is None:
        return _read_status(identifier, error)
    outcome = _OUTCOMES.get(failure.reason, Outcome.REFUSED)
    state = _STATES.get(outcome)
    return ResolvedDocument(
        identifier,
        outcome,
        state.name.lower() if state is not None else "",
        failure.version or None,
        _referred(failure),
        failure.detail,
        failure.reason.lower() if outcome is Outcome.REFUSED else "",
        tuple(failure.explanation),
    )


def _referred(failure: model_pb2.Failure) -> list[dict[str, object]]:
    try:
        return [render_value(value_from(value, f"values[{place}]")) for place, value in enumerate(failure.referral.values)]
    except Refusal as refusal:
        raise Unanswered(f"the referral cannot be read: {refusal}") from None


def _read_status(identifier: str, error: aio.AioRpcError) -> ResolvedDocument:
    """What the bare status of another server, or of the transport, says."""
    if error.code() in _SILENT:
        raise Unanswered(error.details() or error.code().name)
    outcome = Outcome.NOT_FOUND if error.code() is grpc.StatusCode.NOT_FOUND else Outcome.REFUSED
    return ResolvedDocument(identifier, outcome, detail=error.details() or error.code().name)
