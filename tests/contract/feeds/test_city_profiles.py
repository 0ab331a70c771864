"""The profiles in deploy/profiles, each fed into a system: what it gets is what its schema says, and no more."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from adapters.city.core.members import PLAIN
from adapters.city.core.places import WebhookPlace
from adapters.city.core.profile import Profile, parse_profile
from adapters.city.fake import Consumer
from adapters.city.mappings import MAPPINGS
from tests.support.feeds import RunningFeeds, until
from tests.support.rest import RestNode
from tests.support.world import HOLDER

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "profiles"
ALL = sorted(path.stem for path in FOLDER.glob("*.toml"))
# Those of configuration alone; those with code of their own are in tests/e2e/test_city_systems.py.
SHAPES = {name: tomllib.loads((FOLDER / f"{name}.toml").read_text()).get("shape", {}) for name in ALL}
NAMES = [name for name, shape in SHAPES.items() if "members" in shape and "mapping" not in shape]

# A value of each type that some profile takes up, as a registrant would write it.
SAMPLES = {
    "WASTE_CONTAINER": "41100000000000123HW08-900-220-0800017",
    "DISCHARGE_UNIT": "91411000MA40XCDL1K001P",
    "TREATMENT_FACILITY": "TA001",
    "DISCHARGE_OUTLET": "DW002",
    "EVSE_EQUIPMENT_ID": "4110000001",
    "EVSE_OPERATOR_ID": "MA40XCDL1",
    "EVSE_CONNECTOR_ID": "411000000101",
    "CITY_OBJECT_CODE": "4110.3.000123",
    "CERTIFICATE": "2026010301000001",
    "CITY_COMPONENT_CODE": "4110020101000001",
    "MAINTENANCE_DEPARTMENT": "许昌市城市管理局",
    "POLE_CODE": "XC-JA-0001",
    "PARENT": "88.118.1001/pole-1",
    "SCHOOL_CODE": "3141000123",
    "ASSET_NUMBER": "2026-0001",
    "UDI_DI": "06901234567892",
    "AID_CLASS": "12 23",
    "ISLI": "000001-000000000000001",
    "TITLE": "10kV 油浸式变压器",
    "URL": "https://example.com/p/1",
}


def read(name: str) -> Profile:
    return parse_profile(tomllib.loads((FOLDER / f"{name}.toml").read_text()), lambda said: said.removeprefix("env:"), MAPPINGS)


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def types_of(profile: Profile) -> list[str]:
    sources = {member.source.partition("#")[0].removeprefix("values.") for member in profile.shape.members}
    return sorted({*sources, *profile.selection.types} - PLAIN)


async def register(node: RestNode, name: str, values: dict[str, str], private: str = "") -> None:
    document = {
        "values": [
            {"index": place, "type": kind, "data": text, "audience": "private" if kind == private else "public"}
            for place, (kind, text) in enumerate(values.items(), 1)
        ]
    }
    got = await node("PUT", f"/api/v1/identifiers/88.118.1001/{name}", document, by="holder")
    assert got.status in (200, 201), got


@pytest.mark.parametrize("name", NAMES)
async def test_a_system_gets_what_its_schema_says(node: RestNode, consumer: Consumer, name: str) -> None:
    configured = read(name)
    assert configured.name == name
    profile = replace(configured, place=WebhookPlace(url=consumer.url, secret=b"our secret"))
    validate = jsonschema.Draft202012Validator(schema(name), format_checker=jsonschema.FormatChecker()).validate
    values = {kind: SAMPLES[kind] for kind in types_of(profile)}
    deciding = profile.selection.types[0]
    async with RunningFeeds(node, [profile]) as running:
        await register(node, "whole", values)
        await register(node, "not-its-own", {"TITLE": "x"} if deciding != "TITLE" else {"OTHER": "x"})
        await register(node, "hidden", values, private=deciding)
        await register(node, "bare", {deciding: SAMPLES[deciding]})
        await register(node, "unfit", {**values, deciding: "two\nlines, which no code has"})
        await until(lambda: {"88.118.1001/whole", "88.118.1001/bare", "88.118.1001/unfit"} <= consumer.subjects.keys())
        await node("DELETE", "/api/v1/identifiers/88.118.1001/whole", by="holder")
        await until(lambda: running.outcome("delivered", name) >= 4)
    assert set(consumer.subjects) == {"88.118.1001/whole", "88.118.1001/bare", "88.118.1001/unfit"}
    events = [event for batch in consumer.deliveries for event in batch]
    for event in events:
        validate(event["data"])
    data = events[0]["data"]
    assert {member.name for member in profile.shape.members} == set(data) - {"kind", "identifier", "version", "state"}
    for member in profile.shape.members:
        kind = member.source.removeprefix("values.")
        expected = SAMPLES.get(kind, {"identifier": "88.118.1001/whole", "registrant": HOLDER}.get(kind))
        assert data[member.name] == expected
    marked = consumer.subjects["88.118.1001/unfit"]["data"]
    fails = [member.name for member in profile.shape.members if member.source == f"values.{deciding}"]
    assert marked["unfit"] == fails
    assert not set(fails) & set(marked)
    assert consumer.subjects["88.118.1001/whole"]["type"] == "biaojie.record.removed"


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_knows_just_the_members_of_its_profile(name: str) -> None:
    members = {member.name for member in read(name).shape.members}
    assert set(schema(name)["properties"]) == members | {"kind", "identifier", "version", "state", "unfit"}


def test_the_readme_has_a_paragraph_for_every_profile() -> None:
    text = (FOLDER.parents[1] / "adapters" / "city" / "README.md").read_text()
    assert [name for name in ALL if f"`{name}`" not in text or read(name).system.split(" ")[0] not in text] == []
