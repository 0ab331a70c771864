"""Sources over REST: what came of reading enterprises' systems, and the hand of who may have them read again."""

from collections.abc import Sequence
from typing import Final

from proto.tables import unpack_source
from registry.doors.rest.call import Call, parse_limit
from registry.doors.rest.documents import source_document
from registry.doors.rest.limits import MAX_SMALL_BODY_BYTES
from registry.doors.rest.parameters import AFTER_NAME, IDEMPOTENCY_KEY, LIMIT, WRITE, name_of, page, written
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import Reply, reply_json, reply_written
from registry.doors.rest.requests import parse_run_report, parse_run_request, parse_source
from registry.doors.rest.route import Answer, Body, Route
from registry.service.execute import Written
from registry.service.sources import Sources

ALL: Final = "/api/v1/sources"
ONE: Final = "/api/v1/sources/{source}"
_NAME: Final = name_of("source", "The source's name.")


class SourceResource:
    """Sources."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    @property
    def routes(self) -> Sequence[Route]:
        tag, done, small = "sources", written("SourceWritten"), MAX_SMALL_BODY_BYTES
        return (
            Route("POST", ALL, "createSource", tag, "Create a source; those with a profile create themselves.", self.create,
                  written("SourceWritten", creates=True), (IDEMPOTENCY_KEY,), Body(small, "NewSource")),
            Route("GET", ALL, "listSources", tag, "Sources, by name.", self.list, page("SourcePage"), (AFTER_NAME, LIMIT)),
            Route("POST", f"{ONE}/report", "reportRun", tag, "Say what came of a run, and move the bookmark.", self.report,
                  done, (_NAME, *WRITE), Body(small, "RunReport")),
            Route("POST", f"{ONE}/run", "requestRun", tag, "Have it run at once.", self.request, done,
                  (_NAME, IDEMPOTENCY_KEY), Body(small, "RunRequest")),
            Route("GET", ONE, "readSource", tag, "One source, and what came of its last run.", self.get,
                  {200: Answer("As it stands.", "Source")}, (_NAME,)),
        )  # fmt: skip

    async def create(self, call: Call) -> Reply:
        name, account = await call.read(lambda: parse_source(call.document()))
        return _reply(await self._sources.create(call.context, name, account))

    async def get(self, call: Call) -> Reply:
        return reply_json(source_document(await self._sources.show(call.context, call.path["source"])))

    async def list(self, call: Call) -> Reply:
        query = call.query()
        found = await self._sources.list(call.context, query.get("after", ""), parse_limit(query))
        return await render_page("sources", found, source_document)

    async def report(self, call: Call) -> Reply:
        report = await call.read(lambda: parse_run_report(call.document()))
        expected = await call.read(call.expected_version)
        return _reply(await self._sources.report(call.context, call.path["source"], report, expected))

    async def request(self, call: Call) -> Reply:
        over_brake, again = await call.read(lambda: parse_run_request(call.document()))
        return _reply(await self._sources.request(call.context, call.path["source"], over_brake=over_brake, again=again))


def _reply(done: Written) -> Reply:
    (outcome,) = done.outcomes
    return reply_written(source_document(unpack_source(outcome.image)), done, f"{ALL}/{outcome.identifier}")
