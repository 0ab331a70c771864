"""The command line against a running node, and its exit statuses: 0 done, 1 refused, 2 wrong usage."""

import json

import pytest

from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode, run_biaojie

pytestmark = pytest.mark.slow

SAMPLE = "88.118.1001/SAMPLE-1"
VIA = ("http", "grpc", "handle", "handle-udp", "dns")


def test_status_shows_every_process(node: RunningNode) -> None:
    done = node.run("status")
    assert done.returncode == 0
    assert done.stdout.startswith("ready, ")
    for name in ("registry", "worker-1", "worker-2"):
        assert name in done.stdout
    document = json.loads(node.run("status", "--json").stdout)
    assert [process["state"] for process in document["processes"]] == ["ready"] * 3


def test_status_without_a_node_is_a_failure(tmp_path_factory: pytest.TempPathFactory) -> None:
    done = run_biaojie("status", "--server", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no node answers at 127.0.0.1:1" in done.stderr


@pytest.mark.parametrize("via", VIA)
def test_resolve_prints_the_same_document_over_every_protocol(node: RunningNode, via: str) -> None:
    done = node.run("resolve", SAMPLE, "--via", via, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["identifier"], document["state"], document["version"]) == (SAMPLE, "active", 1)
    over_http = json.loads(node.run("resolve", SAMPLE, "--via", "http", "--json").stdout)
    assert document == over_http
    assert "\\u" not in done.stdout, "Chinese is not escaped"


@pytest.mark.parametrize("via", VIA)
def test_resolve_filters_by_type_and_index(node: RunningNode, via: str) -> None:
    done = node.run("resolve", SAMPLE, "--via", via, "--json", "--type", "TITLE")
    assert [value["index"] for value in json.loads(done.stdout)["values"]] == [2]
    done = node.run("resolve", SAMPLE, "--via", via, "--json", "--index", "1")
    assert [value["type"] for value in json.loads(done.stdout)["values"]] == ["URL"]


@pytest.mark.parametrize("via", VIA)
def test_resolve_of_what_is_not_there_ends_with_status_1(node: RunningNode, via: str) -> None:
    done = node.run("resolve", "88.118.1001/NOWHERE", "--via", via, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["outcome"] == "not_found"


def test_resolve_for_people_shows_a_table(node: RunningNode) -> None:
    lines = node.run("resolve", SAMPLE).stdout.splitlines()
    assert lines[0] == f"{SAMPLE}  (active, version 1)"
    heads = next(line for line in lines if line.startswith("index"))
    assert heads.split() == ["index", "type", "ttl", "timestamp", "data"]


@pytest.mark.parametrize("via", ["http", "grpc"])
def test_resolve_explains_itself(node: RunningNode, via: str) -> None:
    done = node.run("resolve", SAMPLE, "--via", via, "--explain")
    assert done.returncode == 0, done.stderr
    assert "88.118.1001" in done.stdout.partition("data\n")[2]
    assert run_biaojie("resolve", SAMPLE, "--via", "handle", "--explain").returncode == 2


@pytest.mark.parametrize("via", VIA)
def test_resolve_without_a_node_is_a_failure_that_says_so(via: str) -> None:
    done = run_biaojie("resolve", SAMPLE, "--via", via, "--server", "127.0.0.1:1", "--timeout", "2")
    assert done.returncode == 1
    assert done.stderr.startswith(f"biaojie resolve: 127.0.0.1:1 ({via}): ")
    assert "Traceback" not in done.stderr


def test_verify_refuses_a_running_node(node: RunningNode) -> None:
    done = run_biaojie("verify", "--data", str(node.data))
    assert done.returncode == 1
    assert "in use by another node" in done.stderr


def test_serve_and_check_name_every_mistake_at_once() -> None:
    for command in ("serve", "check"):
        done = run_biaojie(command, "--set", "a.b=1", "--set", "resolver.http_port=x", "--set", "store.driver=postgresql")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 3
        assert "the PostgreSQL driver is not built yet" in done.stderr


@pytest.mark.parametrize("via", VIA)
def test_each_protocol_works_with_only_its_own_listener_open(start_node: StartNode, via: str) -> None:
    own = f"resolver.{via.partition('-')[0]}_port"
    every = {
        "resolver.http_port",
        "resolver.handle_port",
        "resolver.grpc_port",
        "resolver.dns_port",
        "registry.http_port",
        "registry.grpc_port",
    }
    node = start_node(*(f"{key}=off" for key in every - {own}), sample=True, workers=1)
    node.until_ready()
    assert node.run("resolve", SAMPLE, "--via", via).returncode == 0
