"""The node's own REST API, as far as feeds need it: changes in, cursors and letters out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from adapters.city.core.event import Key
from adapters.city.core.indicators import Said
from adapters.city.core.page import Page
from adapters.registry_api import TIMEOUT_S, RegistryApi
from proto.model.notice import NoticeKind

FEEDS: Final = "/api/v1/feeds"
CHANGES: Final = "/api/v1/changes"
STATISTICS: Final = "/api/v1/city/statistics"


# The most that the API gives at once.
PAGE: Final = 1_000


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


class RegistryClient(RegistryApi):
    """Speaks for the account of feeds."""

    async def create(self, name: str) -> None:
        """See to it that there is a feed; a new one begins with the first change that is kept."""
        await self.ask("POST", FEEDS, {"name": name})

    async def feeds(self) -> dict[str, StoredFeed]:
        """The feeds of this account, by name; there are at most 64."""
        document = await self.ask("GET", f"{FEEDS}?limit={PAGE}")
        return {each["name"]: _feed_of(each) for each in document["feeds"]}

    async def feed(self, name: str) -> StoredFeed:
        """One feed."""
        return _feed_of(await self.ask("GET", _one(name)))

    async def progress(
        self,
        feed: StoredFeed,
        cursor: str,
        delivered: int,
        refused: Sequence[Mapping[str, Any]],
        settled: Sequence[Key],
        told: Sequence[Mapping[str, Any]] = (),
    ) -> int:
        """Move the cursor of a feed that is as it was; returns its version. Raises `NotTaken` if it is not as it was.

        `told` says of whom what was delivered is (`Telling.document`).
        """
        document = {
            "cursor": cursor,
            "delivered": delivered,
            "refused": list(refused),
            "settled": [{"kind": kind, "name": name} for kind, name in settled],
            "told": list(told),
        }
        answer = await self.ask("POST", f"{_one(feed.name)}/progress", document, {"If-Match": f'"{feed.version}"'})
        return int(answer["version"])

    async def pause(self, name: str, note: str) -> None:
        """Stop a feed that cannot go on without the operator."""
        await self.ask("POST", f"{_one(name)}/pause", {"note": note})

    async def letters(self, name: str, *, requested_only: bool = False) -> list[StoredLetter]:
        """The dead letters of a feed; there are at most a thousand."""
        query = f"?limit={PAGE}" + ("&requested=true" if requested_only else "")
        document = await self.ask("GET", f"{_one(name)}/letters{query}")
        return [_letter_of(each) for each in document["letters"]]

    async def notices(self, name: str) -> list[Said]:
        """What a feed has to tell of the node itself, as it is now."""
        return [
            Said(NoticeKind(each["kind"]), each["name"], each["data"])
            async for each in self._listed(f"{_one(name)}/notices", "notices", {})
        ]

    async def store_notices(self, name: str, said: Sequence[Said]) -> None:
        """Store what a feed is to tell. The same again changes nothing, but for figures of a moment."""
        await self.ask("POST", f"{_one(name)}/notices", {"notices": [asdict(each) for each in said]})

    async def changes(self, after: str, limit: int, wait_s: float) -> Page:
        """What changed after a cursor; waits up to `wait_s` seconds for something."""
        path = f"{CHANGES}?after={quote(after, safe='')}&limit={limit}&wait_s={wait_s:g}"
        document = await self.ask("GET", path, timeout_s=wait_s + TIMEOUT_S)
        return Page(document["changes"], after, document["cursor"], document["head"])

    async def statistics(self, days: int) -> dict[str, Any]:
        """The figures of all, and of the last so many days."""
        return await self.ask("GET", f"{STATISTICS}?days={days}")

    async def everything(self, plural: str, **query: str) -> AsyncIterator[dict[str, Any]]:
        """All nouns of a listing, page by page: registrants, prefixes, or the identifiers below exactly one prefix."""
        async for noun in self._listed(f"/api/v1/{plural}", plural, query):
            yield noun

    async def _listed(self, path: str, plural: str, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        asked = {**query, "limit": str(PAGE)}
        while True:
            document = await self.ask("GET", f"{path}?{urlencode(asked)}")
            for noun in document[plural]:
                yield noun
            if not document.get("cursor"):
                return
            asked["after"] = document["cursor"]


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
