"""A whole primary on a real folder, and commands for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from node.clock import SystemClock
from node.metrics import build_metrics
from proto.model.change import Row
from proto.ports import Claim, Clock, Command
from registry.commit.finding import Finding
from registry.commit.primary import Primary
from registry.commit.verify import verify
from tests.support.history import prefix_row, record_row

PREFIX = "88.118.1001"


@asynccontextmanager
async def running_primary(
    data: Path, clock: Clock | None = None, registry: CollectorRegistry | None = None
) -> AsyncIterator[Primary]:
    """A primary that runs in this event loop, and is closed in the end."""
    primary = Primary.open(data, clock or SystemClock(), build_metrics(registry or CollectorRegistry()))
    await primary.start()
    try:
        yield primary
    finally:
        await primary.close()


def register(
    suffix: str,
    version: int = 1,
    account: str = "acme",
    aliases: Sequence[str] = (),
    key: str = "",
    body: bytes = b"b" * 32,
    size: int = 40,
) -> Command:
    """The `version`th registration of an identifier, with aliases that it claims, under an idempotency key if given."""
    name = f"{PREFIX}/{suffix}"
    claims = [Claim(alias, name) for alias in aliases]
    row = record_row(name, version, size, aliases)
    return Command(
        account, f"r-{suffix}-{version}", [row], claims, idempotency_key=key, body_digest=body, outcome=suffix.encode()
    )


def batch(rows: Sequence[Row], account: str = "acme") -> Command:
    return Command(account, "r-batch", rows)


def hold_prefix() -> Command:
    """What must be there before anything else, for `verify` to find every record reachable."""
    return Command("operator", "r-prefix", [prefix_row(PREFIX)])


def findings(data: Path) -> list[Finding]:
    return list(verify(data))
