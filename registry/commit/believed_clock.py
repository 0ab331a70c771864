"""The time of the registry: the machine's clock, as far as it can be believed.

The time of a change is kept for ever, and no later change may have an earlier one; days of reports, of the access log and of
idempotency keys come from the same clock. So one moment at which the clock is years ahead would spoil all that comes after it,
long after the clock is right again. Nobody can tell a wrong clock from a right one by looking at it, but what is known bounds
it: the last change was committed before now, and since then so much time has passed as the monotonic clock counts, or more if
the node was switched off. A clock outside of those bounds is not believed: time is then *carried on* from the last that was, by
the monotonic clock, until the clock is within the bounds again. Nothing is refused and nothing lost meanwhile; the log, a
metric and `biaojie status` say so. `node.clock_not_before` is the operator's word for a node that really was away for so long.
"""

import logging
from datetime import UTC, datetime
from typing import Final, NamedTuple

from proto.metrics import Gauge
from proto.model.day import DAY_MS
from proto.ports import Clock

log = logging.getLogger(__name__)

# No clock that says earlier is right: this program was not written yet.
RELEASED_MS: Final = 1_767_225_600_000  # 2026-01-01

# From the last change, and what has passed since, to now: a node may have been switched off for so long. What goes wrong with
# clocks goes further: batteries that are empty, weeks of GPS that begin anew (19.6 years), a digit of the year mistyped.
MAX_AHEAD_MS: Final = 366 * DAY_MS

# Before anything is committed there is only this program's own age; it may be installed so many years after its release.
MAX_AHEAD_AT_FIRST_MS: Final = 10 * 366 * DAY_MS

# A clock that is set back by less makes time stand still until it has caught up; for longer than this it must not.
MAX_BEHIND_MS: Final = DAY_MS


class _Known(NamedTuple):
    """A time (UTC ms) that was believed, and the monotonic seconds of then."""

    ms: int
    at_s: float


class BelievedClock:
    """Implements `proto.ports.Clock` over another one; its time never goes back. May be asked by any thread."""

    def __init__(self, clock: Clock, not_before_ms: int = 0, doubt: Gauge | None = None) -> None:
        self._clock = clock
        self._doubt = doubt
        self._not_before_ms = max(RELEASED_MS, not_before_ms)
        self._max_ahead_ms = MAX_AHEAD_AT_FIRST_MS
        self._known = _Known(self._not_before_ms, clock.monotonic())
        self._told_ms = 0
        self._ahead_s = 0.0

    def carry_on_from(self, last_ms: int) -> None:
        """The time of the last change that was committed, to be said before another one is. What was told before is forgotten:
        opening a store asks for the time before it is known what is in it."""
        self._known = _Known(max(last_ms, self._not_before_ms), self._clock.monotonic())
        self._max_ahead_ms, self._told_ms = MAX_AHEAD_MS, self._known.ms

    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""
        known, wall_ms, at_s = self._known, self._clock.now_ms(), self._clock.monotonic()
        carried_ms = known.ms + int((at_s - known.at_s) * 1_000)
        ahead_ms = wall_ms - carried_ms
        if not -MAX_BEHIND_MS <= ahead_ms <= self._max_ahead_ms:
            self._say(ahead_ms / 1_000, wall_ms, carried_ms)
            return self._tell(carried_ms)
        if self._ahead_s:
            self._say(0.0, wall_ms, carried_ms)
        if wall_ms >= known.ms:
            self._known, self._max_ahead_ms = _Known(wall_ms, at_s), MAX_AHEAD_MS
        return self._tell(self._known.ms)

    def monotonic(self) -> float:
        """Seconds from an arbitrary moment, never backwards."""
        return self._clock.monotonic()

    def look(self) -> str:
        """What is wrong with the machine's clock now, in a sentence; empty while it is believed."""
        instead_ms = self.now_ms()
        if not self._ahead_s:
            return ""
        return f"the machine's clock says {_shown(self._clock.now_ms())} and is not believed: it is {_shown(instead_ms)}"

    def _tell(self, now_ms: int) -> int:
        """That time, or what was told before if later: a clock that is believed again may be behind what was carried on."""
        self._told_ms = max(self._told_ms, now_ms)
        return self._told_ms

    def _say(self, ahead_s: float, wall_ms: int, carried_ms: int) -> None:
        was_s, self._ahead_s = self._ahead_s, ahead_s
        if self._doubt is not None:
            self._doubt.set(abs(ahead_s))
        if bool(was_s) is bool(ahead_s):
            return
        told = {"clock": _shown(wall_ms), "carried_on": _shown(carried_ms)}
        if ahead_s:
            log.error(
                "the machine's clock is not believed: mend it, or say with node.clock_not_before that it is right", extra=told
            )
        else:
            log.warning("the machine's clock is believed again", extra=told)


def _shown(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"  # a year that has no calendar
