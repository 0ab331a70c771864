"""The REST door over a registry in memory, with an account of every role."""

from collections.abc import AsyncIterator

import pytest

from proto.model.account import Role
from tests.support.rest import RestNode
from tests.support.world import HOLDER, OPERATOR, OTHER, World, context


@pytest.fixture
async def world() -> World:
    return await World().furnish()


@pytest.fixture
async def node(world: World) -> AsyncIterator[RestNode]:
    async with RestNode(world.registry) as opened:
        opened.tokens = await make_tokens(world)
        yield opened


async def make_tokens(world: World) -> dict[str, str]:
    """An account of every role; nobody in particular is called `nobody`."""
    accounts = (
        ("operator", Role.OPERATOR, ""),
        ("holder", Role.REGISTRANT, HOLDER),
        ("stranger", Role.REGISTRANT, OTHER),
        ("city", Role.CITY, ""),
    )
    made = {}
    for name, role, registrant in accounts:
        made[name] = (await world.registry.create_account(context(OPERATOR), name, role, registrant)).token
    return made
