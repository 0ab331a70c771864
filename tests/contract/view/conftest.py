"""The event loops under which a view must keep its word."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop


@pytest.hookimpl
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Workers run uvloop, in which things happen in another order than in asyncio's own loop."""
    return {"uvloop": uvloop.new_event_loop}
