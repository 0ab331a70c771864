"""What the city reads, over REST. Changes are in `changes`; every reading is in the access log (`statistics`)."""

from collections.abc import Sequence
from typing import Any, Final

from registry.doors.rest.call import Call, parse_limit
from registry.doors.rest.documents import prefix_document, record_document, render_ms
from registry.doors.rest.parameters import AFTER_NAME, LIMIT, name_of, page
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import Reply, reply_json
from registry.doors.rest.route import Answer, Parameter, Route
from registry.doors.rest.statistics import BY, DAYS, parse_asked, reply_statistics
from registry.policy.rules import EVERY_REGISTRANT
from registry.service.city import Enterprise
from registry.service.registry import Registry

ENTERPRISES: Final = "/api/v1/city/enterprises"
ENTERPRISE: Final = "/api/v1/city/enterprises/{enterprise}"
STATISTICS: Final = "/api/v1/city/statistics"
_CODE: Final = name_of("enterprise", "The enterprise's unified social credit code.")
_TEXT: Final = {"type": "string"}
_WHOSE: Final = Parameter("enterprise", "query", "Figures of this enterprise alone, by its code.", _TEXT)
_PREFIX: Final = Parameter("prefix", "query", "Only those below exactly this prefix.", _TEXT)


class CityResource:
    """Enterprises, their products, and statistics."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def routes(self) -> Sequence[Route]:
        tag = "city"
        return (
            Route("GET", f"{ENTERPRISE}/products", "listProducts", tag, "The identifiers of an enterprise.", self.products,
                  page("ProductPage"), (_CODE, _PREFIX, AFTER_NAME, LIMIT)),
            Route("GET", ENTERPRISES, "listEnterprises", tag, "Enterprises, by code.", self.list, page("EnterprisePage"),
                  (AFTER_NAME, LIMIT)),
            Route("GET", ENTERPRISE, "readEnterprise", tag, "One enterprise.", self.get,
                  {200: Answer("As it is.", "Enterprise")}, (_CODE,)),
            Route("GET", STATISTICS, "readCityStatistics", tag, "What is registered, active and resolved.", self.statistics,
                  {200: Answer("As it is now.", "Statistics")}, (_WHOSE, BY, DAYS)),
        )  # fmt: skip

    async def list(self, call: Call) -> Reply:
        query = call.query()
        found = await self._registry.list_enterprises(call.context, query.get("after", ""), parse_limit(query))
        return await render_page("enterprises", found, enterprise_document)

    async def get(self, call: Call) -> Reply:
        return reply_json(enterprise_document(await self._registry.show_enterprise(call.context, call.path["enterprise"])))

    async def products(self, call: Call) -> Reply:
        query = call.query()
        found = await self._registry.list_products(
            call.context, call.path["enterprise"], query.get("prefix", ""), query.get("after", ""), parse_limit(query)
        )
        return await render_page("products", found, record_document)

    async def statistics(self, call: Call) -> Reply:
        query = call.query()
        whose = query.get("enterprise", EVERY_REGISTRANT)
        return reply_statistics(await self._registry.statistics(call.context, whose, *parse_asked(query)))


def enterprise_document(enterprise: Enterprise) -> dict[str, Any]:
    """An enterprise with its prefixes."""
    return {
        "code": enterprise.registrant.code,
        "name": enterprise.registrant.name,
        "state": enterprise.registrant.state.name.lower(),
        "prefixes": [prefix_document(each) for each in enterprise.prefixes],
        "changed": render_ms(enterprise.registrant.changed_ms),
    }
