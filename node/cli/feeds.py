"""`biaojie feed VERB ...`: how far systems of the city have been told, and the operator's hand on that."""

import argparse
import asyncio
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from node.cli.outcome import DONE, REFUSED, Failed, WrongUsage
from node.cli.place import in_url, locate, read_token
from node.cli.registry_place import add_registry_options, registry_client
from node.cli.table import as_json, columns, facts, shown
from node.client.rest import RefusedByServer, RestClient, Unreachable
from node.folder import FEEDS_TOKEN_FILE

HELP: Final = (
    "list, show, create, pause, resume and replay feeds, see to their dead letters; print a schema; run a stand-in of a system"
)

_ALL: Final = "/api/v1/feeds"
_PAGE: Final = "1000"
_HEADS: Final = ("name", "state", "delivered", "letters", "requested", "version", "changed", "note")
_LETTER_HEADS: Final = ("kind", "name", "row_version", "attempts", "is_requested", "created", "reason")
_VERBS: Final[Mapping[str, str]] = {
    "show": "show one feed",
    "create": "create a feed; those with a profile create themselves",
    "pause": "deliver nothing until it is resumed",
    "resume": "go on from where it stopped",
    "replay": "deliver everything after a cursor, again or for the first time",
    "letters": "list the dead letters of a feed",
    "replay-letters": "deliver its dead letters again",
}
_RECONCILE: Final = "compare what a system holds with what it should, by prefix and day"
# The systems of `adapters.city.stand_ins`, which takes long to import, and those that collect files.
SYSTEMS: Final = ("webhook", "city-brain", "enterprise-service", "industrial-internet")
READERS: Final = ("exchange-files", "data-exchange")
_SCHEMA: Final = "print the JSON Schema of what a system gets by a profile, for those who build the system"
_STAND_IN: Final = "run a stand-in of a system of the city, to try a profile with"
_RESULT_HEADS: Final = ("kind", "prefix", "day", "here", "there", "missing", "different", "ahead", "superfluous")


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="list feeds", description="list feeds")
    parsers = {verb: verbs.add_parser(verb, help=meaning, description=meaning) for verb, meaning in _VERBS.items()}
    for each in parsers.values():
        each.add_argument("name", metavar="NAME")
    parsers["create"].add_argument("--account", help="the account that delivers it (default: one's own)")
    parsers["create"].add_argument("--after", metavar="CURSOR", help="where it begins (default: the first change kept)")
    parsers["pause"].add_argument("--note", default="", help="why, in a sentence")
    parsers["replay"].add_argument("--after", metavar="CURSOR", required=True, help='"" is before the first change kept')
    reconciling = verbs.add_parser("reconcile", help=_RECONCILE, description=_RECONCILE)
    reconciling.add_argument("profile", metavar="PROFILE", type=Path, help="the feed's profile, a TOML file")
    reconciling.add_argument(
        "--repair", action="store_true", help="deliver just what is missing or different, and compare again"
    )
    schema = verbs.add_parser("schema", help=_SCHEMA, description=_SCHEMA)
    schema.add_argument("profile", metavar="PROFILE", type=Path, help="the feed's profile, a TOML file")
    stand_in = verbs.add_parser("stand-in", help=_STAND_IN, description=_STAND_IN)
    stand_in.add_argument(
        "system", nargs="?", choices=(*SYSTEMS, *READERS), default=SYSTEMS[0], help="which (default: %(default)s)"
    )
    stand_in.add_argument("--port", type=int, default=9000, help="of HTTP, on loopback (0: any)")
    stand_in.add_argument("--secret", default="", help="what deliveries have to be signed with")
    stand_in.add_argument("--journal", type=Path, help="keep what was taken in this file")
    stand_in.add_argument(
        "--folder", type=Path, default=Path(), help="where exchange files appear, for those that collect them (default: here)"
    )
    for each in (listing, reconciling, *parsers.values()):
        add_registry_options(each)
        each.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    if arguments.verb == "stand-in":
        _stand_in(arguments)
        return DONE
    if arguments.verb == "schema":
        _schema(arguments.profile)
        return DONE
    if arguments.verb == "reconcile":
        return _reconcile(arguments)
    try:
        with registry_client(arguments) as client:
            lines = list(_lines(client, arguments))
    except (RefusedByServer, Unreachable) as failure:
        raise Failed(str(failure)) from None
    print("\n".join(lines))
    return DONE


def _stand_in(arguments: argparse.Namespace) -> None:
    """Run one until Ctrl-C."""
    from adapters.city.stand_ins import serve, serve_reader

    if arguments.system in READERS:
        serving = serve_reader(arguments.system, arguments.folder, arguments.port, arguments.journal)
    else:
        serving = serve(arguments.system, arguments.port, arguments.secret.encode(), arguments.journal)
    with suppress(KeyboardInterrupt):
        asyncio.run(serving)


def _schema(file: Path) -> None:
    from adapters.city.core.schema import schema_of
    from adapters.section import ProfileMistakes
    from node.feeds import read_profile

    try:
        found = schema_of(read_profile(file))
    except ProfileMistakes as mistakes:
        raise WrongUsage(*mistakes.mistakes) from None
    except ValueError as error:
        raise Failed(f"{file}: {error}") from None
    print(as_json(found))


def _reconcile(arguments: argparse.Namespace) -> int:
    """Exit status 0 only if both sides agree in the end."""
    from adapters.city.reconcile import Report, reconcile
    from adapters.city.registry_client import RegistryClient
    from adapters.city.transports.order import make_transport
    from adapters.city.transports.transport import Unknowable
    from adapters.registry_api import NotTaken
    from adapters.registry_api import Unreachable as RegistryUnreachable
    from adapters.section import ProfileMistakes
    from node.feeds import load_profile

    async def work() -> Report:
        transport = make_transport(profile)
        try:
            async with RegistryClient(url, token) as client:
                return await reconcile(profile, client, transport, repair=arguments.repair)
        finally:
            await transport.close()

    try:
        profile = load_profile(arguments.profile, os.environ)
        host, port = locate(arguments, "registry.http_port")
        url, token = f"http://{in_url(host)}:{port}", read_token(arguments, FEEDS_TOKEN_FILE)
        report = asyncio.run(work())
    except ProfileMistakes as mistakes:
        raise WrongUsage(*mistakes.mistakes) from None
    except (NotTaken, RegistryUnreachable, Unknowable) as failure:
        raise Failed(str(failure)) from None
    rows = [
        (
            *result.key[:3],
            result.here,
            result.there,
            *(
                "?" if result.unexamined else len(found)
                for found in (result.missing, result.different, result.ahead, result.superfluous)
            ),
        )
        for result in report.results
    ]
    if arguments.json:
        print(as_json([dataclasses.asdict(result) | {"key": result.key._asdict()} for result in report.results]))
    else:
        print("\n".join(columns(_RESULT_HEADS, rows)))
        print(f"{report.repaired} repaired; " if arguments.repair else "", end="")
        print("both sides agree" if report.agrees else "the sides DIFFER")
    return DONE if report.agrees else REFUSED


def _lines(client: RestClient, arguments: argparse.Namespace) -> Iterator[str]:
    one = f"{_ALL}/{quote(getattr(arguments, 'name', ''), safe='')}"
    match arguments.verb:
        case "list":
            return _listed(_pages(client, _ALL, "feeds"), _HEADS, arguments)
        case "letters":
            return _listed(_pages(client, f"{one}/letters", "letters"), _LETTER_HEADS, arguments)
    document = _ask(client, one, arguments)
    return iter([as_json(document)]) if arguments.json else facts(document)


def _ask(client: RestClient, one: str, arguments: argparse.Namespace) -> dict[str, Any]:
    match arguments.verb:
        case "show":
            return client.call("GET", one)
        case "create":
            given = {"name": arguments.name, "account": arguments.account, "after": arguments.after}
            return client.call("POST", _ALL, {member: text for member, text in given.items() if text is not None})
        case "pause":
            return client.call("POST", f"{one}/pause", {"note": arguments.note})
        case "resume":
            return client.call("POST", f"{one}/resume")
        case "replay":
            return client.call("POST", f"{one}/replay", {"after": arguments.after})
    return client.call("POST", f"{one}/letters/replay", {})


def _listed(documents: list[dict[str, Any]], heads: Sequence[str], arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.json:
        return iter([as_json(documents)])
    return columns(heads, [[shown(document.get(head)) for head in heads] for document in documents])


def _pages(client: RestClient, path: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query = {"limit": _PAGE}
    while True:
        page = client.call("GET", path, query=query)
        found += page[name]
        if not page.get("cursor"):
            return found
        query["after"] = page["cursor"]
