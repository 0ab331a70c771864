"""The supervisor over stand-in children: restarts, refusal, drain, silence, orphans.

The children are real processes with a part that does nothing but what its name is told to do, so that every way of failing can
be had on demand; the real children are in `tests/e2e`.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.config import PORT_KEYS
from tests.support.node import DEADLINE_S, ProcessTree, is_alive

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

# A child that reads how to behave from the file BEHAVIOUR/<name>, at every start.
CHILD = """
import asyncio, os, sys, time
from pathlib import Path
from node.metrics import build_metrics
from node.part import RefusesToStart, run_part

class Stand:
    def __init__(self, assignment, announce):
        build_metrics().jobs.labels("finished").inc()  # one a life
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
from node.cli.serve import reserve_ports
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
    return await Supervisor(config, folder, reserve_ports(config), programs=programs).run()

sys.exit(asyncio.run(serve()))
"""


class Tree(ProcessTree):
    """A running supervisor with stand-ins."""

    def __init__(self, folder: Path, *settings: str, **behaviour: str) -> None:
        self.behaviour = folder / "behaviour"
        self.behaviour.mkdir(exist_ok=True)
        (folder / "stand_in.py").write_text(CHILD)
        for name, act in behaviour.items():
            self.behave(name.replace("_", "-"), act)
        data = folder / "data"
        ports = [f"{key}=0" for key in PORT_KEYS]
        command = [sys.executable, "-c", DRIVER, str(data), *ports, "resolver.workers=2", "node.drain_s=2", *settings]
        environ = {"BEHAVIOUR": str(self.behaviour), "PYTHONPATH": f"{ROOT}:{folder}"}
        super().__init__(command, data, folder / "log", environ)

    def behave(self, name: str, act: str) -> None:
        (self.behaviour / name).write_text(act)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Tree]]:
    trees: list[Tree] = []

    def begin(*settings: str, **behaviour: str) -> Tree:
        trees.append(Tree(tmp_path, *settings, **behaviour))
        return trees[-1]

    yield begin
    for tree in trees:
        tree.destroy()


def test_it_is_ready_with_its_children_and_drains_when_told(start: Callable[..., Tree]) -> None:
    tree = start()
    tree.until_ready()
    pids = tree.pids()
    assert len(pids) == 3
    assert tree.fetch("/healthz").status == 200
    assert tree.fetch("/nowhere").status == 404
    assert tree.end() == 0
    assert not any(map(is_alive, pids))
    assert not (tree.data / "ports.json").exists()


@pytest.mark.parametrize("name", ["registry", "worker-1"])
def test_a_killed_child_is_started_again(start: Callable[..., Tree], name: str) -> None:
    tree = start()
    tree.until_ready()
    killed = tree.kill(name)
    tree.until(lambda: tree.child(name)["restarts"] == 1 and tree.child(name)["state"] == "ready")
    assert tree.child(name)["pid"] != killed
    kind = name.partition("-")[0]
    assert f'biaojie_process_restarts_total{{process="{kind}"}} 1.0' in tree.fetch("/metrics").text


def test_figures_outlive_their_process_and_files_do_not_grow_with_restarts(start: Callable[..., Tree]) -> None:
    tree = start()
    tree.until(lambda: [process["state"] for process in tree.status()["processes"]] == ["ready"] * 3)
    for restarts in (1, 2):
        kill_and_await(tree, "worker-1")
        lives = 3 + restarts
        assert f'biaojie_jobs_total{{outcome="finished"}} {lives}.0' in tree.fetch("/metrics").text
    names = {file.stem.rpartition("_")[2] for file in (tree.data / "run" / "prometheus").iterdir()}
    assert names == {"node", "registry", "worker-1", "worker-2"}


def kill_and_await(tree: Tree, name: str) -> None:
    """Kill a child and wait for its next life to be ready."""
    killed = tree.kill(name)

    def is_replaced() -> bool:
        child = tree.child(name)
        return bool(child["state"] == "ready" and child["pid"] != killed)

    tree.until(is_replaced)


def test_readiness_needs_the_registry_and_one_worker(start: Callable[..., Tree]) -> None:
    tree = start(worker_2="never")
    tree.until_ready()
    tree.behave("registry", "crash")
    tree.kill("registry")
    tree.until(lambda: tree.fetch("/readyz").status == 503)
    assert tree.child("worker-1")["state"] == "ready"
    tree.behave("registry", "serve")
    tree.until_ready()
    tree.behave("worker-1", "never")
    tree.kill("worker-1")
    tree.until(lambda: tree.fetch("/readyz").status == 503 and tree.child("registry")["state"] == "ready")


def test_a_registry_that_refuses_from_the_start_ends_the_node_and_says_why(start: Callable[..., Tree]) -> None:
    tree = start(registry="refuse")
    assert tree.process.wait(DEADLINE_S) == 1
    assert "the data is older than the oldest" in tree.log_text()


def test_a_registry_that_refuses_later_leaves_the_workers_answering(start: Callable[..., Tree]) -> None:
    tree = start()
    tree.until_ready()
    tree.behave("registry", "refuse")
    tree.kill("registry")
    tree.until(lambda: tree.child("registry")["refusal"] == "the data is older than the oldest")
    assert tree.child("worker-1")["state"] == "ready"
    assert tree.process.poll() is None


def test_workers_begin_without_a_registry_that_cannot_start(start: Callable[..., Tree]) -> None:
    tree = start(registry="crash")
    tree.until(lambda: tree.child("worker-1")["state"] == "ready")
    assert tree.fetch("/readyz").status == 503


def test_a_child_that_does_not_drain_is_killed_in_the_end(start: Callable[..., Tree]) -> None:
    tree = start(worker_1="linger")
    tree.until(lambda: tree.child("worker-1")["state"] == "ready")
    pids = tree.pids()
    assert tree.end() == 0
    assert "killing children that did not finish in time" in tree.log_text()
    assert not any(map(is_alive, pids))


def test_a_second_signal_does_not_wait(start: Callable[..., Tree]) -> None:
    tree = start("node.drain_s=600", worker_1="linger")
    tree.until(lambda: tree.child("worker-1")["state"] == "ready")
    tree.process.send_signal(signal.SIGINT)
    tree.until(lambda: tree.child("worker-1")["state"] == "draining")
    tree.process.send_signal(signal.SIGINT)
    tree.process.wait(DEADLINE_S)


@pytest.mark.parametrize("act", ["serve", "block"])
def test_children_of_a_killed_supervisor_end_even_when_stuck(start: Callable[..., Tree], act: str) -> None:
    tree = start(worker_1=act)
    tree.until(lambda: len(tree.pids()) == 3 and tree.child("worker-1")["state"] == "ready")
    pids = tree.pids()
    tree.process.kill()
    tree.process.wait()
    tree.until(lambda: not any(map(is_alive, pids)))


def test_a_child_that_falls_silent_is_killed_and_started_again(start: Callable[..., Tree]) -> None:
    tree = start(worker_1="block")
    tree.until(lambda: tree.child("worker-1")["state"] == "ready")
    tree.behave("worker-1", "serve")
    tree.until(lambda: tree.child("worker-1")["restarts"] == 1 and tree.child("worker-1")["state"] == "ready")
    assert "has fallen silent" in tree.log_text()


def test_a_second_node_on_the_same_folder_is_refused_at_once(start: Callable[..., Tree]) -> None:
    first = start()
    first.until_ready()
    second = start()
    assert second.process.wait(DEADLINE_S) != 0
    assert "is in use by another node" in second.log_text()
    assert first.fetch("/readyz").status == 200


def test_a_node_starts_again_right_after_it_was_killed(start: Callable[..., Tree]) -> None:
    first = start()
    first.until_ready()
    settings = [f"{key}={port}" for key, port in first.ports.items() if "port" in key]
    first.process.kill()
    first.process.wait()
    second = start(*settings)
    second.until_ready()
    assert second.end() == 0


def test_a_port_of_another_node_is_refused_although_it_could_be_shared(start: Callable[..., Tree], tmp_path: Path) -> None:
    first = start()
    first.until_ready()
    taken = first.ports["resolver.handle_port"]
    (tmp_path / "other").mkdir()
    other = Tree(tmp_path / "other", f"resolver.handle_port={taken}")
    assert other.process.wait(DEADLINE_S) != 0
    assert f"resolver.handle_port: 127.0.0.1 port {taken}: Address already in use" in other.log_text()


def test_ctrl_c_of_the_whole_group_is_the_supervisors_alone_to_hear(start: Callable[..., Tree]) -> None:
    tree = start()
    tree.until(lambda: len(tree.pids()) == 3)
    os.killpg(tree.process.pid, signal.SIGINT)
    assert tree.process.wait(DEADLINE_S) == 0
    assert "KeyboardInterrupt" not in tree.log_text()
