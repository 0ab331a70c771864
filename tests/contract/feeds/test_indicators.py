"""Indicators and alarms into a stand-in of the city's brain, through everything that may fail on the way."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import web

from adapters.city.brain.fake import CityBrain
from adapters.city.core.profile import Profile, parse_profile
from adapters.city.fake import Misbehaviour
from adapters.city.mappings import MAPPINGS
from adapters.city.reconcile import reconcile
from adapters.city.transports.order import make_transport
from adapters.city.transports.transport import Unknowable
from proto.model.change import parse_cursor
from tests.support.feeds import RunningFeeds, until, until_so
from tests.support.rest import RestNode
from tests.support.world import WallClock, World

SCHEMA = Path(__file__).resolve().parents[3] / "deploy" / "profiles" / "city-brain.schema.json"


class Metrics:
    """What a node says of itself: `down` by prefix. While it `is_broken` it says nothing that can be read.

    Between two looks time passes: `clock` moves on when it is asked.
    """

    def __init__(self, clock: WallClock) -> None:
        self.clock = clock
        self.down: dict[str, int] = {}
        self.is_broken = False
        self.asked = 0

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        self.clock.now += 1_000
        if self.is_broken:
            return web.Response(body=b"\xff\xfe")
        lines = [f'biaojie_delegate_down{{prefix="{prefix}"}} {value}.0' for prefix, value in self.down.items()]
        return web.Response(text="\n".join(["# HELP x y", 'biaojie_delegate_down{prefix=""} 0.0', *lines, "other 1.0", ""]))


@pytest.fixture
async def metrics(world: World) -> AsyncIterator[tuple[Metrics, str]]:
    served = Metrics(world.clock)
    application = web.Application()
    application.router.add_get("/metrics", served.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield served, f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    await runner.cleanup()


@pytest.fixture
async def brain() -> AsyncIterator[CityBrain]:
    system = CityBrain(b"our secret")
    await system.open()
    yield system
    validate = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate
    for batch in system.deliveries:
        for event in batch:
            validate(event["data"])
    await system.close()


def profile_of(brain: CityBrain) -> Profile:
    transport = {"kind": "webhook", "url": brain.url, "secret": "our secret", "timeout_s": 2}
    document = {"name": "brain", "indicators": {"days": 1}, "transport": transport, "retry": {"first_s": 0.05, "last_s": 0.1}}
    profile = parse_profile(document, lambda said: said, MAPPINGS)
    assert profile.indicators is not None
    return replace(profile, indicators=replace(profile.indicators, every_s=0.05, least_questions=1))


def indicators(brain: CityBrain) -> dict[str, Any]:
    found: dict[str, Any] = brain.subjects.get("node", {}).get("data", {})
    return found


def alarms(brain: CityBrain) -> list[tuple[str, str]]:
    told = [event["data"] for batch in brain.deliveries for event in batch if event["data"]["kind"] == "alarm"]
    return [(data["alarm"], data["state"]) for data in told]


async def register(node: RestNode, name: str) -> None:
    values = [{"index": 1, "type": "URL", "data": "x"}]
    assert (await node("PUT", f"/api/v1/identifiers/88.118.1001/{name}", {"values": values}, by="holder")).status == 201


async def test_alarms_come_and_go_with_the_nodes_of_enterprises(
    node: RestNode, brain: CityBrain, metrics: tuple[Metrics, str]
) -> None:
    served, url = metrics
    served.down = {"88.118.7": 0}
    async with RunningFeeds(node, [profile_of(brain)], metrics_url=url):
        await until(lambda: ("enterprise-node/88.118.7", "cleared") in alarms(brain))
        await register(node, "a")
        await until(lambda: indicators(brain).get("registered") == 1)
        served.down = {"88.118.7": 1}
        await until(lambda: indicators(brain)["alarms"] == ["enterprise-node/88.118.7"])
        # Metrics that cannot be read are no reason to say that all is well.
        served.is_broken = True
        asked, told = served.asked, len(brain.deliveries)
        await until(lambda: served.asked >= asked + 3)
        assert len(brain.deliveries) <= told + 1
        served.is_broken, served.down = False, {"88.118.7": 0}
        await until(lambda: indicators(brain)["alarms"] == [])
    assert alarms(brain) == [("enterprise-node/88.118.7", state) for state in ("cleared", "raised", "cleared")]


async def test_an_alarm_that_comes_and_goes_while_the_system_is_away_is_told_when_it_is_back(
    node: RestNode, brain: CityBrain, metrics: tuple[Metrics, str]
) -> None:
    served, url = metrics
    served.down = {"88.118.7": 0}
    port, name = brain.port, "enterprise-node/88.118.7"
    async with RunningFeeds(node, [profile_of(brain)], metrics_url=url):
        await until(lambda: (name, "cleared") in alarms(brain))
        await brain.close()
        for state in (1, 0):
            served.down = {"88.118.7": state}
            await until_so(partial(is_stored, node, name, ("cleared", "raised")[state]))
    # The adapters die meanwhile, and what they saw has outlived them.
    async with RunningFeeds(node, [profile_of(brain)], metrics_url=url) as running:
        await until(lambda: running.outcome("failed", "brain") > 0)
        await brain.open(port)
        await until(lambda: len(alarms(brain)) >= 3)
        await until(lambda: running.gauge("lag_seconds", "brain") == 0)
        assert alarms(brain) == [(name, state) for state in ("cleared", "raised", "cleared")]


async def test_alarms_are_told_again_from_wherever_the_operator_says(
    node: RestNode, brain: CityBrain, metrics: tuple[Metrics, str]
) -> None:
    served, url = metrics
    served.down = {"88.118.7": 0}
    async with RunningFeeds(node, [profile_of(brain)], metrics_url=url):
        for count in (1, 2):
            await until(lambda count=count: len(alarms(brain)) == count)  # type: ignore[misc]  # the default of the lambda
            served.down = {"88.118.7": 1}
        distinct = {event["id"] for batch in brain.deliveries for event in batch if event["data"]["kind"] == "alarm"}
        assert (await node("POST", "/api/v1/feeds/brain/replay", {"after": ""})).status == 200
        await until(lambda: len(alarms(brain)) == 4)
        again = {event["id"] for batch in brain.deliveries for event in batch if event["data"]["kind"] == "alarm"}
        assert again == distinct


async def test_an_alarm_that_is_refused_is_a_dead_letter_and_its_end_is_told(
    node: RestNode, brain: CityBrain, metrics: tuple[Metrics, str]
) -> None:
    served, url = metrics
    served.down, name = {"88.118.7": 1}, "enterprise-node/88.118.7"
    brain.refused.add(name)
    async with RunningFeeds(node, [profile_of(brain)], metrics_url=url) as running:
        await until(lambda: running.gauge("dead_letters", "brain") == 1)
        brain.refused.clear()
        served.down = {"88.118.7": 0}
        await until(lambda: alarms(brain) == [(name, "cleared")])
        await until(lambda: running.gauge("lag_changes", "brain") == 0)
        assert running.gauge("dead_letters", "brain") == 1, "that it was raised has not been told"
        assert (await node("POST", "/api/v1/feeds/brain/letters/replay", {})).status == 200
        await until(lambda: running.gauge("dead_letters", "brain") == 0)
        assert alarms(brain) == [(name, "cleared"), (name, "raised")]
        # It goes by the version: the alarm is not raised again.
        assert brain.subjects[name]["data"]["state"] == "cleared"


async def is_stored(node: RestNode, name: str, state: str) -> bool:
    found = (await node("GET", "/api/v1/feeds/brain/notices", by="city")).document["notices"]
    return any((each["name"], each["data"].get("state")) == (name, state) for each in found)


async def test_a_feed_that_is_new_does_not_read_what_was_registered_before(node: RestNode, brain: CityBrain) -> None:
    await register(node, "a")
    async with RunningFeeds(node, [profile_of(brain)]) as running:
        await until(lambda: indicators(brain).get("registered") == 1)
        before = parse_cursor((await running.stored("brain"))["cursor"])
    assert before.sequence >= 1


@pytest.mark.parametrize("how", list(Misbehaviour))
async def test_whatever_the_system_does_the_newest_figures_arrive(node: RestNode, brain: CityBrain, how: Misbehaviour) -> None:
    profile = profile_of(brain)
    profile = replace(profile, place=replace(profile.place, timeout_s=0.2))  # type: ignore[call-arg] # it is a webhook's
    brain.misbehaviours.extend([how, how])
    async with RunningFeeds(node, [profile]) as running:
        await register(node, "a")
        await until(lambda: not brain.misbehaviours and indicators(brain).get("registered") == 1)
        await until(lambda: any(event["data"]["kind"] == "day" for event in brain.subjects.values()))
        await until(lambda: running.outcome("delivered", "brain") > 0)


async def test_a_paused_feed_tells_nothing_until_it_is_resumed(node: RestNode, brain: CityBrain) -> None:
    async with RunningFeeds(node, [profile_of(brain)]) as running:
        await until(lambda: bool(indicators(brain)))
        assert (await node("POST", "/api/v1/feeds/brain/pause", {"note": "for now"})).status == 200
        await until(lambda: running.feeds.describe()["brain"].startswith("paused"))
        await until(lambda: running.feeds._feeds[0]._task is None or running.feeds._feeds[0]._task.done())
        told = len(brain.deliveries)
        await register(node, "a")
        assert (await node("POST", "/api/v1/feeds/brain/resume")).status == 200
        await until(lambda: indicators(brain)["registered"] == 1)
        assert len(brain.deliveries) > told
        assert running.feeds.describe()["brain"].startswith("running")


async def test_a_system_that_is_away_is_said_to_be(node: RestNode, brain: CityBrain) -> None:
    port = brain.port
    await brain.close()
    async with RunningFeeds(node, [profile_of(brain)]) as running:
        await until(lambda: "attempt 3" in running.feeds.describe()["brain"])
        await brain.open(port)
        await until(lambda: bool(indicators(brain)))


async def test_indicators_are_not_reconciled(node: RestNode, brain: CityBrain) -> None:
    profile = profile_of(brain)
    async with RunningFeeds(node, []) as running:
        transport = make_transport(profile)
        with pytest.raises(Unknowable, match="figures of now"):
            await reconcile(profile, running.client, transport)
        await transport.close()
