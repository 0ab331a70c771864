"""`biaojie export`: write the active identifiers below a prefix into a table that can be imported again."""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from node.cli.outcome import DONE, REFUSED, Failed, WrongUsage
from node.cli.progress import Progress
from node.cli.registry_place import add_registry_options, registry_client

HELP: Final = "export the identifiers below a prefix into a table (CSV or NDJSON)"

# So many identifiers that do not fit into a CSV are named; how many more there are is said.
_NAMED: Final = 10


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prefix", metavar="P", required=True, help="below exactly this prefix")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="table to write: .csv or .ndjson")
    add_registry_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from node.client.export_table import TooManyColumns, write_csv
    from node.client.rest import RefusedByServer, Unreachable
    from registry.service.imports.tables import TableFormat

    form, output = _checked(arguments)
    rows = output.with_name(f"{output.name}.part")
    progress = Progress()
    try:
        with registry_client(arguments) as client, rows.open("wb") as part:
            for piece in client.stream("/api/v1/export", {"prefix": arguments.prefix}):
                part.write(piece)
                progress.show(f"{part.tell():,} bytes")
        progress.clear()
        misfits = write_csv(rows, output) if form is TableFormat.CSV else _keep(rows, output)
    except (RefusedByServer, Unreachable, TooManyColumns) as failure:
        raise Failed(str(failure)) from None
    except OSError as error:
        raise Failed(f"{error.filename or output}: {error.strerror or error}") from None
    finally:
        progress.clear()
        rows.unlink(missing_ok=True)
    return _report(misfits, output)


def _checked(arguments: argparse.Namespace) -> tuple[Any, Path]:
    """Format and file. Raises `WrongUsage` that names every mistake."""
    from proto.errors import Refusal
    from proto.model.identifier import parse_prefix
    from registry.service.imports.tables import format_of

    mistakes, form = [], None
    try:
        form = format_of(arguments.output.name)
    except Refusal as refusal:
        mistakes.append(f"-o {arguments.output}: {refusal.detail}")
    try:
        parse_prefix(arguments.prefix)
    except Refusal as refusal:
        mistakes.append(f"--prefix {arguments.prefix}: {refusal.detail}")
    if not arguments.output.absolute().parent.is_dir():
        mistakes.append(f"-o {arguments.output}: there is no such folder")
    if mistakes:
        raise WrongUsage(*mistakes)
    return form, arguments.output


def _report(misfits: list[str], output: Path) -> int:
    if not misfits:
        print(f"written: {output}")
        return DONE
    print(
        f"biaojie export: {len(misfits)} identifiers hold what a CSV cannot; export as .ndjson to have them:", file=sys.stderr
    )
    for identifier in misfits[:_NAMED]:
        print(f"  {identifier}", file=sys.stderr)
    if len(misfits) > _NAMED:
        print(f"  and {len(misfits) - _NAMED} more", file=sys.stderr)
    print(f"written without them: {output}")
    return REFUSED


def _keep(rows: Path, output: Path) -> list[str]:
    rows.replace(output)
    return []
