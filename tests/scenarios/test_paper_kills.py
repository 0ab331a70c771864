"""kill -9 of the registry at random moments while papers are given and erased, one after the other.

What was acknowledged is there after the next start, what was not is there whole or not at all, and no file is left that nobody
names: what was erased is erased whatever died.
"""

import json
import os
import random
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import RunningNode
from tests.support.papers import KEY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = 6
PATH = "/api/v1/registrants/R-1/papers"


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(2**32)))
    print(f"KILL_SEED={chosen}")
    return chosen


class Giver(threading.Thread):
    """Gives a contact of the next number, or erases it every fourth time; tries the same again until it is acknowledged."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self.acknowledged = 0
        self._data = data
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                call(self._data, "PATCH", {"contact": contact_of(self.acknowledged + 1)})
                self.acknowledged += 1
            except (OSError, ValueError):
                time.sleep(0.01)  # the registry is between two lives

    def has(self, wanted: int) -> bool:
        return self.acknowledged >= wanted

    def stop(self) -> None:
        self._over.set()
        self.join()


def contact_of(number: int) -> dict[str, str] | None:
    return None if number % 4 == 0 else {"name": f"某人{number}", "email": "", "phone": ""}


def call(data: Path, method: str, document: Any = None) -> Any:
    port = json.loads((data / "ports.json").read_text())["registry.http_port"]
    token = (data / "operator-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps(document).encode() if document is not None else None
    request = urllib.request.Request(f"http://127.0.0.1:{port}{PATH}", data=body, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def renew(node: RunningNode) -> None:
    """Kill the registry, and wait until its next life answers."""
    pid = node.kill("registry")
    node.until(lambda: node.child("registry")["pid"] not in (None, pid) and "contact" in call(node.data, "GET"))


def test_papers_outlive_kills_and_erased_ones_do_not(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    node = RunningNode(tmp_path / "data", "node.homed=88.118", f"node.seal_key={KEY.hex()}", workers=1)
    try:
        node.until_whole()
        node.call("POST", "/api/v1/registrants", {"code": "R-1", "name": "许昌变压器厂"})
        giver = Giver(node.data)
        giver.start()
        try:
            for kill in range(KILLS):
                wanted = giver.acknowledged + 4
                node.until(partial(giver.has, wanted))
                time.sleep(chance.uniform(0, 0.05))
                renew(node)
                print(f"kill {kill} after {giver.acknowledged}")
        finally:
            giver.stop()
        last = giver.acknowledged
        assert last > 4 * KILLS
        # Of the last one it is not known whether it was written: it was tried when the thread was told to stop.
        assert call(node.data, "GET")["contact"] in (contact_of(last), contact_of(last + 1))
        # A registry that was killed after a row and before the file's removal: its next start removes it.
        renew(node)
        kept = list((node.data / "papers").iterdir())
        assert len(kept) == (call(node.data, "GET")["contact"] is not None)
        call(node.data, "PATCH", {"contact": None})
        assert list((node.data / "papers").iterdir()) == []
    finally:
        node.destroy()
