"""The node's own REST API, as far as a source needs it: its bookmark and reports, and what is registered below its prefix."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from adapters.registry_api import NotTaken, RegistryApi
from adapters.sources.core.plan import Doing, Step
from proto.errors import Reason
from proto.model.identifier import SuffixRule

SOURCES: Final = "/api/v1/sources"
IDENTIFIERS: Final = "/api/v1/identifiers"

# The most that the API gives at once.
PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A source as the registry keeps it."""

    name: str
    state: str
    bookmark: str
    is_requested: bool
    over_brake: str
    message: str
    done: datetime | None
    created: datetime
    version: int


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one row of a batch. Of a refused one `reason` says why, in a name of `proto.errors.Reason`."""

    outcome: str
    version: int
    reason: str
    detail: str

    @property
    def is_refused(self) -> bool:
        return self.outcome == "refused"

    @property
    def has_moved(self) -> bool:
        """Whether it was refused because the identifier is not as it was when the plan was made."""
        return self.reason in (Reason.VERSION_CONFLICT, Reason.ALREADY_EXISTS)


class RegistryClient(RegistryApi):
    """Speaks for the account of a source."""

    async def create(self, name: str) -> StoredSource:
        """See to it that there is a source."""
        return _source_of(await self.ask("POST", SOURCES, {"name": name}))

    async def source(self, name: str) -> StoredSource | None:
        """One source, if there is one."""
        try:
            return _source_of(await self.ask("GET", _one(name)))
        except NotTaken as not_taken:
            if not_taken.reason == Reason.NOT_FOUND:
                return None
            raise

    async def report(self, source: StoredSource, document: Mapping[str, Any]) -> StoredSource:
        """Keep what came of a run of a source that is as it was. Raises `NotTaken` if it is not as it was."""
        headers = {"If-Match": f'"{source.version}"'}
        return _source_of(await self.ask("POST", f"{_one(source.name)}/report", document, headers))

    async def suffix_rule(self, prefix: str) -> SuffixRule:
        """How suffixes below a prefix compare. Raises `NotTaken` if there is no such prefix, or it is another's."""
        document = await self.ask("GET", f"/api/v1/prefixes/{quote(prefix, safe='')}")
        return SuffixRule[document["suffix_rule"].upper()]

    async def records(self, prefix: str) -> AsyncGenerator[dict[str, Any], None]:
        """All records right below a prefix, tombstones included."""
        asked = {"prefix": prefix, "limit": str(PAGE)}
        while True:
            document = await self.ask("GET", f"{IDENTIFIERS}?{urlencode(asked)}")
            for record in document["identifiers"]:
                yield record
            if not document.get("cursor"):
                return
            asked["after"] = document["cursor"]

    async def record(self, identifier: str) -> dict[str, Any]:
        """One record. Raises `NotTaken`: NOT_FOUND, RETIRED, ..."""
        return await self.ask("GET", _identifier(identifier))

    async def rehearse(self, rows: Sequence[Mapping[str, Any]]) -> list[RowResult]:
        """What would become of rows that are to be new; nothing is written."""
        return await self._batch(rows, {"mode": "rehearsal"}, {})

    async def register(self, rows: Sequence[Mapping[str, Any]], key: str) -> list[RowResult]:
        """Register rows in one change; those that are refused do not hinder the others."""
        return await self._batch(rows, {"mode": "partial"}, {"Idempotency-Key": key})

    async def move(self, step: Step, version: int, key: str) -> None:
        """Suspend, resume or retire an identifier that is in this version. Raises `NotTaken`."""
        headers = {"If-Match": f'"{version}"', "Idempotency-Key": key}
        path = _identifier(step.identifier)
        if step.doing is Doing.RETIRE:
            await self.ask("DELETE", path, headers=headers)
        else:
            await self.ask("POST", f"{path}/{step.doing}", headers=headers)

    async def _batch(
        self, rows: Sequence[Mapping[str, Any]], more: Mapping[str, Any], headers: Mapping[str, str]
    ) -> list[RowResult]:
        document = await self.ask("POST", IDENTIFIERS, {"identifiers": rows, **more}, headers)
        return [
            RowResult(each["outcome"], each.get("version", 0), each.get("reason", ""), _detail(each))
            for each in document["results"]
        ]


def new_source(name: str) -> StoredSource:
    """A source that the registry does not have yet, as far as a plan has to know."""
    return StoredSource(name, "new", "", False, "", "", None, datetime.now(UTC), 0)


def row_of(step: Step) -> dict[str, Any]:
    """The row of a batch that takes a step: only if the identifier is as it was when the plan was made."""
    return {"identifier": step.identifier, "expected_version": step.version, **json.loads(step.body)}


def _detail(result: Mapping[str, Any]) -> str:
    field = f"{result['field']}: " if result.get("field") else ""
    return f"{field}{result.get('detail', '')}"


def _one(name: str) -> str:
    return f"{SOURCES}/{quote(name, safe='')}"


def _identifier(name: str) -> str:
    return f"{IDENTIFIERS}/{quote(name, safe='/')}"


def _source_of(document: Mapping[str, Any]) -> StoredSource:
    done = document["done"]
    return StoredSource(
        document["name"],
        document["state"],
        document["bookmark"],
        document["is_requested"],
        document["over_brake"],
        document["message"],
        datetime.fromisoformat(done) if done is not None else None,
        datetime.fromisoformat(document["created"]),
        document["version"],
    )
