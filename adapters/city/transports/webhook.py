"""Webhooks: a batch of CloudEvents in one POST (`application/cloudevents-batch+json`), signed.

2xx: all of it is taken. 207 with `{"results": [{"id", "status", "detail"?, "retry_after"?}]}`: each by its status, those not
named have failed; one with `retry_after` (as in the header: seconds, or a date) is sent again then, nothing else waits for it.
400, 409, 413, 415 and 422 refuse the batch; anything else is a failure, and Retry-After is heeded. Redirects are not followed:
where data of the city goes is decided here and not there.
"""

import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from adapters.answer_body import read_up_to
from adapters.city.core.event import Event
from adapters.city.core.places import WebhookPlace
from adapters.city.core.receipt import Receipt, Verdict, verdict_of
from adapters.city.core.reconciliation import Bucket, BucketKey, Group, Holding
from adapters.city.core.retry import parse_retry_after
from adapters.city.core.signature import ID, sign
from adapters.city.transports.transport import Batch, Forgetful, Unknowable

BATCH_TYPE: Final = "application/cloudevents-batch+json; charset=utf-8"

# A result for each event of the largest batch; of a longer answer nothing is believed.
MAX_ANSWER_BYTES: Final = 512 * 1024

# The holdings of one prefix and day: a line of a hundred bytes for each of some hundred thousand registrations.
MAX_HOLDINGS_BYTES: Final = 64 * 1024 * 1024

# What a system said, as far as people need it to find the cause.
_DETAIL_CHARS: Final = 200


class WebhookTransport(Forgetful):
    """Posts to one place over kept-open connections; `head` begins each event."""

    def __init__(self, head: bytes, place: WebhookPlace) -> None:
        self._head = head
        self._place = place
        self._timeout = aiohttp.ClientTimeout(total=place.timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, batch: Batch) -> Receipt:
        rests = (b"," + self._head).join([event.rest for event in batch.events])
        body = b"".join((b"[", self._head, rests, b"]"))
        delivery = hashlib.sha256("".join([event.id for event in batch.events]).encode()).hexdigest()
        headers = {"Content-Type": BATCH_TYPE, ID: delivery}
        if self._place.secret:
            headers.update(sign(self._place.secret, delivery, int(time.time()), body))
        try:
            return await self._post(body, headers)
        except TimeoutError:
            return Receipt(Verdict.FAILED, f"no answer within {self._place.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Receipt(Verdict.FAILED, _short(str(error) or type(error).__name__))

    async def sums(self, wanted: Mapping[BucketKey, int] | None) -> AsyncIterator[tuple[BucketKey, Bucket]]:
        """`GET holdings_url`: `{"buckets": [{"kind", "prefix", "day", "count", "digest"}]}`; with
        `?kind=&prefix=&day=&digits=`: `{"buckets": [{"part", "count", "digest"}]}`. Signed as deliveries are, over no body.
        """
        if wanted is None:
            for each in await self._fetch("buckets", {}, ("kind", "prefix", "day", "digest")):
                yield BucketKey(each["kind"], each["prefix"], each["day"]), _bucket(each)
            return
        for key, digits in sorted(wanted.items()):
            asked = {**_asked(key), "digits": str(digits)}
            for each in await self._fetch("buckets", asked, ("part", "digest")):
                yield key._replace(part=each["part"]), _bucket(each)

    async def things(
        self,
        wanted: frozenset[BucketKey],
        digits: Mapping[Group, int],  # noqa: ARG002 # the part says them
    ) -> AsyncIterator[tuple[BucketKey, Holding]]:
        """With `?kind=&prefix=&day=&part=` (empty: all): `{"holdings": [{"subject", "rowversion", "digest"}]}`."""
        for key in sorted(wanted):
            asked = {**_asked(key), "part": key.part}
            for each in await self._fetch("holdings", asked, ("subject", "digest")):
                yield key, Holding(each["subject"], _whole(each, "rowversion"), each["digest"])

    async def repair(self, events: Sequence[Event]) -> Receipt:
        return await self.deliver(Batch(events, 0, "", ""))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _fetch(self, member: str, query: Mapping[str, str], texts: Sequence[str]) -> list[dict[str, Any]]:
        """The list that an answer holds, of objects with these texts. Raises `Unknowable`."""
        if not self._place.holdings_url:
            raise Unknowable("its profile has no transport.holdings_url")
        headers = sign(self._place.secret, secrets.token_hex(16), int(time.time()), b"") if self._place.secret else {}
        get = self._open().get(
            self._place.holdings_url, params=query, headers=headers, timeout=self._timeout, allow_redirects=False
        )
        try:
            async with get as answer:
                raw = await read_up_to(answer, MAX_HOLDINGS_BYTES)
                if answer.status != HTTPStatus.OK or raw is None:
                    raise Unknowable(f"it answers {answer.status}" if raw is not None else "its answer is too long")
            found = json.loads(raw)[member]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, TypeError, KeyError) as error:
            raise Unknowable(_short(f"{type(error).__name__}: {error}")) from None
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise Unknowable(f"its answer has no list of {member}")
        if not all(isinstance(each.get(name), str) for each in found for name in texts):
            raise Unknowable(f"its {member} want {', '.join(texts)}")
        return found

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        return self._session

    async def _post(self, body: bytes, headers: dict[str, str]) -> Receipt:
        place = self._place
        post = self._open().post(place.url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False)
        async with post as answer:
            raw = await read_up_to(answer, MAX_ANSWER_BYTES)
            asked_s = parse_retry_after(answer.headers.get("Retry-After", ""), time.time())
            if answer.status == HTTPStatus.MULTI_STATUS:
                return parse_results(raw, asked_s, time.time())
            verdict = verdict_of(answer.status)
            if verdict is Verdict.DELIVERED:
                return Receipt(verdict)
            said = (raw or b"").decode(errors="replace").strip()
            return Receipt(verdict, _short(f"{answer.status} {said}".strip()), asked_s)


def _asked(key: BucketKey) -> Mapping[str, str]:
    return {"kind": key.kind, "prefix": key.prefix, "day": key.day}


def _bucket(each: Mapping[str, Any]) -> Bucket:
    """Raises `Unknowable`."""
    try:
        return Bucket(_whole(each, "count"), int(each["digest"], 16))
    except ValueError:
        raise Unknowable(f"its digest is not hexadecimal: {each['digest'][:_DETAIL_CHARS]}") from None


def _whole(each: Mapping[str, Any], name: str) -> int:
    """Raises `Unknowable`."""
    number = each.get(name)
    if not isinstance(number, int) or isinstance(number, bool):
        raise Unknowable(f"its {name} is not a whole number")
    return number


def parse_results(raw: bytes | None, asked_s: float | None = None, now_s: float = 0.0) -> Receipt:
    """The receipt in a 207 answer that came at `now_s`; one that cannot be read is a failure of the whole batch.

    `asked_s` is what the answer as a whole asks for.
    """
    try:
        results = json.loads(raw or b"")["results"]
        single = {str(result["id"]): verdict_of(int(result["status"])) for result in results}
        later = {
            str(result["id"]): after_s
            for result in results
            if single[str(result["id"])] is Verdict.FAILED
            and (after_s := parse_retry_after(str(result.get("retry_after", "")), now_s)) is not None
        }
        details = [_detail_of(result) for result in results if single[str(result["id"])] is not Verdict.DELIVERED]
    except (ValueError, TypeError, KeyError):
        return Receipt(Verdict.FAILED, "207 without readable results", asked_s)
    detail = _short(details[0] if details else "207 without a result for each event")
    return Receipt(Verdict.FAILED, detail, asked_s, single, later=later)


def _detail_of(result: dict[str, Any]) -> str:
    return f"{result['status']} {result.get('detail', '')}".strip()


def _short(text: str) -> str:
    return " ".join(text.split())[:_DETAIL_CHARS]
