"""The first start of a node: its homed prefixes and the operator's account."""

from collections.abc import Sequence
from pathlib import Path

from registry.service.registry import Registry

OPERATOR_ACCOUNT = "operator"


async def bootstrap(registry: Registry, homed: Sequence[str], token_file: Path) -> None:
    """Seed an empty store with the homed prefixes, and see to the operator's account and its key in `token_file` (0600).

    Does nothing where there is nothing to do, so it runs at every start, once the view is ready.
    """
    raise NotImplementedError
