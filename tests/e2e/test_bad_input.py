"""What cannot be asked or registered, through every edge of a running node: refused by name, counted, and nothing harmed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from proto.errors import Reason
from proto.limits import MAX_IDENTIFIER_BYTES, MAX_RECORD_BYTES, MAX_TYPE_BYTES, MAX_VALUES
from proto.v1 import model_pb2, registry_pb2, resolver_pb2
from tests.support.edges import Edges
from tests.support.handle import question
from tests.support.harm import SAMPLE, Harm
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow

HOME = "88.118.1002"

# How each edge names a refusal: HTTP status, gRPC status, Handle response code.
NAMES: dict[Reason, tuple[int, str, int]] = {
    Reason.INVALID_IDENTIFIER: (400, "INVALID_ARGUMENT", 102),
    Reason.NOT_HOMED: (404, "NOT_FOUND", 301),
    Reason.UNKNOWN_PREFIX: (404, "NOT_FOUND", 301),
    Reason.INVALID_VALUE: (400, "INVALID_ARGUMENT", 202),
    Reason.VALUE_TOO_LARGE: (413, "INVALID_ARGUMENT", 202),
    Reason.RECORD_TOO_LARGE: (413, "INVALID_ARGUMENT", 202),
    Reason.TOO_MANY_VALUES: (413, "INVALID_ARGUMENT", 202),
    Reason.DUPLICATE_INDEX: (400, "INVALID_ARGUMENT", 202),
    Reason.VERSION_CONFLICT: (412, "ABORTED", 2),
    Reason.IDEMPOTENCY_MISMATCH: (422, "INVALID_ARGUMENT", 2),
    Reason.INVALID_IDEMPOTENCY_KEY: (400, "INVALID_ARGUMENT", 4),
    Reason.UNAUTHENTICATED: (401, "UNAUTHENTICATED", 402),
}


def over_http(reason: Reason) -> str:
    return f"{NAMES[reason][0]} {reason}"


def over_grpc(reason: Reason) -> str:
    return f"{NAMES[reason][1]} {reason.upper()}"


@pytest.fixture(autouse=True)
def unharmed(harm: Harm) -> Iterator[None]:
    """After each test the node is as well as before."""
    yield
    harm.check_none()


# Identifiers that cannot be, and one that is somebody else's.
BAD_NAMES = [
    pytest.param("", Reason.INVALID_IDENTIFIER, id="nothing"),
    pytest.param(f"{HOME}/", Reason.INVALID_IDENTIFIER, id="no suffix"),
    pytest.param(f"{HOME}/a\x00b", Reason.INVALID_IDENTIFIER, id="a zero byte"),
    pytest.param(f"{HOME}/a\nb", Reason.INVALID_IDENTIFIER, id="a line feed"),
    pytest.param(f"{HOME}/u\u0308", Reason.INVALID_IDENTIFIER, id="not composed"),
    pytest.param(f"{HOME}/" + "x" * MAX_IDENTIFIER_BYTES, Reason.INVALID_IDENTIFIER, id="too long"),
    pytest.param(f"{HOME}/" + "变" * (MAX_IDENTIFIER_BYTES // 3), Reason.INVALID_IDENTIFIER, id="too long in UTF-8 alone"),
    pytest.param("88..118/x", Reason.INVALID_IDENTIFIER, id="an empty label"),
    pytest.param("99.99/X", Reason.NOT_HOMED, id="an unknown prefix"),
]


@pytest.mark.parametrize(("identifier", "reason"), BAD_NAMES)
def test_what_cannot_be_resolved(edges: Edges, harm: Harm, identifier: str, reason: Reason) -> None:
    path = quote(identifier, safe="")
    status, code, response_code = NAMES[reason]
    # Stock servers of the Handle JSON API answer 400 for what they are not responsible for.
    handles_status = 400 if reason is Reason.NOT_HOMED else status
    request = resolver_pb2.ResolveRequest(identifier=identifier)
    assert {
        "handles": edges.resolver.ask("GET", f"/api/handles/{path}"),
        "resolve": edges.resolver.ask("GET", f"/api/v1/resolve/{path}"),
        "grpc": edges.resolver_grpc.ask("Resolve", request),
        "handle": edges.handle.tcp(question(identifier)),
    } == {
        "handles": f"{handles_status} {reason}",
        "resolve": f"{status} {reason}",
        "grpc": f"{code} {reason.upper()}",
        "handle": str(response_code),
    }
    assert harm.refused(reason) == 4
    batch = [identifier, SAMPLE]
    bad, good = edges.resolver.send("POST", "/api/v1/resolve", {"identifiers": batch}).json()["results"]
    assert (bad["reason"], good["identifier"]) == (reason, SAMPLE)
    raw = edges.resolver_grpc.call("BatchResolve", resolver_pb2.BatchResolveRequest(identifiers=batch))
    failed, found = resolver_pb2.BatchResolveResponse.FromString(raw).results
    assert (failed.failure.reason, found.answer.identifier) == (reason.upper(), SAMPLE)
    packets = question(identifier)
    if len(packets) <= 512:
        assert edges.handle.udp(packets) == str(response_code)
        assert harm.refused(reason) == 7
    else:
        assert harm.refused(reason) == 6


@dataclass(frozen=True)
class Bad:
    """What cannot be registered: an identifier, its values (index, type, data), and why."""

    identifier: str
    values: Sequence[tuple[int, str, str]]
    reason: Reason

    def document(self) -> dict[str, object]:
        values = [
            {"index": index, "type": kind, "data": {"format": "string", "value": data}} for index, kind, data in self.values
        ]
        return {"values": values}

    def draft(self) -> registry_pb2.Draft:
        values = [model_pb2.Value(index=index, type=kind, data=data.encode()) for index, kind, data in self.values]
        return registry_pb2.Draft(identifier=self.identifier, values=values)


ONE = [(1, "NOTE", "x")]
BAD_DRAFTS = [
    pytest.param(Bad(f"{HOME}/a\x07", ONE, Reason.INVALID_IDENTIFIER), id="a control character"),
    pytest.param(Bad(f"{HOME}/e\u0301", ONE, Reason.INVALID_IDENTIFIER), id="not composed"),
    pytest.param(Bad(f"{HOME}/" + "x" * MAX_IDENTIFIER_BYTES, ONE, Reason.INVALID_IDENTIFIER), id="too long a name"),
    pytest.param(Bad("99.99/X", ONE, Reason.NOT_HOMED), id="an unknown prefix"),
    pytest.param(Bad(f"{HOME}/B", [(1, "NOTE", "x"), (1, "URL", "y")], Reason.DUPLICATE_INDEX), id="an index twice"),
    pytest.param(Bad(f"{HOME}/B", [(0, "NOTE", "x")], Reason.INVALID_VALUE), id="index 0"),
    pytest.param(Bad(f"{HOME}/B", [(1, "T" * (MAX_TYPE_BYTES + 1), "x")], Reason.INVALID_VALUE), id="too long a type"),
    pytest.param(Bad(f"{HOME}/B", [(1, "", "x")], Reason.INVALID_VALUE), id="no type"),
    pytest.param(Bad(f"{HOME}/B", [(1, "NOTE", "x" * (MAX_RECORD_BYTES + 1))], Reason.VALUE_TOO_LARGE), id="too large a value"),
    pytest.param(
        Bad(f"{HOME}/B", [(1, "NOTE", "x" * 130_000), (2, "NOTE", "x" * 130_000)], Reason.RECORD_TOO_LARGE),
        id="too large a record",
    ),
    pytest.param(
        Bad(f"{HOME}/B", [(index, "NOTE", "") for index in range(1, MAX_VALUES + 2)], Reason.TOO_MANY_VALUES),
        id="too many values",
    ),
]


@pytest.mark.parametrize("bad", BAD_DRAFTS)
def test_what_cannot_be_registered(edges: Edges, harm: Harm, bad: Bad) -> None:
    path = f"/api/v1/identifiers/{quote(bad.identifier, safe='')}"
    assert edges.registry.ask("PUT", path, bad.document()) == over_http(bad.reason)
    register = registry_pb2.RegisterRequest(draft=bad.draft())
    assert edges.registry_grpc.ask("Register", register) == over_grpc(bad.reason)
    assert harm.refused(bad.reason) == 2

    good = Bad(f"{HOME}/BESIDE-THE-BAD", ONE, bad.reason)
    rows = [{"identifier": each.identifier, **each.document()} for each in (bad, good)]
    refused, kept = edges.registry.send("POST", "/api/v1/identifiers", {"identifiers": rows}).json()["results"]
    assert (refused["outcome"], refused["reason"]) == ("refused", bad.reason)
    assert kept["outcome"] in ("created", "unchanged")
    chunk = registry_pb2.BatchRegisterRequest(drafts=[bad.draft(), good.draft()])
    (raw,) = edges.registry_grpc.stream("BatchRegister", [chunk.SerializeToString()])
    first, second = registry_pb2.BatchRegisterResponse.FromString(raw).results
    assert (first.failure.reason, second.outcome) == (bad.reason.upper(), registry_pb2.OUTCOME_UNCHANGED)
    assert harm.refused(bad.reason) == 4
    assert edges.resolver.ask("GET", f"/api/v1/resolve/{HOME}/B") == "404 not_found"


def test_a_table_whose_rows_are_bad(edges: Edges, harm: Harm, node: RunningNode) -> None:
    rows = [f"{HOME}/a\x07", "99.99/X", f"{HOME}/T-1", "88.118.1001/elsewhere"]
    table = "identifier,1:NOTE\n" + "".join(f"{row},x\n" for row in rows)
    taken = edges.registry.send(
        "POST", f"/api/v1/jobs/import?prefix={HOME}&file_name=bad.csv", table.encode(), Content_Type="text/csv"
    )
    assert taken.status == 202, taken.body
    job = taken.headers["location"]
    node.until(lambda: edges.registry.send("GET", job).json()["state"] == "finished")
    outcomes = [line.split(",")[2] for line in edges.registry.send("GET", f"{job}/result").body.decode().splitlines()[1:]]
    assert outcomes == ["refused", "refused", "created", "refused"]
    assert harm.refused() == 3
    assert harm.counted("biaojie_import_rows_total", outcome="refused") == 3


def test_a_prefix_that_nobody_has_created(edges: Edges, harm: Harm) -> None:
    table = "/api/v1/jobs/import?prefix=88.118.9999&file_name=a.csv"
    taken = edges.registry.ask("POST", table, b"identifier,1:NOTE\n", Content_Type="text/csv")
    assert taken == over_http(Reason.UNKNOWN_PREFIX)
    listing = registry_pb2.ListIdentifiersRequest(prefix="88.118.9999").SerializeToString()
    assert edges.registry_grpc.ask_stream("ListIdentifiers", [listing]) == over_grpc(Reason.UNKNOWN_PREFIX)
    assert harm.refused(Reason.UNKNOWN_PREFIX) == 2


def test_a_version_that_is_not_there(edges: Edges, harm: Harm) -> None:
    document = Bad(f"{HOME}/VERSIONED", ONE, Reason.VERSION_CONFLICT)
    path = f"/api/v1/identifiers/{document.identifier}"
    assert edges.registry.ask("PUT", path, document.document(), If_None_Match="*") == "201"
    conflict = over_http(Reason.VERSION_CONFLICT)
    assert edges.registry.ask("PUT", path, document.document(), If_None_Match="*") == conflict
    assert edges.registry.ask("PUT", path, document.document(), If_Match='"7"') == conflict
    assert edges.registry.ask("PATCH", path, {"remove": [1]}, If_Match='"7"') == conflict
    assert edges.registry.ask("DELETE", path, If_Match='"7"') == conflict
    assert edges.registry.ask("POST", f"{path}/suspend", If_Match='"7"') == conflict
    draft = document.draft()
    draft.expected_version = 7
    refused = over_grpc(Reason.VERSION_CONFLICT)
    assert edges.registry_grpc.ask("Register", registry_pb2.RegisterRequest(draft=draft)) == refused
    for method, message in (
        ("Update", registry_pb2.UpdateRequest(identifier=document.identifier, remove=[1], expected_version=7)),
        ("Retire", registry_pb2.IdentifierWrite(identifier=document.identifier, expected_version=7)),
    ):
        assert edges.registry_grpc.ask(method, message) == refused
    assert harm.refused(Reason.VERSION_CONFLICT) == 8
    assert edges.resolver.send("GET", f"/api/v1/resolve/{document.identifier}").json()["version"] == 1


def test_an_idempotency_key_with_another_body(edges: Edges, harm: Harm) -> None:
    first, other = Bad(f"{HOME}/KEYED", ONE, Reason.IDEMPOTENCY_MISMATCH), [(1, "NOTE", "another")]
    path = f"/api/v1/identifiers/{first.identifier}"
    mismatch = over_http(Reason.IDEMPOTENCY_MISMATCH)
    assert edges.registry.ask("PUT", path, first.document(), Idempotency_Key="once") == "201"
    assert edges.registry.ask("PUT", path, first.document(), Idempotency_Key="once") == "201"
    assert edges.registry.ask("PUT", path, Bad(path, other, first.reason).document(), Idempotency_Key="once") == mismatch
    assert edges.registry.ask("DELETE", path, Idempotency_Key="once") == mismatch
    request = registry_pb2.RegisterRequest(draft=first.draft())
    assert edges.registry_grpc.ask("Register", request, idempotency_key="at all") == over_grpc(Reason.INVALID_IDEMPOTENCY_KEY)
    assert edges.registry_grpc.ask("Register", request, idempotency_key="once") == over_grpc(Reason.IDEMPOTENCY_MISMATCH)
    assert harm.refused(Reason.IDEMPOTENCY_MISMATCH) == 3
    long = edges.registry.ask("PUT", path, first.document(), Idempotency_Key="k" * 256)
    assert long == over_http(Reason.INVALID_IDEMPOTENCY_KEY)
    assert harm.refused(Reason.INVALID_IDEMPOTENCY_KEY) == 2


Ask = Callable[[Edges], str]
X = f"{HOME}/X"
# Who shows a key that opens nothing, or none where one is needed.
STRANGERS: list[tuple[str, Ask]] = [
    ("401 unauthenticated", lambda edges: edges.registry.ask("PUT", f"/api/v1/identifiers/{X}", {}, Authorization="")),
    ("401 unauthenticated", lambda edges: edges.registry.ask("GET", "/api/v1/accounts", Authorization="Bearer nobody")),
    ("401 unauthenticated", lambda edges: edges.registry.ask("GET", "/api/v1/accounts", Authorization="Basic b3A6b3A=")),
    ("401 unauthenticated", lambda edges: edges.resolver.ask("GET", f"/api/handles/{X}", Authorization="Bearer nobody")),
    (
        "UNAUTHENTICATED UNAUTHENTICATED",
        lambda edges: edges.resolver_grpc.ask(
            "Resolve", resolver_pb2.ResolveRequest(identifier=X), authorization="Bearer nobody"
        ),
    ),
]


@pytest.mark.parametrize(("name", "ask"), STRANGERS)
def test_a_key_that_opens_nothing(edges: Edges, harm: Harm, name: str, ask: Ask) -> None:
    assert ask(edges) == name
    assert harm.refused(Reason.UNAUTHENTICATED) == 1
