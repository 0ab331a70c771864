"""A large import whose client and node are killed at random on the way: every row once, and the result says so."""

import csv
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import DEADLINE_S, RunningNode, biaojie, is_alive, run_biaojie

ROWS = 100_000
# An import of that size, or going through all that it left, on a machine that has other things to do.
LIMIT_S = 5 * DEADLINE_S
PREFIX = "88.118.1002"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("BIAOJIE_TEST_SEED") or random.randrange(2**32))
    print(f"seed {seed}: set BIAOJIE_TEST_SEED to repeat it")
    return random.Random(seed)


def write_table(file: Path, rows: int) -> Path:
    lines = ["identifier,1:URL,2:TITLE,3:SERIAL_NUMBER,4:PRODUCTION_DATE\r\n"]
    lines += [
        f'{PREFIX}/T-{number},https://example.cn/{number},"干式变压器，第{number}号",{number:08},2026-11-23\r\n'
        for number in range(1, rows + 1)
    ]
    file.write_bytes("".join(lines).encode("gb18030"))
    return file


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator["Nodes"]:
    nodes = Nodes(tmp_path / "data")
    yield nodes
    nodes.running.destroy()


class Nodes:
    """One data folder and the node that runs on it now."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.start()

    def start(self) -> None:
        self.running = RunningNode(self._data, sample=True)
        self.running.until_ready()

    def kill(self) -> None:
        """Every process of the tree at once, then another node on the same folder."""
        self.running.destroy()
        self.start()

    def job(self) -> dict[str, Any]:
        """The newest job."""
        jobs = self.running.call("GET", "/api/v1/jobs?limit=1").json()["jobs"]
        return dict(jobs[0]) if jobs else {"rows": 0, "state": "none"}

    def until_rows(self, rows: int) -> None:
        self.running.until(lambda: self.job()["rows"] >= rows)

    def assert_running(self) -> None:
        assert self.job()["state"] == "running", "it was over before it could be disturbed"

    def versions(self) -> dict[str, int]:
        """The version of every identifier below the prefix."""
        found: dict[str, int] = {}
        cursor = ""
        while True:
            path = f"/api/v1/identifiers?prefix={PREFIX}&limit=1000&after={cursor}"
            page = self.running.call("GET", path).json()
            found |= {each["identifier"]: each["version"] for each in page["identifiers"]}
            if not (cursor := page.get("cursor", "")):
                return found


def start_import(node: RunningNode, table: Path) -> "subprocess.Popen[bytes]":
    command = [*biaojie(), "import", str(table), "--prefix", PREFIX, "--data", str(node.data)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_killed_import_comes_to_every_row_once(nodes: Nodes, tmp_path: Path, chance: random.Random) -> None:
    table = write_table(tmp_path / "产品.csv", ROWS)
    points = sorted(chance.uniform(0.1, 0.9) for _ in range(3))
    print("killed at", [f"{point:.0%}" for point in points])

    client = start_import(nodes.running, table)
    nodes.until_rows(int(points[0] * ROWS))
    nodes.assert_running()
    client.kill()
    client.wait()

    nodes.until_rows(int(points[1] * ROWS))
    nodes.assert_running()
    nodes.running.kill("registry")

    nodes.until_rows(int(points[2] * ROWS))
    nodes.assert_running()
    nodes.kill()

    done = nodes.running.run("import", str(table), "--prefix", PREFIX, "--resume", limit_s=LIMIT_S)
    assert done.returncode == 0, done.stderr
    with table.with_name(f"{table.name}.result.csv").open(encoding="utf-8", newline="") as result:
        lines = list(csv.DictReader(result))
    assert [int(line["row"]) for line in lines] == list(range(1, ROWS + 1))
    assert {line["outcome"] for line in lines} == {"created"}
    job = nodes.job()
    assert (job["state"], job["created_rows"], job["rows"]) == ("finished", ROWS, ROWS)
    assert nodes.versions() == {f"{PREFIX}/T-{number}": 1 for number in range(1, ROWS + 1)}
    title = nodes.running.resolve(f"{PREFIX}/T-777", "?type=TITLE").json()["values"][0]["data"]["value"]
    assert title == "干式变压器，第777号"

    again = nodes.running.run("import", str(table), "--prefix", PREFIX, "--resume", limit_s=LIMIT_S)
    assert (again.returncode, nodes.job()["id"]) == (0, job["id"])
    assert nodes.running.end() == 0
    verified = run_biaojie("verify", "--data", str(nodes.running.data), limit_s=LIMIT_S)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_client_waits_for_a_registry_that_is_started_again(nodes: Nodes, tmp_path: Path, chance: random.Random) -> None:
    rows = ROWS // 3
    table = write_table(tmp_path / "rows.csv", rows)
    client = start_import(nodes.running, table)
    for point in sorted(chance.uniform(0.1, 0.9) for _ in range(2)):
        nodes.until_rows(int(point * rows))
        nodes.running.kill("registry")
    assert client.wait(LIMIT_S) == 0
    job = nodes.job()
    assert (job["state"], job["created_rows"], job["rows"]) == ("finished", rows, rows)
    with table.with_name(f"{table.name}.result.csv").open(encoding="utf-8", newline="") as result:
        assert [int(line["row"]) for line in csv.DictReader(result)] == list(range(1, rows + 1))


def planning_processes(registry: int) -> list[int]:
    """The children of the registry."""
    children = Path(f"/proc/{registry}/task/{registry}/children").read_text().split()
    return [int(pid) for pid in children]


def test_planning_processes_that_are_killed_cost_no_row(nodes: Nodes, tmp_path: Path, chance: random.Random) -> None:
    table = write_table(tmp_path / "rows.csv", ROWS)
    client = start_import(nodes.running, table)
    registry = nodes.running.child("registry")["pid"]
    nodes.running.until(lambda: bool(planning_processes(registry)))
    for point in sorted(chance.uniform(0.1, 0.9) for _ in range(3)):
        nodes.until_rows(int(point * ROWS))
        nodes.assert_running()
        # None, if those before were killed before they had begun: the registry then plans for a while itself.
        for pid in planning_processes(registry):
            os.kill(pid, signal.SIGKILL)
    assert client.wait(LIMIT_S) == 0
    job = nodes.job()
    assert (job["state"], job["created_rows"], job["rows"]) == ("finished", ROWS, ROWS)
    assert nodes.running.child("registry")["pid"] == registry
    with table.with_name(f"{table.name}.result.csv").open(encoding="utf-8", newline="") as result:
        assert [int(line["row"]) for line in csv.DictReader(result)] == list(range(1, ROWS + 1))
    log = nodes.running.log_text()
    assert "a chunk is planned again" in log or "a planning process ended by itself" in log


def test_planning_processes_end_with_their_registry(nodes: Nodes, tmp_path: Path) -> None:
    client = start_import(nodes.running, write_table(tmp_path / "rows.csv", ROWS))
    nodes.until_rows(ROWS // 10)
    registry = nodes.running.child("registry")["pid"]
    nodes.running.until(lambda: bool(planning_processes(registry)))
    planning = planning_processes(registry)
    nodes.running.kill("registry")
    nodes.running.until(lambda: not any(map(is_alive, planning)))
    assert client.wait(LIMIT_S) == 0
    assert nodes.job()["created_rows"] == ROWS
