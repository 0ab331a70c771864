"""Figures and city reads of a running node: what is asked for is counted once in every protocol, whoever is killed."""

import json
import os
import signal
from typing import Any

import grpc
import pytest

from proto.v1 import resolver_pb2, resolver_pb2_grpc
from tests.e2e.conftest import StartNode
from tests.support.grpc_calls import bearer
from tests.support.node import RunningNode, run_biaojie

pytestmark = pytest.mark.slow

USCC = "91411000MA40XCDL1K"
PREFIX = "88.118.1001"
WAYS = ("http", "grpc", "handle", "handle-udp", "dns")


@pytest.fixture
def node(start_node: StartNode) -> RunningNode:
    started = start_node("node.homed=88.118", workers=2)
    started.until_whole()
    started.call("POST", "/api/v1/registrants", {"code": USCC, "name": "许昌变压器有限公司"})
    started.call("POST", "/api/v1/prefixes", {"name": PREFIX, "registrant": USCC})
    for number in range(3):
        values = [{"index": 1, "type": "URL", "data": f"https://example.com/{number}"}]
        assert started.call("PUT", f"/api/v1/identifiers/{PREFIX}/p-{number}", {"values": values}).status == 201
    return started


def figures(node: RunningNode) -> dict[str, int]:
    found: dict[str, int] = node.call("GET", "/api/v1/statistics?by=prefix").json()["groups"][PREFIX]
    return found


def ask(node: RunningNode) -> None:
    """Four times for one that is there, so that it is kept, and once for one that is not."""
    assert [node.resolve(f"{PREFIX}/p-0").status for _ in range(4)] == [200] * 4
    assert node.resolve(f"{PREFIX}/none").status == 404


def kill(node: RunningNode, name: str) -> None:
    """Kill a child and wait for its next life."""
    pid = node.kill(name)
    node.until(lambda: node.child(name)["pid"] not in (None, pid))
    node.until_whole()


def test_figures_survive_kills_and_are_counted_once(node: RunningNode) -> None:
    before = figures(node)
    assert (before["registered"], before["active"], before["resolved"]) == (3, 3, 0)
    for way in WAYS:
        assert node.run("resolve", f"{PREFIX}/p-1", "--via", way).returncode == 0
    ask(node)
    expected = {"registered": 3, "active": 3, "resolved": len(WAYS) + 4, "missed": 1}
    node.until(lambda: figures(node) == expected)
    # The registry is killed with counts that are taken and not committed, then a worker that has handed its own on.
    kill(node, "registry")
    node.until(lambda: figures(node) == expected)
    for name in ("worker-1", "worker-2"):
        kill(node, name)
    assert figures(node) == expected
    ask(node)
    expected |= {"resolved": expected["resolved"] + 4, "missed": 2}
    node.until(lambda: figures(node) == expected)
    assert node.end() == 0
    assert run_biaojie("verify", "--data", str(node.data)).returncode == 0


def test_the_command_line_shows_figures_and_who_has_read(node: RunningNode, start_node: StartNode) -> None:
    token = node.call("POST", "/api/v1/accounts", {"name": "platform", "role": "city"}).json()["api_key"]
    auth = {"Authorization": f"Bearer {token}", "X-Request-Id": "scan-1"}
    for path in (f"/api/v1/city/enterprises/{USCC}", f"/api/v1/city/enterprises/{USCC}/products", "/api/v1/city/changes"):
        assert node.fetch(path, "registry.http_port", headers=auth).status == 200
    statistics = document(node, "statistics", "--by", "enterprise", "--days", "2")
    assert statistics["groups"][USCC]["registered"] == sum(day["added"] for day in statistics["days"]) == 3
    lines = node.run("statistics", "--by", "prefix", "--days", "2").stdout
    assert f"{PREFIX}" in lines
    assert "registered" in lines
    audit = document(node, "audit", "--registrant", USCC)
    assert [(each["account"], each["reading"], each["count"]) for each in audit] == [
        ("platform", "changes", 6), ("platform", "identifiers", 3), ("platform", "enterprise", 1),
    ]  # fmt: skip
    assert audit[-1]["request_id"] == "scan-1"
    assert "platform" in node.run("audit").stdout
    # What is written down is there after a kill of everything, and is whole.
    node.destroy()
    assert run_biaojie("verify", "--data", str(node.data)).returncode == 0
    again = start_node("node.homed=88.118", data=node.data, workers=1)
    again.until_whole()
    assert document(again, "audit", "--registrant", USCC) == audit


def test_closed_values_that_the_city_resolves_are_in_the_log_whoever_is_killed(node: RunningNode) -> None:
    name, group = f"{PREFIX}/p-0", {"registrant": USCC, "group": "laboratory"}
    closed = {"index": 2, "type": "NOTE", "data": "for the laboratory", "audience": "laboratory"}
    assert node.call("PATCH", f"/api/v1/identifiers/{name}", {"set": [closed]}).status == 200
    city = new_account(node, {"name": "platform", "role": "city", "groups": [group]})
    holder = new_account(node, {"name": "enterprise", "role": "registrant", "registrant": USCC})
    shown: list[str] = []

    def read(path: str = f"/api/v1/resolve/{name}") -> None:
        request = f"scan-{len(shown)}"
        answer = node.fetch(path, "resolver.http_port", headers={"Authorization": f"Bearer {city}", "X-Request-Id": request})
        assert answer.status == 200
        assert "laboratory" in answer.text
        shown.append(request)

    for way in WAYS:
        assert node.run("resolve", name, "--via", way).returncode == 0
    read()
    read(f"/api/handles/{name}")
    asking = resolver_pb2.ResolveRequest(identifier=name)
    with grpc.insecure_channel(f"127.0.0.1:{node.ports['resolver.grpc_port']}") as channel:
        answered = resolver_pb2_grpc.ResolverStub(channel).Resolve(asking, metadata=bearer(city), timeout=30)
    assert len(answered.values) == 2
    # The registry is away for a while, and takes later what is shown meanwhile; workers take nothing of theirs with them.
    os.kill(node.child("registry")["pid"], signal.SIGSTOP)
    for _ in range(5):
        read()
    node.kill("registry")
    for victim in ("worker-1", "worker-2"):
        node.kill(victim)
        node.until(lambda: node.resolve(name).status == 200)
        read()
    node.until_whole()
    audit = node.fetch("/api/v1/audit/accesses", "registry.http_port", headers={"Authorization": f"Bearer {holder}"}).json()
    found = [each for each in audit["accesses"] if each["reading"] == "resolution"]
    assert {(each["account"], each["registrant"], each["subject"]) for each in found} == {("platform", USCC, name)}
    assert sorted(each["request_id"] for each in found if each["way"] == "http") == sorted(shown)
    assert [each["way"] for each in found if each["way"] != "http"] == ["grpc"]
    assert node.end() == 0
    assert run_biaojie("verify", "--data", str(node.data)).returncode == 0


def new_account(node: RunningNode, account: dict[str, Any]) -> str:
    created = node.call("POST", "/api/v1/accounts", account)
    assert created.status == 201, created.text
    token: str = created.json()["api_key"]
    return token


def document(node: RunningNode, *words: str) -> Any:
    done = node.run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
