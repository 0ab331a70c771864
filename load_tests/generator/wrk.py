"""wrk, a generator in C: HTTP/1.1 on connections kept open, one request at a time each. It asks peers as fast as itself."""

import re
import subprocess
from typing import Final

from load_tests import cores
from load_tests.generator.http import PATH
from load_tests.generator.loop import WrongAnswerError

CONNECTIONS: Final = 32
_RATE: Final = re.compile(r"^Requests/sec: +([\d.]+)$", re.MULTILINE)
_FAILED: Final = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")


def gets(port: int, seconds: int) -> tuple[float, float]:
    """GETs of one path: how many, in how many seconds.

    Raises `WrongAnswerError` if a reply was no 200 or a connection broke.
    """
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", f"http://127.0.0.1:{port}{PATH % 0}"]
    printed = subprocess.run(cores.pinned(command, cores.GENERATOR), capture_output=True, text=True, check=True).stdout
    failed, rate = _FAILED.search(printed), _RATE.search(printed)
    if failed or rate is None:
        raise WrongAnswerError(failed.group() if failed else printed)
    return float(rate.group(1)) * seconds, seconds
