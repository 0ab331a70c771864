"""`biaojie resolve`: ask a node as a peer would, over the protocol of choice."""

import argparse
import asyncio
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from node.cli.outcome import DONE, REFUSED, Failed, WrongUsage
from node.cli.place import add_place_options, find, in_url, locate
from node.cli.table import as_json, columns
from node.client.document import DEFAULT_TIMEOUT_S, ResolvedDocument, Unanswered
from proto.wire.dns.name import parse_written_name

HELP: Final = "resolve an identifier over HTTP, gRPC, the Handle protocol or DNS"

# The client of each protocol (module and function) and the key of the port it speaks to.
_VIA: Final = {
    "http": ("node.client.http", "resolve", "resolver.http_port"),
    "grpc": ("node.client.grpc", "resolve", "resolver.grpc_port"),
    "handle": ("node.client.handle", "resolve", "resolver.handle_port"),
    "handle-udp": ("node.client.handle", "resolve_udp", "resolver.handle_port"),
    "dns": ("node.client.dns", "resolve", "resolver.dns_port"),
}
_EXPLAINING: Final = ("http", "grpc")
_ZONED: Final = "dns"
_ENCRYPTED: Final = "grpc"

# Certificates of all the world's authorities take a quarter of that.
_MAX_AUTHORITY_BYTES: Final = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("identifier", metavar="ID")
    parser.add_argument("--via", choices=[*_VIA], default="http", help="protocol to speak (default: http)")
    add_place_options(parser, "listener to ask (default: the running node's, else the default port on loopback)")
    parser.add_argument("--type", metavar="TYPE", action="append", default=[], help="only values of this type (repeatable)")
    parser.add_argument("--index", metavar="N", type=int, action="append", default=[], help="only this value (repeatable)")
    parser.add_argument("--timeout", metavar="S", type=float, default=DEFAULT_TIMEOUT_S, help="seconds to wait for the answer")
    parser.add_argument("--zone", metavar="NAME", help="zone of the identifiers (dns; default: the running node's)")
    parser.add_argument("--ca", metavar="FILE", type=Path, help="speak TLS, trusting the certificates in this file (grpc)")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--explain", action="store_true", help="print how the node came to its answer (http, grpc)")


def run(arguments: argparse.Namespace) -> int:
    if arguments.explain and arguments.via not in _EXPLAINING:
        raise WrongUsage(f"--explain: {' and '.join(_EXPLAINING)} carry an explanation, {arguments.via} does not")
    if arguments.zone and arguments.via != _ZONED:
        raise WrongUsage(f"--zone: only {_ZONED} has zones")
    if arguments.ca and arguments.via != _ENCRYPTED:
        raise WrongUsage(f"--ca: only {_ENCRYPTED} is spoken over TLS")
    document = _resolve(arguments)
    if arguments.json:
        print(as_json(document.to_json()))
    else:
        print("\n".join(_lines(document)))
    return DONE if document.is_found else REFUSED


def _resolve(arguments: argparse.Namespace) -> ResolvedDocument:
    module, function, key = _VIA[arguments.via]
    host, port = locate(arguments, key)
    options: dict[str, Any] = {"types": arguments.type, "indexes": arguments.index, "timeout_s": arguments.timeout}
    if arguments.explain:
        options["explain"] = True
    if arguments.via == _ZONED:
        options["zone"] = _zone(arguments)
    if arguments.ca:
        options["authority"] = _read_authority(arguments.ca)
    client = getattr(importlib.import_module(module), function)
    try:
        document: ResolvedDocument = asyncio.run(client(arguments.identifier, host, port, **options))
    except Unanswered as silence:
        raise Failed(f"{in_url(host)}:{port} ({arguments.via}): {silence}") from None
    return document


def _read_authority(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_AUTHORITY_BYTES + 1)
    except OSError as error:
        raise WrongUsage(f"--ca: {path}: it cannot be read: {error.strerror}") from None
    if not raw or len(raw) > _MAX_AUTHORITY_BYTES:
        raise WrongUsage(f"--ca: {path}: it is empty, or larger than {_MAX_AUTHORITY_BYTES} bytes")
    return raw


def _zone(arguments: argparse.Namespace) -> str:
    zone: str = arguments.zone or find(arguments, "resolver.dns_zone")
    try:
        parse_written_name(zone)
    except ValueError as error:
        raise WrongUsage(f"--zone: {error}") from None
    return zone


def _lines(document: ResolvedDocument) -> Iterator[str]:
    facts = [document.state or str(document.outcome)]
    if document.version is not None:
        facts.append(f"version {document.version}")
    if document.age_s:
        facts.append(f"{document.source}, {document.age_s} s old")
    if str(document.outcome) not in facts and not document.is_found:
        facts.append(str(document.outcome))
    yield f"{document.identifier}  ({', '.join(facts)})"
    if document.detail:
        yield document.detail
    if document.values:
        yield ""
        heads = ("index", "type", "ttl", "timestamp", "data")
        yield from columns(heads, [[*(value.get(head) for head in heads[:-1]), _data(value)] for value in document.values])
    elif document.is_found:
        yield "no values"
    if document.explanation:
        yield ""
        yield from document.explanation


def _data(value: dict[str, Any]) -> str:
    """The data of a value in one line: text as it is, anything else with its format."""
    data = value.get("data", {})
    content = data.get("value") if isinstance(data, dict) else data
    if isinstance(content, str):
        return content if data.get("format") == "string" else f"{data.get('format')}: {content}"
    return json.dumps(content, ensure_ascii=False)
