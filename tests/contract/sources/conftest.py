"""A registry in memory with its REST door on a port."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.rest.conftest import make_tokens
from tests.support.rest import RestNode
from tests.support.world import World


@pytest.fixture
async def world() -> World:
    return await World().furnish()


@pytest.fixture
async def node(world: World) -> AsyncIterator[RestNode]:
    async with RestNode(world.registry) as opened:
        opened.tokens = await make_tokens(world)
        yield opened
