"""The profiles in deploy/profiles, each fed into a system: what it gets is what its schema says, and no more."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from adapters.city.core.places import WebhookPlace
from adapters.city.core.profile import Profile, parse_profile
from adapters.city.fake import Consumer
from adapters.city.mappings import MAPPINGS
from tests.support.feeds import RunningFeeds, until
from tests.support.node import run_biaojie
from tests.support.rest import RestNode
from tests.support.world import HOLDER

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "profiles"
ALL = sorted(path.stem for path in FOLDER.glob("*.toml"))
# Those of configuration alone; those with code of their own are in tests/e2e/test_city_systems.py.
SHAPES = {name: tomllib.loads((FOLDER / f"{name}.toml").read_text()).get("shape", {}) for name in ALL}
NAMES = [name for name, shape in SHAPES.items() if "members" in shape and "mapping" not in shape]


def read(name: str) -> Profile:
    return parse_profile(tomllib.loads((FOLDER / f"{name}.toml").read_text()), lambda said: said.removeprefix("env:"), MAPPINGS)


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def samples_of(profile: Profile) -> dict[str, str]:
    """A value of each type that the profile takes up, as a registrant would write it."""
    examples = {member.value_type: member.example for member in profile.shape.members if member.value_type}
    return dict.fromkeys(profile.selection.types, "x") | examples


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
    assert read(name).name == name
    await check_feeding(node, consumer, read(name), schema(name))


# One that nobody has written before, as CONTRIBUTING.md says that one is written.
ANOTHER = """
name = "fire-service"
system = "智慧消防"

# Each hydrant and extinguisher has an identifier, and the fire service a code of its own for it, which is opaque here.

[select]
types = ["FIRE_DEVICE_CODE"]

[shape.members]
device = { from = "identifier", about = "the device's identifier" }
device_code = { from = "values.FIRE_DEVICE_CODE", pattern = 'XF[0-9]{10}', about = "its code", example = "XF4110000001" }
title = { from = "values.TITLE", example = "箱式消防泵站" }

[transport]
kind = "webhook"
url = "http://127.0.0.1:9000/events"
secret = "env:BIAOJIE_FEED_FIRE_SERVICE"
"""


async def test_a_new_system_takes_one_file(node: RestNode, consumer: Consumer, tmp_path: Path) -> None:
    file = tmp_path / "fire-service.toml"
    file.write_text(ANOTHER)
    printed = run_biaojie("feed", "schema", str(file))
    assert printed.returncode == 0, printed.stderr
    configured = parse_profile(tomllib.loads(ANOTHER), lambda said: said.removeprefix("env:"), MAPPINGS)
    await check_feeding(node, consumer, configured, json.loads(printed.stdout))


async def check_feeding(node: RestNode, consumer: Consumer, configured: Profile, schema: dict[str, Any]) -> None:
    """Whatever befalls a record of the system, the system gets what the schema says of it."""
    profile, name = replace(configured, place=WebhookPlace(url=consumer.url, secret=b"our secret")), configured.name
    validate = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate
    values = samples_of(profile)
    deciding = profile.selection.types[0]
    async with RunningFeeds(node, [profile]) as running:
        await register(node, "whole", values)
        await register(node, "not-its-own", {"TITLE": "x"} if deciding != "TITLE" else {"OTHER": "x"})
        await register(node, "hidden", values, private=deciding)
        await register(node, "bare", {deciding: values[deciding]})
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
        plain = {"identifier": "88.118.1001/whole", "registrant": HOLDER}
        assert data[member.name] == (values[member.value_type] if member.value_type else plain[member.source])
    marked = consumer.subjects["88.118.1001/unfit"]["data"]
    fails = [member.name for member in profile.shape.members if member.source == f"values.{deciding}"]
    assert marked["unfit"] == fails
    assert not set(fails) & set(marked)
    assert consumer.subjects["88.118.1001/whole"]["type"] == "biaojie.record.removed"


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_the_one_that_its_profile_comes_to(name: str) -> None:
    assert (FOLDER / f"{name}.schema.json").read_text() == run_biaojie("feed", "schema", str(FOLDER / f"{name}.toml")).stdout


def test_what_has_a_shape_of_another_kind_has_no_schema_of_members() -> None:
    said = run_biaojie("feed", "schema", str(FOLDER / "city-brain.toml"))
    assert (said.returncode, said.stdout) == (1, "")
    assert "shape of another kind" in said.stderr


def test_every_profile_says_what_its_system_gets_and_why() -> None:
    readme = (FOLDER.parents[1] / "adapters" / "city" / "README.md").read_text()
    for name in ALL:
        head = (FOLDER / f"{name}.toml").read_text().partition("[")[0]
        said = " ".join(line.removeprefix("# ") for line in head.splitlines() if line.startswith("#"))
        assert len(said) > 60 or (f"`{name}`" in readme and read(name).system.split(" ")[0] in readme), name
