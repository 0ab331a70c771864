"""When to try again: exponential delays with jitter, and what a system asks for by Retry-After (RFC 9110 10.2.3)."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

# A system may ask for a night's rest; a mistake in its clock must not silence a feed for longer.
MAX_RETRY_AFTER_S: Final = 43_200.0

# Doubling further would only overflow.
_MAX_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The first delay after a failure, and the longest, in seconds."""

    first_s: float = 0.5
    last_s: float = 300.0

    def delay_s(self, attempt: int, asked_s: float | None, fraction: float) -> float:
        """How long to wait after the `attempt`-th failure in a row (from 1); `fraction` is random, from 0 to 1.

        Half of the delay is jitter, so that feeds which failed together do not come back together. What the system asks for
        is the least.
        """
        whole = min(self.last_s, self.first_s * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
        delay = whole / 2 + whole / 2 * fraction
        return max(delay, min(asked_s, MAX_RETRY_AFTER_S)) if asked_s is not None else delay


def parse_retry_after(text: str, now_s: float) -> float | None:
    """Seconds to wait from a Retry-After header, a number or a date; None if it is neither. `now_s` is in epoch seconds."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    zoned = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, zoned.timestamp() - now_s)
