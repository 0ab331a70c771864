"""`biaojie demo NAME`: a whole system on this machine, walked through step by step."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from node.cli.outcome import DONE, Failed

HELP: Final = "show a whole system on this machine, step by step, and check what it shows"

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
    try:
        with _folder(arguments.folder) as folder, Stage(folder) as stage:
            demo.show(stage)
    except (DemoFailed, RefusedByServer, Unreachable) as failure:
        raise Failed(str(failure)) from None
    return DONE


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
