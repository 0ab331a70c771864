"""`make bench`: run the drivers one after another, write the figures as JSON with the commit, and the README's table.

    python -m load_tests [DRIVER ...]      only these drivers; then the README is left alone

A driver is a module of this package with `run() -> list[Figure]`; it starts what it measures and stops it again.
"""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from load_tests.figure import Figure, as_json, table, write_into

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "load_tests" / "results"
DRIVERS: Final = ("committer", "view", "node", "imports")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m load_tests", description="Measure and write the figures down.")
    parser.add_argument("driver", nargs="*", metavar="DRIVER", help=", ".join(DRIVERS))
    chosen = tuple(parser.parse_args().driver) or DRIVERS
    unknown = set(chosen) - set(DRIVERS)
    if unknown:
        parser.error(f"no such driver: {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    for name in chosen:
        print(f"# {name}", flush=True)
        for figure in importlib.import_module(f"load_tests.{name}").run():
            print(json.dumps(as_json(figure), ensure_ascii=False), flush=True)
            figures.append(figure)
    if chosen == DRIVERS:
        commit = _commit()
        RESULTS.mkdir(exist_ok=True)
        document = {"commit": commit, "figures": [as_json(figure) for figure in figures]}
        (RESULTS / "latest.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
        write_into(ROOT / "README.md", table(figures, commit))
    return 0 if all(figure.holds for figure in figures) else 1


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return described.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
