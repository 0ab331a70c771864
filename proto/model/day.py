"""Days of Asia/Shanghai: what is counted by the day is counted by these."""

from datetime import date, timedelta
from typing import Final

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
# Asia/Shanghai is UTC+8 all year round, since 1991.
SHANGHAI_MS: Final = 8 * HOUR_MS

_EPOCH: Final = date(1970, 1, 1)


def day_of(at_ms: int) -> str:
    """The day in Shanghai that a moment (UTC ms) is of: `2026-11-25`."""
    return (_EPOCH + timedelta((at_ms + SHANGHAI_MS) // DAY_MS)).isoformat()


def start_of(day: str) -> int:
    """The moment (UTC ms) at which a day of Shanghai begins."""
    return (date.fromisoformat(day) - _EPOCH).days * DAY_MS - SHANGHAI_MS


def days_before(day: str, count: int) -> str:
    """The day so many days before another."""
    return (date.fromisoformat(day) - timedelta(count)).isoformat()
