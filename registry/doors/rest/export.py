"""Exporting over REST: the active identifiers below a prefix as a stream of rows, in the form in which they are imported."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from proto.handle_json import render_owned_value
from proto.model.record import Record, State
from registry.doors.rest.call import Call
from registry.doors.rest.parameters import REGISTRANT
from registry.doors.rest.reply import PRIVATE_CACHE, Reply, compose_json
from registry.doors.rest.route import NDJSON, Answer, Parameter, Route
from registry.service.listing import Page
from registry.service.registry import Registry

EXPORT: Final = "/api/v1/export"

# Records rendered before others get their turn, and sent as one piece.
_PORTION: Final = 50

_PREFIX: Final = Parameter("prefix", "query", "Below exactly this prefix.", {"type": "string"}, is_required=True)


class ExportResource:
    """All rows of a prefix in one answer; nothing is held but one portion."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def routes(self) -> Sequence[Route]:
        answers = {200: Answer("One document a line; importing them again changes nothing.", content_type=NDJSON)}
        summary = "The active identifiers below a prefix, with all that the caller may see."
        return (Route("GET", EXPORT, "exportIdentifiers", "identifiers", summary, self.get, answers, (_PREFIX, REGISTRANT)),)

    async def get(self, call: Call) -> Reply:
        query = call.query()
        prefix = query.get("prefix", "")
        registrant = query["registrant"] if "registrant" in query else await self._holder(call, prefix)
        first = await self._portion(call, registrant, prefix, "")
        chunks = self._rows(call, registrant, prefix, first)
        return Reply(HTTPStatus.OK, content_type=NDJSON, headers=dict(PRIVATE_CACHE), chunks=chunks)

    async def _holder(self, call: Call, prefix: str) -> str:
        """Whoever holds the prefix means it who names no registrant. Raises `Refusal` if the caller may not see it."""
        return (await self._registry.show_prefix(call.context, prefix)).registrant

    async def _portion(self, call: Call, registrant: str, prefix: str, after: str) -> Page[Record]:
        return await self._registry.list_identifiers(call.context, registrant, prefix, after, _PORTION)

    async def _rows(self, call: Call, registrant: str, prefix: str, page: Page[Record]) -> AsyncIterator[bytes]:
        while True:
            lines = [compose_json(row_document(record)) + b"\n" for record in page.items if record.state is State.ACTIVE]
            if lines:
                yield b"".join(lines)
            if not page.cursor:
                return
            # Neither a view that is up to date nor a client that reads fast makes us wait: others would.
            await asyncio.sleep(0)
            page = await self._portion(call, registrant, prefix, page.cursor)


def row_document(record: Record) -> dict[str, Any]:
    """A record as a row of a table: the body of its registration, with its identifier."""
    document: dict[str, Any] = {
        "identifier": record.identifier,
        "values": [render_owned_value(value) for value in record.values],
    }
    if record.template:
        document["template"] = record.template
    if record.aliases:
        document["aliases"] = list(record.aliases)
    return document
