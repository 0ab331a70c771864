"""wrk, a generator in C: HTTP/1.1 on connections kept open, one request at a time each. It asks peers as fast as itself."""

import re
import subprocess
import tempfile
from typing import Final

from load_tests import cores
from load_tests.generator.http import PATH
from load_tests.generator.loop import WrongAnswerError

CONNECTIONS: Final = 32
_RATE: Final = re.compile(r"^Requests/sec: +([\d.]+)$", re.MULTILINE)
_FAILED: Final = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")


# wrk asks for what `request` returns. The seed is one for every run, so that all servers are asked for the same.
_RANDOM_PATHS: Final = """
math.randomseed(1)
function request()
  return wrk.format("GET", string.format("PATH", math.random(0, RECORDS - 1)))
end
"""


def gets(port: int, seconds: int) -> tuple[float, float]:
    """GETs of one path: how many, in how many seconds.

    Raises `WrongAnswerError` if a reply was no 200 or a connection broke.
    """
    return _run(cores.pinned(_command(port, seconds, CONNECTIONS), cores.GENERATOR), seconds)


def random_gets(port: int, records: int, connections: int, seconds: int) -> tuple[float, float]:
    """The same of any of the first `records`, on every core: more than two workers can answer."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_RANDOM_PATHS.replace("PATH", PATH).replace("RECORDS", str(records)))
        script.flush()
        return _run([*_command(port, seconds, connections), "-s", script.name], seconds)


def _command(port: int, seconds: int, connections: int) -> list[str]:
    url = f"http://127.0.0.1:{port}{PATH % 0}"
    return ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", url]


def _run(command: list[str], seconds: int) -> tuple[float, float]:
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed, rate = _FAILED.search(printed), _RATE.search(printed)
    if failed or rate is None:
        raise WrongAnswerError(failed.group() if failed else printed)
    return float(rate.group(1)) * seconds, seconds
