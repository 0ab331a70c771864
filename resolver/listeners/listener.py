"""What the worker does with a listener of any protocol."""

from typing import Protocol


class Listener(Protocol):
    """A socket end. Several processes open the same address (SO_REUSEPORT); the kernel spreads connections."""

    protocol: str
    """Its name in metrics and logs (`proto.metrics.PROTOCOLS`)."""

    async def open(self, host: str, port: int) -> int:
        """Bind and serve; returns the port. May be opened again after `close`."""

    async def close(self, grace_s: float) -> None:
        """Stop accepting at once, let what is in flight finish for at most `grace_s` seconds, then close all connections."""
