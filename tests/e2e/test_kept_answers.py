"""Answers that a worker keeps: they are what it would answer anew, and every acknowledged write is in them."""

import socket
from collections.abc import Iterator
from itertools import pairwise

import dns.message
import dns.query
import dns.rcode
import dns.serial
import pytest

from proto.v1.resolver_pb2 import ResolveRequest, ResolveResponse
from tests.e2e.conftest import StartNode
from tests.support.dns import asked
from tests.support.edges import HOST, WAIT_S, Edges, connect, read_message
from tests.support.handle import question
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow

PREFIX, NAME = "88.118.1001", "88.118.1001/KEPT"
# A reply is let in when its question comes a second time, so from the third on it may be a kept one.
TIMES = 4
# What is of this very exchange: its id and date, and over Handle the session-free envelope's expiration (bytes 36 to 40).
OF_THE_MOMENT = ("x-request-id", "date")
EXPIRATION = slice(36, 40)


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edges]:
    """The edges of a node with one worker, so that every question meets the same cache."""
    node = RunningNode(tmp_path_factory.mktemp("lone") / "data", sample=True, workers=1)
    try:
        node.until_ready()
        edges = Edges(node)
        yield edges
        edges.close()
    finally:
        node.destroy()


def over_http(edges: Edges, name: str = NAME) -> tuple[int, dict[str, str], bytes]:
    answer = edges.resolver.send("GET", f"/api/handles/{name}")
    return answer.status, {key: said for key, said in answer.headers.items() if key not in OF_THE_MOMENT}, answer.body


def over_tcp(edges: Edges, name: str = NAME) -> bytes:
    with connect(edges.handle.port) as connection:
        connection.sendall(question(name))
        return timeless(read_message(connection))


def over_udp(edges: Edges, name: str = NAME) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(WAIT_S)
        client.connect((HOST, edges.handle.port))
        client.send(question(name))
        return timeless(client.recv(65_535))


def over_grpc(edges: Edges, name: str = NAME) -> bytes:
    return edges.resolver_grpc.call("Resolve", ResolveRequest(identifier=name))


def over_dns(edges: Edges, name: str = NAME) -> bytes:
    query = asked(name, "URI")
    return dns.query.udp(query, HOST, WAIT_S, edges.node.ports["resolver.dns_port"]).to_wire()


def rcode_of(raw: bytes) -> dns.rcode.Rcode:
    return dns.message.from_wire(raw).rcode()


def timeless(message: bytes) -> bytes:
    return message[: EXPIRATION.start] + message[EXPIRATION.stop :]


def everywhere(edges: Edges, name: str = NAME) -> tuple[object, ...]:
    asking = over_http, over_tcp, over_udp, over_grpc, over_dns
    return tuple(ask(edges, name) for ask in asking)


def write(edges: Edges, url: str, *aliases: str) -> None:
    values = [{"index": 1, "type": "URL", "data": {"format": "string", "value": url}}]
    body = {"values": values, "aliases": list(aliases)}
    assert edges.registry.ask("PUT", f"/api/v1/identifiers/{NAME}", body) in ("200", "201")


def test_every_write_is_in_the_very_next_answer_of_every_edge(lone: Edges) -> None:
    for turn in range(20):
        write(lone, f"https://example.cn/{turn}")
        said = f"https://example.cn/{turn}".encode()
        for _ in range(TIMES):
            assert said in over_http(lone)[2]
            assert said in over_tcp(lone)
            assert said in over_udp(lone)
            assert said in over_grpc(lone)
            assert said in over_dns(lone)


def test_a_kept_answer_is_what_a_fresh_one_is(lone: Edges) -> None:
    write(lone, "https://example.cn/same")
    hits = lone.node.metric("biaojie_answer_cache_hits_total")
    first, *others = [everywhere(lone) for _ in range(TIMES)]
    assert all(other == first for other in others)
    lone.node.until(lambda: lone.node.metric("biaojie_answer_cache_hits_total") > hits)


@pytest.mark.parametrize("identifier", [f"{PREFIX}/NEGATIVE", "88.118.1002/NEGATIVE"])
def test_what_is_registered_is_no_longer_said_to_be_absent(lone: Edges, identifier: str) -> None:
    for _ in range(TIMES):
        assert over_http(lone, identifier)[0] == 404
        assert lone.resolver_grpc.ask("Resolve", ResolveRequest(identifier=identifier)) == "NOT_FOUND NOT_FOUND"
        assert rcode_of(over_dns(lone, identifier)) == dns.rcode.NXDOMAIN
    values = [{"index": 1, "type": "URL", "data": {"format": "string", "value": "u"}}]
    assert lone.registry.ask("PUT", f"/api/v1/identifiers/{identifier}", {"values": values}) == "201"
    assert over_http(lone, identifier)[0] == 200
    assert lone.resolver_grpc.ask("Resolve", ResolveRequest(identifier=identifier)) == "OK"
    assert rcode_of(over_dns(lone, identifier)) == dns.rcode.NOERROR


def test_a_kept_denial_over_dns_has_the_serial_of_now(lone: Edges) -> None:
    serials = []
    for turn in range(TIMES):
        write(lone, f"https://example.cn/{turn}")
        denial = dns.message.from_wire(over_dns(lone, f"{PREFIX}/KEPT-NOWHERE"))
        serials.append(dns.serial.Serial(denial.authority[0][0].serial))
    assert all(earlier < later for earlier, later in pairwise(serials))


def test_an_alias_comes_and_goes_with_its_record(lone: Edges) -> None:
    alias = f"{PREFIX}/KEPT-ALIAS"
    for aliases, status in (((), 404), ((alias,), 200), ((), 404)):
        write(lone, f"https://example.cn/{status}", *aliases)
        for _ in range(TIMES):
            assert over_http(lone, alias)[0] == status


@pytest.mark.parametrize("what", [f"identifiers/{NAME}", f"prefixes/{PREFIX}"])
def test_suspending_closes_what_is_kept_and_resuming_opens_it(lone: Edges, what: str) -> None:
    write(lone, "https://example.cn/open")
    for verb, status in (("suspend", 403), ("resume", 200)):
        assert lone.registry.ask("POST", f"/api/v1/{what}/{verb}") == "200"
        for _ in range(TIMES):
            assert over_http(lone)[0] == status


def test_what_a_key_opens_is_for_its_holder_alone(lone: Edges) -> None:
    sample, private = "88.118.1001/SAMPLE-1", b'"index":900'
    for _ in range(TIMES):
        assert private in lone.resolver.send("GET", f"/api/handles/{sample}", Authorization=f"Bearer {lone.token}").body
        assert private not in over_http(lone, sample)[2]
        request, bearer = ResolveRequest(identifier=sample), f"Bearer {lone.token}"
        opened = ResolveResponse.FromString(lone.resolver_grpc.call("Resolve", request, authorization=bearer))
        assert 900 in [value.index for value in opened.values]
        assert 900 not in [value.index for value in ResolveResponse.FromString(over_grpc(lone, sample)).values]


def test_a_cache_of_nothing_answers_all_the_same(start_node: StartNode) -> None:
    node = start_node("resolver.answer_cache_mib=0", sample=True, workers=1)
    node.until_ready()
    for _ in range(TIMES):
        assert node.resolve("88.118.1001/SAMPLE-1").status == 200
    node.until(
        lambda: node.metric("biaojie_resolve_requests_total", protocol="http", outcome="found", scheme="handle") >= TIMES
    )
    assert node.metric("biaojie_answer_cache_hits_total") == 0
