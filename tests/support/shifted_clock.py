"""A machine's clock that a test sets ahead: the processes of a node that are started with `environ` read it with every look.

Only the wall clock moves, as it does when somebody sets it; the monotonic one does not.
"""

import os
from collections.abc import Mapping
from pathlib import Path

# Python imports a module of this name when it starts, whatever it is started for.
_MODULE = "sitecustomize.py"
_PATCH = '''"""Set the wall clock ahead by as many seconds as a file says."""

import time

_time, _time_ns = time.time, time.time_ns


def _ahead_s():
    with open({path!r}) as file:
        return int(file.read())


time.time = lambda: _time() + _ahead_s()
time.time_ns = lambda: _time_ns() + _ahead_s() * 10**9
'''


class ShiftedClock:
    """The clock of a node, `ahead_s` seconds ahead of the machine's."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._file = folder / "ahead_s"
        self._folder = folder
        self.ahead_s = 0
        self.set_ahead(0)
        (folder / _MODULE).write_text(_PATCH.format(path=str(self._file)))

    @property
    def environ(self) -> Mapping[str, str]:
        """What a process is started with to have this clock."""
        folders = [str(self._folder), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        return {"PYTHONPATH": os.pathsep.join(folders)}

    def set_ahead(self, ahead_s: int) -> None:
        """Set the clock, at once and for everybody: nobody reads half of a number."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str(ahead_s))
        fresh.rename(self._file)
        self.ahead_s = ahead_s
