"""When to try again: delays that double, half of each by chance, so that nodes which failed together do not return together."""

from dataclasses import dataclass
from typing import Final

# Doubling further would only overflow.
_MAX_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The first delay after a failure, and the longest, in seconds."""

    first_s: float
    last_s: float

    def delay_s(self, attempt: int, fraction: float) -> float:
        """How long to wait after the `attempt`-th failure in a row (from 1); `fraction` is random, from 0 to 1."""
        whole = min(self.last_s, self.first_s * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
        return whole / 2 + whole / 2 * fraction
