"""`biaojie filing VERB ...`: how far the upstream has been told of whom, and the operator's hand on that."""

import argparse
import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from node.cli.outcome import DONE, Failed, WrongUsage
from node.cli.registry_place import add_registry_options, registry_client
from node.cli.table import as_json, columns, facts, shown
from node.client.rest import RefusedByServer, RestClient, Unreachable

HELP: Final = "list and show filings (备案), say more about a registrant, try again; run a stand-in of the national node"

_ALL: Final = "/api/v1/filings"
_PAGE: Final = "1000"
_HEADS: Final = ("kind", "name", "state", "transaction", "changed", "said")
_STEP_HEADS: Final = ("at", "state", "code", "transaction", "message")
_APART: Final = ("steps", "content", "details", "approved_content")
_FIGURE_HEADS: Final = ("prefix", "registered", "active", "added", "resolved")
_STATES: Final = ("open", "draft", "submitted", "pending", "approved", "rejected")
_KINDS: Final = ("registrant", "prefix", "statistics")


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = _verb(verbs, "list", "list filings")
    listing.add_argument("--state", choices=_STATES, help="only those; open: all that are not decided")
    listing.add_argument("--kind", choices=_KINDS, help="only those; statistics: the figures of days")
    listing.add_argument("--registrant", metavar="CODE", help="whose (default: all that may be seen)")
    for verb, meaning in (("show", "show one filing with its history"), ("redraft", "try a rejected filing again")):
        each = _verb(verbs, verb, meaning)
        each.add_argument("kind", choices=_KINDS)
        each.add_argument("name", metavar="NAME", help="the registrant's code, the prefix, or the day")
    details = _verb(verbs, "details", "say what is told of a registrant beside its code and name: all of it, every time")
    details.add_argument("name", metavar="CODE")
    details.add_argument("details", metavar="NAME=TEXT", nargs="*", help="address=..., website=..., description=..., ...")
    stand_in = verbs.add_parser("stand-in", help="run a stand-in of the national node's business management system")
    stand_in.add_argument("--port", type=int, default=7000, help="of EPP, on loopback (0: any)")
    stand_in.add_argument("--control-port", type=int, default=0, help="of HTTP, for who watches it (0: any)")
    stand_in.add_argument("--password", default="", help="what a login must say (default: anything)")
    stand_in.add_argument("--journal", type=Path, help="keep what is taken in this file")
    stand_in.add_argument("--forget", action="store_true", help="know no transaction again, as systems with a short memory")
    stand_in.add_argument("--hold", action="store_true", help="let the auditor decide nothing until told otherwise")


def run(arguments: argparse.Namespace) -> int:
    if arguments.verb == "stand-in":
        _stand_in(arguments)
        return DONE
    try:
        with registry_client(arguments) as client:
            lines = list(_lines(client, arguments))
    except (RefusedByServer, Unreachable) as failure:
        raise Failed(str(failure)) from None
    print("\n".join(lines))
    return DONE


def _stand_in(arguments: argparse.Namespace) -> None:
    """Run one until Ctrl-C."""
    from adapters.upstream.epp.fake import BusinessSystem, serve

    with suppress(KeyboardInterrupt):
        system = BusinessSystem(arguments.password, arguments.journal, holds=arguments.hold, forgets=arguments.forget)
        asyncio.run(serve(system, arguments.port, arguments.control_port))


def _verb(verbs: Any, verb: str, meaning: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(verb, help=meaning, description=meaning)
    add_registry_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _lines(client: RestClient, arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.verb == "list":
        documents = list(_pages(client, arguments))
        return iter([as_json(documents)]) if arguments.json else columns(_HEADS, [_row(each) for each in documents])
    document = _ask(client, arguments)
    return iter([as_json(document)]) if arguments.json else _told(document)


def _ask(client: RestClient, arguments: argparse.Namespace) -> dict[str, Any]:
    kind = getattr(arguments, "kind", "registrant")
    one = f"{_ALL}/{kind}/{quote(arguments.name, safe='')}"
    match arguments.verb:
        case "show":
            return client.call("GET", one)
        case "redraft":
            return client.call("POST", f"{one}/redraft")
    return client.call("POST", f"{one}/details", {"details": _parse_details(arguments.details)})


def _parse_details(words: list[str]) -> dict[str, str]:
    shapeless = [word for word in words if "=" not in word]
    if shapeless:
        raise WrongUsage(*(f"{word}: expected NAME=TEXT" for word in shapeless))
    pairs = (word.partition("=") for word in words)
    return {name: text for name, _, text in pairs}


def _told(document: Mapping[str, Any]) -> Iterator[str]:
    yield from facts({name: value for name, value in document.items() if name not in _APART})
    yield from facts({name: value for name, value in document["content"].items() if not isinstance(value, dict)})
    yield from facts(document["details"]) if document["details"] else ()
    yield ""
    if document["kind"] == "statistics":
        # A report of before resolutions were counted has none.
        rows = document["content"].get("prefixes", {}).items()
        yield from columns(_FIGURE_HEADS, [[name, *map(str, [*counts, ""][:4])] for name, counts in rows])
        yield ""
    yield from columns(_STEP_HEADS, [[shown(step.get(head)) for head in _STEP_HEADS] for step in document["steps"]])


def _row(document: Mapping[str, Any]) -> list[str]:
    said = document["steps"][-1]["message"] if document["steps"] else ""
    return [shown({**document, "said": said}.get(head)) for head in _HEADS]


def _pages(client: RestClient, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    query = {"limit": _PAGE}
    for name in ("state", "kind", "registrant"):
        if getattr(arguments, name) is not None:
            query[name] = getattr(arguments, name)
    while True:
        page = client.call("GET", _ALL, query=query)
        yield from page["filings"]
        if not page.get("cursor"):
            return
        query["after"] = page["cursor"]
