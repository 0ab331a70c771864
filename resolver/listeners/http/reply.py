"""Replies: status, headers and body, still without a socket.

Errors are problems (RFC 9457). What may be kept says for how long and carries an entity tag; what a credential decided is
kept by its owner only. A tag is the record's version with length and checksum of the body, so whatever decides the body
(filters, who asks, spelling, layout) decides the tag. A checksum is enough where a version is: nearly all that changes a body
changes that too.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Final, NamedTuple
from zlib import crc32

from proto.errors import Refusal
from proto.handle_json import compose_compact
from proto.wire.http import head
from proto.wire.http.status import REASON_STATUS, problem_document, problem_headers

JSON: Final = "application/json; charset=utf-8"
NDJSON: Final = "application/x-ndjson; charset=utf-8"
SCRIPT: Final = "application/javascript; charset=utf-8"
PROBLEM: Final = "application/problem+json; charset=utf-8"

COMMON_FIELDS: Final = {
    "Server": "biaojie",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Location, Retry-After, X-Request-Id, traceparent",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(slots=True)
class Reply:
    """What goes back. `chunks`, if set, is the body in pieces, made while it is sent."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    chunks: AsyncIterator[bytes] | None = None


def fields_of(reply: Reply) -> dict[str, str]:
    """The header fields of a reply that it has whoever asks, in their order. Behind them come those of its request.

    Replies may be read by scripts of any site (CORS): what is public is public, and a token is sent only by who has it.
    """
    fields = COMMON_FIELDS | reply.headers
    if reply.content_type:
        fields["Content-Type"] = reply.content_type
        if reply.chunks is None:
            fields["Content-Length"] = str(len(reply.body))
    return fields


def compose_head(reply: Reply) -> str:
    """The status line and the fields of `fields_of` as they are sent, each with its line end. Only for a body in one piece."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in reply.headers.items()])
    if reply.content_type:
        fields += f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
    return _begin_head(reply.status) + fields


@cache
def _begin_head(status: int) -> str:
    common = "".join(f"{name}: {value}\r\n" for name, value in COMMON_FIELDS.items())
    return f"HTTP/1.1 {status:d} {HTTPStatus(status).phrase}\r\n{common}"


class Rendered(NamedTuple):
    """A reply without what its request decides. `head` ends before the value of X-Request-Id; `tag` may be empty."""

    head: bytes
    tag: str
    body: bytes


def split_reply(reply: Reply) -> Rendered:
    """The same as a reply says. Only for a body in one piece."""
    text = f"{compose_head(reply)}{head.REQUEST_ID}: "
    return Rendered(text.encode(), reply.headers.get("ETag", ""), reply.body)


def encode(text: str) -> bytes:
    """UTF-8; half a surrogate pair, which an answer may have to repeat, becomes a question mark."""
    return text.encode(errors="replace")


def compose_json(document: object) -> bytes:
    """JSON in UTF-8, unescaped, without white space."""
    return encode(compose_compact(document))


def refuse(refusal: Refusal, status: HTTPStatus | None = None, **headers: str) -> Reply:
    """The problem that a refusal is."""
    status = status or REASON_STATUS[refusal.reason]
    document = problem_document(status, refusal.reason, refusal.detail, refusal.field)
    return Reply(status, compose_json(document), PROBLEM, problem_headers(refusal) | headers)


def keep(reply: Reply, version: int, ttl_s: int, is_authorised: bool, age_s: int = 0) -> Reply:
    """Let a reply be kept for `ttl_s` more seconds, by everybody or by its owner only. One made of a copy tells its age."""
    who = "private" if is_authorised else "public"
    headers = reply.headers
    if age_s:
        # How long a reply holds is counted from when its origin made it (RFC 9111 4.2).
        headers["Age"] = str(age_s)
    headers["Cache-Control"] = f"{who}, max-age={ttl_s + age_s}" if ttl_s else f"{who}, no-cache"
    headers["ETag"] = f'"{version}-{len(reply.body):x}-{crc32(reply.body):08x}"'
    headers["Vary"] = "Authorization"
    return reply


def answer_condition(reply: Reply, if_none_match: str) -> Reply:
    """304 if the client has this very reply already (RFC 9110 13.1.2: tags compare weakly)."""
    tag = reply.headers.get("ETag")
    if not tag or not if_none_match:
        return reply
    return Reply(HTTPStatus.NOT_MODIFIED, b"", "", reply.headers) if matches_tag(tag, if_none_match) else reply


def matches_tag(tag: str, if_none_match: str) -> bool:
    """Whether an If-None-Match field names this tag."""
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return tag in known or "*" in known
