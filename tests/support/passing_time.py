"""An event loop whose time passes by itself: whoever waits for a moment gets to it at once, so days take no time."""

import asyncio


class PassingTime(asyncio.SelectorEventLoop):
    """For code that waits for moments and for itself alone: nothing outside of the loop is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_s = 0.0

    def time(self) -> float:
        """Seconds since the loop was made, those included that were skipped."""
        return self._passed_s

    def _run_once(self) -> None:
        timers = self._scheduled  # type: ignore[attr-defined]  # asyncio's own
        waited_for = [each.when() for each in timers if not each.cancelled()]
        if waited_for and not self._ready:  # type: ignore[attr-defined]  # asyncio's own: what is due, and what is to come
            self._passed_s = max(self._passed_s, min(waited_for))
        super()._run_once()  # type: ignore[misc]  # asyncio's own
