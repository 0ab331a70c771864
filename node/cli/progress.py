"""One line that says how far something is, rewritten in place; where nobody looks, nothing."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

# As often as eyes follow.
_INTERVAL_S: Final = 0.1
_BAR_CHARS: Final = 30
_ERASE: Final = "\r\x1b[K"


class Progress:
    """Shows on a terminal (standard error unless another is given)."""

    def __init__(self, stream: TextIO | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._is_shown = self._stream.isatty()
        self._monotonic = monotonic
        self._next_s = 0.0

    def show(self, text: str, share: float | None = None) -> None:
        """Say what goes on; with a `share` from 0 to 1 as a bar. Too frequent news is left out."""
        now_s = self._monotonic()
        if not self._is_shown or now_s < self._next_s:
            return
        self._next_s = now_s + _INTERVAL_S
        bar = "" if share is None else f"{_bar(share)} {share:4.0%} "
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(_ERASE + (bar + text)[:width])
        self._stream.flush()

    def clear(self) -> None:
        """Leave the line empty for others."""
        if self._is_shown:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._next_s = 0.0


def _bar(share: float) -> str:
    done = round(min(max(share, 0.0), 1.0) * _BAR_CHARS)
    return f"[{'#' * done}{'.' * (_BAR_CHARS - done)}]"
