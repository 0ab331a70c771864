"""wrk, a generator in C: HTTP/1.1 on connections kept open, one request at a time each."""

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from load_tests import cores
from load_tests.generator.http import PATH
from load_tests.generator.loop import WrongAnswerError

CONNECTIONS: Final = 32
# More than one worker answers while one figure is taken, so that no number comes twice.
NUMBERS: Final = 400_000
# Requests are made before the clock runs, so that the generator's script costs little while it does.
_SCRIPT: Final = """
local requests, count, at = {{}}, 0, 0
function init(arguments)
    for number in io.lines("{numbers}") do
        count = count + 1
        requests[count] = wrk.format("GET", string.format("{path}", tonumber(number)))
    end
end
function request()
    at = at % count + 1
    return requests[at]
end
"""
_RATE: Final = re.compile(r"^Requests/sec: +([\d.]+)$", re.MULTILINE)
_FAILED: Final = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")


def gets(port: int, seconds: int, folder: Path, numbers: Iterator[int] | None = None) -> tuple[float, float]:
    """GETs of the records in turn, or of one path if there are no `numbers`: how many, in how many seconds.

    Raises `WrongAnswerError` if a reply was no 200 or a connection broke.
    """
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", f"http://127.0.0.1:{port}{PATH % 0}"]
    if numbers is not None:
        command += ["-s", str(_write_script(folder, numbers))]
    printed = subprocess.run(cores.pinned(command, cores.GENERATOR), capture_output=True, text=True, check=True).stdout
    failed, rate = _FAILED.search(printed), _RATE.search(printed)
    if failed or rate is None:
        raise WrongAnswerError(failed.group() if failed else printed)
    return float(rate.group(1)) * seconds, seconds


def _write_script(folder: Path, numbers: Iterator[int]) -> Path:
    listed, script = folder / "numbers", folder / "script.lua"
    listed.write_text("".join(f"{number}\n" for number in itertools.islice(numbers, NUMBERS)))
    script.write_text(_SCRIPT.format(numbers=listed, path=PATH))
    return script
