"""Feeds of a running node, configured by profiles, looked after by the command line, seen in the metrics."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proto.model.change import Position
from tests.e2e.conftest import StartNode
from tests.support.node import RunningNode, run_biaojie
from tests.support.systems import System

PREFIX = "88.118.1001"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    running = System(tmp_path / "system", secret="our secret")
    yield running
    running.destroy()


def write_profile(folder: Path, system: System, name: str = "platform", select: str = "") -> Path:
    file = folder / f"{name}.toml"
    file.write_text(
        f"""
        name = "{name}"
        system = "城市数字平台"
        [select]
        {select}
        [transport]
        kind = "webhook"
        url = "{system.url}"
        holdings_url = "{system.url.replace("/events", "/holdings")}"
        secret = "env:PLATFORM_SECRET"
        timeout_s = 5
        [retry]
        first_s = 0.1
        last_s = 0.5
        """
    )
    return file


def prepare(node: RunningNode) -> None:
    node.until_whole()
    node.call("POST", "/api/v1/registrants", {"code": "R-1", "name": "许昌变压器厂"})
    node.call("POST", "/api/v1/prefixes", {"name": PREFIX, "registrant": "R-1"})


def register(node: RunningNode, name: str, text: str) -> None:
    values = [{"index": 1, "type": "URL", "data": text}, {"index": 2, "type": "NOTE", "data": "x", "audience": "private"}]
    assert node.call("PUT", f"/api/v1/identifiers/{PREFIX}/{name}", {"values": values}).status in (200, 201)


def told(node: RunningNode) -> list[dict[str, Any]]:
    """What the access log says of deliveries about that registrant."""
    page = node.call("GET", "/api/v1/audit/accesses?registrant=R-1").json()
    return [each for each in page["accesses"] if each["reading"] == "delivery"]


def test_a_feed_from_its_profile_to_its_system_and_under_the_operators_hand(
    start_node: StartNode, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET", "our secret")
    profile = write_profile(tmp_path, system)
    node = start_node("node.homed=88.118", f"feeds.profiles={profile}", workers=1)
    prepare(node)
    register(node, "a", "x")
    node.until(lambda: system.knows(f"{PREFIX}/a", 1))
    assert (node.data / "feeds-token").stat().st_mode & 0o777 == 0o600
    node.until(lambda: node.metric("biaojie_feed_lag_changes", feed="platform") == 0)
    node.until(lambda: node.metric("biaojie_feed_deliveries_total", feed="platform", outcome="delivered") == 1)
    assert node.child("adapters")["platform"].startswith("running")

    assert node.run("feed", "pause", "platform", "--note", "it moves house").returncode == 0
    node.until(lambda: node.child("adapters")["platform"].startswith("paused"))
    register(node, "b", "x")
    node.until(lambda: node.metric("biaojie_feed_lag_changes", feed="platform") > 0)
    listed = node.run("feed", "list").stdout
    assert "it moves house" in listed
    assert not system.knows(f"{PREFIX}/b", 1)
    assert node.run("feed", "resume", "platform").returncode == 0
    node.until(lambda: system.knows(f"{PREFIX}/b", 1))

    system.dislike(refused=[f"{PREFIX}/c"])
    register(node, "c", "x")
    node.until(lambda: "422 not this one" in node.run("feed", "letters", "platform").stdout)
    system.dislike()
    assert node.run("feed", "replay-letters", "platform").returncode == 0
    node.until(lambda: system.knows(f"{PREFIX}/c", 1))
    node.until(lambda: json.loads(node.run("feed", "show", "platform", "--json").stdout)["letters"] == 0)

    # What was told is in the log that the enterprise reads.
    node.until(lambda: sum(each["count"] for each in told(node)) == 3)
    whose = {(each["account"], each["way"].split()[0], each["subject"]) for each in told(node)}
    assert whose == {("feeds", "platform", PREFIX)}

    assert "both sides agree" in node.run("feed", "reconcile", str(profile)).stdout
    system.forget(f"{PREFIX}/a")
    found = node.run("feed", "reconcile", str(profile), "--json")
    assert (found.returncode, json.loads(found.stdout)[0]["missing"]) == (1, [f"{PREFIX}/a"])
    repaired = node.run("feed", "reconcile", str(profile), "--repair")
    assert (repaired.returncode, "1 repaired; both sides agree" in repaired.stdout) == (0, True)
    assert system.knows(f"{PREFIX}/a", 1)

    attempts = system.state()["attempts"]
    assert node.run("feed", "replay", "platform", "--after", "").returncode == 0
    node.until(lambda: system.state()["attempts"] > attempts)
    assert system.state()["distinct"] == 4
    assert node.run("feed", "pause", "nobody").returncode == 1
    assert node.end() == 0
    assert run_biaojie("verify", "--data", str(node.data)).returncode == 0


def test_a_cursor_of_another_history_is_said_and_mended_by_a_replay(
    start_node: StartNode, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET", "our secret")
    node = start_node("node.homed=88.118", f"feeds.profiles={write_profile(tmp_path, system)}", workers=1)
    prepare(node)
    node.until(lambda: node.child("adapters")["platform"].startswith("running"))
    from_elsewhere = Position(9, 1).to_cursor()
    assert node.call("POST", "/api/v1/feeds/platform/progress", {"cursor": from_elsewhere}).status == 200
    node.until(lambda: "history" in node.child("adapters")["platform"])
    register(node, "a", "x")
    assert node.run("feed", "replay", "platform", "--after", "").returncode == 0
    node.until(lambda: system.knows(f"{PREFIX}/a", 1))


def test_feeds_that_cannot_begin_are_not_the_nodes_trouble(
    start_node: StartNode, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_SECRET", "our secret")
    profile = write_profile(tmp_path, system)
    node = start_node("node.homed=88.118", f"feeds.profiles={profile}", workers=1)
    prepare(node)
    # The operator closes the account of the feeds: they stop, the node does not; opened again, they go on.
    assert node.run("account", "disable", "feeds").returncode == 0
    node.kill("adapters", signal.SIGKILL)
    node.until(lambda: "unauthenticated" in str(node.child("adapters")["refusal"]))
    assert node.fetch("/readyz").status == 200
    register(node, "a", "x")
    assert node.run("account", "enable", "feeds").returncode == 0
    node.until(lambda: system.knows(f"{PREFIX}/a", 1))


def test_every_mistake_of_every_profile_is_named_before_anything_starts(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "Bad"\n[select]\nshare = ["none"]\nstates = ["lost"]\n[transport]\nkind = "pigeon"\n')
    missing = tmp_path / "missing.toml"
    found = run_biaojie("check", "--set", f"feeds.profiles={bad},{missing}")
    assert found.returncode == 2
    for part in ("name: ", "不予共享", "select.states", "transport.kind", "missing.toml: it cannot be read"):
        assert part in found.stderr, part
