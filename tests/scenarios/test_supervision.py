"""The supervisor over stand-in children: restarts, refusal, drain, silence, orphans.

The children are real processes with a part that does nothing but what its name is told to do, so that every way of failing can
be had on demand; the real children are in `tests/e2e`.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0

# A child that reads how to behave from the file BEHAVIOUR/<name>, at every start.
CHILD = """
import asyncio, os, sys, time
from pathlib import Path
from node.part import RefusesToStart, run_part

class Stand:
    def __init__(self, assignment, announce):
        behaviour = Path(os.environ["BEHAVIOUR"]) / assignment.name
        self.act = behaviour.read_text() if behaviour.exists() else "serve"
        self.announce = announce
    async def run(self):
        if self.act == "refuse":
            raise RefusesToStart("the data is older than the oldest")
        if self.act == "crash":
            raise RuntimeError("by request")
        if self.act == "never":
            await asyncio.Event().wait()
        self.announce(True)
        if self.act == "block":
            time.sleep(3600)
        await asyncio.Event().wait()
    async def stop(self, grace_s):
        if self.act == "linger":
            await asyncio.sleep(3600)
    def describe(self):
        return {"act": self.act}

sys.exit(run_part(Stand))
"""

DRIVER = """
import asyncio, os, sys
from pathlib import Path
from node.folder import DataFolder
from node.logs import configure_logs
from node.sources import load_config

config = load_config(None, [tuple(word.split("=", 1)) for word in sys.argv[2:]], {})
configure_logs("node", config.node.log_level, config.node.log_format)
folder = DataFolder(Path(sys.argv[1]))
folder.acquire()
folder.clear_run()
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder.metrics)
import node.child
node.child.SILENCE_S = 3.0
from node.supervisor import Supervisor
import node.supervisor
node.supervisor.WATCH_S = 0.2
programs = {"registry": "stand_in", "worker": "stand_in"}

async def serve():
    return await Supervisor(config, folder, programs=programs, on_ready=lambda _: print("READY", flush=True)).run()

sys.exit(asyncio.run(serve()))
"""


class Tree:
    """A running supervisor with stand-ins."""

    def __init__(self, folder: Path, *settings: str, **behaviour: str) -> None:
        self.data = folder / "data"
        self.behaviour = folder / "behaviour"
        self.behaviour.mkdir(exist_ok=True)
        (folder / "stand_in.py").write_text(CHILD)
        for name, act in behaviour.items():
            self.behave(name.replace("_", "-"), act)
        ports = [
            f"{key}=0" for key in ("resolver.http_port", "resolver.handle_port", "resolver.grpc_port", "registry.http_port")
        ]
        ports += ["registry.grpc_port=0", "node.metrics_port=0", "resolver.workers=2", "node.drain_s=2"]
        self.log = folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(self.data), *ports, *settings],
                stdout=log,
                stderr=log,
                env=os.environ | {"BEHAVIOUR": str(self.behaviour), "PYTHONPATH": f"{ROOT}:{folder}"},
                start_new_session=True,
            )

    def behave(self, name: str, act: str) -> None:
        (self.behaviour / name).write_text(act)

    def fetch(self, path: str) -> tuple[int, str]:
        port = json.loads((self.data / "ports.json").read_text())["node.metrics_port"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def child(self, name: str) -> dict[str, Any]:
        document = json.loads(self.fetch("/status")[1])
        return next(process for process in document["processes"] if process["name"] == name)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                if holds():
                    return
            except (OSError, json.JSONDecodeError):
                pass
            time.sleep(0.02)
        pytest.fail(f"it did not come to pass; the log says:\n{self.log.read_text()[-4000:]}")

    def until_ready(self) -> None:
        self.until(lambda: self.fetch("/readyz")[0] == 200)

    def pids(self) -> list[int]:
        return [process["pid"] for process in json.loads(self.fetch("/status")[1])["processes"]]

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Tree]]:
    trees: list[Tree] = []

    def begin(*settings: str, **behaviour: str) -> Tree:
        trees.append(Tree(tmp_path, *settings, **behaviour))
        return trees[-1]

    yield begin
    for tree in trees:
        tree.process.kill()
        tree.process.wait()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_is_ready_with_its_children_and_drains_when_told(start: Callable[..., Tree]) -> None:
    tree = start()
    tree.until_ready()
    pids = tree.pids()
    assert len(pids) == 3
    assert tree.fetch("/healthz")[0] == 200
    assert tree.fetch("/nowhere")[0] == 404
    assert tree.end() == 0
    assert not any(map(is_alive, pids))
    assert not (tree.data / "ports.json").exists()


@pytest.mark.parametrize("name", ["registry", "worker-1"])
def test_a_killed_child_is_started_again(start: Callable[..., Tree], name: str) -> None:
    tree = start()
    tree.until_ready()
    killed = tree.child(name)["pid"]
    os.kill(killed, signal.SIGKILL)
    tree.until(lambda: tree.child(name)["restarts"] == 1 and tree.child(name)["state"] == "ready")
    assert tree.child(name)["pid"] != killed
    kind = name.partition("-")[0]
    assert f'biaojie_process_restarts_total{{process="{kind}"}} 1.0' in tree.fetch("/metrics")[1]


def test_readiness_needs_the_registry_and_one_worker(start: Callable[..., Tree]) -> None:
    tree = start(worker_2="never")
    tree.until_ready()
    tree.behave("registry", "crash")
    os.kill(tree.child("registry")["pid"], signal.SIGKILL)
    tree.until(lambda: tree.fetch("/readyz")[0] == 503)
    assert tree.child("worker-1")["state"] == "ready"
    tree.behave("registry", "serve")
    tree.until_ready()
    tree.behave("worker-1", "never")
    os.kill(tree.child("worker-1")["pid"], signal.SIGKILL)
    tree.until(lambda: tree.fetch("/readyz")[0] == 503 and tree.child("registry")["state"] == "ready")


def test_a_registry_that_refuses_from_the_start_ends_the_node_and_says_why(start: Callable[..., Tree]) -> None:
    tree = start(registry="refuse")
    assert tree.process.wait(DEADLINE_S) == 1
    assert "the data is older than the oldest" in tree.log.read_text()


def test_a_registry_that_refuses_later_leaves_the_workers_answering(start: Callable[..., Tree]) -> None:
    tree = start()
    tree.until_ready()
    tree.behave("registry", "refuse")
    os.kill(tree.child("registry")["pid"], signal.SIGKILL)
    tree.until(lambda: tree.child("registry")["refusal"] == "the data is older than the oldest")
    assert tree.child("worker-1")["state"] == "ready"
    assert tree.process.poll() is None


def test_workers_begin_without_a_registry_that_cannot_start(start: Callable[..., Tree]) -> None:
    tree = start(registry="crash")
    tree.until(lambda: tree.child("worker-1")["state"] == "ready")
    assert tree.fetch("/readyz")[0] == 503


def test_a_child_that_does_not_drain_is_killed_in_the_end(start: Callable[..., Tree]) -> None:
    tree = start(worker_1="linger")
    tree.until_ready()
    pids = tree.pids()
    assert tree.end() == 0
    assert "killing children that did not finish in time" in tree.log.read_text()
    assert not any(map(is_alive, pids))


def test_a_second_signal_does_not_wait(start: Callable[..., Tree]) -> None:
    tree = start("node.drain_s=600", worker_1="linger")
    tree.until_ready()
    tree.process.send_signal(signal.SIGINT)
    tree.until(lambda: tree.child("worker-1")["state"] == "draining")
    tree.process.send_signal(signal.SIGINT)
    tree.process.wait(DEADLINE_S)


@pytest.mark.parametrize("act", ["serve", "block"])
def test_children_of_a_killed_supervisor_end_even_when_stuck(start: Callable[..., Tree], act: str) -> None:
    tree = start(worker_1=act)
    tree.until(lambda: all(tree.pids()) and tree.child("worker-1")["state"] == "ready")
    pids = tree.pids()
    tree.process.kill()
    tree.process.wait()
    tree.until(lambda: not any(map(is_alive, pids)))


def test_a_child_that_falls_silent_is_killed_and_started_again(start: Callable[..., Tree]) -> None:
    tree = start(worker_1="block")
    tree.until(lambda: tree.child("worker-1")["state"] == "ready")
    tree.behave("worker-1", "serve")
    tree.until(lambda: tree.child("worker-1")["restarts"] == 1 and tree.child("worker-1")["state"] == "ready")
    assert "has fallen silent" in tree.log.read_text()


def test_a_second_node_on_the_same_folder_is_refused_at_once(start: Callable[..., Tree]) -> None:
    first = start()
    first.until_ready()
    second = start()
    assert second.process.wait(DEADLINE_S) != 0
    assert "is in use by another node" in second.log.read_text()
    assert first.fetch("/readyz")[0] == 200


def test_a_node_starts_again_right_after_it_was_killed(start: Callable[..., Tree]) -> None:
    first = start()
    first.until_ready()
    settings = [f"{key}={port}" for key, port in json.loads((first.data / "ports.json").read_text()).items() if "port" in key]
    first.process.kill()
    first.process.wait()
    second = start(*settings)
    second.until_ready()
    assert second.end() == 0


def test_a_port_of_another_node_is_refused_although_it_could_be_shared(start: Callable[..., Tree], tmp_path: Path) -> None:
    first = start()
    first.until_ready()
    taken = json.loads((first.data / "ports.json").read_text())["resolver.handle_port"]
    (tmp_path / "other").mkdir()
    other = Tree(tmp_path / "other", f"resolver.handle_port={taken}")
    assert other.process.wait(DEADLINE_S) != 0
    assert f"resolver.handle_port: 127.0.0.1 port {taken}: Address already in use" in other.log.read_text()


def test_ctrl_c_of_the_whole_group_is_the_supervisors_alone_to_hear(start: Callable[..., Tree]) -> None:
    tree = start()
    tree.until(lambda: all(tree.pids()))
    os.killpg(tree.process.pid, signal.SIGINT)
    assert tree.process.wait(DEADLINE_S) == 0
    assert "KeyboardInterrupt" not in tree.log.read_text()


def test_the_supervisor_stays_small(start: Callable[..., Tree]) -> None:
    tree = start()
    tree.until_ready()
    assert tree.fetch("/metrics")[0] == 200
    status = Path(f"/proc/{tree.process.pid}/status").read_text()
    resident_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])
    assert resident_kb < 60_000
    maps = Path(f"/proc/{tree.process.pid}/maps").read_text()
    assert not any(name in maps for name in ("grpc", "rocksdict", "uvloop"))
