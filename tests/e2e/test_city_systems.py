"""The systems of the city that have code of their own, each fed by a node through its profile into its stand-in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode
from tests.support.systems import System

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "profiles"
USCC = "91411000MA40XCDL1K"
SYSTEMS = {
    "city-brain": "BIAOJIE_FEED_CITY_BRAIN",
    "enterprise-service": "BIAOJIE_FEED_ENTERPRISE_SERVICE",
    "industrial-internet": "BIAOJIE_FEED_INDUSTRIAL_INTERNET",
}


@pytest.fixture
def systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, System]]:
    running = {}
    for name, variable in SYSTEMS.items():
        monkeypatch.setenv(variable, f"secret of {name}")
        running[name] = System(tmp_path / name, f"secret of {name}", name)
    running["data-exchange"] = System(tmp_path / "data-exchange", "", "data-exchange", "--folder", str(tmp_path / "exchange"))
    yield running
    for system in running.values():
        system.destroy()


@pytest.fixture
def node(start_node: StartNode, systems: dict[str, System], tmp_path: Path) -> RunningNode:
    """A node with the profiles as they are delivered, but for addresses, and sooner."""
    (tmp_path / "exchange").mkdir()
    files = []
    for name, system in systems.items():
        text = (FOLDER / f"{name}.toml").read_text()
        place = {"url": system.url, "folder": str(tmp_path / "exchange"), "gather_s": 0, "every_s": 1, "least_questions": 10}
        lines = [f"{key} = {json.dumps(place[key])}" if (key := line.partition(" = ")[0]) in place else line
                 for line in text.splitlines()]  # fmt: skip
        file = tmp_path / f"{name}.toml"
        file.write_text("\n".join(lines))
        files.append(str(file))
    started = start_node("node.homed=88.118", f"feeds.profiles={','.join(files)}", workers=1)
    started.until_whole()
    started.call("POST", "/api/v1/registrants", {"code": USCC, "name": "许昌变压器有限公司"})
    started.call("POST", "/api/v1/prefixes", {"name": "88.118.1001", "registrant": USCC})
    started.call("POST", "/api/v1/prefixes", {"name": "88.118.1002", "registrant": USCC, "state": "submitted"})
    return started


def check_schema(name: str, folder: Path) -> None:
    """Everything that the system was ever told is as the schema says."""
    schema: Any = json.loads((FOLDER / f"{name}.schema.json").read_text())
    for line in (folder / name / "journal").read_text().splitlines():
        jsonschema.Draft202012Validator(schema).validate(json.loads(line)["data"])


def test_the_enterprise_platform_finds_enterprise_and_prefix_by_each_other(
    node: RunningNode, systems: dict[str, System], tmp_path: Path
) -> None:
    platform = systems["enterprise-service"]
    expected = {
        "name": "许昌变压器有限公司",
        "status": "已通过",
        "prefixes": {"88.118.1001": "已通过", "88.118.1002": "审核中"},
    }
    node.until(lambda: platform.ask(f"/enterprises/{USCC}") == expected)
    assert platform.ask("/prefixes/88.118.1001")["uscc"] == USCC
    node.call("POST", "/api/v1/prefixes/88.118.1002/approve")
    node.call("POST", f"/api/v1/registrants/{USCC}/suspend")
    node.until(lambda: platform.ask(f"/enterprises/{USCC}")["status"] == "已暂停")
    assert platform.ask("/prefixes/88.118.1002")["status"] == "已通过"
    # A holder that is no enterprise by its code is not given out for one.
    node.call("POST", "/api/v1/registrants", {"code": "LAB-1", "name": "试验室"})
    node.call("POST", "/api/v1/prefixes", {"name": "88.118.1003", "registrant": "LAB-1"})
    node.until(lambda: platform.ask("/prefixes/88.118.1003") is not None)
    assert "uscc" not in platform.ask("/prefixes/88.118.1003")
    check_schema("enterprise-service", tmp_path)


def test_the_industry_platform_has_products_and_templates(
    node: RunningNode, systems: dict[str, System], tmp_path: Path
) -> None:
    platform = systems["industrial-internet"]
    values = [
        {"index": 1, "type": "URL", "data": "https://example.com/p/1"},
        {"index": 2, "type": "TITLE", "data": "10kV 油浸式变压器"},
        {"index": 3, "type": "META", "data": json.dumps({"rated": {"power_kva": 400}})},
        {"index": 4, "type": "COLOUR", "data": "灰"},
        {"index": 5, "type": "NOTE", "data": "不予共享", "audience": "private"},
    ]
    document = {"values": values, "template": "transformer", "aliases": ["88.118.1001/alias-1"]}
    assert node.call("PUT", "/api/v1/identifiers/88.118.1001/p-1", document).status == 201
    node.until(lambda: "88.118.1001/p-1" in platform.ask(f"/products?manufacturer={USCC}"))
    assert platform.ask("/products")["88.118.1001/p-1"] == {
        "kind": "record", "identifier": "88.118.1001/p-1", "version": 1, "state": "active", "manufacturer": USCC,
        "template": "transformer", "name": "10kV 油浸式变压器", "page": "https://example.com/p/1",
        "parameters": {"META": {"rated": {"power_kva": 400}}}, "attributes": {"COLOUR": ["灰"]},
        "other_codes": ["88.118.1001/alias-1"],
    }  # fmt: skip
    assert platform.ask("/templates") == {"transformer": 1}
    node.call("POST", "/api/v1/identifiers/88.118.1001/p-1/suspend")
    node.until(lambda: platform.ask("/products") == {})
    node.call("POST", "/api/v1/identifiers/88.118.1001/p-1/resume")
    node.until(lambda: platform.ask("/templates") == {"transformer": 1})
    check_schema("industrial-internet", tmp_path)


def test_the_platform_for_exchange_has_a_catalogue_and_the_data_in_it(
    node: RunningNode, systems: dict[str, System], tmp_path: Path
) -> None:
    platform = systems["data-exchange"]

    def register(name: str, **values: str) -> None:
        document = {
            "values": [
                {"index": index, "type": kind, "data": text, "audience": "private" if kind == "NOTE" else "public"}
                for index, (kind, text) in enumerate(values.items(), 1)
            ]
        }
        assert node.call("PUT", f"/api/v1/identifiers/88.118.1001/{name}", document).status in (200, 201)

    register("p-1", TITLE="10kV 油浸式变压器", META='{"kva": 400}', NOTE="不予共享")
    register("ds-1", DATASET_CODE="41C001/0001", TITLE="变压器产品", DATASET_PREFIX="88.118.1001", DATASET_CYCLE="实时")
    register("ds-2", DATASET_CODE="no code of a directory", TITLE="未编目")
    node.until(lambda: platform.ask("/catalogue").keys() == {"88.118.1001/ds-1", "88.118.1001/ds-2"})
    node.until(lambda: platform.ask("/catalogue")["88.118.1001/ds-1"]["rows"] == 1)
    found = platform.ask("/catalogue")["88.118.1001/ds-1"]
    assert (found["resource_code"], found["title"], found["share"]) == ("41C001/0001", "变压器产品", "无条件共享")
    assert (found["provider_uscc"], found["provider_name"]) == (USCC, "许昌变压器有限公司")
    assert platform.ask("/catalogue")["88.118.1001/ds-2"]["unfit"] == ["resource_code"]
    assert platform.ask("/data/88.118.1001") == {
        "88.118.1001/p-1": [
            {"name": "TITLE", "data": "10kV 油浸式变压器", "share": "无条件共享"},
            {"name": "META", "data": {"kva": 400}, "share": "无条件共享"},
        ]
    }
    # The folder is gone for a while, and the platform too; both come back.
    (tmp_path / "exchange").rename(tmp_path / "elsewhere")
    platform.kill()
    register("p-2", TITLE="电缆")
    assert node.call("DELETE", "/api/v1/identifiers/88.118.1001/p-1").status == 200
    (tmp_path / "elsewhere").rename(tmp_path / "exchange")
    platform.start()
    node.until(lambda: list(platform.ask("/data/88.118.1001")) == ["88.118.1001/p-2"])
    assert platform.ask("/unfit") == {}
    check_schema("data-exchange", tmp_path)


def test_the_brain_has_indicators_and_is_alarmed(node: RunningNode, systems: dict[str, System], tmp_path: Path) -> None:
    brain = systems["city-brain"]
    node.until(lambda: brain.ask("/indicators").get("registered") == 0)
    values = [{"index": 1, "type": "URL", "data": "https://example.com/p/1"}]
    assert node.call("PUT", "/api/v1/identifiers/88.118.1001/p-1", {"values": values}).status == 201
    node.until(lambda: brain.ask("/indicators")["active"] == 1)
    found = brain.ask("/indicators")
    assert (found["enterprises"], found["prefixes"], found["alarms"]) == (1, 3, [])
    # Midnight may pass meanwhile.
    node.until(lambda: sum(day["added"] for day in brain.ask("/days").values()) == 1)
    assert len(brain.ask("/days")) in (7, 8)
    # Questions that come to nothing.
    for _ in range(12):
        assert node.resolve("88.118.1001/none").status == 404
    node.until(lambda: "resolution-success" in brain.ask("/alarms"))
    # The brain is away while things become well again, and hears of it when it is back.
    brain.kill()
    for _ in range(400):
        assert node.resolve("88.118.1001/p-1").status == 200
    brain.start()
    node.until(lambda: brain.ask("/alarms") == {})
    node.until(lambda: brain.ask("/indicators")["resolved"] == 400)
    assert brain.ask("/indicators")["missed"] == 12
    check_schema("city-brain", tmp_path)
