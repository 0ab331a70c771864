"""Identifiers over REST."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote

from proto.model.account import Role
from registry.doors.rest.call import Call, parse_limit, parse_position
from registry.doors.rest.documents import outcome_document, record_document, written_document
from registry.doors.rest.limits import MAX_BATCH_BODY_BYTES, MAX_RECORD_BODY_BYTES
from registry.doors.rest.parameters import (
    AFTER_NAME,
    AFTER_POSITION,
    IDEMPOTENCY_KEY,
    IDENTIFIER,
    IF_NONE_MATCH,
    KNOWN,
    LIMIT,
    REGISTRANT,
    WRITE,
    page,
    shown,
    written,
)
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import POSITION, REPLAYED, Reply, reply_json, reply_versioned, reply_written, write_headers
from registry.doors.rest.requests import parse_batch, parse_draft, parse_patch
from registry.doors.rest.route import Answer, Body, Parameter, Route
from registry.service.execute import Written
from registry.service.plan import Outcome
from registry.service.registry import Registry

ONE = "/api/v1/identifiers/{identifier}"
ALL = "/api/v1/identifiers"
_PREFIX = Parameter("prefix", "query", "Below exactly this prefix.", {"type": "string"}, is_required=True)


class IdentifierResource:
    """Registering, changing, retiring and reading identifiers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def routes(self) -> Sequence[Route]:
        draft, batch, patch = (
            Body(MAX_RECORD_BODY_BYTES, "Draft"),
            Body(MAX_BATCH_BODY_BYTES, "Batch"),
            Body(MAX_RECORD_BODY_BYTES, "Patch"),
        )
        tag, one = "identifiers", (IDENTIFIER, *WRITE)
        results = Answer("One result for each row, in order.", "BatchResult", headers=(POSITION, REPLAYED))
        return (
            Route("POST", ALL, "registerBatch", tag, "Register up to 2,000 identifiers in one change.", self.batch,
                  {200: results}, (IDEMPOTENCY_KEY,), batch),
            Route("GET", ALL, "listIdentifiers", tag, "Identifiers below a prefix, tombstones included.", self.list,
                  page("RecordPage"), (_PREFIX, REGISTRANT, AFTER_NAME, LIMIT)),
            Route("POST", f"{ONE}/suspend", "suspendIdentifier", tag, "Let it show nothing until it is resumed.", self.suspend,
                  written("IdentifierWritten"), one),
            Route("POST", f"{ONE}/resume", "resumeIdentifier", tag, "Let a suspended identifier answer again.", self.resume,
                  written("IdentifierWritten"), one),
            Route("PUT", ONE, "registerIdentifier", tag, "Register an identifier, or replace what is registered.", self.put,
                  written("IdentifierWritten", creates=True), (*one, IF_NONE_MATCH), draft),
            Route("PATCH", ONE, "changeValues", tag, "Change some values; the others stay.", self.patch,
                  written("IdentifierWritten"), one, patch),
            Route("DELETE", ONE, "retireIdentifier", tag, "Leave a tombstone under it, for ever.", self.delete,
                  written("IdentifierWritten"), one),
            Route("GET", ONE, "readIdentifier", tag, "All of it that the caller may see. An alias reads as its record.",
                  self.get, shown("Record"), (IDENTIFIER, AFTER_POSITION, KNOWN)),
        )  # fmt: skip

    async def put(self, call: Call) -> Reply:
        identifier = call.path["identifier"]
        draft = await call.read(lambda: parse_draft(identifier, call.document(), call.expected_version()))
        return _reply(await self._registry.register(call.context, draft))

    async def patch(self, call: Call) -> Reply:
        patch, expected = await call.read(lambda: (parse_patch(call.document()), call.expected_version()))
        return _reply(await self._registry.patch(call.context, call.path["identifier"], patch, expected))

    async def delete(self, call: Call) -> Reply:
        expected = await call.read(call.expected_version)
        return _reply(await self._registry.retire(call.context, call.path["identifier"], expected))

    async def suspend(self, call: Call) -> Reply:
        expected = await call.read(call.expected_version)
        return _reply(await self._registry.suspend(call.context, call.path["identifier"], expected))

    async def resume(self, call: Call) -> Reply:
        expected = await call.read(call.expected_version)
        return _reply(await self._registry.resume(call.context, call.path["identifier"], expected))

    async def get(self, call: Call) -> Reply:
        record = await self._registry.read(call.context, call.path["identifier"], parse_position(call.query()))
        return reply_versioned(record_document(record), record.version, call.headers.get("If-None-Match", ""))

    async def batch(self, call: Call) -> Reply:
        drafts, mode = await call.read(lambda: parse_batch(call.document()))
        written = await self._registry.register_batch(call.context, drafts, mode)
        counts = {outcome.value: 0 for outcome in Outcome}
        for each in written.outcomes:
            counts[each.outcome] += 1
            if each.outcome is Outcome.REFUSED and each.reason is not None:
                call.count(each.reason)
        document = {
            "mode": mode,
            **counts,
            "position": written.position.to_cursor(),
            "results": [outcome_document(row, each) for row, each in enumerate(written.outcomes)],
        }
        return reply_json(document, HTTPStatus.OK, write_headers(written))

    async def list(self, call: Call) -> Reply:
        query = call.query()
        prefix = query.get("prefix", "")
        registrant = await self._whose(call, query, prefix)
        found = await self._registry.list_identifiers(
            call.context, registrant, prefix, query.get("after", ""), parse_limit(query)
        )
        return await render_page("identifiers", found, record_document)

    async def _whose(self, call: Call, query: dict[str, str], prefix: str) -> str:
        """Who lists without naming a registrant means its own, or whoever holds the prefix."""
        if "registrant" in query or call.context.caller.role in (None, Role.REGISTRANT):
            return query.get("registrant", call.context.caller.registrant)
        return (await self._registry.show_prefix(call.context, prefix)).registrant


def _reply(written: Written) -> Reply:
    (outcome,) = written.outcomes
    return reply_written(written_document(outcome), written, f"/api/v1/identifiers/{quote(outcome.identifier, safe='/')}")
