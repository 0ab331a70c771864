"""`biaojie source VERB ...`: what is read from enterprises' systems; a dry run, and the operator's hand on the brake.

`plan` and `apply` read the source themselves, on this machine, with the account that its profile names; `run` asks the node to.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from node.cli.outcome import DONE, REFUSED, Failed, WrongUsage
from node.cli.place import add_place_options, in_url, locate
from node.cli.registry_place import add_registry_options, registry_client
from node.cli.table import as_json, columns, facts, printable, shown
from node.client.rest import RefusedByServer, RestClient, Unreachable

if TYPE_CHECKING:
    from adapters.sources.core.plan import Fault, Plan, Sample
    from adapters.sources.core.profile import Profile
    from adapters.sources.run import Run, RunResult

HELP: Final = "list, show, plan, apply and run sources: rows of enterprises' systems that become identifiers"

_ALL: Final = "/api/v1/sources"
_PAGE: Final = "1000"
_HEADS: Final = ("name", "registrant", "state", "rows", "created", "replaced", "faulty", "done", "message")
_COUNTS: Final = ("rows", "created", "replaced", "faulty")

# A dry run shows so many faults, and all of them with --json.
_FAULTS_SHOWN: Final = 20
_VALUE_CHARS: Final = 40

# How often it is looked whether a run that was asked for is over.
_LOOK_S: Final = 0.5
_PATIENCE_S: Final = 3_600.0


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = _verb(verbs, "list", "list sources")
    showing = _verb(verbs, "show", "show one source, and what came of its last run")
    running = _verb(verbs, "run", "have the node run a source at once")
    for each in (showing, running):
        each.add_argument("name", metavar="NAME")
    running.add_argument("--wait", action="store_true", help="until the run is over; exit status 0 only if it ended well")
    for each in (listing, showing, running):
        add_registry_options(each)
    planning = _verb(verbs, "plan", "read a source and say what would be registered; nothing is written")
    applying = _verb(verbs, "apply", "read a source and register what is new or changed")
    for each in (planning, applying):
        each.add_argument("profile", metavar="PROFILE", type=Path, help="the source's profile, a TOML file")
        add_place_options(each, "the registry's HTTP (default: the running node's, else 127.0.0.1:8000)")
    for each in (planning, applying, running):
        each.add_argument("--again", action="store_true", help="from the source's beginning, whatever was read already")
    for each in (applying, running):
        each.add_argument(
            "--over-brake", metavar="DIGEST", default="", help="let the plan that the brake holds pass, if it still is that one"
        )


def run(arguments: argparse.Namespace) -> int:
    if arguments.verb in ("plan", "apply"):
        return _read(arguments)
    try:
        with registry_client(arguments) as client:
            return _speak(client, arguments)
    except (RefusedByServer, Unreachable) as failure:
        raise Failed(str(failure)) from None


def _verb(verbs: Any, verb: str, meaning: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(verb, help=meaning, description=meaning)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _speak(client: RestClient, arguments: argparse.Namespace) -> int:
    if arguments.verb == "list":
        found = list(_pages(client))
        print(as_json(found) if arguments.json else "\n".join(columns(_HEADS, [_line(each) for each in found])))
        return DONE
    one = f"{_ALL}/{quote(arguments.name, safe='')}"
    if arguments.verb == "run":
        document = client.call("POST", f"{one}/run", {"over_brake": arguments.over_brake, "again": arguments.again})
        deadline = time.monotonic() + _PATIENCE_S
        while arguments.wait and document["is_requested"]:
            if time.monotonic() > deadline:
                raise Failed(
                    "it was not run within an hour: is its profile among sources.profiles, and what does `status` say?"
                )
            time.sleep(_LOOK_S)
            document = client.call("GET", one)
    else:
        document = client.call("GET", one)
    print(as_json(document) if arguments.json else "\n".join(_facts(document)))
    is_over = arguments.verb == "run" and arguments.wait
    return REFUSED if is_over and document["state"] != "done" else DONE


def _line(document: Mapping[str, Any]) -> list[str]:
    flat = {**document, **{name: document["counts"][name] for name in _COUNTS}}
    return [shown(flat.get(head)) for head in _HEADS]


def _facts(document: Mapping[str, Any]) -> Iterator[str]:
    flat = {name: member for name, member in document.items() if name not in ("counts", "faults")}
    counts = {name if name == "rows" else f"{name} rows": count for name, count in document["counts"].items()}
    yield from facts(flat | counts)
    if document["faults"]:
        yield ""
        yield from columns(("row", "reason"), [(each["row"], each["reason"]) for each in document["faults"]])


def _pages(client: RestClient) -> Iterator[dict[str, Any]]:
    query = {"limit": _PAGE}
    while True:
        page = client.call("GET", _ALL, query=query)
        yield from page["sources"]
        if not page.get("cursor"):
            return
        query["after"] = page["cursor"]


def _read(arguments: argparse.Namespace) -> int:
    """Plan or apply here and now."""
    from adapters.registry_api import NotTaken
    from adapters.registry_api import Unreachable as RegistryUnreachable
    from adapters.section import ProfileMistakes
    from adapters.sources.core.plan import TooMuch
    from adapters.sources.readers.reader import Unreadable
    from adapters.sources.run import Stale
    from node.source_profiles import load_source

    try:
        profile = load_source(arguments.profile, os.environ)
        host, port = locate(arguments, "registry.http_port")
        return asyncio.run(_work(profile, f"http://{in_url(host)}:{port}", arguments))
    except ProfileMistakes as mistakes:
        raise WrongUsage(*mistakes.mistakes) from None
    except Stale:
        raise Failed("the node ran the source meanwhile: have it planned anew") from None
    except (NotTaken, RegistryUnreachable, Unreadable, TooMuch) as failure:
        raise Failed(str(failure)) from None


async def _work(profile: "Profile", url: str, arguments: argparse.Namespace) -> int:
    from adapters.sources.readers.order import make_reader
    from adapters.sources.registry_client import RegistryClient, new_source
    from adapters.sources.run import Run

    reader = make_reader(profile.place)
    try:
        async with RegistryClient(url, profile.token) as client:
            is_applied = arguments.verb == "apply"
            stored = await client.create(profile.name) if is_applied else await client.source(profile.name)
            stored = stored or new_source(profile.name)
            if arguments.again:
                stored = dataclasses.replace(stored, bookmark="")
            work = Run(profile, reader, client, stored, over_brake=arguments.over_brake if is_applied else "")
            return _tell(await work.run(), arguments) if is_applied else await _plan(work, arguments)
    finally:
        await reader.close()


async def _plan(work: "Run", arguments: argparse.Namespace) -> int:
    """Exit status 0 only if nothing holds it."""
    from contextlib import aclosing

    status, documents = DONE, []
    async with aclosing(work.plans()) as plans:
        async for plan, _ in plans:
            documents.append(_document(plan))
            status = REFUSED if plan.held else status
            if not arguments.json:
                print("\n".join(_plan_lines(plan)))
    if arguments.json:
        print(as_json(documents))
    elif not documents:
        print("there is nothing that was not read already")
    return status


def _tell(result: "RunResult", arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(as_json(dataclasses.asdict(result)))
    else:
        counts = ", ".join(f"{count} {name}" for name, count in result.counts.items())
        print(f"{result.state}: {counts}{f'; {printable(result.message)}' if result.message else ''}")
        print("\n".join(_fault_lines(result.faults)), end="\n" if result.faults else "")
    return DONE if result.state == "done" and not result.faults else REFUSED


def _plan_lines(plan: "Plan") -> Iterator[str]:
    doing = _doing(plan)
    yield f"{plan.rows} rows: {', '.join(f'{count} {name}' for name, count in _counts(plan).items())}"
    if plan.samples:
        rows = [(each.row, each.identifier, _becomes(each, doing), _values(each)) for each in plan.samples]
        yield from columns(("row", "identifier", "to do", "values"), rows)
    yield from _fault_lines(plan.faults.first)
    if plan.note:
        yield plan.note
    yield f"THE BRAKE HOLDS IT: {plan.held}" if plan.held else "nothing holds it"
    if plan.held:
        yield f"to let exactly this plan pass: --over-brake {plan.digest}"


def _fault_lines(faults: Sequence["Fault"]) -> Iterator[str]:
    if not faults:
        return
    yield from columns(("faulty row", "reason"), [(each.row, each.reason) for each in faults[:_FAULTS_SHOWN]])
    if len(faults) > _FAULTS_SHOWN:
        yield f"... and {len(faults) - _FAULTS_SHOWN} more"


def _counts(plan: "Plan") -> dict[str, int]:
    from adapters.sources.core.plan import Doing

    doings = {f"to {doing}": plan.count(doing) for doing in Doing}
    return {**doings, "unchanged": plan.unchanged, "faulty": plan.faults.count}


def _doing(plan: "Plan") -> dict[str, str]:
    found: dict[str, str] = {}
    for step in plan.steps:
        found.setdefault(step.row, step.doing)
    return found


def _becomes(sample: "Sample", doing: Mapping[str, str]) -> str:
    if sample.fault:
        return "nothing: faulty"
    return doing.get(sample.row, "nothing")


def _values(sample: "Sample") -> str:
    if sample.document is None:
        return sample.fault
    texts = [f"{each['index']}:{each['type']}={_short(each['data']['value'])}" for each in sample.document["values"]]
    return "  ".join(texts)


def _short(text: str) -> str:
    return text if len(text) <= _VALUE_CHARS else f"{text[:_VALUE_CHARS]}..."


def _document(plan: "Plan") -> dict[str, Any]:
    doing = _doing(plan)
    samples = [
        {"row": each.row, "identifier": each.identifier, "to_do": _becomes(each, doing), "record": each.document}
        for each in plan.samples
    ]
    steps = [
        {"do": step.doing, "identifier": step.identifier, "version": step.version, "record": json.loads(step.body or "null")}
        for step in plan.steps
    ]
    faults = [dataclasses.asdict(fault) for fault in plan.faults.first]
    return {
        "rows": plan.rows, "counts": _counts(plan), "existing": plan.existing, "touched": plan.touched, "held": plan.held,
        "digest": plan.digest, "note": plan.note, "samples": samples, "steps": steps, "faults": faults,
    }  # fmt: skip
