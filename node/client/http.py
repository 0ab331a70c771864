"""Asks over HTTP, through the node's own API (`GET /api/v1/resolve/{identifier}`)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from node.client.document import DEFAULT_TIMEOUT_S, Outcome, ResolvedDocument, Unanswered
from proto.limits import MAX_MESSAGE_BYTES

_OUTCOMES: Final = {
    "not_found": Outcome.NOT_FOUND,
    "suspended": Outcome.SUSPENDED,
    "retired": Outcome.RETIRED,
    "not_homed": Outcome.NOT_HOMED,
    "referral": Outcome.REFERRAL,
}

# A record in JSON with its data in base64, names and indentation: a few times its packed size.
_MAX_ANSWER_BYTES: Final = 4 * MAX_MESSAGE_BYTES


async def resolve(
    identifier: str,
    host: str,
    port: int,
    *,
    types: Sequence[str] = (),
    indexes: Sequence[int] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
    explain: bool = False,
) -> ResolvedDocument:
    """Ask for one identifier, wherever it lives. Raises `Unanswered`."""
    filters = [*(("type", kind) for kind in types), *(("index", str(index)) for index in indexes)]
    # Bytes of the command line that are no text go out as they came in: the node says what is wrong with them.
    wishes = [("recursive", "1"), ("explain", "1")] if explain else [("recursive", "1")]
    query = urlencode([*filters, *wishes], errors="surrogateescape")
    address = f"[{host}]" if ":" in host else host
    # Every octet that is not unreserved is encoded, so that slashes and dots arrive as they were asked.
    path = quote(identifier, safe="", errors="surrogateescape")
    target = f"http://{address}:{port}/api/v1/resolve/{path}?{query}"
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(URL(target, encoded=True), allow_redirects=False) as answer,
        ):
            body = await _read_body(answer)
    except TimeoutError:
        raise Unanswered(f"no answer within {timeout_s:g} s") from None
    except aiohttp.ClientError as error:
        raise Unanswered(str(error) or type(error).__name__) from None
    return _read(identifier, body)


async def _read_body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise Unanswered(f"the answer is longer than {_MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _read(identifier: str, body: bytes) -> ResolvedDocument:
    try:
        document = json.loads(body)
    except ValueError:
        raise Unanswered("the answer is not JSON") from None
    if not isinstance(document, dict):
        raise Unanswered("the answer is not a JSON object")
    explanation = tuple(str(line) for line in document.get("explanation", ()))
    if "reason" in document:
        return _read_problem(identifier, document, explanation)
    values = document.get("values")
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise Unanswered("the answer has no values")
    outcome = Outcome.FOUND if values else Outcome.VALUES_NOT_FOUND
    age_s = document.get("age_s")
    return ResolvedDocument(
        str(document.get("identifier", identifier)),
        outcome,
        str(document.get("state", "")),
        document.get("version"),
        values,
        explanation=explanation,
        source=str(document.get("source", "")),
        age_s=age_s if isinstance(age_s, int) else 0,
    )


def _read_problem(identifier: str, document: Mapping[str, Any], explanation: Sequence[str]) -> ResolvedDocument:
    reason = str(document["reason"])
    outcome = _OUTCOMES.get(reason, Outcome.REFUSED)
    return ResolvedDocument(
        identifier,
        outcome,
        str(document.get("state", "")),
        document.get("version"),
        document.get("values", ()),
        str(document.get("detail", "")),
        reason if outcome is Outcome.REFUSED else "",
        explanation,
    )
