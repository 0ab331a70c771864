"""Papers in a running node, from the command line to the upstream, and looked for everywhere else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartNode
from tests.support.business_system import BusinessSystemProcess
from tests.support.node import RunningNode
from tests.support.papers import DOCUMENT, ID_PICTURE, KEY, LICENCE, NAME, OTHER_KEY, found_below, found_in
from tests.support.systems import System

CODE = "91411000MA40XCDL1K"
PREFIX = "88.118.1001"
PEOPLE = {
    "contact": DOCUMENT["contact"],
    "legal_person": {name: text for name, text in DOCUMENT["legal_person"].items() if name != "picture"},
}


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[BusinessSystemProcess]:
    running = BusinessSystemProcess(tmp_path / "upstream", "our secret")
    yield running
    running.destroy()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    running = System(tmp_path / "city", secret="our secret")
    yield running
    running.destroy()


def write_profile(folder: Path, system: System) -> Path:
    file = folder / "platform.toml"
    file.write_text(
        f"""
        name = "platform"
        system = "城市数字平台"
        [transport]
        kind = "webhook"
        url = "{system.url}"
        secret = "env:PLATFORM_SECRET"
        """
    )
    return file


def give(node: RunningNode, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "people.json").write_text(json.dumps(PEOPLE, ensure_ascii=False))
    (folder / "licence.png").write_bytes(LICENCE)
    (folder / "passport.jpg").write_bytes(ID_PICTURE)
    files = ("--people", f"{folder}/people.json", "--licence", f"{folder}/licence.png")
    done = node.run("papers", "give", CODE, *files, "--legal-person-picture", f"{folder}/passport.jpg")
    assert done.returncode == 0, done.stderr
    assert not found_in((done.stdout + done.stderr).encode())


def told(upstream: BusinessSystemProcess) -> dict[str, Any]:
    content: dict[str, Any] = upstream.state()["enterprises"].get(CODE, {}).get("content", {})
    return content


def state_of(node: RunningNode) -> str:
    return str(node.call("GET", f"/api/v1/filings/registrant/{CODE}").json()["state"])


def test_papers_are_in_clear_at_the_upstream_and_nowhere_else(
    start_node: StartNode, upstream: BusinessSystemProcess, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET", "our secret")
    key = tmp_path / "seal.key"
    key.write_text(f"{KEY.hex()}\n")
    common = ("node.homed=88.118", "node.log_level=debug", f"feeds.profiles={write_profile(tmp_path, system)}")
    settings = (*common, *upstream.settings())
    node = start_node(*settings, f"node.seal_key=file:{key}", workers=1)
    node.until_whole()
    node.call("POST", "/api/v1/registrants", {"code": CODE, "name": "许昌变压器有限公司"})
    node.call("POST", "/api/v1/prefixes", {"name": PREFIX, "registrant": CODE})
    give(node, tmp_path / "given")
    values = {"values": [{"index": 1, "type": "URL", "data": "x"}]}
    assert node.call("PUT", f"/api/v1/identifiers/{PREFIX}/a", values).status == 201
    node.until(lambda: system.knows(f"{PREFIX}/a", 1))
    node.until(lambda: told(upstream).get("contact", {}).get("name") == NAME and state_of(node) == "approved")
    assert told(upstream)["licence"].startswith("png ")
    assert told(upstream)["legal_person"]["image"].startswith("jpeg ")
    shown = node.run("papers", "show", CODE)
    assert (NAME in shown.stdout, f"{len(LICENCE)} bytes" in shown.stdout) == (True, True)
    assert json.loads(node.run("papers", "show", CODE, "--json").stdout)["licence"] == DOCUMENT["licence"]

    # Everything that anybody can be told.
    assert node.run("export", "--prefix", PREFIX, "-o", f"{tmp_path}/table.ndjson").returncode == 0
    city = node.call("POST", "/api/v1/accounts", {"name": "city", "role": "city"}).json()["api_key"]
    for who in (node.token, city):
        for path in ("changes", "registrants", f"city/enterprises/{CODE}", "city/enterprises", "filings", "statistics",
                     "audit/accesses", "jobs", "accounts", f"filings/registrant/{CODE}"):  # fmt: skip
            said = node.call("GET", f"/api/v1/{path}", Authorization=f"Bearer {who}")
            assert not found_in(said.body), path
    for said in (node.resolve(f"{PREFIX}/a"), node.fetch("/metrics"), node.fetch("/status")):
        assert not found_in(said.body)
    assert not found_below(node.data)
    assert not found_below(tmp_path / "city")
    assert found_in((tmp_path / "upstream" / "journal").read_bytes() + json.dumps(told(upstream), ensure_ascii=False).encode())

    told_by_now = upstream.state()["enterprises"][CODE]["updated"]

    # The key is changed: the node starts with both, and then with the new one alone. Nothing is told anew.
    assert node.end() == 0
    both = (f"node.seal_key={OTHER_KEY.hex()}", f"node.seal_keys_former=file:{key}")
    node = start_node(*settings, *both, data=node.data, workers=1)
    node.until_whole()
    assert node.end() == 0
    node = start_node(*settings, f"node.seal_key={OTHER_KEY.hex()}", data=node.data, workers=1)
    node.until_whole()
    assert NAME in node.run("papers", "show", CODE).stdout
    assert upstream.state()["enterprises"][CODE]["updated"] == told_by_now

    # Erased: the files are gone, and the upstream is told the rest.
    assert node.run("papers", "erase", CODE).returncode == 0
    assert list((node.data / "papers").iterdir()) == []
    node.until(lambda: "contact" not in told(upstream) and state_of(node) == "approved")
    assert "licence" not in told(upstream)
    assert not found_below(node.data)
    assert not found_in(node.log_text().encode())
    assert node.end() == 0

    # Without a key there are no papers, and all else goes on.
    node = start_node(*settings, data=node.data, workers=1)
    node.until_whole()
    refused = node.call("PATCH", f"/api/v1/registrants/{CODE}/papers", {"contact": {"name": "x"}})
    assert (refused.status, "node.seal_key" in refused.json()["detail"]) == (409, True)
    assert node.resolve(f"{PREFIX}/a").status == 200
