"""How old the oldest change is that a feed has not settled, in seconds. Pure.

The age is the change's own time against the clock of now, so a start of the adapters does not make it younger. While it is the
same change its age grows with the time that passes, too: a clock that is set back does not make a feed look as if it kept up.
"""

from datetime import datetime


class Lag:
    """Of one feed."""

    def __init__(self) -> None:
        self._oldest = ""
        self._first_s = 0.0
        self._since_s = 0.0

    def age_s(self, oldest: str, now_s: float, passed_s: float) -> float:
        """The age of a change of the time `oldest` (ISO 8601; empty: there is none), at `now_s` in seconds since 1970.

        `passed_s` is a clock that nobody sets.
        """
        if not oldest:
            self._oldest = ""
            return 0.0
        age_s = max(0.0, now_s - datetime.fromisoformat(oldest).timestamp())
        if oldest != self._oldest:
            self._oldest, self._first_s, self._since_s = oldest, age_s, passed_s
        return max(age_s, self._first_s + passed_s - self._since_s)
