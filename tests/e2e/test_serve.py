"""`biaojie serve` from the outside: start, ports, readiness, death of any process, end."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from node.config import PORT_KEYS
from tests.e2e.conftest import StartNode
from tests.support.node import DEADLINE_S, RunningNode, is_alive, run_biaojie

pytestmark = pytest.mark.slow

SAMPLE = "88.118.1001/SAMPLE-1"


def test_a_node_says_what_to_try(node: RunningNode) -> None:
    said = node.log_text()
    for key in PORT_KEYS:
        assert f":{node.ports[key]}" in said, key
    assert SAMPLE in said
    assert str(node.data / "operator-token") in said
    assert (node.data / "operator-token").stat().st_mode & 0o777 == 0o600


def test_every_port_is_told_and_open(node: RunningNode) -> None:
    ports = node.ports
    assert set(PORT_KEYS) <= set(ports)
    for key in PORT_KEYS:
        with socket.create_connection((ports[f"{key.partition('.')[0]}.host"], ports[key])):
            pass


@pytest.mark.parametrize("key", ["node.metrics_port", "resolver.http_port", "registry.http_port"])
def test_every_http_port_tells_health_and_readiness(node: RunningNode, key: str) -> None:
    assert node.fetch("/healthz", key).status == 200
    assert node.fetch("/readyz", key).status == 200


def test_the_sample_resolves(node: RunningNode) -> None:
    reply = node.resolve(SAMPLE)
    assert reply.status == 200
    assert {value["index"] for value in reply.json()["values"]} >= {1, 2, 3}


def test_metrics_of_the_whole_tree_are_on_one_port(node: RunningNode) -> None:
    before = _total(node, "biaojie_resolve_requests_total")
    for _ in range(20):
        assert node.resolve(SAMPLE).status == 200
    # Counts of look-ups are handed on ten times a second, those of earlier tests too.
    node.until(lambda: _total(node, "biaojie_resolve_requests_total") >= before + 20)
    assert _total(node, "biaojie_commits_total") > 0
    assert _total(node, "biaojie_loop_wait_seconds_count") > 0


def test_the_supervisor_stays_small(node: RunningNode) -> None:
    assert node.fetch("/metrics").status == 200
    facts = Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
    resident_kb = int(next(line for line in facts if line.startswith("VmRSS:")).split()[1])
    assert resident_kb < 60_000
    maps = Path(f"/proc/{node.process.pid}/maps").read_text()
    assert not any(name in maps for name in ("grpc", "rocksdict", "uvloop", "aiohttp", "lxml"))


def test_only_what_is_configured_is_open(start_node: StartNode) -> None:
    off = [key for key in PORT_KEYS if key not in ("resolver.handle_port", "node.metrics_port")]
    node = start_node(*(f"{key}=off" for key in off), "node.homed=88.118", workers=1)
    node.until_ready()
    assert all(node.ports[key] is None for key in off)
    assert node.run("resolve", "88.118/NOTHING", "--via", "handle").returncode == 1
    assert "http_port off" in node.run("resolve", "88.118/NOTHING", "--via", "http").stderr
    assert node.end() == 0


def test_a_write_survives_the_end_of_the_node_and_the_ports_file_does_not(start_node: StartNode) -> None:
    first = start_node("node.homed=88.118")
    first.until_ready()
    put(first, "88.118/KEPT")
    token = first.token
    assert first.end() == 0
    assert not (first.data / "ports.json").exists()
    assert run_biaojie("verify", "--data", str(first.data)).returncode == 0
    second = start_node("node.homed=99.999")
    second.until_ready()
    assert second.resolve("88.118/KEPT").status == 200
    assert second.resolve("99.999/X").json()["responseCode"] == 301, "homed prefixes seed an empty store only"
    assert second.token == token


def test_the_sample_is_loaded_into_an_empty_store_only(start_node: StartNode) -> None:
    first = start_node("node.homed=88.118")
    first.until_ready()
    put(first, "88.118/X")
    assert first.end() == 0
    second = start_node(sample=True)
    second.until_ready()
    assert second.resolve(SAMPLE).status == 404


@pytest.mark.parametrize("name", ["registry", "worker-1"])
def test_a_killed_process_is_started_again_and_nothing_is_missing(start_node: StartNode, name: str) -> None:
    node = start_node("node.homed=88.118")
    node.until_ready()
    put(node, "88.118/BEFORE")
    until_replaced(node, name, node.kill(name))
    put(node, "88.118/AFTER")
    assert node.resolve("88.118/BEFORE").status == 200
    assert node.resolve("88.118/AFTER").status == 200


def test_workers_answer_and_start_while_the_registry_is_dead(start_node: StartNode) -> None:
    node = start_node("node.homed=88.118")
    node.until_ready()
    put(node, "88.118/X")
    # Without its store the registry refuses to start, however often the supervisor tries.
    store = node.data / "store"
    store.rename(node.data / "store.away")
    node.kill("registry")
    node.until(lambda: bool(node.child("registry")["refusal"]))
    assert node.fetch("/readyz").status == 503
    for name in ("worker-1", "worker-2"):
        until_replaced(node, name, node.kill(name))
    assert node.child("registry")["state"] != "ready"
    for _ in range(20):
        assert node.resolve("88.118/X").status == 200
    (node.data / "store.away").rename(store)
    node.until_ready()
    put(node, "88.118/Y")
    assert node.resolve("88.118/Y").status == 200


def test_a_store_that_lost_what_was_acknowledged_is_refused_and_the_reason_told(start_node: StartNode) -> None:
    first = start_node("node.homed=88.118")
    first.until_ready()
    put(first, "88.118/X")
    assert first.end() == 0
    (first.data / "store").rename(first.data / "store.away")
    second = start_node()
    assert second.process.wait(DEADLINE_S) == 1
    assert "refuses to start" in second.log_text()


def test_children_of_a_killed_supervisor_end_and_the_next_node_starts_at_once(start_node: StartNode) -> None:
    first = start_node("node.homed=88.118")
    first.until_ready()
    put(first, "88.118/X")
    pids = first.pids()
    assert len(pids) == 3
    settings = [f"{key}={first.ports[key]}" for key in PORT_KEYS]
    first.process.kill()
    first.process.wait()
    second = start_node(*settings)
    second.until_ready()
    assert not any(map(is_alive, pids))
    assert second.resolve("88.118/X").status == 200


def test_a_second_node_on_the_same_folder_is_refused_at_once(node: RunningNode) -> None:
    second = run_biaojie("serve", "--data", str(node.data), *(f"--set={key}=0" for key in PORT_KEYS))
    assert second.returncode == 1
    assert second.stderr.strip().startswith("biaojie serve: the data folder")
    assert "in use by another node" in second.stderr
    assert node.fetch("/readyz").status == 200


def test_a_second_node_on_the_same_ports_is_refused_and_named(node: RunningNode, tmp_path: Path) -> None:
    ports = [f"--set={key}={node.ports[key]}" for key in PORT_KEYS]
    second = run_biaojie("serve", "--data", str(tmp_path / "other"), *ports)
    assert second.returncode == 1
    assert all(key in second.stderr for key in PORT_KEYS)


def test_ctrl_c_ends_the_whole_group_in_peace(start_node: StartNode) -> None:
    node = start_node("node.homed=88.118")
    node.until_ready()
    pids = node.pids()
    os.killpg(node.process.pid, signal.SIGINT)
    assert node.process.wait(DEADLINE_S) == 0
    assert not any(map(is_alive, pids))
    assert "Traceback" not in node.log_text()
    assert run_biaojie("verify", "--data", str(node.data)).returncode == 0


def test_logs_are_json_with_the_request_id_that_was_sent(start_node: StartNode) -> None:
    node = start_node("node.homed=88.118", "node.log_level=debug", workers=1)
    node.until_ready()
    put(node, "88.118/X", X_Request_Id="r-4711")
    node.end()
    lines = [json.loads(line) for line in node.log_text().splitlines() if line.startswith("{")]
    assert {line["process"] for line in lines} >= {"node", "registry", "worker-1"}
    assert all({"time", "level", "message", "logger", "pid"} <= set(line) for line in lines)
    (committed,) = [line for line in lines if line.get("request_id") == "r-4711"]
    assert (committed["message"], committed["account"], committed["rows"]) == ("committed", "operator", 2)


def put(node: RunningNode, identifier: str, **headers: str) -> None:
    """Register an identifier."""
    values = [{"index": 1, "type": "URL", "data": {"format": "string", "value": "https://example.cn/x"}}]
    reply = node.call("PUT", f"/api/v1/identifiers/{identifier}", {"values": values}, **headers)
    assert reply.status in (200, 201), reply.text


def until_replaced(node: RunningNode, name: str, killed: int) -> None:
    """Wait until another process is ready in the place of one that was killed."""

    def is_replaced() -> bool:
        child = node.child(name)
        return child["pid"] not in (killed, None) and child["state"] == "ready"

    node.until(is_replaced)


def _total(node: RunningNode, name: str) -> float:
    lines = node.fetch("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))
