"""Three levels of nodes and a recursive one, all of them this program: what an enterprise registers resolves from afar."""

import json
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from proto.v1 import model_pb2, resolver_pb2
from proto.v1.resolver_pb2_grpc import ResolverStub
from proto.wire.handle import codes
from proto.wire.handle.resolution import parse_referral_body
from resolver.upstream.sites import endpoints_of, sites_in
from tests.e2e.conftest import StartNode
from tests.support.edges import WAIT_S, connect, read_message
from tests.support.federation import (
    ENTERPRISE,
    INNER,
    SECONDARY,
    TOP,
    Federation,
    create_prefix,
    federation,
    handle_port,
    register,
    site_of,
    site_value,
    text_value,
)
from tests.support.handle import question
from tests.support.handle import read_message as read_message_of
from tests.support.node import RunningNode
from tests.support.redis_server import redis_server

pytestmark = pytest.mark.slow

URL = text_value("URL", "https://example.cn/7")
VIA = ("http", "grpc", "handle", "handle-udp", "dns")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """The secondary's derived prefixes are at its own site (HS_SITE.PREFIX), the enterprise's records at the enterprise's."""
    with federation(tmp_path_factory.mktemp("federation")) as running:
        create_prefix(running.top, SECONDARY)
        create_prefix(running.secondary, ENTERPRISE)
        register(
            running.top,
            f"0.NA/{SECONDARY}",
            site_value(running.secondary, "HS_SITE.PREFIX"),
            site_value(running.secondary, index=2),
        )
        register(running.secondary, f"0.NA/{ENTERPRISE}", site_value(running.enterprise))
        register(running.enterprise, f"{ENTERPRISE}/PRODUCT", URL)
        yield running


def resolve(node: RunningNode, identifier: str, query: str = "") -> dict[str, Any]:
    document: dict[str, Any] = node.fetch(f"/api/v1/resolve/{identifier}{query}", "resolver.http_port").json()
    return document


@pytest.mark.parametrize("via", VIA)
def test_what_an_enterprise_registers_resolves_through_all_levels_in_every_protocol(nodes: Federation, via: str) -> None:
    said = nodes.recursive.run("resolve", f"{ENTERPRISE}/PRODUCT", "--via", via, "--json")
    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    assert (document["state"], document["version"]) == ("active", 1)
    assert [value["data"]["value"] for value in document["values"]] == ["https://example.cn/7"]


def test_a_trace_shows_the_way(nodes: Federation) -> None:
    register(nodes.enterprise, f"{ENTERPRISE}/TRACED", URL)
    trace = "\n".join(resolve(nodes.recursive, f"{ENTERPRISE}/TRACED", "?explain=1")["explanation"])
    assert f"{ENTERPRISE}/TRACED at " in trace
    again = resolve(nodes.recursive, f"{ENTERPRISE}/TRACED", "?explain=1")
    assert again["source"] == "cached"
    assert any(line.startswith("copy: ") for line in again["explanation"])


def test_a_service_identifier_leads_to_the_site(nodes: Federation) -> None:
    create_prefix(nodes.top, "99.2")
    register(nodes.top, "0.NA/99.2", text_value("HS_SERV", "99/SERVICE"))
    register(nodes.top, "99/SERVICE", site_value(nodes.secondary))
    create_prefix(nodes.secondary, "99.2")
    register(nodes.secondary, "99.2/SERVED", URL)
    assert resolve(nodes.recursive, "99.2/SERVED")["status"] == 200


def test_an_alias_is_followed_to_another_node(nodes: Federation) -> None:
    register(nodes.top, "99/OLD", text_value("HS_ALIAS", f"{ENTERPRISE}/PRODUCT"))
    document = resolve(nodes.recursive, "99/OLD")
    assert (document["asked"], document["identifier"]) == ("99/OLD", f"{ENTERPRISE}/PRODUCT")
    assert document["values"][0]["data"]["value"] == "https://example.cn/7"


def test_suspended_retired_and_unknown_are_the_same_from_afar(nodes: Federation) -> None:
    for name in ("SUSPENDED", "RETIRED"):
        register(nodes.enterprise, f"{ENTERPRISE}/{name}", URL)
    assert nodes.enterprise.call("POST", f"/api/v1/identifiers/{ENTERPRISE}/SUSPENDED/suspend").status == 200
    assert nodes.enterprise.call("DELETE", f"/api/v1/identifiers/{ENTERPRISE}/RETIRED").status == 200
    for name in ("SUSPENDED", "RETIRED", "UNKNOWN"):
        near, far = (resolve(node, f"{ENTERPRISE}/{name}") for node in (nodes.enterprise, nodes.recursive))
        assert (far["status"], far["reason"]) == (near["status"], near["reason"])
        over_dns = [
            json.loads(node.run("resolve", f"{ENTERPRISE}/{name}", "--via", "dns", "--json").stdout)["outcome"]
            for node in (nodes.enterprise, nodes.recursive)
        ]
        assert over_dns[0] == over_dns[1]


def test_a_prefix_that_nobody_knows_is_homed_nowhere(nodes: Federation) -> None:
    assert resolve(nodes.recursive, "77.1/x")["reason"] == "not_homed"


def test_a_prefix_that_is_created_here_ends_at_once_that_there_was_nothing(nodes: Federation, start_node: StartNode) -> None:
    upstream = (f"upstream.handle=127.0.0.1:{handle_port(nodes.top)}", "upstream.negative_ttl_s=86400", INNER)
    node = start_node("node.homed=88.118", *upstream, workers=1)
    node.until_ready()
    name = f"{TOP}/LATER"
    assert resolve(node, name)["status"] == 404
    register(nodes.top, name, URL)
    # For a day nobody is asked again,
    assert resolve(node, name)["status"] == 404
    create_prefix(node, "88.118.1")
    # but what is homed here has changed, and that may have been why.
    node.until(lambda: resolve(node, name)["status"] == 200)


def test_an_enterprise_that_is_away_and_comes_back(nodes: Federation) -> None:
    brief = URL | {"ttl": 1}
    register(nodes.enterprise, f"{ENTERPRISE}/BRIEF", brief)
    assert resolve(nodes.recursive, f"{ENTERPRISE}/BRIEF")["source"] == "cached"
    nodes.enterprise.kill("worker-1", signal.SIGSTOP)
    try:
        nodes.recursive.until(lambda: resolve(nodes.recursive, f"{ENTERPRISE}/BRIEF")["source"] == "stale")
        stale = nodes.recursive.fetch(f"/api/v1/resolve/{ENTERPRISE}/BRIEF", "resolver.http_port")
        assert stale.json()["age_s"] >= 1
        assert stale.json()["values"][0]["ttl"] == 0
        assert int(stale.headers["Age"]) >= 1
        for via in VIA:
            said = json.loads(nodes.recursive.run("resolve", f"{ENTERPRISE}/BRIEF", "--via", via, "--json").stdout)
            assert (said["source"], said["values"][0]["ttl"]) == ("stale", 0), via
            assert said["age_s"] >= 1
        nodes.recursive.until(lambda: nodes.recursive.metric("biaojie_upstream_requests_total", outcome="timeout") >= 1)
    finally:
        nodes.enterprise.kill("worker-1", signal.SIGCONT)
    register(
        nodes.enterprise, f"{ENTERPRISE}/BRIEF", brief | {"data": {"format": "string", "value": "https://example.cn/back"}}
    )

    def is_back() -> bool:
        document = resolve(nodes.recursive, f"{ENTERPRISE}/BRIEF")
        return bool(document["source"] == "cached" and document["values"][0]["data"]["value"] == "https://example.cn/back")

    nodes.recursive.until(is_back)


def test_answers_of_other_nodes_grow_older_however_often_they_are_asked_for(nodes: Federation) -> None:
    register(nodes.enterprise, f"{ENTERPRISE}/OFTEN", URL)
    ages = [resolve(nodes.recursive, f"{ENTERPRISE}/OFTEN")["age_s"]]

    def is_older() -> bool:
        ages.extend(resolve(nodes.recursive, f"{ENTERPRISE}/OFTEN")["age_s"] for _ in range(20))
        return bool(ages[-1] >= 3)

    nodes.recursive.until(is_older)
    assert ages == sorted(ages)
    assert set(ages) == set(range(ages[-1] + 1))
    assert nodes.recursive.metric("biaojie_answer_cache_hits_total") > 0


def test_over_handle_an_answer_of_another_node_does_not_claim_to_be_the_primarys(nodes: Federation) -> None:
    asked = question(f"{ENTERPRISE}/PRODUCT", flags=codes.PUBLIC_ONLY | codes.RECURSIVE)
    with connect(nodes.recursive.ports["resolver.handle_port"]) as connection:
        for _ in range(6):
            connection.sendall(asked)
            answer = read_message_of(read_message(connection))
            assert (answer.code, answer.flags & codes.AUTHORITATIVE) == (codes.ResponseCode.SUCCESS, 0)


def test_a_node_asks_nobody_in_an_inner_network_because_a_record_names_him(nodes: Federation, start_node: StartNode) -> None:
    node = start_node("node.kind=recursive", f"upstream.handle=127.0.0.1:{handle_port(nodes.top)}", workers=1)
    node.until_ready()
    name = f"{ENTERPRISE}/PRODUCT"
    document = resolve(node, name)
    assert (document["status"], document["reason"]) == (502, "forbidden_address")
    for via in VIA:
        said = node.run("resolve", name, "--via", via, "--json")
        # Handle's word for it is that this server is not responsible.
        outcome = "not_homed" if via.startswith("handle") else "refused"
        assert (said.returncode, json.loads(said.stdout)["outcome"]) == (1, outcome), said.stdout
    explained = node.run("resolve", name, "--explain").stdout
    assert f"127.0.0.1:{handle_port(nodes.secondary)} (loopback address), where this node asks nobody" in explained
    asked = 1 + len(VIA) + 1
    node.until(lambda: node.metric("biaojie_refused_total", reason="forbidden_address") == asked)


def test_recursive_nodes_share_what_they_have_fetched_and_miss_nothing_without_redis(
    nodes: Federation, start_node: StartNode, tmp_path: Path
) -> None:
    names = [f"{ENTERPRISE}/SHARED-{number}" for number in range(40)]
    for name in (*names, f"{ENTERPRISE}/UNSHARED"):
        register(nodes.enterprise, name, URL)
    upstream = f"upstream.handle=127.0.0.1:{handle_port(nodes.top)}"
    with redis_server() as redis:
        first, second = (
            start_node("node.kind=recursive", upstream, INNER, f"redis.url={redis.url}", data=tmp_path / name, workers=1)
            for name in ("first", "second")
        )
        first.until_ready()
        assert all(resolve(first, name)["status"] == 200 for name in names)
        first.until(lambda: first.metric("biaojie_shared_copies_total", outcome="stored") >= 1)
        second.until_ready()
        remaining = iter(names)

        def has_found_one() -> bool:
            # On a loaded machine one look-up may take too long and be given up, or its copy not have been stored.
            assert resolve(second, next(remaining))["source"] == "cached"
            return second.metric("biaojie_shared_copies_total", outcome="found") >= 1

        second.until(has_found_one)
        redis.kill()
        assert resolve(second, f"{ENTERPRISE}/UNSHARED")["status"] == 200
        assert resolve(first, f"{ENTERPRISE}/UNSHARED")["status"] == 200


DELEGATED = "99.1.8"


@pytest.fixture(scope="module")
def delegated(nodes: Federation) -> Federation:
    """A prefix of the secondary that its enterprise's node serves, with the same records in both places."""
    for node in (nodes.secondary, nodes.enterprise):
        create_prefix(node, DELEGATED)
        register(node, f"{DELEGATED}/PRODUCT", URL, text_value("TITLE", "变压器", index=2))
    ports = nodes.enterprise.ports
    where = ("--site", f"127.0.0.1:{ports['resolver.handle_port']}", "--url", f"http://127.0.0.1:{ports['resolver.http_port']}")
    said = nodes.secondary.run("prefix", "delegate", DELEGATED, *where)
    assert said.returncode == 0, said.stderr
    return nodes


def test_over_http_a_referral_leads_to_the_node(delegated: Federation) -> None:
    # The client of these tests follows redirections.
    document = delegated.secondary.fetch(f"/api/v1/resolve/{DELEGATED}/PRODUCT", "resolver.http_port").json()
    assert (document["responseCode"], document["handle"]) == (1, f"{DELEGATED}/PRODUCT")


def test_over_handle_a_referral_has_the_site(delegated: Federation) -> None:
    with connect(delegated.secondary.ports["resolver.handle_port"]) as connection:
        connection.sendall(question(f"{DELEGATED}/PRODUCT", flags=codes.PUBLIC_ONLY))
        answer = read_message_of(read_message(connection))
    assert answer.code == codes.ResponseCode.SERVICE_REFERRAL
    (site,) = sites_in(parse_referral_body(answer.body).values)
    assert endpoints_of([site], f"{DELEGATED}/PRODUCT") == (("127.0.0.1", delegated.enterprise.ports["resolver.handle_port"]),)


def test_over_grpc_a_referral_is_a_failure_that_names_the_node(delegated: Federation) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{delegated.secondary.ports['resolver.grpc_port']}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            ResolverStub(channel).Resolve(resolver_pb2.ResolveRequest(identifier=f"{DELEGATED}/PRODUCT"), timeout=WAIT_S)
        trailers = dict(cast(Any, caught.value).trailing_metadata())
        assert (caught.value.code(), trailers["biaojie-reason"]) == (grpc.StatusCode.FAILED_PRECONDITION, "REFERRAL")
        failure = model_pb2.Failure.FromString(trailers["biaojie-failure-bin"])
        assert failure.referral.prefix == DELEGATED


@pytest.mark.parametrize("via", VIA)
def test_the_command_line_gets_the_record_of_a_delegated_prefix_in_every_protocol(delegated: Federation, via: str) -> None:
    said = delegated.secondary.run("resolve", f"{DELEGATED}/PRODUCT", "--via", via, "--json")
    assert said.returncode == 0, said.stdout
    assert json.loads(said.stdout)["values"][0]["data"]["value"] == "https://example.cn/7"


@pytest.mark.parametrize("via", VIA)
def test_filters_reach_the_node_of_a_delegated_prefix(delegated: Federation, via: str) -> None:
    said = delegated.secondary.run("resolve", f"{DELEGATED}/PRODUCT", "--via", via, "--type", "TITLE", "--json")
    assert said.returncode == 0, said.stdout
    assert [value["type"] for value in json.loads(said.stdout)["values"]] == ["TITLE"]


def test_a_delegated_prefix_resolves_through_the_node_that_handed_it_over(delegated: Federation) -> None:
    document = resolve(delegated.secondary, f"{DELEGATED}/PRODUCT", "?recursive=true")
    assert (document["source"], document["values"][0]["data"]["value"]) == ("cached", "https://example.cn/7")
    assert resolve(delegated.recursive, f"{DELEGATED}/PRODUCT")["status"] == 200


def test_registering_below_a_delegated_prefix_is_refused(delegated: Federation) -> None:
    reply = delegated.secondary.call("PUT", f"/api/v1/identifiers/{DELEGATED}/NEW", {"values": [URL]})
    assert (reply.status, reply.json()["reason"]) == (409, "invalid_state")


def test_while_a_prefix_moves_to_and_fro_no_answer_is_wrong(delegated: Federation) -> None:
    stop, wrong, asked = threading.Event(), list[Any](), [0]

    def ask() -> None:
        while not stop.is_set():
            for query in ("?recursive=true", "?recursive=true&max_age_s=0"):
                document = resolve(delegated.secondary, f"{DELEGATED}/PRODUCT", query)
                asked[0] += 1
                if document["status"] != 200 or document["values"][0]["data"]["value"] != "https://example.cn/7":
                    wrong.append(document)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    delegation = f"/api/v1/prefixes/{DELEGATED}/delegation"
    there = {"sites": [{"format": "site", "value": site_of(delegated.enterprise)}]}
    try:
        for turn in range(1, 11):
            assert delegated.secondary.call("DELETE", delegation).status == 200
            assert delegated.secondary.call("PUT", delegation, there).status == 200
            delegated.secondary.until(partial(_is_past, asked, 8 * turn))
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert not wrong


def _is_past(asked: list[int], number: int) -> bool:
    return asked[0] > number
