"""`biaojie import`: hand a table in, watch the job, keep its result beside the table."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.cli.outcome import DONE, REFUSED, Failed, WrongUsage
from node.cli.progress import Progress
from node.cli.registry_place import add_registry_options, registry_client
from node.cli.table import as_json

if TYPE_CHECKING:
    from node.client.import_job import Wanted

HELP: Final = "import a table of identifiers (CSV or NDJSON) as a job on the node"

RESULT_SUFFIX: Final = ".result.csv"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="table: .csv or .ndjson, in UTF-8 or GB 18030")
    parser.add_argument("--prefix", metavar="P", required=True, help="the prefix that every row lies below")
    parser.add_argument("--template", metavar="T", default="", help="the template of rows that name none")
    parser.add_argument("--dry-run", action="store_true", help="check every row and register nothing")
    parser.add_argument("--resume", action="store_true", help="go on with the job that was begun with this file")
    add_registry_options(parser)
    parser.add_argument("--json", action="store_true", help="print the job as JSON")


def run(arguments: argparse.Namespace) -> int:
    from node.client.import_job import ImportClient, Watcher
    from node.client.rest import RefusedByServer, Unreachable

    wanted = _wanted(arguments)
    progress = Progress()
    speed = _Speed()
    watcher = Watcher(
        sent=lambda done, size: progress.show("sending the table", done / size if size else 1.0),
        job=lambda job: progress.show(_state(job, speed), _share(job)),
        trouble=lambda why: progress.show(f"waiting: {why}"),
    )
    result = wanted.file.with_name(wanted.file.name + RESULT_SUFFIX)
    job: dict[str, Any] | None = None
    try:
        with registry_client(arguments) as client:
            importing = ImportClient(client, wanted, watcher)
            job = importing.begin()
            job = importing.watch(job)
            importing.fetch_result(job, result)
    except RefusedByServer as refusal:
        raise Failed(str(refusal)) from None
    except Unreachable as silence:
        raise Failed(str(silence), *_how_to_go_on(job)) from None
    except KeyboardInterrupt:
        raise Failed("interrupted", *_how_to_go_on(job)) from None
    except OSError as error:
        raise Failed(f"{error.filename or wanted.file}: {error.strerror or error}", *_how_to_go_on(job)) from None
    finally:
        progress.clear()
    return _report(arguments, job, result)


def _wanted(arguments: argparse.Namespace) -> "Wanted":
    """What the options ask for. Raises `WrongUsage` that names every mistake."""
    from node.client.import_job import Wanted
    from proto.errors import Refusal
    from proto.model.identifier import parse_prefix
    from registry.service.imports.tables import format_of

    mistakes = []
    if not arguments.file.is_file():
        mistakes.append(f"{arguments.file}: there is no such file")
    try:
        format_of(arguments.file.name)
    except Refusal as refusal:
        mistakes.append(f"{arguments.file}: {refusal.detail}")
    try:
        parse_prefix(arguments.prefix)
    except Refusal as refusal:
        mistakes.append(f"--prefix {arguments.prefix}: {refusal.detail}")
    if mistakes:
        raise WrongUsage(*mistakes)
    return Wanted(arguments.file, arguments.prefix, arguments.template, arguments.dry_run, arguments.resume)


def _report(arguments: argparse.Namespace, job: dict[str, Any], result: Path) -> int:
    """Say what the import came to."""
    from node.client.import_job import outcome_counts

    counts = outcome_counts(job)
    if arguments.json:
        print(as_json({**job, "result_file": str(result)}))
    else:
        print(", ".join((f"{job['rows']} rows", *(f"{count} {name}" for name, count in counts.items()))))
        print(f"what became of each row: {result}")
        if job["dry_run"]:
            print("this was a dry run: nothing was registered")
    if job["state"] == "failed":
        raise Failed(f"the import failed: {job['message']}")
    if counts["refused"]:
        print(f"biaojie import: {counts['refused']} rows were refused", file=sys.stderr)
        return REFUSED
    return DONE


def _how_to_go_on(job: dict[str, Any] | None) -> list[str]:
    if job is None:
        return ["it is not known whether the table arrived; with --resume it is imported once in any case"]
    return [f"job {job['id']} goes on, on the node; run the same command with --resume to see it to its end"]


class _Speed:
    """Rows a second since the first look."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def of(self, rows: int) -> float:
        now_s = time.monotonic()
        if self._first is None:
            self._first = now_s, rows
        since_s, before = self._first
        return (rows - before) / (now_s - since_s) if now_s > since_s else 0.0


def _share(job: dict[str, Any]) -> float:
    if job["state"] == "finished":
        return 1.0
    return float(job["file_offset"] / job["file_bytes"]) if job["file_bytes"] else 0.0


def _state(job: dict[str, Any], speed: _Speed) -> str:
    refused = f", {job['refused_rows']} refused" if job["refused_rows"] else ""
    hindrance = f", waiting: {job['hindrance']}" if job.get("hindrance") else ""
    return f"{job['rows']} rows{refused}, {speed.of(job['rows']):,.0f}/s{hindrance}"
