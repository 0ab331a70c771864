"""`biaojie export`: write the active identifiers below a prefix into a table that can be imported again."""

import argparse
import csv
import json
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.cli.outcome import DONE, REFUSED, Failed, WrongUsage
from node.cli.progress import Progress
from node.cli.registry_place import add_registry_options, registry_client

if TYPE_CHECKING:
    from proto.model.value import Value
    from registry.service.imports.header import ValueColumn

HELP: Final = "export the identifiers below a prefix into a table (CSV or NDJSON)"

# So many identifiers that do not fit into a CSV are named; how many more there are is said.
_NAMED: Final = 10


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prefix", metavar="P", required=True, help="below exactly this prefix")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, required=True, help="table to write: .csv or .ndjson")
    add_registry_options(parser)


def run(arguments: argparse.Namespace) -> int:
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
        misfits = _write_csv(rows, output) if form is TableFormat.CSV else _keep(rows, output)
    except (RefusedByServer, Unreachable) as failure:
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


def _write_csv(rows: Path, output: Path) -> list[str]:
    """Turn rows of documents into a CSV; returns the identifiers that do not fit into one. Raises `Failed`, `OSError`."""
    from registry.service.imports.header import MAX_COLUMNS

    columns: dict[str, ValueColumn] = {}
    misfits: list[str] = []
    extras = set()
    for document in _documents(rows):
        cells = _cells(document)
        if cells is None:
            misfits.append(document["identifier"])
            continue
        columns |= {column.heading: column for column, _ in cells}
        extras |= {name for name in ("template", "aliases") if document.get(name)}
    names = [*sorted(extras, reverse=True), *sorted(columns, key=lambda name: (columns[name].index, name))]
    if len(names) >= MAX_COLUMNS:
        raise Failed(f"the values are of {len(names)} kinds; a CSV has at most {MAX_COLUMNS} columns: export as .ndjson")
    part = output.with_name(f"{output.name}.csv.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, ["identifier", *names])
            writer.writeheader()
            writer.writerows(_csv_row(document) for document in _documents(rows) if _cells(document) is not None)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return misfits


def _csv_row(document: dict[str, Any]) -> dict[str, str]:
    row = {column.heading: cell for column, cell in _cells(document) or ()}
    row["identifier"] = document["identifier"]
    if document.get("template"):
        row["template"] = document["template"]
    if document.get("aliases"):
        row["aliases"] = "\n".join(document["aliases"])
    return row


def _cells(document: dict[str, Any]) -> "list[tuple[ValueColumn, str]] | None":
    """The record's values with the columns that they go into; None if one goes into none."""
    from proto.handle_json import parse_value

    cells = []
    for place, each in enumerate(document["values"]):
        cell = _cell(parse_value(each, f"values[{place}]", 0), each["data"]["format"])
        if cell is None:
            return None
        cells.append(cell)
    return cells


def _cell(value: "Value", form: str) -> "tuple[ValueColumn, str] | None":
    from registry.service.imports.header import column_for

    is_text = form == "string"
    column = column_for(value, binary=not is_text)
    if column is None:
        return None
    return column, value.data.decode() if is_text else b64encode(value.data).decode()


def _documents(rows: Path) -> Iterator[dict[str, Any]]:
    with rows.open("rb") as lines:
        for line in lines:
            yield json.loads(line)
