"""The OpenAPI document says what is routed, all of it and nothing else, and is a valid document."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from proto.errors import Reason
from proto.wire.http.status import REASON_STATUS
from registry.doors.rest.export import ExportResource
from registry.doors.rest.jobs import JobResource
from tests.support.imports import Desk
from tests.support.rest import RestNode
from tests.support.world import World


@pytest.fixture
async def node(world: World, tmp_path: Path) -> AsyncIterator[RestNode]:
    """The door with all that a node serves there."""
    desk = await Desk(world, tmp_path).open(accounts=False)
    async with RestNode(world.registry, None, None, JobResource(desk.jobs), ExportResource(world.registry)) as opened:
        yield opened
    await desk.jobs.close()


async def described(node: RestNode) -> dict[str, Any]:
    got = await node("GET", "/openapi.json", by="nobody")
    assert got.status == 200
    return got.document


async def test_it_is_valid(node: RestNode) -> None:
    OpenAPIV31SpecValidator(await described(node)).validate()


async def test_it_has_every_route_and_no_other(node: RestNode) -> None:
    document = await described(node)
    routed = {(route.path, route.method.lower()) for route in node.door.routes}
    assert {(path, method) for path, operations in document["paths"].items() for method in operations} == routed
    assert len(routed) == len(node.door.routes)


async def test_every_operation_has_a_name_of_its_own_and_says_how_it_is_refused(node: RestNode) -> None:
    document = await described(node)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Refused"}
        assert operation["summary"].endswith(".")


async def test_every_part_of_a_path_is_a_described_parameter(node: RestNode) -> None:
    for route in node.door.routes:
        described_parts = {each.name for each in route.parameters if each.place == "path"}
        assert described_parts == set(re.findall(r"\{(\w+)\}", route.path)), route.name
        assert all(each.is_required for each in route.parameters if each.place == "path")


async def test_every_component_is_a_schema_and_is_used(node: RestNode) -> None:
    document = await described(node)
    text = str(document)
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}'" in text, f"{name} is described and nowhere used"


async def test_every_write_answers_with_its_position_and_takes_a_key(node: RestNode) -> None:
    for route in node.door.routes:
        if route.method == "GET" or route.tag == "jobs":
            continue
        assert "Idempotency-Key" in {each.name for each in route.parameters}, route.name
        assert all("Biaojie-Position" in answer.headers for answer in route.answers.values()), route.name


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_one_status(reason: Reason) -> None:
    assert 400 <= REASON_STATUS[reason] < 600
    assert set(REASON_STATUS) == set(Reason)
