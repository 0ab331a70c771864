"""kill -9 of the adapters, the registry, the whole node and the business management system, at random moments, while
enterprises and prefixes are registered and days go by.

In the end the system holds each of them, created once, and one report of each day; the node has each approved, by a history
without a gap: nothing was lost, and nothing was counted twice. That holds also of a system which knows no transaction again,
and answers a repetition by saying that it has that already.
"""

import json
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.business_system import BusinessSystemProcess
from tests.support.filings import counted_once
from tests.support.node import RunningNode, run_biaojie
from tests.support.shifted_clock import ShiftedClock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS_OF_EACH = 2

DAY_S = 86_400


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(2**32)))
    print(f"KILL_SEED={chosen}")
    return chosen


@pytest.fixture(params=[False, True], ids=["remembers", "forgets"])
def system(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[BusinessSystemProcess]:
    running = BusinessSystemProcess(tmp_path / "system", "our secret", forgets=request.param)
    yield running
    running.destroy()


class Writer(threading.Thread):
    """Registers one enterprise with a prefix after the other, in the face of whatever happens to the node."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self.acknowledged = 0
        self._data = data
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            number = self.acknowledged + 1
            try:
                if self._post("registrants", {"code": f"R-{number}", "name": f"企业{number}"}) and self._post(
                    "prefixes", {"name": f"88.118.{number}", "registrant": f"R-{number}"}
                ):
                    self.acknowledged = number
            except (OSError, ValueError):
                pass  # the node is between two lives
            time.sleep(0.05)

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _post(self, noun: str, document: dict[str, str]) -> bool:
        port = json.loads((self._data / "ports.json").read_text())["registry.http_port"]
        token = (self._data / "operator-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v1/{noun}", data=json.dumps(document).encode(), headers=headers, method="POST"
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
                return answer.status in (200, 201)
        except urllib.error.HTTPError as error:
            with error:
                return False


def test_whatever_dies_everything_is_filed_once(tmp_path: Path, seed: int, system: BusinessSystemProcess) -> None:
    moments, data = random.Random(seed), tmp_path / "data"
    settings = ("node.homed=88.118", *system.settings())
    clock = ShiftedClock(tmp_path / "clock")
    node = RunningNode(data, *settings, workers=1, environ=clock.environ)
    try:
        node.until_whole()
        writer = Writer(data)
        writer.start()
        try:
            victims = ["adapters", "registry", "supervisor", "system"] * KILLS_OF_EACH
            moments.shuffle(victims)
            for victim in victims:
                wait_for_some(writer, moments.randrange(1, 5))
                system.misbehave(moments.choice(("close", "half", "drop", "babble", "2400", "2502", "1999", "other-objects")))
                clock.set_ahead(clock.ahead_s + DAY_S)
                if victim == "supervisor":
                    node.destroy()
                    node = RunningNode(data, *settings, workers=1, environ=clock.environ)
                elif victim == "system":
                    system.kill()
                    wait_for_some(writer, moments.randrange(3))
                    system.start()
                else:
                    node.kill(victim)
        finally:
            writer.stop()
        node.until_whole()
        count = writer.acknowledged
        assert count >= KILLS_OF_EACH * 4, "too little was registered to prove anything"
        node.until(lambda: approved(node) >= 2 * count)
        node.kill("adapters")  # its next life asks at once whether a day is over
        node.until(lambda: every_day_told(node, clock.ahead_s // DAY_S))
        state = system.state()
        check_days(node, state["reports"], clock.ahead_s // DAY_S)
        wanted = range(1, count + 1)
        assert {f"R-{number}" for number in wanted} <= state["enterprises"].keys()
        assert {f"88.118.{number}" for number in wanted} <= state["prefixes"].keys()
        assert counted_once(state)
        for filing in filings(node):
            check_history(filing)
        assert node.end() == 0
        assert run_biaojie("verify", "--data", str(data)).returncode == 0
    finally:
        node.destroy()


def wait_for_some(writer: Writer, count: int) -> None:
    """Until so many more enterprises are registered: moments are counted in what was done, not in seconds."""
    until = writer.acknowledged + count
    deadline = time.monotonic() + 120
    while writer.acknowledged < until:
        assert time.monotonic() < deadline, "nothing is registered any more"
        time.sleep(0.005)


def filings(node: RunningNode) -> list[dict[str, Any]]:
    page: dict[str, Any] = node.call("GET", "/api/v1/filings?limit=1000").json()
    found: list[dict[str, Any]] = page["filings"]
    return found


def approved(node: RunningNode) -> int:
    return sum(each["state"] == "approved" and each["kind"] != "statistics" for each in filings(node))


def days_of(node: RunningNode) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in filings(node) if each["kind"] == "statistics"}


def every_day_told(node: RunningNode, passed: int) -> bool:
    days = days_of(node)
    return len(days) > passed and all(each["state"] == "approved" for each in days.values())


def check_days(node: RunningNode, reports: dict[str, dict[str, Any]], passed: int) -> None:
    """One report of each day on both sides, and none left out."""
    days = days_of(node)
    first = date.fromisoformat(min(days))
    assert sorted(days) == [(first + timedelta(number)).isoformat() for number in range(len(days))]
    # Midnight of Shanghai may have passed as well while this ran.
    assert passed < len(days) <= passed + 2
    assert {day: report["created"] for day, report in reports.items()} == dict.fromkeys(days, 1)
    for filing in days.values():
        check_history(filing)


def check_history(filing: dict[str, Any]) -> None:
    """Draft, submitted under one transaction, pending unless the audit overtook it, decided once."""
    states = [step["state"] for step in filing["steps"]]
    if filing["state"] == "approved":
        assert [state for state in states if state != "pending"] == ["draft", "submitted", "approved"], filing
        assert {step["transaction"] for step in filing["steps"][1:]} == {filing["transaction"]}, filing
