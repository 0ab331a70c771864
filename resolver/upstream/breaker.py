"""Whether a server is worth asking: a breaker for each, closed, open, or half open. Pure; seconds are the caller's.

Closed: everybody asks. After a few failures in a row it opens and nobody asks; when its pause is over it is half open and one
question goes through as a probe. A probe that is answered closes it, one that is not opens it again for twice as long.
"""

from typing import Final

# One failure may be a server's restart; three in a row are an outage.
FAILURES: Final = 3

# A server that restarts is back within seconds; one that is down for days is asked twice a minute.
FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 30.0


class Breaker:
    """Of one server. Every `admit` that says True is followed by `succeed`, `fail` or `abandon`."""

    __slots__ = ("_failures", "_is_probing", "_pause_s", "_until_s")

    def __init__(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._until_s = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether the server is taken for dead (also while it is being probed)."""
        return self._failures >= FAILURES

    @property
    def is_suspect(self) -> bool:
        """Whether the last question to it was not answered: nobody who has another answer waits for it."""
        return self._failures > 0

    def admits(self, now_s: float) -> bool:
        """Whether `admit` would say True."""
        return not self.is_open or (now_s >= self._until_s and not self._is_probing)

    def admit(self, now_s: float) -> bool:
        """Whether to ask now; of an open one, only the probe may."""
        if not self.is_open:
            return True
        if not self.admits(now_s):
            return False
        self._is_probing = True
        return True

    def succeed(self) -> None:
        """It has answered."""
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._is_probing = False

    def fail(self, now_s: float) -> None:
        """It has not answered, or not with an answer."""
        if self._is_probing:
            self._pause_s = min(self._pause_s * 2, LAST_PAUSE_S)
        self._is_probing = False
        self._failures += 1
        if self.is_open:
            self._until_s = now_s + self._pause_s

    def abandon(self) -> None:
        """Nobody waited for the end of it: it proves nothing."""
        self._is_probing = False
