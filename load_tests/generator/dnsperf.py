"""dnsperf, a generator in C: questions over UDP, at most a hundred of them unanswered at any time."""

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from load_tests import cores
from load_tests.generator.dns import ZONE
from load_tests.generator.loop import WrongAnswerError
from load_tests.records import name_of
from proto.wire.dns.identifier_name import name_of as dns_name_of

CLIENTS: Final = 32
# More than a worker answers while one figure is taken, so that no number comes twice.
NUMBERS: Final = 200_000
_COMPLETED: Final = re.compile(r"^ *Queries completed: +(\d+) ", re.MULTILINE)
_SECONDS: Final = re.compile(r"^ *Run time \(s\): +([\d.]+)$", re.MULTILINE)
_CODES: Final = re.compile(r"^ *Response codes: +(.+)$", re.MULTILINE)


def asks(port: int, seconds: int, folder: Path, numbers: Iterator[int]) -> tuple[float, float]:
    """NAPTR questions for the records in turn: how many were answered, in how many seconds.

    Raises `WrongAnswerError` if any was answered otherwise than with NOERROR.
    """
    listed = folder / "questions"
    listed.write_text("".join(f"{_written(number)} NAPTR\n" for number in itertools.islice(numbers, NUMBERS)))
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(listed), "-c", str(CLIENTS), "-T", "1", "-e"]
    printed = subprocess.run(
        cores.pinned([*command, "-l", str(seconds)], cores.GENERATOR), capture_output=True, text=True, check=True
    ).stdout
    completed, spent, codes = _COMPLETED.search(printed), _SECONDS.search(printed), _CODES.search(printed)
    if completed is None or spent is None or codes is None or codes[1] != f"NOERROR {completed[1]} (100.00%)":
        raise WrongAnswerError(printed[-1_000:])
    return float(completed[1]), float(spent[1])


def _written(number: int) -> str:
    return b".".join(dns_name_of(name_of(number), ZONE)).decode()
