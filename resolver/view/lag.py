"""How far a view is behind, as metrics; set now and then, for a gauge costs more than applying a change."""

from typing import Final

from proto.metrics import Metrics
from proto.model.change import Position
from proto.ports import Clock

MEASURE_S: Final = 0.1


class Lag:
    """The gauges of one reader."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._due_s = clock.monotonic()
        self._level_s = clock.monotonic()

    def measure(self, position: Position, head: Position, shown_ms: int, entries: int) -> None:
        """`position` is shown, whose change was committed at `shown_ms`; the committer has named `head`."""
        now_s = self._clock.monotonic()
        if position >= head:
            self._level_s = now_s
        if now_s < self._due_s:
            return
        self._due_s = now_s + MEASURE_S
        self._metrics.overlay_entries.set(entries)
        self._metrics.view_lag_changes.set(max(0, head.sequence - position.sequence))
        # The oldest change that is not shown is younger than the last one that is, and than the last moment without any.
        age_s = now_s - self._level_s
        if shown_ms:
            age_s = min(age_s, max(0.0, (self._clock.now_ms() - shown_ms) / 1000))
        self._metrics.view_lag_seconds.set(age_s)
