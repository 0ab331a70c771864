"""Answers become documents: the Handle JSON API's and our own. Only rendering; every status is from `statuses`."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from proto.handle_json import compose_compact, compose_string, render_packed, render_value
from proto.model.answer import OUTCOMES, Answer, Found, NotFound, RecordAnswer, Referral, Refused, Retired, Suspended
from proto.wire.handle.value import parse_value
from proto.wire.http.status import problem_document, problem_headers
from resolver.listeners.http.questions import PLAIN, Layout
from resolver.listeners.http.reply import (
    JSON,
    PROBLEM,
    SCRIPT,
    Reply,
    encode,
    keep,
)
from resolver.listeners.http.statuses import HANDLE_API_STATUSES, status_of

_SUSPENDED = "suspended"
_RETIRED = "retired"
_ACTIVE = "active"

_INDENT = 2


def handle_reply(answer: Answer, layout: Layout, is_authorised: bool) -> Reply:
    """An answer in the Handle JSON API (Handle.Net Technical Manual 14.3)."""
    status = status_of(answer, HANDLE_API_STATUSES)
    if isinstance(answer, RecordAnswer):
        text = f'{{"responseCode":{int(status.code)},"handle":{compose_string(answer.echo)},"values":{_render_values(answer)}}}'
        reply = Reply(status.http, _lay_out(text, layout), SCRIPT if layout.callback else JSON)
        return keep(reply, answer.version, answer.ttl_s, is_authorised, answer.age_s)
    document = {"responseCode": int(status.code), "handle": answer.asked}
    document |= _problem_of(answer, status.http)
    if "detail" in document:
        document["message"] = document["detail"]
    headers = _headers_of(answer, layout)
    return Reply(status.http, _lay_out(compose_compact(document), layout), SCRIPT if layout.callback else PROBLEM, headers)


def resolve_reply(answer: Answer, explanation: Sequence[str] | None, is_authorised: bool) -> Reply:
    """An answer in our own API, with its trace if there is one; nobody keeps an answer with a trace."""
    status = status_of(answer)
    body = encode(resolve_text(answer, explanation))
    if not isinstance(answer, RecordAnswer):
        return Reply(status.http, body, PROBLEM, _headers_of(answer))
    reply = Reply(status.http, body)
    if explanation is not None:
        reply.headers["Cache-Control"] = "no-store"
        return reply
    return keep(reply, answer.version, answer.ttl_s, is_authorised, answer.age_s)


def resolve_text(answer: Answer, explanation: Sequence[str] | None) -> str:
    """What one identifier came to, as JSON; also one result of a batch."""
    status = status_of(answer)
    if isinstance(answer, RecordAnswer):
        text = (
            f'{{"responseCode":{int(status.code)},"status":{int(status.http)},"asked":{compose_string(answer.asked)},'
            f'"identifier":{compose_string(answer.identifier)},"state":"{_ACTIVE}","version":{answer.version},'
            f'"values":{_render_values(answer)},"aliases":[{",".join(map(compose_string, answer.aliases))}],'
            f'"template":{compose_string(answer.template)},"registrant":{compose_string(answer.registrant)},'
            f'"source":"{answer.source}","age_s":{answer.age_s},"ttl_s":{answer.ttl_s}}}'
        )
        return text if explanation is None else f'{text[:-1]},"explanation":{compose_compact(list(explanation))}}}'
    document: dict[str, Any] = {"responseCode": int(status.code), "asked": answer.asked, "identifier": answer.asked}
    document |= _problem_of(answer, status.http)
    if explanation is not None:
        document["explanation"] = list(explanation)
    return compose_compact(document)


def _render_values(answer: RecordAnswer) -> str:
    return f"[{','.join([render_packed(packed) for packed in answer.values])}]" if isinstance(answer, Found) else "[]"


def _problem_of(answer: Answer, status: HTTPStatus) -> dict[str, Any]:
    """The problem that an answer without a record is, with what is known of the identifier."""
    reason = OUTCOMES[type(answer)]
    match answer:
        case Refused(_, refusal):
            return problem_document(status, refusal.reason, refusal.detail, refusal.field)
        case NotFound():
            return problem_document(status, reason, "nothing is registered under this identifier")
        case Suspended(_, what):
            return problem_document(status, reason, f"the {what} is suspended") | {"state": _SUSPENDED}
        case Retired(_, version):
            extra: dict[str, Any] = {"state": _RETIRED, "version": version}
            return problem_document(status, reason, "the identifier is retired and will not be used again") | extra
        case Referral(_, prefix, values):
            sites = [render_value(parse_value(packed)[0]) for packed in values]
            return problem_document(status, reason, f"another node answers for {prefix}") | {"prefix": prefix, "values": sites}
        case _:
            return {}


def _headers_of(answer: Answer, layout: Layout = PLAIN) -> dict[str, str]:
    if isinstance(answer, Refused):
        return problem_headers(answer.refusal)
    headers = {"Cache-Control": "no-store"}
    if isinstance(answer, Referral) and answer.url:
        headers["Location"] = f"{answer.url.rstrip('/')}/api/handles/{_part_of_path(answer.asked)}{_query_of(answer, layout)}"
    return headers


def _part_of_path(identifier: str) -> str:
    """An identifier in a path. Clients take dots between slashes for steps upwards, so slashes beside such are escaped."""
    has_steps = any(part in (".", "..") for part in identifier.split("/"))
    return quote(identifier, safe="" if has_steps else "/")


def _query_of(referral: Referral, layout: Layout) -> str:
    """The same question to the other node: what it selects, and how the answer is to look."""
    asked = [("index", str(index)) for index in referral.indexes] + [("type", kind) for kind in referral.types]
    asked += [("pretty", "true")] if layout.is_pretty else []
    asked += [("callback", layout.callback)] if layout.callback else []
    return f"?{urlencode(asked)}" if asked else ""


def _lay_out(text: str, layout: Layout) -> bytes:
    if not layout.is_pretty and not layout.callback:
        return encode(text)
    document, indent = json.loads(text), _INDENT if layout.is_pretty else None
    if layout.callback:
        # ASCII only, so that no line separator of Unicode ends a script's line; the comment guards against content sniffing.
        return f"/**/{layout.callback}({json.dumps(document, indent=indent)});".encode()
    return encode(json.dumps(document, ensure_ascii=False, indent=indent))
