"""Filings over REST: how far the upstream has been told of registrants and prefixes, and the steps of whoever tells it."""

from collections.abc import Mapping, Sequence
from typing import Final

from proto.errors import Reason, Refusal
from proto.model.filing import SETTLED, FilingKind, FilingState
from proto.tables import unpack_filing
from registry.doors.rest.call import Call, parse_limit
from registry.doors.rest.documents import filing_document, render_ms
from registry.doors.rest.limits import MAX_SMALL_BODY_BYTES
from registry.doors.rest.parameters import (
    AFTER_NAME,
    IDEMPOTENCY_KEY,
    KNOWN,
    LIMIT,
    REGISTRANT,
    WRITE,
    name_of,
    page,
    shown,
    written,
)
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import POSITION, Reply, reply_json, reply_versioned, reply_written, write_headers
from registry.doors.rest.requests import parse_details, parse_home, parse_transaction, parse_upstream_answer
from registry.doors.rest.route import Answer, Body, Parameter, Route
from registry.service.execute import Written
from registry.service.filing_listing import Queue, Wanted
from registry.service.registry import Registry

ALL: Final = "/api/v1/filings"
ONE: Final = "/api/v1/filings/{kind}/{filing}"
OPEN: Final = "open"
DUE: Final = "due"
STATES: Final[Mapping[str, frozenset[FilingState]]] = {
    OPEN: frozenset(FilingState) - SETTLED,
    DUE: frozenset(FilingState) - SETTLED,
    **{state.name.lower(): frozenset({state}) for state in FilingState},
}
_KIND: Final = Parameter("kind", "path", "What is told about.", {"type": "string", "enum": list(FilingKind)}, is_required=True)
_NAME: Final = name_of("filing", "The registrant's code, the prefix, or the day.")
_STATE: Final = Parameter(
    "state",
    "query",
    f"Only those in this state; `{OPEN}`: all that are not decided; `{DUE}`: those that can be told now.",
    {"type": "string", "enum": list(STATES)},
)
_OF_KIND: Final = Parameter("kind", "query", "Only those of this kind.", {"type": "string", "enum": list(FilingKind)})
_TRANSACTION: Final = Parameter("transaction", "query", "Only the one of this newest transaction.", {"type": "string"})


class FilingResource:
    """Filings."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def routes(self) -> Sequence[Route]:
        tag, done, small = "filings", written("FilingWritten"), MAX_SMALL_BODY_BYTES
        named, keyed = (_KIND, _NAME), (_KIND, _NAME, IDEMPOTENCY_KEY)
        drafted = {
            200: Answer("What was drafted, and how many there are in each state.", "FilingsDrafted", headers=(POSITION,))
        }
        return (
            Route("POST", f"{ALL}/draft", "draftFilings", tag, "Draft what is due; again until nothing is.", self.draft,
                  drafted, (IDEMPOTENCY_KEY,), Body(small, "DraftFilings")),
            Route("POST", f"{ALL}/report", "reportDay", tag, "Draft the figures of a day; again until none is due.",
                  self.report, drafted, (IDEMPOTENCY_KEY,)),
            Route("GET", ALL, "listFilings", tag, "Filings, by kind and name.", self.list, page("FilingPage"),
                  (REGISTRANT, _STATE, _OF_KIND, _TRANSACTION, AFTER_NAME, LIMIT)),
            Route("POST", f"{ONE}/details", "detailFiling", tag, "Say more about a registrant.", self.detail, done, keyed,
                  Body(small, "FilingDetails")),
            Route("POST", f"{ONE}/submit", "submitFiling", tag, "Say that a draft is about to be sent.", self.submit, done,
                  (*named, *WRITE), Body(small, "FilingSubmission")),
            Route("POST", f"{ONE}/answer", "answerFiling", tag, "Say what the upstream answered.", self.answer, done, keyed,
                  Body(small, "UpstreamAnswer")),
            Route("POST", f"{ONE}/redraft", "redraftFiling", tag, "Try again what was rejected or is waited for.", self.redraft,
                  done, keyed),
            Route("GET", ONE, "readFiling", tag, "One filing with its history.", self.get, shown("Filing"), (*named, KNOWN)),
        )  # fmt: skip

    async def draft(self, call: Call) -> Reply:
        home = await call.read(lambda: parse_home(call.document()))
        return await self._drafted(call, await self._registry.draft_filings(call.context, home))

    async def report(self, call: Call) -> Reply:
        return await self._drafted(call, await self._registry.report_day(call.context))

    async def _drafted(self, call: Call, done: Written) -> Reply:
        counts = await self._registry.count_filings(call.context)
        document = {
            "drafted": [outcome.identifier for outcome in done.outcomes],
            "states": {state.name.lower(): count for state, count in counts.states.items()},
            **_queue_document(counts.subjects),
            "days": _queue_document(counts.days),
            "position": done.position.to_cursor(),
        }
        return reply_json(document, headers=write_headers(done))

    async def list(self, call: Call) -> Reply:
        query = call.query()
        state = query.get("state", "")
        if state and state not in STATES:
            raise Refusal(Reason.INVALID_ARGUMENT, f"one of {', '.join(STATES)} is wanted", "state")
        states = STATES[state] if state else frozenset(FilingState)
        kind = parse_kind(query["kind"]) if "kind" in query else None
        wanted = Wanted(states, kind, query.get("transaction", ""), state == DUE)
        found = await self._registry.list_filings(
            call.context, call.whose(query), wanted, query.get("after", ""), parse_limit(query)
        )
        return await render_page("filings", found, filing_document)

    async def get(self, call: Call) -> Reply:
        filing = await self._registry.show_filing(call.context, *_named(call))
        return reply_versioned(filing_document(filing), filing.version, call.headers.get("If-None-Match", ""))

    async def detail(self, call: Call) -> Reply:
        details = await call.read(lambda: parse_details(call.document()))
        kind, name = await call.read(lambda: _named(call))
        if kind is not FilingKind.REGISTRANT:
            await self._registry.refuse(call.context, Refusal(Reason.INVALID_ARGUMENT, "registrants have details", "kind"))
        return _reply(await self._registry.detail_filing(call.context, name, details))

    async def submit(self, call: Call) -> Reply:
        transaction = await call.read(lambda: parse_transaction(call.document()))
        expected = await call.read(call.expected_version)
        kind, name = await call.read(lambda: _named(call))
        return _reply(await self._registry.submit_filing(call.context, kind, name, transaction, expected))

    async def answer(self, call: Call) -> Reply:
        answer = await call.read(lambda: parse_upstream_answer(call.document()))
        kind, name = await call.read(lambda: _named(call))
        return _reply(await self._registry.answer_filing(call.context, kind, name, answer))

    async def redraft(self, call: Call) -> Reply:
        kind, name = await call.read(lambda: _named(call))
        return _reply(await self._registry.redraft_filing(call.context, kind, name))


def _queue_document(queue: Queue) -> dict[str, object]:
    return {"due": queue.due, "waiting_since": render_ms(queue.waiting_ms) if queue.waiting_ms else None}


def _named(call: Call) -> tuple[FilingKind, str]:
    return parse_kind(call.path["kind"], Reason.NOT_FOUND), call.path["filing"]


def parse_kind(text: str, reason: Reason = Reason.INVALID_ARGUMENT) -> FilingKind:
    """A kind of filings. Raises `Refusal`."""
    if text not in list(FilingKind):
        raise Refusal(reason, f"filings are of {', '.join(FilingKind)}", "kind")
    return FilingKind(text)


def _reply(done: Written) -> Reply:
    (outcome,) = done.outcomes
    return reply_written(filing_document(unpack_filing(outcome.image)), done)
