"""What the city reads over gRPC, and what an enterprise learns of it."""

import grpc
import pytest

from proto.v1.city_pb2 import (
    GROUPING_PREFIX,
    EnterpriseRequest,
    ListAccessesRequest,
    ListEnterprisesRequest,
    ListProductsRequest,
    StatisticsRequest,
)
from proto.v1.city_pb2_grpc import CityStub
from proto.v1.model_pb2 import STATE_RETIRED
from proto.v1.registry_pb2 import IdentifierWrite
from tests.support.control_plane import ACME, ACME_CODE
from tests.support.grpc_calls import bearer, failure_of
from tests.support.grpc_door import Served, register

Status = grpc.StatusCode


@pytest.fixture
async def node(node: Served) -> Served:
    for name in ("a", "b", "c"):
        await register(node, name)
    await node.stub.Retire(IdentifierWrite(identifier=f"{ACME}/c"), metadata=bearer(node.acme))
    return node


async def products(node: Served, asked: ListProductsRequest, token: str) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    async for response in CityStub(node.channel).ListProducts(asked, metadata=bearer(token)):
        found += [(record.identifier, record.state, len(record.values)) for record in response.records]
    return found


async def test_enterprises_and_their_products(node: Served) -> None:
    city = CityStub(node.channel)
    found = await city.GetEnterprise(EnterpriseRequest(code=ACME_CODE), metadata=bearer(node.city))
    assert (found.registrant.name, [each.name for each in found.prefixes]) == ("许昌变压器", [ACME])
    page = await city.ListEnterprises(ListEnterprisesRequest(), metadata=bearer(node.city))
    assert [each.registrant.code for each in page.enterprises] == [ACME_CODE]
    every = await products(node, ListProductsRequest(code=ACME_CODE), node.city)
    assert [name for name, _, _ in every] == [f"{ACME}/a", f"{ACME}/b", f"{ACME}/c"]
    assert every[2][1:] == (STATE_RETIRED, 0)
    assert len(await products(node, ListProductsRequest(code=ACME_CODE, limit=2), node.city)) == 2
    code, failure = await failure_of(city.GetEnterprise(EnterpriseRequest(code="R-404"), metadata=bearer(node.city)))
    assert (code, failure.reason) == (Status.NOT_FOUND, "NOT_FOUND")


async def test_figures(node: Served) -> None:
    city = CityStub(node.channel)
    asked = StatisticsRequest(by=GROUPING_PREFIX, days=2)
    for token in (node.city, node.acme, node.operator):
        found = await city.GetStatistics(asked, metadata=bearer(token))
        assert (found.enterprises, found.total.registered, found.total.active) == (1, 3, 2)
        assert found.groups[ACME].registered == 3
        assert (len(found.days), found.days[-1].sum.registered) == (2, 3)
        assert sum(day.added for day in found.days) == 3
    later = StatisticsRequest.FromString(b"\x10\x07")  # a Grouping of a later version
    code, failure = await failure_of(city.GetStatistics(later, metadata=bearer(node.city)))
    assert (code, failure.field) == (Status.INVALID_ARGUMENT, "by")
    code, failure = await failure_of(city.GetStatistics(StatisticsRequest(days=10_000), metadata=bearer(node.city)))
    assert (code, failure.field) == (Status.INVALID_ARGUMENT, "days")


async def test_an_enterprise_learns_who_of_the_city_has_read_what(node: Served) -> None:
    city = CityStub(node.channel)
    trace = (*bearer(node.city), ("x-request-id", "scan-1"))
    await city.GetEnterprise(EnterpriseRequest(code=ACME_CODE), metadata=trace)
    await products(node, ListProductsRequest(code=ACME_CODE), node.city)
    await city.GetEnterprise(EnterpriseRequest(code=ACME_CODE), metadata=bearer(node.acme))
    page = await city.ListAccesses(ListAccessesRequest(), metadata=bearer(node.acme))
    assert [(each.account, each.reading, each.count) for each in page.accesses] == [
        ("city", "identifiers", 3),
        ("city", "enterprise", 1),
    ]
    assert (page.accesses[1].request_id, page.accesses[1].registrant) == ("scan-1", ACME_CODE)
    first = await city.ListAccesses(ListAccessesRequest(limit=1), metadata=bearer(node.operator))
    rest = await city.ListAccesses(ListAccessesRequest(after=first.cursor), metadata=bearer(node.operator))
    assert [*first.accesses, *rest.accesses] == [*page.accesses]
    code, _ = await failure_of(city.ListAccesses(ListAccessesRequest(registrant=ACME_CODE), metadata=bearer(node.city)))
    assert code is Status.PERMISSION_DENIED
    code, _ = await failure_of(city.ListAccesses(ListAccessesRequest()))
    assert code is Status.UNAUTHENTICATED
