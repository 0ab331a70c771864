"""The view: what this process answers from. See the package's head for how it is made."""

from collections.abc import Callable, Sequence
from pathlib import Path

from proto.metrics import Metrics
from proto.model.account import Account
from proto.model.change import Position, Table
from proto.model.prefix import Prefix
from proto.ports import Clock


class View:
    """A `proto.ports.FollowingReader` made of the newest checkpoint and the changes after it.

    `data` is the node's data folder; nothing in it is written but leases. `on_readiness` is called in the event loop with
    True when the view begins to answer and with False when it stops (a rebuild): until it is True again every read raises
    `Refusal(NOT_READY)`.
    """

    def __init__(
        self, data: Path, clock: Clock, metrics: Metrics, on_readiness: Callable[[bool], None] = lambda _: None
    ) -> None:
        raise NotImplementedError

    async def open(self) -> None:
        """Begin to follow; returns when the view is ready for the first time (which may be never: cancel to give up)."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop following and let the checkpoint go."""
        raise NotImplementedError

    @property
    def is_ready(self) -> bool:
        """Whether the view answers."""
        raise NotImplementedError

    @property
    def position(self) -> Position:
        """The last change that this view shows."""
        raise NotImplementedError

    def record(self, normalised: str) -> bytes | None:
        """The packed record or alias pointer under a normalised identifier."""
        raise NotImplementedError

    def records(self, normalised: Sequence[str]) -> list[bytes | None]:
        """The same for many at once, in order."""
        raise NotImplementedError

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        """(normalised identifier, packed record) below one prefix, in order, after `after`; no alias pointers."""
        raise NotImplementedError

    def prefix(self, name: str) -> Prefix | None:
        """The prefix of exactly this (folded) name."""
        raise NotImplementedError

    def homing(self, name: str) -> Prefix | None:
        """The longest prefix of the table that `name` is or derives from."""
        raise NotImplementedError

    def account(self, name: str) -> Account | None:
        """The account of this name."""
        raise NotImplementedError

    def images(self, table: Table) -> dict[str, bytes]:
        """All images of a small table, by name (a copy)."""
        raise NotImplementedError

    async def reach(self, position: Position, timeout_s: float) -> bool:
        """Wait until the view shows `position`; False if it does not within `timeout_s`."""
        raise NotImplementedError
