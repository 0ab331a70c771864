"""One answer, every protocol: each row of the table of answers, asked over every listener of a running node.

The figures in `ROWS` are written down here once more on purpose: they are what the outside relies on.
"""

import asyncio
import http.client
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote

import dns.rcode
import grpc
import pytest

from node.config import PORT_KEYS
from proto.handle_json import parse_values
from proto.v1 import resolver_pb2
from proto.v1.resolver_pb2_grpc import ResolverStub
from proto.wire.handle import codes
from tests.e2e.conftest import StartNode
from tests.interop.handle_replay import ask_tcp, ask_udp, meaning
from tests.support.dns import ask_for_values
from tests.support.handle import question
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow

HOST: Final = "127.0.0.1"
HOME: Final = "88.118.7001"
SUSPENDED: Final = "88.118.7002"


@dataclass(frozen=True)
class Row:
    """A row of the table: HTTP status and `responseCode`, Handle codes, gRPC status and reason, DNS response code."""

    status: int
    code: int | None
    handle: frozenset[int]
    grpc: str
    dns: dns.rcode.Rcode
    reason: str = ""
    handle_api_status: int = 0


ROWS: Final = {
    "found": Row(200, 1, frozenset({1}), "OK", dns.rcode.NOERROR),
    "values not found": Row(200, 200, frozenset({200}), "OK", dns.rcode.NOERROR),
    "not found": Row(404, 100, frozenset({100}), "NOT_FOUND", dns.rcode.NXDOMAIN, "NOT_FOUND"),
    "suspended": Row(403, 200, frozenset({200}), "FAILED_PRECONDITION", dns.rcode.NOERROR, "SUSPENDED"),
    "retired": Row(410, 100, frozenset({100}), "NOT_FOUND", dns.rcode.NXDOMAIN, "RETIRED"),
    "not homed": Row(404, 301, frozenset({301}), "NOT_FOUND", dns.rcode.REFUSED, "NOT_HOMED", handle_api_status=400),
    "credentials needed": Row(401, 402, frozenset({402}), "UNAUTHENTICATED", dns.rcode.REFUSED, "UNAUTHENTICATED"),
    "credentials not enough": Row(403, 400, frozenset({400}), "PERMISSION_DENIED", dns.rcode.REFUSED, "PERMISSION_DENIED"),
    "malformed": Row(400, None, frozenset({4, 102}), "INVALID_ARGUMENT", dns.rcode.FORMERR, "INVALID_IDENTIFIER"),
}

Values = dict[int, tuple[str, bytes]]


@dataclass(frozen=True)
class Case:
    """A question and the row it is to meet. `shows` are the indexes found; `echo` the identifier if it is not the asked one.

    `account` asks with that account's key, which the Handle protocol cannot (yet).
    """

    name: str
    row: str
    identifier: str
    shows: tuple[int, ...] = ()
    types: tuple[str, ...] = ()
    indexes: tuple[int, ...] = ()
    echo: str = ""
    wants_private: bool = False
    account: str = ""


WHOLE: Final = f"{HOME}/Whole"
CASES: Final = (
    Case("found", "found", WHOLE, (1, 2, 3, 100)),
    Case("folded", "found", f"{HOME}/wHOLE", (1, 2, 3, 100)),
    Case("filtered by type", "found", WHOLE, (2,), types=("title",)),
    Case("filtered by a family of types", "found", WHOLE, (1, 3), types=("URL.",)),
    Case("filtered by index", "found", WHOLE, (3,), indexes=(3,)),
    Case("filtered by index or type", "found", WHOLE, (1, 2), types=("TITLE",), indexes=(1,)),
    Case("values not found", "values not found", WHOLE, types=("NONE",)),
    Case("index not found", "values not found", WHOLE, indexes=(4242,)),
    Case("a private value asked for by index", "values not found", WHOLE, indexes=(900,)),
    Case("nothing but private values", "values not found", f"{HOME}/hidden"),
    Case("not found", "not found", f"{HOME}/nothing"),
    Case("suspended record", "suspended", f"{HOME}/suspended"),
    Case("suspended prefix", "suspended", f"{SUSPENDED}/x"),
    Case("nothing below a suspended prefix", "suspended", f"{SUSPENDED}/nothing"),
    Case("retired", "retired", f"{HOME}/retired"),
    Case("not homed", "not homed", "10.1000/182"),
    Case("the prefix of one not homed", "not homed", "0.NA/10.1000"),
    Case("empty", "malformed", ""),
    Case("empty label", "malformed", "88..118/x"),
    Case("no suffix", "malformed", f"{HOME}/"),
    Case("control character", "malformed", f"{HOME}/a\tb"),
    Case("not in normal form", "malformed", f"{HOME}/e\u0301"),
    Case("too long", "malformed", f"{HOME}/{'x' * 2048}"),
    Case("alias", "found", f"{HOME}/CODE-1", (1, 2, 3, 100), echo=WHOLE),
    Case("alias, folded", "found", f"{HOME}/code-1", (1, 2, 3, 100), echo=WHOLE),
    Case("Chinese", "found", f"{HOME}/变压器/S20-M-630", (1,)),
    Case("slashes and dots", "found", f"{HOME}/a//b/../c", (1,)),
    Case("percent signs", "found", f"{HOME}/50%2F %", (1,)),
    Case("a prefix's own identifier", "found", f"0.NA/{HOME}", (1,)),
    Case("the same, folded", "found", f"0.na/{HOME}", (1,)),
    Case("a prefix by its name alone", "found", HOME, (1,)),
    Case("a prefix without a record", "not found", "0.NA/88.118.1002"),
    Case("large", "found", f"{HOME}/large", (1,)),
    Case("insisted on, anonymous", "credentials needed", WHOLE, wants_private=True),
    Case("insisted on, but only public values selected", "found", WHOLE, (1,), indexes=(1,), wants_private=True),
    Case("insisted on, not enough", "credentials not enough", WHOLE, wants_private=True, account="city"),
    Case("insisted on, enough", "found", WHOLE, (1, 2, 3, 100, 900), wants_private=True, account="operator"),
    Case("with credentials", "found", WHOLE, (1, 2, 3, 100, 900), account="operator"),
    Case("with credentials that open nothing more", "found", WHOLE, (1, 2, 3, 100), account="city"),
    Case("suspended, for the operator too", "suspended", f"{HOME}/suspended", account="operator"),
    Case("with a wrong key", "credentials needed", WHOLE, account="nobody"),
)


@dataclass
class Told:
    """What a protocol said: its own figures, and for a record the identifier and the values."""

    figures: tuple[Any, ...]
    identifier: str = ""
    values: Values = field(default_factory=dict)


@dataclass
class Furnished:
    """The node, its ports and the keys of accounts."""

    node: RunningNode
    keys: dict[str, str]
    ports: dict[str, Any]


def text(index: int, kind: str, data: str, **more: object) -> dict[str, object]:
    return {"index": index, "type": kind, "data": {"format": "string", "value": data}, **more}


ADMIN: Final = {"format": "admin", "value": {"handle": "0.NA/88.118", "index": 200, "permissions": "111111111111"}}
RECORDS: Final[dict[str, dict[str, Any]]] = {
    WHOLE: {
        "values": [
            text(1, "URL", "https://example.com/1"),
            text(2, "TITLE", "油浸式电力变压器", ttl=600),
            text(3, "URL.MIRROR", "https://example.org/1"),
            {"index": 100, "type": "HS_ADMIN", "data": ADMIN},
            text(900, "NOTE", "内部", audience="private"),
        ],
        "aliases": [f"{HOME}/CODE-1"],
    },
    f"{HOME}/hidden": {"values": [text(1, "NOTE", "内部", audience="private")]},
    f"{HOME}/变压器/S20-M-630": {"values": [text(1, "URL", "https://example.com/变压器")]},
    f"{HOME}/a//b/../c": {"values": [text(1, "URL", "https://example.com/odd")]},
    f"{HOME}/50%2F %": {"values": [text(1, "URL", "https://example.com/percent")]},
    f"0.NA/{HOME}": {"values": [text(1, "URL", "https://example.com/prefix")]},
    f"{HOME}/large": {"values": [text(1, "META", "量" * 1_000)]},
    f"{HOME}/larger": {"values": [text(1, "META", "量" * 70_000)]},
    f"{HOME}/suspended": {"values": [text(1, "URL", "https://example.com/s")]},
    f"{HOME}/retired": {"values": [text(1, "URL", "https://example.com/r")]},
    f"{SUSPENDED}/x": {"values": [text(1, "URL", "https://example.com/x")]},
}


@pytest.fixture(scope="module")
def furnished(node: RunningNode) -> Iterator[Furnished]:
    def done(method: str, path: str, document: Any = None) -> Any:
        reply = node.call(method, path, document)
        assert reply.status in (200, 201), reply.text
        return reply.json()

    for prefix in (HOME, SUSPENDED):
        done("POST", "/api/v1/prefixes", {"name": prefix, "state": "approved"})
    for identifier, document in RECORDS.items():
        done("PUT", f"/api/v1/identifiers/{quote(identifier, safe='')}", document)
    done("POST", f"/api/v1/identifiers/{HOME}/suspended/suspend")
    done("DELETE", f"/api/v1/identifiers/{HOME}/retired")
    done("POST", f"/api/v1/prefixes/{SUSPENDED}/suspend")
    city = done("POST", "/api/v1/accounts", {"name": "agreement-city", "role": "city"})["api_key"]
    yield Furnished(node, {"operator": node.token, "city": city, "nobody": "bj_nobody_wrong"}, node.ports)
    done("POST", f"/api/v1/prefixes/{SUSPENDED}/resume")


def over_http(furnished: Furnished, case: Case, path: str, insisting: str) -> tuple[int, Any]:
    query = [f"type={quote(kind)}" for kind in case.types] + [f"index={index}" for index in case.indexes]
    if case.wants_private:
        query.append(insisting)
    headers = {"Authorization": f"Bearer {furnished.keys[case.account]}"} if case.account else {}
    connection = http.client.HTTPConnection(HOST, furnished.ports["resolver.http_port"], timeout=30)
    try:
        connection.request("GET", f"{path}{quote(case.identifier)}?{'&'.join(query)}", headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def json_values(document: Any) -> Values:
    return {value.index: (value.type, value.data) for value in parse_values(document.get("values", []), "values", 0)}


def ask_handle_api(furnished: Furnished, case: Case) -> Told:
    status, document = over_http(furnished, case, "/api/handles/", "publicOnly=false")
    return Told((status, document["responseCode"]), document["handle"], json_values(document))


def ask_own_api(furnished: Furnished, case: Case) -> Told:
    status, document = over_http(furnished, case, "/api/v1/resolve/", "wants_private=1")
    return Told((status, document["responseCode"]), document["identifier"], json_values(document))


def ask_batch(furnished: Furnished, case: Case) -> Told:
    """The same as one of two items in a batch. A key is the request's, so a wrong one fails all of it."""
    body = {
        "identifiers": ["10.1/other", case.identifier],
        "types": case.types,
        "indexes": case.indexes,
        "wants_private": case.wants_private,
    }
    headers = {"Content-Type": "application/json"}
    if case.account:
        headers["Authorization"] = f"Bearer {furnished.keys[case.account]}"
    reply = furnished.node.fetch(
        "/api/v1/resolve", "resolver.http_port", method="POST", headers=headers, body=json.dumps(body).encode()
    )
    document = reply.json()["results"][1] if reply.status == 200 else reply.json()
    return Told((document["status"], document["responseCode"]), document["identifier"], json_values(document))


def ask_grpc(furnished: Furnished, case: Case) -> Told:
    request = resolver_pb2.ResolveRequest(
        identifier=case.identifier, types=case.types, indexes=case.indexes, wants_private=case.wants_private
    )
    metadata = (("authorization", f"Bearer {furnished.keys[case.account]}"),) if case.account else ()
    with grpc.insecure_channel(f"{HOST}:{furnished.ports['resolver.grpc_port']}") as channel:
        try:
            answer = ResolverStub(channel).Resolve(request, timeout=30, metadata=metadata)
        except grpc.RpcError as error:
            call = cast(grpc.Call, error)
            trailers = dict(call.trailing_metadata())
            return Told((call.code().name, trailers["biaojie-reason"]), case.identifier)
    return Told(("OK", ""), answer.identifier, {value.index: (value.type, value.data) for value in answer.values})


def ask_grpc_batch(furnished: Furnished, case: Case) -> Told:
    request = resolver_pb2.BatchResolveRequest(
        identifiers=["10.1/other", case.identifier], types=case.types, indexes=case.indexes, wants_private=case.wants_private
    )
    metadata = (("authorization", f"Bearer {furnished.keys[case.account]}"),) if case.account else ()
    with grpc.insecure_channel(f"{HOST}:{furnished.ports['resolver.grpc_port']}") as channel:
        try:
            result = ResolverStub(channel).BatchResolve(request, timeout=30, metadata=metadata).results[1]
        except grpc.RpcError as error:
            call = cast(grpc.Call, error)
            return Told((call.code().name, dict(call.trailing_metadata())["biaojie-reason"]), case.identifier)
    if result.HasField("failure"):
        (code,) = (code.name for code in grpc.StatusCode if code.value[0] == result.failure.code)
        return Told((code, result.failure.reason), case.identifier)
    return Told(("OK", ""), result.answer.identifier, {each.index: (each.type, each.data) for each in result.answer.values})


def ask_handle(ask: Callable[[str, int, bytes], bytes]) -> Callable[[Furnished, Case], Told]:
    def told(furnished: Furnished, case: Case) -> Told:
        flags = 0 if case.wants_private else codes.PUBLIC_ONLY
        asking = question(case.identifier, types=case.types, indexes=case.indexes, flags=flags)
        answer = meaning(asking, ask(HOST, furnished.ports["resolver.handle_port"], asking))
        if answer.code == 402:
            assert answer.has_challenge
        values = {index: (kind, data) for index, kind, data, _, _ in answer.values}
        return Told((answer.code,), answer.identifier or case.identifier, values)

    return told


def ask_dns(furnished: Furnished, case: Case) -> Told:
    """DNS has no filters and carries no keys, so it is asked only where there are none."""
    rcode, identifier, values = ask_for_values(case.identifier, HOST, furnished.ports["resolver.dns_port"])
    return Told((rcode,), identifier, {value.index: (value.type, value.data) for value in values})


ask_handle_tcp = ask_handle(lambda host, port, asking: ask_tcp(host, port, asking)[0])
ask_handle_udp = ask_handle(ask_udp)

WITH_KEYS: Final = (ask_handle_api, ask_own_api, ask_batch, ask_grpc, ask_grpc_batch)
HANDLE: Final = (ask_handle_tcp, ask_handle_udp)
# Protocols that answer with the registered spelling; the others echo the asked one.
REGISTERED: Final = (ask_own_api, ask_batch, ask_grpc, ask_grpc_batch, ask_dns)


def edges_for(case: Case) -> Sequence[Callable[[Furnished, Case], Told]]:
    """Who can be asked this question."""
    if case.account:
        return WITH_KEYS
    return (*WITH_KEYS, *HANDLE) if case.types or case.indexes or case.wants_private else (*WITH_KEYS, *HANDLE, ask_dns)


def by_name(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_a_question_meets_its_row_in_every_protocol(furnished: Furnished, case: Case) -> None:
    row = ROWS[case.row]
    registered = {identifier.lower(): identifier for identifier in RECORDS} | {HOME: f"0.NA/{HOME}"}
    seen: dict[str, Values] = {}
    for ask in edges_for(case):
        told, where = ask(furnished, case), getattr(ask, "__name__", "handle")
        if ask in (ask_grpc, ask_grpc_batch):
            assert told.figures == (row.grpc, row.reason), where
        elif ask in HANDLE:
            assert told.figures[0] in row.handle, where
        elif ask is ask_dns:
            assert told.figures == (row.dns,), where
        else:
            status = row.handle_api_status if ask is ask_handle_api and row.handle_api_status else row.status
            assert told.figures[0] == status, where
            assert told.figures[1] == row.code or told.figures[1] in row.handle, where
        assert tuple(told.values) == case.shows, where
        if case.row == "found":
            spelling = case.echo or (registered[case.identifier.lower()] if ask in REGISTERED else case.identifier)
            assert told.identifier == spelling, where
        seen[where] = told.values
    assert all(values == next(iter(seen.values())) for values in seen.values()), "the same bytes everywhere"


def test_every_row_is_met() -> None:
    assert {case.row for case in CASES} == set(ROWS)


CLIENTS: Final = {
    "http": ("node.client.http", "resolve", "resolver.http_port"),
    "grpc": ("node.client.grpc", "resolve", "resolver.grpc_port"),
    "handle": ("node.client.handle", "resolve", "resolver.handle_port"),
    "handle-udp": ("node.client.handle", "resolve_udp", "resolver.handle_port"),
    "dns": ("node.client.dns", "resolve", "resolver.dns_port"),
}
PLAIN: Final = [case for case in CASES if not case.account and not case.wants_private and case.row != "malformed"]


@pytest.mark.parametrize("case", [*PLAIN, Case("larger than UDP carries", "found", f"{HOME}/larger", (1,))], ids=by_name)
def test_the_command_lines_clients_give_one_document(furnished: Furnished, case: Case) -> None:
    documents = {}
    for via, (module, function, key) in CLIENTS.items():
        client = getattr(importlib.import_module(module), function)
        asking = client(case.identifier, HOST, furnished.ports[key], types=case.types, indexes=case.indexes, timeout_s=30)
        document = asyncio.run(asking).to_json()
        documents[via] = {name: document[name] for name in ("identifier", "state", "version", "values", "outcome")}
    assert [value["index"] for value in documents["http"]["values"]] == list(case.shows)
    assert documents == dict.fromkeys(documents, documents["http"])


@pytest.mark.parametrize("case", [case for case in CASES if case.row == "malformed"], ids=by_name)
def test_the_command_lines_clients_all_refuse_what_is_malformed(furnished: Furnished, case: Case) -> None:
    for module, function, key in CLIENTS.values():
        client = getattr(importlib.import_module(module), function)
        document = asyncio.run(client(case.identifier, HOST, furnished.ports[key], timeout_s=30))
        assert (document.outcome, document.is_found) == ("refused", False), module


@pytest.mark.parametrize(("via", "key"), [(via, key) for via, (_, _, key) in CLIENTS.items()])
def test_each_protocol_answers_alone(start_node: StartNode, via: str, key: str) -> None:
    off = [each for each in PORT_KEYS if each not in (key, "node.metrics_port")]
    alone = start_node(*(f"{each}=off" for each in off), sample=True, workers=1)
    alone.until_ready()
    assert [each for each in PORT_KEYS if alone.ports[each] is not None] == [
        each for each in PORT_KEYS if each in (key, "node.metrics_port")
    ]
    done = alone.run("resolve", "88.118.1001/SAMPLE-1", "--via", via, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["identifier"], document["state"], document["version"]) == ("88.118.1001/SAMPLE-1", "active", 1)
    assert [value["index"] for value in document["values"]] == [1, 2, 3, 100]
    assert alone.run("resolve", "88.118.1001/NOWHERE", "--via", via).returncode == 1
