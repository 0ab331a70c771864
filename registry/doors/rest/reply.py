"""Replies: status, headers and body, still without a socket."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from proto.errors import Refusal
from proto.wire.http.status import REASON_STATUS, problem_document, problem_headers
from registry.doors.rest.documents import outcome_document
from registry.service.execute import Written
from registry.service.memory import AtomicRefusal
from registry.service.plan import Outcome

JSON: Final = "application/json; charset=utf-8"
PROBLEM: Final = "application/problem+json; charset=utf-8"
POSITION: Final = "Biaojie-Position"
REPLAYED: Final = "Idempotency-Replayed"

# One for all: `json.dumps` makes an encoder for each document.
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# What an answer shows depends on who asks, and is true for this moment.
PRIVATE_CACHE: Final = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}


@dataclass(slots=True)
class Reply:
    """What goes back. `chunks`, if set, is the body in pieces, made while it is sent."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    chunks: AsyncIterator[bytes] | None = None


def compose_json(document: object) -> bytes:
    """JSON in UTF-8, unescaped; half a surrogate pair, which a problem may have to repeat, becomes a question mark."""
    return _ENCODE(document).encode(errors="replace")


def reply_json(document: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Reply:
    """A document."""
    return Reply(status, compose_json(document), headers={**PRIVATE_CACHE, **(headers or {})})


def reply_versioned(document: Mapping[str, Any], version: int, if_none_match: str) -> Reply:
    """A document of a versioned thing, with its entity tag; 304 if the client has this version."""
    headers = {**PRIVATE_CACHE, "ETag": compose_tag(version)}
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    if "*" in known or headers["ETag"] in known:
        return Reply(HTTPStatus.NOT_MODIFIED, b"", "", headers)
    return Reply(HTTPStatus.OK, compose_json(document), headers=headers)


def reply_written(document: Mapping[str, Any], written: Written, location: str = "") -> Reply:
    """What became of one thing: 201 if it was created, with what is common to all writes."""
    (outcome,) = written.outcomes
    headers = write_headers(written)
    headers["ETag"] = compose_tag(outcome.version)
    is_new = outcome.outcome is Outcome.CREATED
    if is_new and location:
        headers["Location"] = location
    position = written.position.to_cursor()
    status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return Reply(status, compose_json({**document, "outcome": outcome.outcome, "position": position}), headers=headers)


def write_headers(written: Written) -> dict[str, str]:
    """The headers of every write's answer."""
    headers = {"Cache-Control": "no-store", POSITION: written.position.to_cursor()}
    if written.replayed:
        headers[REPLAYED] = "true"
    return headers


def reply_refusal(refusal: Refusal, status: HTTPStatus | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """The problem that a refusal is (RFC 9457)."""
    status = status or REASON_STATUS[refusal.reason]
    document = problem_document(status, refusal.reason, refusal.detail, refusal.field)
    if refusal.row is not None:
        document["row"] = refusal.row
    if isinstance(refusal, AtomicRefusal):
        document["results"] = [outcome_document(row, each) for row, each in enumerate(refusal.outcomes)]
    return Reply(status, compose_json(document), PROBLEM, problem_headers(refusal) | dict(headers or {}))


def compose_tag(version: int) -> str:
    """The entity tag of a version."""
    return f'"{version}"'
