"""`biaojie demo NAME`: a whole system on this machine, walked through step by step."""

import argparse
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

from node.cli.outcome import DONE, Failed

HELP: Final = "show a whole system on this machine, step by step, and check what it shows"

# What `kill`, `make` and a closed terminal send. Ctrl-C ends a demonstration as well, by Python's own handler.
_ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP)
# A shell says so of a command that a signal has ended.
_BY_SIGNAL: Final = 128

# Each is a module of `node.demo` with `show(stage)`.
_DEMOS: Final = {
    "federation": "five nodes: a national one, this one, two enterprises' own, and one that asks them all",
    "city": "an enterprise's database and every system of the city, with all that can go wrong between them",
}


def configure(parser: argparse.ArgumentParser) -> None:
    names = parser.add_subparsers(dest="demo", metavar="NAME", required=True)
    for name, meaning in _DEMOS.items():
        demo = names.add_parser(name, help=meaning, description=meaning)
        demo.add_argument("--folder", metavar="DIR", type=Path, help="keep data and logs there (default: removed at the end)")


def run(arguments: argparse.Namespace) -> int:
    from node.client.rest import RefusedByServer, Unreachable
    from node.demo.stage import DemoFailed, Stage

    demo = import_module(f"node.demo.{arguments.demo}")
    for number in _ENDINGS:
        signal.signal(number, _leave)
    try:
        with _folder(arguments.folder) as folder, Stage(folder) as stage:
            try:
                demo.show(stage)
            finally:
                _hear_no_more()
    except (DemoFailed, RefusedByServer, Unreachable) as failure:
        raise Failed(str(failure)) from None
    return DONE


def _leave(number: int, _: object) -> NoReturn:
    """Leave the stage, which ends all that was started on it."""
    _hear_no_more()
    raise SystemExit(_BY_SIGNAL + number)


def _hear_no_more() -> None:
    """Who is impatient now would leave behind what has not ended yet."""
    for number in (signal.SIGINT, *_ENDINGS):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """An absolute folder; one of our own is removed in the end."""
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="biaojie-demo-") as own:
            yield Path(own)
    elif wanted.exists() and any(wanted.iterdir()):
        raise Failed(f"{wanted} is not empty")
    else:
        yield wanted.resolve()
