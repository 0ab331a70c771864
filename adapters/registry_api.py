"""The node's own REST API, as any adapter asks it; what it asks for is the adapter's (`registry_client` in its folder).

Two ways to fail, and only two: `Unreachable` (nobody there, overloaded, not ready: later it will do) and `NotTaken` (the
request itself is refused, and would be again).
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from adapters.answer_body import read_up_to
from proto.errors import Reason

# A page is at most 4 MiB of changes as they are stored; in JSON, base64 and with names around it a few times that. A page of
# filings with their histories is less.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# Requests beside a long poll wait for a disk, not for people.
TIMEOUT_S: Final = 30.0


class Unreachable(Exception):
    """There is no answer now."""


class NotTaken(Exception):
    """The registry refuses: `reason` is a name of `proto.errors.Reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class RegistryApi:
    """Speaks for one account. An asynchronous context: it keeps connections."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self._token}"}, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """The document that a request is answered with. Raises `Unreachable` and `NotTaken`."""
        if self._session is None:
            raise RuntimeError("the client is not open")
        url = URL(self._url + path, encoded=True)
        body = None if document is None else json.dumps(document, ensure_ascii=False).encode(errors="replace")
        every = {**(headers or {}), **({"Content-Type": "application/json"} if body is not None else {})}
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.request(method, url, data=body, headers=every, timeout=timeout) as answer:
                raw = await read_up_to(answer, MAX_ANSWER_BYTES)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"the registry does not answer: {error or type(error).__name__}") from None
        if raw is None:
            raise NotTaken(Reason.MESSAGE_TOO_LARGE, f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return _document_of(status, raw)


def _document_of(status: int, raw: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unreachable(f"what answers is not a registry (HTTP status {status})")
    if status < HTTPStatus.BAD_REQUEST:
        return document
    reason, detail = str(document.get("reason", status)), str(document.get("detail", ""))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Unreachable(f"{reason}: {detail}")
    raise NotTaken(reason, detail)
