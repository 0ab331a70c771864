"""An HTTP listener over a reader of dictionaries, on the event loop that workers run and on asyncio's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from proto.credentials import compose_token
from proto.model.account import GroupGrant, Role
from proto.model.prefix import PrefixState
from proto.model.record import State
from proto.model.value import PRIVATE, PUBLIC, Value, derive_permissions
from tests.support.http import Served

OWNER = "91411000MA40XCDL1K"
TOKENS = {name: compose_token(name, f"secret-of-{name}") for name in ("root", "maker", "other", "city")}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Workers run uvloop; asyncio's own loop is the second opinion on how a transport behaves."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    if item.path.name == "test_http_connections.py":
        loops["asyncio"] = asyncio.new_event_loop
    return loops


def value(index: int, kind: str, data: str, audience: str = PUBLIC, ttl: int = 3600) -> Value:
    return Value(index, kind, data.encode(), ttl, False, 0, derive_permissions(0b1110, audience), (), audience)


def fill(served: Served) -> None:
    """One record of every fate, and accounts of every role."""
    reader = served.reader
    reader.put_prefix("88.118")
    reader.put_prefix("88.118.1", registrant=OWNER)
    reader.put_prefix("88.118.9", PrefixState.SUSPENDED)
    reader.put_record(
        "88.118.1/Sample-1",
        value(1, "URL", "http://x.cn/1"),
        value(2, "TITLE", "油浸式变压器", ttl=600),
        value(800, "PRICE", "1", "grid"),
        value(900, "NOTE", "n", PRIVATE),
        registrant=OWNER,
        aliases=("88.118.1/OLD",),
        version=4,
    )
    reader.put_record("88.118.1/suspended", value(1, "URL", "u"), state=State.SUSPENDED)
    reader.put_record("88.118.1/retired", state=State.RETIRED, version=9)
    reader.put_account("root", TOKENS["root"], Role.OPERATOR)
    reader.put_account("maker", TOKENS["maker"], Role.REGISTRANT, OWNER)
    reader.put_account("other", TOKENS["other"], Role.REGISTRANT, "91411000MA40XCDL2K")
    reader.put_account("city", TOKENS["city"], Role.CITY, groups=(GroupGrant(OWNER, "grid"),))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every expectation holds whoever serves the connection: plain requests answered as such, or all of it by aiohttp."""
    # One looks at both at once, the other at what only plain requests do.
    if metafunc.definition.path.name not in ("test_http_two_paths.py", "test_http_turns.py"):
        metafunc.parametrize("served_by", ["plain", "aiohttp"], indirect=True)


@pytest.fixture(autouse=True)
def served_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = getattr(request, "param", "both")
    monkeypatch.setattr(Served, "is_plain", name != "aiohttp")
    return name


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with Served() as listener:
        fill(listener)
        yield listener
