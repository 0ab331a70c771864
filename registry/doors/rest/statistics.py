"""Statistics and the access log over REST: how much there is, and who of the city has read what."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from proto.errors import Reason, Refusal
from proto.model.access import Access
from registry.doors.rest.call import Call, parse_limit
from registry.doors.rest.documents import render_ms
from registry.doors.rest.parameters import AFTER_NAME, LIMIT, REGISTRANT, page
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import Reply, reply_json
from registry.doors.rest.route import Answer, Parameter, Route
from registry.service.figures import MAX_DAYS, Grouping, Statistics
from registry.service.registry import Registry

STATISTICS: Final = "/api/v1/statistics"
ACCESSES: Final = "/api/v1/audit/accesses"
BY: Final = Parameter(
    "by",
    "query",
    "What the figures are told apart by.",
    {"type": "string", "enum": list(Grouping), "default": Grouping.NOTHING},
)
DAYS: Final = Parameter(
    "days",
    "query",
    "Figures of the last so many days as well, today's the last.",
    {"type": "integer", "minimum": 0, "maximum": MAX_DAYS, "default": 0},
)


class StatisticsResource:
    """Figures, and who has read what."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def routes(self) -> Sequence[Route]:
        shown = {200: Answer("As it is now.", "Statistics")}
        return (
            Route("GET", STATISTICS, "readStatistics", "statistics", "What is registered, active and resolved.", self.get,
                  shown, (REGISTRANT, BY, DAYS)),
            Route("GET", ACCESSES, "listAccesses", "audit", "Who of the city has read what of a registrant, newest first.",
                  self.accesses, page("AccessPage"), (REGISTRANT, AFTER_NAME, LIMIT)),
        )  # fmt: skip

    async def get(self, call: Call) -> Reply:
        query = call.query()
        return reply_statistics(await self._registry.statistics(call.context, call.whose(query), *parse_asked(query)))

    async def accesses(self, call: Call) -> Reply:
        query = call.query()
        found = await self._registry.list_accesses(call.context, call.whose(query), query.get("after", ""), parse_limit(query))
        return await render_page("accesses", found, access_document)


def parse_asked(query: Mapping[str, str]) -> tuple[Grouping, int]:
    """What figures are told apart by, and of how many days. Raises `Refusal(INVALID_ARGUMENT)`."""
    by, days = query.get("by", Grouping.NOTHING), query.get("days", "0")
    if by not in list(Grouping):
        raise Refusal(Reason.INVALID_ARGUMENT, f"one of {', '.join(Grouping)} is wanted", "by")
    if not (days.isascii() and days.isdecimal() and len(days) <= len(str(MAX_DAYS))):
        raise Refusal(Reason.INVALID_ARGUMENT, f"a number from 0 to {MAX_DAYS} is wanted", "days")
    return Grouping(by), int(days)


def reply_statistics(found: Statistics) -> Reply:
    """Statistics as a document."""
    document: dict[str, Any] = {
        "position": found.position.to_cursor(),
        "at": render_ms(found.at_ms),
        "enterprises": found.enterprises,
        "prefixes": found.prefixes,
        "total": asdict(found.total),
        "groups": {name: asdict(each) for name, each in found.groups.items()},
        "days": [asdict(day) for day in found.days],
    }
    return reply_json(document)


def access_document(access: Access) -> dict[str, Any]:
    """One reading."""
    return {
        "at": render_ms(access.at_ms),
        "account": access.account,
        "reading": access.reading,
        "registrant": access.registrant,
        "subject": access.subject,
        "count": access.count,
        "request_id": access.request_id,
        "way": access.way,
    }
