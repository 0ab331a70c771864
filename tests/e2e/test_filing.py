"""Filing of a running node: registered over REST, audited by a stand-in, seen and mended by the operator."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import StartNode
from tests.support.business_system import BusinessSystemProcess
from tests.support.node import RunningNode, run_biaojie

CODE = "91411000MA40XCDL1K"
PREFIX = "88.118.1001"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[BusinessSystemProcess]:
    running = BusinessSystemProcess(tmp_path / "system", "our secret")
    yield running
    running.destroy()


def prepare(node: RunningNode) -> None:
    node.until_whole()
    node.call("POST", "/api/v1/registrants", {"code": CODE, "name": "许昌变压器有限公司"})
    node.call("POST", "/api/v1/prefixes", {"name": PREFIX, "registrant": CODE})


def state_of(node: RunningNode, kind: str, name: str) -> str:
    reply = node.call("GET", f"/api/v1/filings/{kind}/{name}")
    return str(reply.json()["state"]) if reply.status == 200 else ""


def test_a_registrant_and_a_prefix_become_approved_through_an_outage_and_a_rejection(
    start_node: StartNode, system: BusinessSystemProcess
) -> None:
    system.instruct(rejects=[PREFIX])
    node = start_node("node.homed=88.118", *system.settings(), workers=1)
    prepare(node)
    assert (node.data / "filings-token").stat().st_mode & 0o777 == 0o600
    node.until(lambda: state_of(node, "registrant", CODE) == "approved")
    node.until(lambda: state_of(node, "prefix", PREFIX) == "rejected")
    # The registrant, and the figures of yesterday.
    node.until(lambda: node.metric("biaojie_filings", state="approved") >= 2)
    assert all(each["created"] == 1 for each in system.state()["reports"].values())
    node.until(lambda: node.metric("biaojie_filings", state="rejected") == 1)
    assert node.child("adapters")["filing"].startswith("connected")

    # The auditor's reason stands in the list; the national node is away while the operator tries again.
    assert "资料不符" in node.run("filing", "list", "--state", "rejected").stdout
    system.kill()
    assert node.run("filing", "redraft", "prefix", PREFIX).returncode == 0
    assert node.run("filing", "details", CODE, "address=许昌市魏都区").returncode == 0
    node.until(lambda: node.child("adapters")["filing"].startswith("not connected"))
    assert node.fetch("/readyz").status == 200
    system.start()
    node.until(lambda: {state_of(node, "registrant", CODE), state_of(node, "prefix", PREFIX)} == {"approved"})
    shown = node.run("filing", "show", "registrant", CODE).stdout
    assert "许昌市魏都区" in shown
    assert "审核通过" in shown
    enterprise = system.state()["enterprises"][CODE]
    assert (enterprise["created"], enterprise["updated"]) == (1, 1)
    listed = json.loads(node.run("filing", "list", "--json").stdout)
    assert [each["name"] for each in listed if each["kind"] != "statistics"] == [PREFIX, CODE]
    assert node.run("filing", "show", "prefix", "88.118.7").returncode == 1
    assert node.run("filing", "details", CODE, "shapeless").returncode == 2
    assert node.end() == 0
    assert run_biaojie("verify", "--data", str(node.data)).returncode == 0


def test_filing_that_is_shut_out_is_not_the_nodes_trouble(start_node: StartNode, system: BusinessSystemProcess) -> None:
    node = start_node("node.homed=88.118", *system.settings(), workers=1)
    prepare(node)
    node.until(lambda: state_of(node, "prefix", PREFIX) == "approved")
    assert node.run("account", "disable", "filings").returncode == 0
    node.kill("adapters", signal.SIGKILL)
    node.until(lambda: "unauthenticated" in str(node.child("adapters")["refusal"]))
    assert node.fetch("/readyz").status == 200
    node.call("POST", "/api/v1/registrants", {"code": "R-9", "name": "长葛电缆厂"})
    assert node.run("account", "enable", "filings").returncode == 0
    node.until(lambda: state_of(node, "registrant", "R-9") == "approved")


def test_every_mistake_of_filing_is_named_before_anything_starts(tmp_path: Path) -> None:
    settings = ("filing.server=nowhere", "filing.home=88..1", "filing.client=x", "registry.http_port=off", "filing.line=tcp")
    found = run_biaojie("check", *(word for each in settings for word in ("--set", each)), "--set", "filing.ca=x.pem")
    assert found.returncode == 2
    for part in ("HOST:PORT", "registry.http_port, which is off", "filing.home", "plain line"):
        assert part in found.stderr, part
    missing = tmp_path / "missing.pem"
    told = ("filing.server=h:700", "filing.home=88.118", "filing.client=x", f"filing.ca={missing}")
    found = run_biaojie("check", *(word for each in told for word in ("--set", each)))
    assert found.returncode == 2
    for part in ("filing.client: 3 to 64", "filing.password: 6 to 128", "filing.ca"):
        assert part in found.stderr, part
