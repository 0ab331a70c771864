"""Metadata of a gRPC call: who asks and under which name on the way in, why there is no answer on the way out.

Keys are lower-case; values of keys ending in `-bin` are bytes, all others visible ASCII. The trailing metadata of every call
names the request; that of a call that failed also says why: in single keys for people and scripts, and as one
`biaojie.v1.Failure` for programs.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from google.protobuf.message import DecodeError

from proto.errors import Reason, Refusal
from proto.limits import MAX_REQUEST_ID_CHARS
from proto.v1 import model_pb2

AUTHORIZATION: Final = "authorization"
REQUEST_ID: Final = "x-request-id"
TRACEPARENT: Final = "traceparent"
IDEMPOTENCY_KEY: Final = "idempotency-key"

REASON: Final = "biaojie-reason"
FIELD: Final = "biaojie-field"
ROW: Final = "biaojie-row"
RETRY_AFTER: Final = "biaojie-retry-after-s"
FAILURE: Final = "biaojie-failure-bin"

# What one call may say beside its message: a key, ids and trace context. Counted as HTTP/2 does (RFC 9113 6.5.2).
MAX_METADATA_BYTES: Final = 8_192
_FIELD_BYTES: Final = 32
# The transport's own limit lies above ours, so that what is a little too long is refused with our reason.
TRANSPORT_METADATA_BYTES: Final = 65_536

# gRPC's default soft limit for all metadata of a call is 8 KiB; these parts leave room for the status message and for others.
MAX_FAILURE_BYTES: Final = 3_072
MAX_DETAIL_CHARS: Final = 256
MAX_FIELD_CHARS: Final = 256

Pairs = tuple[tuple[str, str | bytes], ...]

_TRACEPARENT: Final = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VISIBLE: Final = re.compile("[!-~]+")


@dataclass(frozen=True, slots=True)
class CallHead:
    """What a call says beside its message. `authorization` is as sent; `traceparent` is empty unless it is well formed."""

    request_id: str
    authorization: str = ""
    traceparent: str = ""
    idempotency_key: str = ""


def parse_head(metadata: Iterable[tuple[str, str | bytes]], new_request_id: Callable[[], str]) -> CallHead:
    """Read a call's metadata. A request id that is missing, too long or not visible ASCII is replaced by a new one."""
    found = {key: value for key, value in metadata if isinstance(value, str)}
    request_id = found.get(REQUEST_ID, "")
    if len(request_id) > MAX_REQUEST_ID_CHARS or not _VISIBLE.fullmatch(request_id):
        request_id = new_request_id()
    traceparent = found.get(TRACEPARENT, "")
    return CallHead(
        request_id,
        found.get(AUTHORIZATION, ""),
        traceparent if _TRACEPARENT.fullmatch(traceparent) else "",
        found.get(IDEMPOTENCY_KEY, ""),
    )


def check_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Raise `Refusal(MESSAGE_TOO_LARGE)` if a call says more than `MAX_METADATA_BYTES` beside its message."""
    size = sum(len(key) + len(value) + _FIELD_BYTES for key, value in metadata)
    if size > MAX_METADATA_BYTES:
        raise Refusal(Reason.MESSAGE_TOO_LARGE, f"{size} bytes of metadata; the limit is {MAX_METADATA_BYTES}", "metadata")


def parse_bearer(authorization: str) -> str:
    """The token of an `authorization`, empty if there is none (RFC 6750 2.1).

    Raises `Refusal(UNAUTHENTICATED)` for another scheme.
    """
    if not authorization:
        return ""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Refusal(Reason.UNAUTHENTICATED, "the authorization is not of the form 'Bearer <key>'", AUTHORIZATION)
    return token


def compose_trailers(request_id: str, failure: model_pb2.Failure | None = None) -> Pairs:
    """The trailing metadata of a call that succeeded, or that failed so."""
    if failure is None:
        return ((REQUEST_ID, request_id),)
    pairs: list[tuple[str, str | bytes]] = [(REQUEST_ID, request_id), (REASON, failure.reason)]
    if failure.field:
        pairs.append((FIELD, quote(failure.field, safe="[]()._-@ ")[:MAX_FIELD_CHARS]))
    if failure.HasField("row"):
        pairs.append((ROW, str(failure.row)))
    if failure.HasField("retry_after_s"):
        pairs.append((RETRY_AFTER, f"{failure.retry_after_s:g}"))
    pairs.append((FAILURE, _fitting(failure).SerializeToString()))
    return tuple(pairs)


def parse_failure(metadata: Iterable[tuple[str, str | bytes]]) -> model_pb2.Failure | None:
    """The failure that a call's trailing metadata carries; None if it carries none that can be read."""
    for key, value in metadata:
        if key == FAILURE and isinstance(value, bytes):
            try:
                return model_pb2.Failure.FromString(value)
            except DecodeError:
                return None
    return None


def _fitting(failure: model_pb2.Failure) -> model_pb2.Failure:
    """The failure without what metadata cannot hold: first a referral's values go, then the explanation, then long text."""
    if failure.ByteSize() <= MAX_FAILURE_BYTES:
        return failure
    fitting = model_pb2.Failure()
    fitting.CopyFrom(failure)
    if fitting.HasField("referral"):
        fitting.referral.ClearField("values")
    if fitting.ByteSize() > MAX_FAILURE_BYTES:
        fitting.ClearField("explanation")
    if fitting.ByteSize() > MAX_FAILURE_BYTES:
        fitting.detail = fitting.detail[:MAX_DETAIL_CHARS]
        fitting.field = fitting.field[:MAX_FIELD_CHARS]
    return fitting
