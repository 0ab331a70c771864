"""kill -9 of everything that has a part in feeds, of the whole node and of the systems, at random moments, under registrations.

Two systems take webhooks, one reads a Redis that forgets everything when it is killed, one collects files. In the end each
knows every identifier in the version that the node has, and reconciliation finds the same content on both sides; those that
remember were never told an older version after a newer. Nothing became a dead letter: dying is no refusal.
"""

import json
import os
import random
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from adapters.city.core.exchange import MANIFEST_SUFFIX, parse_file
from tests.support.node import RunningNode, run_biaojie
from tests.support.redis_server import RedisServer, redis_server
from tests.support.systems import System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PREFIX = "88.118.77"
NAMES = 150
KILLS_OF_EACH = 2
SECRET = "our secret"
# A node of four feeds that begins another life on a machine with other work.
PATIENCE_S = 180


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(2**32)))
    print(f"KILL_SEED={chosen}")
    return chosen


@pytest.fixture
def systems(tmp_path: Path) -> Iterator[list[System]]:
    running = [System(tmp_path / name, SECRET) for name in ("platform", "brain")]
    yield running
    for system in running:
        system.destroy()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


class Writer(threading.Thread):
    """Registers and replaces identifiers in no order, in the face of whatever happens to the node."""

    def __init__(self, data: Path, moments: random.Random) -> None:
        super().__init__()
        self.acknowledged = 0
        self.data = data
        self._moments = moments
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            name = self._moments.randrange(NAMES)
            try:
                self.acknowledged += put(self.data, name, self._moments.random()) in (200, 201)
            except (OSError, ValueError):
                time.sleep(0.05)  # the node is between two lives

    def stop(self) -> None:
        self._over.set()
        self.join()


def put(data: Path, name: int, content: float) -> int:
    port = json.loads((data / "ports.json").read_text())["registry.http_port"]
    token = (data / "operator-token").read_text().strip()
    body = json.dumps({"values": [{"index": 1, "type": "URL", "data": f"https://x/{content}"}]}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/identifiers/{PREFIX}/{name}",
        data=body,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="PUT",
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def profiles(folder: Path, systems: list[System], redis: RedisServer, exchange: Path) -> str:
    files = []
    for name, system in zip(("platform", "brain"), systems, strict=True):
        file = folder / f"{name}.toml"
        file.write_text(
            f'name = "{name}"\n[transport]\nkind = "webhook"\nurl = "{system.url}"\nsecret = "{SECRET}"\nbatch = 20\n'
            f'holdings_url = "{system.url.replace("/events", "/holdings")}"\n'
            "timeout_s = 2\n[retry]\nfirst_s = 0.05\nlast_s = 0.5\n"
        )
        files.append(str(file))
    common = "batch = 20\n[retry]\nfirst_s = 0.05\nlast_s = 0.5\n"
    for name, place in (
        ("stream", f'kind = "redis"\nurl = "{redis.url}"\nstream = "feed"\ntimeout_s = 2'),
        ("exchange", f'kind = "files"\nfolder = "{exchange}"\ngather_s = 0.2'),
    ):
        file = folder / f"{name}.toml"
        file.write_text(f'name = "{name}"\n[transport]\n{place}\n{common}')
        files.append(str(file))
    return ",".join(files)


def test_whatever_dies_every_system_comes_to_know_everything(
    tmp_path: Path, seed: int, systems: list[System], redis: RedisServer
) -> None:
    moments, data, exchange = random.Random(seed), tmp_path / "data", tmp_path / "exchange"
    exchange.mkdir()
    settings = ("node.homed=88.118", f"feeds.profiles={profiles(tmp_path, systems, redis, exchange)}")
    node = RunningNode(data, *settings, workers=1)
    try:
        node.until_whole()
        node.call("POST", "/api/v1/registrants", {"code": "R-1", "name": "许昌变压器厂"})
        node.call("POST", "/api/v1/prefixes", {"name": PREFIX, "registrant": "R-1"})
        writer = Writer(data, random.Random(seed + 1))
        writer.start()
        try:
            victims = ["adapters", "registry", "supervisor", "pages", "worker-1", "platform", "brain", "redis"] * KILLS_OF_EACH
            moments.shuffle(victims)
            for victim in victims:
                wait_for_some(writer, moments.randrange(5, 40))
                systems[0].misbehave(*moments.sample(("500", "hang", "close", "half", "babble"), 1))
                if victim == "supervisor":
                    node.destroy()
                    node = RunningNode(data, *settings, workers=1)
                elif victim in ("platform", "brain", "redis"):
                    system = redis if victim == "redis" else systems[victim == "brain"]
                    system.kill()
                    wait_for_some(writer, moments.randrange(3))
                    system.start()
                elif victim == "pages":
                    kill_pages(node)
                else:
                    node.kill(victim)
        finally:
            writer.stop()
        node.until_whole()
        versions = registered(node)
        assert len(versions) > NAMES / 4, "too little was written to prove anything"
        for system in systems:
            node.until(partial(knows_all, system, versions))
        node.until(lambda: told_by_stream(redis) == versions)
        node.until(lambda: told_by_files(exchange) == versions)
        for feed in node.call("GET", "/api/v1/feeds").json()["feeds"]:
            assert feed["letters"] == 0
            reconciled = node.run("feed", "reconcile", str(tmp_path / f"{feed['name']}.toml"), "--json")
            assert reconciled.returncode == 0, (feed["name"], reconciled.stdout, reconciled.stderr)
            assert sum(bucket["there"] for bucket in json.loads(reconciled.stdout)) >= len(versions)
        for name in ("platform", "brain"):
            check_order(tmp_path / name / "journal")
        assert node.end() == 0
        assert run_biaojie("verify", "--data", str(data)).returncode == 0
    finally:
        node.destroy()


def kill_pages(node: RunningNode) -> None:
    """End the process beside the registry that makes pages of changes; there is one as long as feeds ask."""

    def is_killed() -> bool:
        registry = node.child("registry")["pid"]
        try:
            (pages,) = Path(f"/proc/{registry}/task/{registry}/children").read_text().split()
        except (OSError, ValueError):
            return False  # one of the two is between two lives
        os.kill(int(pages), signal.SIGKILL)
        return True

    node.until(is_killed)


def wait_for_some(writer: Writer, count: int) -> None:
    """Until so many more registrations are acknowledged: moments are counted in what was done, not in seconds."""
    until = writer.acknowledged + count
    deadline = time.monotonic() + PATIENCE_S
    while writer.acknowledged < until:
        assert time.monotonic() < deadline, "nothing is registered any more"
        time.sleep(0.005)


def registered(node: RunningNode) -> dict[str, int]:
    """Every identifier with its version, as the node has them."""
    page: Any = node.call("GET", f"/api/v1/identifiers?prefix={PREFIX}&limit=1000").json()
    return {record["identifier"]: record["version"] for record in page["identifiers"]}


def knows_all(system: System, versions: dict[str, int]) -> bool:
    return versions == {subject: version for subject, (version, _) in system.state()["subjects"].items()}


def newest(events: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for event in events:
        found[event["subject"]] = max(event["rowversion"], found.get(event["subject"], 0))
    return found


def told_by_stream(redis: RedisServer) -> dict[str, int]:
    with Redis.from_url(redis.url) as client:
        entries: Any = client.xrange("feed")
        return newest(json.loads(fields[b"event"]) for _, fields in entries)


def told_by_files(folder: Path) -> dict[str, int]:
    manifests = [json.loads(path.read_text()) for path in sorted(folder.glob(f"*{MANIFEST_SUFFIX}"))]
    return newest(event for each in manifests for event in parse_file(each, (folder / each["file"]).read_bytes()))


def check_order(journal: Path) -> None:
    """The journal has each event once, as it came first: of every subject in the order of its versions."""
    seen: dict[str, list[int]] = {}
    for line in journal.read_text().splitlines():
        event = json.loads(line)
        seen.setdefault(event["subject"], []).append(event["rowversion"])
    for subject, versions in seen.items():
        assert all(older < newer for older, newer in pairwise(versions)), (subject, versions)
