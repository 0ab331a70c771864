"""`make bench`: run the drivers one after another and write down what they measured (`load_tests.report`).

    python -m load_tests [DRIVER ...]      only these drivers; then nothing is written down

A driver is a module of this package with `run() -> list[Figure]`; it starts what it measures and stops it again.
"""

import argparse
import importlib
import json
import subprocess
import sys
from typing import Final

from load_tests import report
from load_tests.figure import Figure, as_json
from load_tests.report import ROOT, Measured

DRIVERS: Final = ("committer", "view", "node", "imports", "feeds", "lookups", "mixes")
# Not part of `make bench`: a store that takes minutes to fill, a peer that somebody else has to start, two nodes on one core.
OTHERS: Final = ("large", "handle_net", "foreign")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m load_tests", description="Measure and write the figures down.")
    parser.add_argument("driver", nargs="*", metavar="DRIVER", help=", ".join((*DRIVERS, *OTHERS)))
    chosen = tuple(parser.parse_args().driver) or DRIVERS
    unknown = set(chosen) - {*DRIVERS, *OTHERS}
    if unknown:
        parser.error(f"no such driver: {', '.join(sorted(unknown))}")
    measured = Measured(_commit(), {name: _run(name) for name in chosen})
    if chosen == DRIVERS:
        report.write(measured)
    return 0 if all(figure.holds for figure in measured.figures) else 1


def _run(name: str) -> list[Figure]:
    print(f"# {name}", flush=True)
    figures: list[Figure] = importlib.import_module(f"load_tests.{name}").run()
    for figure in figures:
        print(json.dumps(as_json(figure), ensure_ascii=False), flush=True)
    return figures


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return described.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
