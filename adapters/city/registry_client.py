"""The node's own REST API, as far as feeds need it: changes in, cursors and letters out.

Two ways to fail, and only two: `Unreachable` (nobody there, overloaded, not ready: later it will do) and `NotTaken` (the
request itself is refused, and would be again).
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from adapters.city.answer_body import read_up_to
from adapters.city.core.event import Key, compose_json
from proto.errors import Reason

FEEDS: Final = "/api/v1/feeds"
CHANGES: Final = "/api/v1/changes"

# A page is at most 4 MiB of changes as they are stored; in JSON, base64 and with names around it a few times that.
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# Requests beside a long poll wait for a disk, not for people.
TIMEOUT_S: Final = 30.0

# The most that the API gives at once.
PAGE: Final = 1_000


class Unreachable(Exception):
    """There is no answer now."""


class NotTaken(Exception):
    """The registry refuses: `reason` is a name of `proto.errors.Reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, slots=True)
class StoredFeed:
    """A feed as the registry keeps it; `requested` are letters to be delivered again, `head` is the end of the stream."""

    name: str
    is_paused: bool
    cursor: str
    delivered: int
    version: int
    letters: int
    requested: int
    head: str


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter as the registry keeps it."""

    key: Key
    before: str
    row_version: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Page:
    """Changes in order as the API gives them; `cursor` is behind them, `head` the end of the stream."""

    changes: Sequence[Mapping[str, Any]]
    cursor: str
    head: str


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

    async def create(self, name: str) -> None:
        """See to it that there is a feed; a new one begins with the first change that is kept."""
        await self._ask("POST", FEEDS, {"name": name})

    async def feeds(self) -> dict[str, StoredFeed]:
        """The feeds of this account, by name; there are at most 64."""
        document = await self._ask("GET", f"{FEEDS}?limit={PAGE}")
        return {each["name"]: _feed_of(each) for each in document["feeds"]}

    async def feed(self, name: str) -> StoredFeed:
        """One feed."""
        return _feed_of(await self._ask("GET", _one(name)))

    async def progress(
        self, feed: StoredFeed, cursor: str, delivered: int, refused: Sequence[Mapping[str, Any]], settled: Sequence[Key]
    ) -> int:
        """Move the cursor of a feed that is as it was; returns its version. Raises `NotTaken` if it is not as it was."""
        document = {
            "cursor": cursor,
            "delivered": delivered,
            "refused": list(refused),
            "settled": [{"kind": kind, "name": name} for kind, name in settled],
        }
        answer = await self._ask("POST", f"{_one(feed.name)}/progress", document, {"If-Match": f'"{feed.version}"'})
        return int(answer["version"])

    async def pause(self, name: str, note: str) -> None:
        """Stop a feed that cannot go on without the operator."""
        await self._ask("POST", f"{_one(name)}/pause", {"note": note})

    async def letters(self, name: str, *, requested_only: bool = False) -> list[StoredLetter]:
        """The dead letters of a feed; there are at most a thousand."""
        query = f"?limit={PAGE}" + ("&requested=true" if requested_only else "")
        document = await self._ask("GET", f"{_one(name)}/letters{query}")
        return [_letter_of(each) for each in document["letters"]]

    async def changes(self, after: str, limit: int, wait_s: float) -> Page:
        """What changed after a cursor; waits up to `wait_s` seconds for something."""
        path = f"{CHANGES}?after={quote(after, safe='')}&limit={limit}&wait_s={wait_s:g}"
        document = await self._ask("GET", path, timeout_s=wait_s + TIMEOUT_S)
        return Page(document["changes"], document["cursor"], document["head"])

    async def everything(self, plural: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """All nouns of a listing, page by page: registrants, prefixes, or the identifiers below exactly one prefix."""
        asked = {**query, "limit": str(PAGE)}
        while True:
            document = await self._ask("GET", f"/api/v1/{plural}?{urlencode(asked)}")
            for noun in document[plural]:
                yield noun
            if not document.get("cursor"):
                return
            asked["after"] = document["cursor"]

    async def _ask(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the client is not open")
        url = URL(self._url + path, encoded=True)
        body = None if document is None else compose_json(document)
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


def _one(name: str) -> str:
    return f"{FEEDS}/{quote(name, safe='')}"


def _feed_of(document: Mapping[str, Any]) -> StoredFeed:
    return StoredFeed(
        document["name"],
        document["state"] == "paused",
        document["cursor"],
        document["delivered"],
        document["version"],
        document["letters"],
        document["requested"],
        document["head"],
    )


def _letter_of(document: Mapping[str, Any]) -> StoredLetter:
    key = (document["kind"], document["name"])
    return StoredLetter(key, document["before"], document["row_version"], document["attempts"])
