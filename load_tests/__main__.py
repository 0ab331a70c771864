"""Run drivers one after another, and write down what a whole session of them measured (`load_tests.report`).

    python -m load_tests                   all of `make bench`
    python -m load_tests DRIVER ...        these drivers; if they are those of `make bench-large`, they are written down too

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
from load_tests.report import ROOT, SESSIONS, Measured

# A peer that somebody else has to start.
OTHERS: Final = ("handle_net",)


def main() -> int:
    known = [*(name for session in SESSIONS for name in session.drivers), *OTHERS]
    parser = argparse.ArgumentParser(prog="python -m load_tests", description="Measure, and write whole sessions down.")
    parser.add_argument("driver", nargs="*", metavar="DRIVER", help=", ".join(known))
    chosen = tuple(parser.parse_args().driver) or SESSIONS[0].drivers
    unknown = {*chosen} - {*known}
    if unknown:
        parser.error(f"no such driver: {', '.join(sorted(unknown))}")
    session = next((each for each in SESSIONS if each.drivers == chosen), None)
    commit = _commit()  # as the code is now, whatever becomes of it meanwhile
    measured = {name: _run(name) for name in chosen}
    if session is not None:
        report.write(session, Measured(session.command, commit, measured))
    return 0 if all(figure.holds for figures in measured.values() for figure in figures) else 1


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
