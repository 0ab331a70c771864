"""The node's own REST API, as far as filing needs it: what is due, and each step of it.

Two ways to fail, and only two: `Unreachable` (nobody there, overloaded, not ready: later it will do) and `NotTaken` (the
request itself is refused, and would be again).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from proto.errors import Reason

FILINGS: Final = "/api/v1/filings"

# A page of filings with their histories: a thousand of some kilobytes; a day's figures are a hundred kilobytes.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# Requests wait for a disk, not for people.
TIMEOUT_S: Final = 30.0
# Filings at once: little enough to hold, and to be out of date by the time they are sent.
PAGE: Final = 200


class Unreachable(Exception):
    """There is no answer now."""


class NotTaken(Exception):
    """The registry refuses: `reason` is a name of `proto.errors.Reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, slots=True)
class StoredFiling:
    """A filing as the registry keeps it."""

    kind: str
    name: str
    registrant: str
    state: str
    content: Mapping[str, Any]
    transaction: str
    entity: str
    is_known: bool
    version: int

    @property
    def key(self) -> str:
        """What names it."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was drafted, how many filings there are by state, how many can be told now, and since when one has been waiting."""

    names: tuple[str, ...]
    states: Mapping[str, int]
    due: int
    waiting_since: datetime | None


class RegistryClient:
    """Speaks for one account. An asynchronous context: it keeps connections."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "RegistryClient":
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self._token}"}, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def draft(self, home: str) -> Drafted:
        """Draft some of what is due; nothing was drafted once nothing is."""
        return _drafted_of(await self._ask("POST", f"{FILINGS}/draft", {"home": home}))

    async def report(self) -> Drafted:
        """Draft the figures of the next day that is over; nothing was drafted if there is none."""
        return _drafted_of(await self._ask("POST", f"{FILINGS}/report"))

    async def due(self, kind: str, after: str = "") -> tuple[list[StoredFiling], str]:
        """A page of the filings of a kind that can be told now, and the cursor of the next, empty if this is the last."""
        document = await self._ask("GET", f"{FILINGS}?state=due&kind={kind}&limit={PAGE}&after={quote(after, safe='')}")
        return [_filing_of(each) for each in document["filings"]], document.get("cursor", "")

    async def filing(self, kind: str, name: str) -> StoredFiling | None:
        """One filing, if there is one."""
        try:
            return _filing_of(await self._ask("GET", _one(kind, name)))
        except NotTaken as not_taken:
            if not_taken.reason == Reason.NOT_FOUND:
                return None
            raise

    async def find(self, transaction: str) -> StoredFiling | None:
        """The filing whose newest transaction this is."""
        document = await self._ask("GET", f"{FILINGS}?transaction={quote(transaction, safe='')}")
        found = document["filings"]
        return _filing_of(found[0]) if found else None

    async def submit(self, filing: StoredFiling, transaction: str) -> StoredFiling:
        """Keep that a draft is about to be sent. Raises `NotTaken` if it is not as it was."""
        headers = {"If-Match": f'"{filing.version}"'}
        return _filing_of(
            await self._ask("POST", f"{_one(filing.kind, filing.name)}/submit", {"transaction": transaction}, headers)
        )

    async def answer(self, filing: StoredFiling, document: Mapping[str, Any]) -> StoredFiling:
        """Keep what the upstream answered to a filing's transaction. Raises `NotTaken` if it is no news that it could be."""
        whole = {"transaction": filing.transaction, **document}
        return _filing_of(await self._ask("POST", f"{_one(filing.kind, filing.name)}/answer", whole))

    async def _ask(
        self, method: str, path: str, document: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the client is not open")
        url = URL(self._url + path, encoded=True)
        body = None if document is None else json.dumps(document, ensure_ascii=False).encode(errors="replace")
        every = {**(headers or {}), **({"Content-Type": "application/json"} if body is not None else {})}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session.request(method, url, data=body, headers=every, timeout=timeout) as answer:
                raw = await _read_up_to(answer, MAX_ANSWER_BYTES)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"the registry does not answer: {error or type(error).__name__}") from None
        return _document_of(status, raw)


async def _read_up_to(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > limit:
            raise NotTaken(Reason.MESSAGE_TOO_LARGE, f"an answer of more than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _document_of(status: int, raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
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


def _drafted_of(document: Mapping[str, Any]) -> Drafted:
    since = document["waiting_since"]
    waiting = datetime.fromisoformat(since) if since is not None else None
    return Drafted(tuple(document["drafted"]), document["states"], document["due"], waiting)


def _one(kind: str, name: str) -> str:
    return f"{FILINGS}/{kind}/{quote(name, safe='')}"


def _filing_of(document: Mapping[str, Any]) -> StoredFiling:
    return StoredFiling(
        document["kind"],
        document["name"],
        document["registrant"],
        document["state"],
        document["content"],
        document["transaction"],
        document["entity"],
        document["is_known"],
        document["version"],
    )
