"""A registry in memory with its REST door on a port, and a stand-in of the business management system."""

from collections.abc import AsyncIterator

import pytest

from adapters.upstream.epp.core.document import ENT, PREFIX
from adapters.upstream.epp.fake import BusinessSystem
from proto.model.account import Role
from tests.contract.rest.conftest import make_tokens
from tests.support.filings import PASSWORD
from tests.support.rest import RestNode
from tests.support.world import OPERATOR, World, context


@pytest.fixture
async def world() -> World:
    return await World().furnish()


@pytest.fixture
async def node(world: World) -> AsyncIterator[RestNode]:
    async with RestNode(world.registry) as opened:
        opened.tokens = await make_tokens(world)
        opened.tokens["upstream"] = (await world.registry.create_account(context(OPERATOR), "filings", Role.UPSTREAM)).token
        yield opened


@pytest.fixture
async def system() -> AsyncIterator[BusinessSystem]:
    """It does not know our mapping of figures: what is told is registrants and prefixes."""
    opened = await BusinessSystem(PASSWORD).open()
    opened.objects = (ENT, PREFIX)
    yield opened
    await opened.close()
