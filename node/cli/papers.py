"""`biaojie papers VERB CODE`: papers of a registrant, given from files, so that none of them stands in a shell's history."""

import argparse
import base64
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from node.cli.outcome import DONE, Failed, WrongUsage
from node.cli.registry_place import add_registry_options, registry_client
from node.cli.table import as_json, facts
from node.client.rest import RefusedByServer, Unreachable

HELP: Final = "give, show and erase a registrant's papers: contact, legal person, picture of its business licence"

# The registry takes smaller ones still, and says how small.
_MAX_FILE_BYTES: Final = 4 * 1024 * 1024
_PAPERS: Final = ("contact", "legal_person", "licence")


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    giving = _verb(verbs, "give", "give papers; those that are not named stay as they are")
    shape = '{"contact": {"name", "email", "phone"}, "legal_person": {"name", "id_type", "id_number"}}'
    giving.add_argument("--people", type=Path, metavar="FILE", help=f"JSON: {shape}")
    giving.add_argument("--legal-person-picture", type=Path, metavar="FILE", help="of its document: JPEG, PNG or BMP")
    giving.add_argument("--licence", type=Path, metavar="FILE", help="the business licence (营业执照): JPEG, PNG or BMP")
    showing = _verb(verbs, "show", "show papers; of pictures, their sizes")
    showing.add_argument("--json", action="store_true", help="print JSON, with the pictures in base64")
    erasing = _verb(verbs, "erase", "erase papers")
    erasing.add_argument("papers", nargs="*", choices=(*_PAPERS, []), metavar="PAPER", help="which (default: all of them)")


def run(arguments: argparse.Namespace) -> int:
    path = f"/api/v1/registrants/{quote(arguments.code, safe='')}/papers"
    given = _given(arguments) if arguments.verb == "give" else {}
    try:
        with registry_client(arguments) as client:
            if arguments.verb == "show":
                papers = client.call("GET", path)
                print(as_json(papers) if arguments.json else "\n".join(facts(_told(papers))))
                return DONE
            if arguments.verb == "erase":
                given = dict.fromkeys(arguments.papers or _PAPERS)
            done = client.call("PATCH", path, given)
    except (RefusedByServer, Unreachable) as failure:
        raise Failed(str(failure)) from None
    print("\n".join(facts(done)))
    return DONE


def _verb(verbs: Any, verb: str, meaning: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(verb, help=meaning, description=meaning)
    add_registry_options(parser)
    parser.add_argument("code", metavar="CODE", help="the registrant's code")
    return parser


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The document of what is given. Raises `WrongUsage`."""
    given: dict[str, Any] = {}
    if arguments.people is not None:
        try:
            given = json.loads(_read(arguments.people))
        except ValueError:
            raise WrongUsage(f"{arguments.people}: it is not JSON") from None
    if arguments.legal_person_picture is not None:
        if not isinstance(given, dict) or not isinstance(given.get("legal_person"), dict):
            raise WrongUsage("--legal-person-picture: the legal person is wanted with it, in --people")
        given["legal_person"]["picture"] = _picture(arguments.legal_person_picture)
    if arguments.licence is not None:
        given["licence"] = _picture(arguments.licence)
    if not given:
        raise WrongUsage("nothing is given: --people, --licence")
    return given


def _picture(file: Path) -> str:
    return base64.b64encode(_read(file)).decode()


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise WrongUsage(f"{file}: it cannot be read: {error.strerror}") from None
    if len(data) > _MAX_FILE_BYTES:
        raise WrongUsage(f"{file}: it has more than {_MAX_FILE_BYTES} bytes")
    return data


def _told(papers: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"code": papers["code"], "version": papers["version"]}
    for paper in _PAPERS:
        found = papers[paper]
        for name, text in found.items() if isinstance(found, dict) else [("", found)] if found else []:
            is_picture = name in ("", "picture")
            told[f"{paper}.{name}".rstrip(".")] = f"{len(base64.b64decode(text))} bytes" if is_picture and text else text
    return told
