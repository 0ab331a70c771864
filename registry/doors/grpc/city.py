"""`biaojie.v1.City`: what the city reads of enterprises, and who of it has."""

from collections.abc import Iterator
from typing import Final

from google.protobuf.message import Message

from proto.convert import parse_message, prefix_message, record_message, registrant_message
from proto.errors import Reason, Refusal
from proto.limits import DEFAULT_PAGE
from proto.model.access import Access
from proto.model.account import Caller
from proto.model.record import Record
from proto.v1 import city_pb2
from registry.doors.grpc.calls import MAX_REQUEST_BYTES, Call, Unary
from registry.doors.grpc.identifiers import LIST_PAGE
from registry.doors.grpc.replies import MAX_PART_BYTES
from registry.policy.rules import EVERY_REGISTRANT
from registry.service.city import Enterprise
from registry.service.context import Context
from registry.service.figures import Day, Grouping, Statistics, Sum
from registry.service.registry import Registry

_GROUPINGS: Final = {
    city_pb2.GROUPING_NOTHING: Grouping.NOTHING,
    city_pb2.GROUPING_PREFIX: Grouping.PREFIX,
    city_pb2.GROUPING_ENTERPRISE: Grouping.ENTERPRISE,
}


class City:
    """The methods of `biaojie.v1.City`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.unary: dict[str, Unary] = {
            "GetEnterprise": Unary(city_pb2.EnterpriseRequest, lambda request: request.code, self._get),
            "ListEnterprises": Unary(city_pb2.ListEnterprisesRequest, _as_it_is, self._list),
            "GetStatistics": Unary(city_pb2.StatisticsRequest, _as_it_is, self._statistics),
            "ListAccesses": Unary(city_pb2.ListAccessesRequest, _as_it_is, self._accesses),
        }
        self.streams = {"ListProducts": self._products}

    async def _get(self, context: Context, code: str) -> Message:
        return enterprise_message(await self._registry.show_enterprise(context, code))

    async def _list(self, context: Context, asked: city_pb2.ListEnterprisesRequest) -> Message:
        page = await self._registry.list_enterprises(context, asked.after, asked.limit or DEFAULT_PAGE)
        return city_pb2.ListEnterprisesResponse(enterprises=map(enterprise_message, page.items), cursor=page.cursor)

    async def _statistics(self, context: Context, asked: city_pb2.StatisticsRequest) -> Message:
        grouping = _GROUPINGS.get(asked.by)
        if grouping is None:
            raise Refusal(Reason.INVALID_ARGUMENT, f"{asked.by} is not a Grouping of this version", "by")
        whose = _whose(asked.registrant, context.caller)
        return statistics_message(await self._registry.statistics(context, whose, grouping, asked.days))

    async def _accesses(self, context: Context, asked: city_pb2.ListAccessesRequest) -> Message:
        whose = _whose(asked.registrant, context.caller)
        page = await self._registry.list_accesses(context, whose, asked.after, asked.limit or DEFAULT_PAGE)
        return city_pb2.ListAccessesResponse(accesses=map(access_message, page.items), cursor=page.cursor)

    async def _products(self, call: Call) -> None:
        request = parse_message(city_pb2.ListProductsRequest, await call.read(), MAX_REQUEST_BYTES)
        after, left = request.after, request.limit
        while True:
            limit = min(LIST_PAGE, left) if request.limit else LIST_PAGE
            context = call.context(request, "")
            page = await self._registry.list_products(context, request.code, request.prefix, after, limit)
            for part in product_parts(page.items, page.cursor):
                await call.offer(part)
            after, left = page.cursor, left - len(page.items)
            if not after or (request.limit and left <= 0):
                return


def enterprise_message(enterprise: Enterprise) -> city_pb2.Enterprise:
    """An enterprise with its prefixes."""
    return city_pb2.Enterprise(
        registrant=registrant_message(enterprise.registrant), prefixes=map(prefix_message, enterprise.prefixes)
    )


def product_parts(records: tuple[Record, ...], cursor: str) -> Iterator[city_pb2.ListProductsResponse]:
    """A page in messages that a stock client accepts; the last one carries the cursor."""
    part, size = city_pb2.ListProductsResponse(), 0
    for record in records:
        message = record_message(record)
        size += message.ByteSize()
        if part.records and size > MAX_PART_BYTES:
            yield part
            part, size = city_pb2.ListProductsResponse(), message.ByteSize()
        part.records.append(message)
    part.cursor = cursor
    yield part


def statistics_message(found: Statistics) -> city_pb2.Statistics:
    """Figures, with their groups and days."""
    return city_pb2.Statistics(
        position=found.position.to_cursor(),
        at_ms=found.at_ms,
        enterprises=found.enterprises,
        prefixes=found.prefixes,
        total=_sum_message(found.total),
        groups={name: _sum_message(each) for name, each in found.groups.items()},
        days=[city_pb2.DayFigures(day=day.day, sum=_sum_message(day), added=day.added) for day in found.days],
    )


def access_message(access: Access) -> city_pb2.Access:
    """One reading."""
    return city_pb2.Access(
        at_ms=access.at_ms,
        account=access.account,
        reading=access.reading,
        registrant=access.registrant,
        subject=access.subject,
        count=access.count,
        request_id=access.request_id,
        way=access.way,
    )


def _sum_message(figures: Sum | Day) -> city_pb2.Sum:
    return city_pb2.Sum(registered=figures.registered, active=figures.active, resolved=figures.resolved, missed=figures.missed)


def _whose(registrant: str, caller: Caller) -> str:
    return registrant or caller.registrant or EVERY_REGISTRANT


def _as_it_is(request: Message) -> Message:
    return request
