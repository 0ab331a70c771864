"""Webhooks: a batch of CloudEvents in one POST (`application/cloudevents-batch+json`), signed.

2xx: all of it is taken. 207 with `{"results": [{"id", "status", "detail"?}]}`: each by its status, those not named have failed.
400, 409, 413, 415 and 422 refuse the batch; anything else is a failure, and Retry-After is heeded. Redirects are not followed:
where data of the city goes is decided here and not there.
"""

import hashlib
import json
import time
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from adapters.city.answer_body import read_up_to
from adapters.city.core.places import WebhookPlace
from adapters.city.core.receipt import Receipt, Verdict, verdict_of
from adapters.city.core.retry import parse_retry_after
from adapters.city.core.signature import ID, sign
from adapters.city.transports.transport import Batch, Forgetful

BATCH_TYPE: Final = "application/cloudevents-batch+json; charset=utf-8"

# A result for each event of the largest batch; of a longer answer nothing is believed.
MAX_ANSWER_BYTES: Final = 512 * 1024

# What a system said, as far as people need it to find the cause.
_DETAIL_CHARS: Final = 200


class WebhookTransport(Forgetful):
    """Posts to one place over kept-open connections."""

    def __init__(self, place: WebhookPlace) -> None:
        self._place = place
        self._timeout = aiohttp.ClientTimeout(total=place.timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, batch: Batch) -> Receipt:
        body = b"[" + b",".join(event.body for event in batch.events) + b"]"
        delivery = hashlib.sha256("".join(event.id for event in batch.events).encode()).hexdigest()
        headers = {"Content-Type": BATCH_TYPE, ID: delivery}
        if self._place.secret:
            headers.update(sign(self._place.secret, delivery, int(time.time()), body))
        try:
            return await self._post(body, headers)
        except TimeoutError:
            return Receipt(Verdict.FAILED, f"no answer within {self._place.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Receipt(Verdict.FAILED, _short(str(error) or type(error).__name__))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, body: bytes, headers: dict[str, str]) -> Receipt:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        place = self._place
        post = self._session.post(place.url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False)
        async with post as answer:
            raw = await read_up_to(answer, MAX_ANSWER_BYTES)
            if answer.status == HTTPStatus.MULTI_STATUS:
                return parse_results(raw)
            verdict = verdict_of(answer.status)
            if verdict is Verdict.DELIVERED:
                return Receipt(verdict)
            asked_s = parse_retry_after(answer.headers.get("Retry-After", ""), time.time())
            said = (raw or b"").decode(errors="replace").strip()
            return Receipt(verdict, _short(f"{answer.status} {said}".strip()), asked_s)


def parse_results(raw: bytes | None) -> Receipt:
    """The receipt in a 207 answer; one that cannot be read is a failure of the whole batch."""
    try:
        results = json.loads(raw or b"")["results"]
        single = {str(result["id"]): verdict_of(int(result["status"])) for result in results}
        details = [_detail_of(result) for result in results if single[str(result["id"])] is not Verdict.DELIVERED]
    except (ValueError, TypeError, KeyError):
        return Receipt(Verdict.FAILED, "207 without readable results")
    return Receipt(Verdict.FAILED, _short(details[0] if details else "207 without a result for each event"), None, single)


def _detail_of(result: dict[str, Any]) -> str:
    return f"{result['status']} {result.get('detail', '')}".strip()


def _short(text: str) -> str:
    return " ".join(text.split())[:_DETAIL_CHARS]
