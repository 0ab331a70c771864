"""Registrants, prefixes and accounts from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import RunningNode, run_biaojie

pytestmark = pytest.mark.slow

REGISTRANT = "ADMIN-TEST"
PREFIX = "88.118.9001"


def document(node: RunningNode, *words: str) -> Any:
    done = node.run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def founded(node: RunningNode) -> RunningNode:
    """A registrant with a prefix, made by the command line."""
    created = document(node, "registrant", "create", REGISTRANT, "--name", "许昌测试电气有限公司")
    assert (created["code"], created["state"]) == (REGISTRANT, "approved")
    created = document(node, "prefix", "create", PREFIX, "--registrant", REGISTRANT, "--suffix-rule", "exact")
    assert (created["name"], created["suffix_rule"]) == (PREFIX, "exact")
    return node


def test_what_was_created_is_listed_and_shown(founded: RunningNode) -> None:
    assert REGISTRANT in {each["code"] for each in document(founded, "registrant", "list")}
    assert [each["name"] for each in document(founded, "prefix", "list", "--registrant", REGISTRANT)] == [PREFIX]
    assert document(founded, "prefix", "show", PREFIX)["registrant"] == REGISTRANT
    lines = founded.run("registrant", "list").stdout.splitlines()
    assert lines[0].split() == ["code", "state", "version", "changed", "name"]
    assert any("许昌测试电气有限公司" in line for line in lines)
    assert f"registrant   {REGISTRANT}" in founded.run("prefix", "show", PREFIX).stdout


def test_a_suspended_prefix_answers_nothing_until_it_is_resumed(founded: RunningNode) -> None:
    values = [{"index": 1, "type": "URL", "data": {"format": "string", "value": "https://example.cn"}}]
    assert founded.call("PUT", f"/api/v1/identifiers/{PREFIX}/Thing", {"values": values}).status == 201
    assert document(founded, "prefix", "suspend", PREFIX)["state"] == "suspended"
    assert founded.resolve(f"{PREFIX}/Thing").status == 403
    assert document(founded, "prefix", "resume", PREFIX)["state"] == "approved"
    assert founded.resolve(f"{PREFIX}/Thing").status == 200


def test_an_account_works_with_its_key_until_it_is_closed(founded: RunningNode, tmp_path: Path) -> None:
    created = document(founded, "account", "create", "admin-test", "--role", "registrant", "--registrant", REGISTRANT)
    key = tmp_path / "key"
    key.write_text(created["api_key"])
    own = ("prefix", "list", "--json", "--token-file", str(key))
    assert [each["name"] for each in json.loads(founded.run(*own).stdout)] == [PREFIX]
    assert "api_key" not in document(founded, "account", "show", "admin-test")

    rotated = document(founded, "account", "rotate-key", "admin-test")["api_key"]
    assert founded.run(*own).returncode == 1
    environ = {"BIAOJIE_TOKEN": rotated}
    assert founded.run("prefix", "list", environ=environ).returncode == 0

    granted = document(founded, "account", "grant", "admin-test", REGISTRANT, "partners")
    assert granted["groups"] == [{"registrant": REGISTRANT, "group": "partners"}]
    assert document(founded, "account", "revoke", "admin-test", REGISTRANT, "partners")["groups"] == []

    assert document(founded, "account", "disable", "admin-test")["enabled"] is False
    refused = founded.run("prefix", "list", environ=environ)
    assert refused.returncode == 1
    assert "unauthenticated" in refused.stderr


def test_a_refusal_names_reason_and_field(founded: RunningNode) -> None:
    again = founded.run("prefix", "create", PREFIX, "--registrant", REGISTRANT)
    assert again.returncode == 1
    assert again.stderr.startswith("biaojie prefix: refused: already_exists")
    wrong = founded.run("prefix", "create", "88..1")
    assert wrong.returncode == 1
    assert "invalid_identifier" in wrong.stderr
    assert founded.run("account", "show", "nobody").returncode == 1


def test_without_a_token_nothing_is_administered(founded: RunningNode) -> None:
    server = f"127.0.0.1:{founded.ports['registry.http_port']}"
    done = run_biaojie("prefix", "list", "--server", server)
    assert done.returncode == 1
    assert "unauthenticated" in done.stderr


def test_wrong_usage_is_status_2() -> None:
    assert run_biaojie("prefix").returncode == 2
    assert run_biaojie("account", "create", "x").returncode == 2
    assert run_biaojie("prefix", "list", "--server", "nowhere:x").returncode == 2


def test_a_registry_that_is_not_there_is_said_to_be_so() -> None:
    done = run_biaojie("prefix", "list", "--server", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no registry answers at http://127.0.0.1:1" in done.stderr
