"""The node's own REST API, as far as filing needs it: what is due, and each step of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from adapters.registry_api import NotTaken, RegistryApi
from adapters.upstream.epp.core.malformed import Malformed
from adapters.upstream.epp.core.papers import NO_PAPERS, ToldPapers, read_papers
from proto.errors import Reason

FILINGS: Final = "/api/v1/filings"

# Filings at once: little enough to hold, and to be out of date by the time they are sent.
PAGE: Final = 200


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
    is_held: bool
    approved_content: Mapping[str, Any]
    submissions: int
    """How often it was about to be sent, under as many transactions (as far as its history goes back)."""
    version: int

    @property
    def is_update(self) -> bool:
        """Whether the upstream has such a thing, and is told it anew."""
        return self.is_known or (self.is_held and (self.kind != "registrant" or bool(self.entity)))

    @property
    def key(self) -> str:
        """What names it."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many filings can be told now, and since when one has been waiting."""

    due: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was drafted, how many filings there are by state, and how those of registrants and prefixes (`subjects`) and those
    of days stand."""

    names: tuple[str, ...]
    states: Mapping[str, int]
    subjects: Waiting
    days: Waiting


class RegistryClient(RegistryApi):
    """Speaks for the account of filings."""

    async def draft(self, home: str) -> Drafted:
        """Draft some of what is due; nothing was drafted once nothing is."""
        return _drafted_of(await self.ask("POST", f"{FILINGS}/draft", {"home": home}))

    async def report(self) -> Drafted:
        """Draft the figures of the next day that is over; nothing was drafted if there is none."""
        return _drafted_of(await self.ask("POST", f"{FILINGS}/report"))

    async def due(self, kind: str, after: str = "") -> tuple[list[StoredFiling], str]:
        """A page of the filings of a kind that can be told now, and the cursor of the next, empty if this is the last."""
        document = await self.ask("GET", f"{FILINGS}?state=due&kind={kind}&limit={PAGE}&after={quote(after, safe='')}")
        return [_filing_of(each) for each in document["filings"]], document.get("cursor", "")

    async def filing(self, kind: str, name: str) -> StoredFiling | None:
        """One filing, if there is one."""
        try:
            return _filing_of(await self.ask("GET", _one(kind, name)))
        except NotTaken as not_taken:
            if not_taken.reason == Reason.NOT_FOUND:
                return None
            raise

    async def find(self, transaction: str) -> StoredFiling | None:
        """The filing whose newest transaction this is."""
        document = await self.ask("GET", f"{FILINGS}?transaction={quote(transaction, safe='')}")
        found = document["filings"]
        return _filing_of(found[0]) if found else None

    async def papers(self, filing: StoredFiling) -> ToldPapers:
        """The papers that a filing names, as far as they are there still. Raises `NotTaken` if they do not open."""
        if not filing.content.get("papers"):
            return NO_PAPERS
        document = await self.ask("GET", f"/api/v1/registrants/{quote(filing.name, safe='')}/papers")
        try:
            return read_papers(document)
        except Malformed as malformed:
            raise NotTaken(Reason.INVALID_VALUE, str(malformed)) from None

    async def submit(self, filing: StoredFiling, transaction: str) -> StoredFiling:
        """Keep that a draft is about to be sent. Raises `NotTaken` if it is not as it was."""
        headers = {"If-Match": f'"{filing.version}"'}
        return _filing_of(
            await self.ask("POST", f"{_one(filing.kind, filing.name)}/submit", {"transaction": transaction}, headers)
        )

    async def answer(self, filing: StoredFiling, document: Mapping[str, Any]) -> StoredFiling:
        """Keep what the upstream answered to a filing's transaction. Raises `NotTaken` if it is no news that it could be."""
        whole = {"transaction": filing.transaction, **document}
        return _filing_of(await self.ask("POST", f"{_one(filing.kind, filing.name)}/answer", whole))


def _drafted_of(document: Mapping[str, Any]) -> Drafted:
    subjects, days = _waiting_of(document), _waiting_of(document["days"])
    return Drafted(tuple(document["drafted"]), document["states"], subjects, days)


def _waiting_of(document: Mapping[str, Any]) -> Waiting:
    since = document["waiting_since"]
    return Waiting(document["due"], datetime.fromisoformat(since) if since is not None else None)


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
        document["is_held"],
        document["approved_content"],
        sum(step["state"] == "submitted" for step in document["steps"]),
        document["version"],
    )
