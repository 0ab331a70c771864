"""An adapter that the node has never heard of: a folder somewhere, a profile that names it, an account with a key."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.federation import create_prefix
from tests.support.gate.fake import Gate
from tests.support.link import Link, State
from tests.support.node import RunningNode, run_biaojie

pytestmark = pytest.mark.slow

STANDS = "system north-gate"
FOLDER = Path(__file__).resolve().parents[1] / "support" / "gate"


FAULTS = (
    "KEYS = ()\ndef read(section, reveal): pass\ndef make(settings, around): raise RuntimeError('out of order')\n",
    """
import asyncio
KEYS = ()
def read(section, reveal): pass
def make(settings, around): return Silent()
class Silent:
    async def run(self): await asyncio.sleep(3600)
    async def close(self): pass
    def describe(self): raise RuntimeError('out of order')
""",
)


@pytest.fixture
def installed(tmp_path: Path) -> Mapping[str, str]:
    """An environment in which the folder is a package `gate`, as if somebody had installed it."""
    place = tmp_path / "installed"
    shutil.copytree(FOLDER, place / "gate")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH", ""))))}


@contextmanager
def serving(gate: Gate) -> Iterator[None]:
    """The gate in a thread of its own."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(gate.serve())

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def write_profile(folder: Path, port: int, token: str, adapter: str = "gate") -> Path:
    file = folder / "gate.toml"
    file.write_text(
        f'name = "north-gate"\nadapter = "{adapter}"\ntoken = "{token}"\n'
        f'[settings]\nhost = "127.0.0.1"\nport = {port}\nevery_s = 0.05\n'
    )
    return file


def test_a_folder_and_a_profile_are_an_adapter(tmp_path: Path, installed: Mapping[str, str]) -> None:
    gate, data = Gate(), tmp_path / "data"
    with serving(gate):
        node = RunningNode(data, "node.homed=88.118", workers=1)
        try:
            node.until_whole()
            made = node.call("POST", "/api/v1/accounts", {"name": "gate", "role": "city"}).json()
            assert node.end() == 0
            link = Link(gate.port)
            profiles = [write_profile(tmp_path, link.port, made["api_key"])]
            # Another one's faults are its own.
            for place, code in enumerate(FAULTS):
                (tmp_path / "installed" / f"faulty_{place}").mkdir()
                (tmp_path / "installed" / f"faulty_{place}" / "adapter.py").write_text(code)
                profiles.append(tmp_path / f"faulty-{place}.toml")
                profiles[-1].write_text(f'name = "faulty-{place}"\nadapter = "faulty_{place}"\ntoken = "x"\n')
            configured = f"systems.profiles={','.join(map(str, profiles))}"
            node = RunningNode(data, configured, workers=1, environ=installed)
            node.until(lambda: gate.prefixes == {"88.118"})
            node.until(lambda: node.child("adapters").get(STANDS) == "standing: the gate knows what it should")

            node.until(lambda: node.child("adapters").get("system faulty-0") == "not at work")
            node.until(lambda: "does not say how it stands" in node.child("adapters").get("system faulty-1", ""))

            link.turn(State.CUT)
            node.until(lambda: "does not answer" in node.child("adapters").get(STANDS, ""))
            create_prefix(node, "88.118.7")
            node.kill("adapters")
            link.turn(State.OPEN)
            node.until(lambda: gate.prefixes == {"88.118", "88.118.7"})

            # An account that is closed lets it do nothing, and the node goes on.
            assert node.call("POST", "/api/v1/accounts/gate/disable").status == 200
            node.until(lambda: "does not let the account" in str(node.child("adapters")))
            create_prefix(node, "88.118.8")
            assert gate.prefixes == {"88.118", "88.118.7"}
            link.close()
            assert node.end() == 0
        finally:
            node.destroy()


def test_every_mistake_of_every_system_is_named_before_anything_starts(tmp_path: Path, installed: Mapping[str, str]) -> None:
    broken = tmp_path / "installed" / "broken"
    broken.mkdir()
    (broken / "adapter.py").write_text("KEYS = ()\nraise RuntimeError('out of order')\n")
    partly = tmp_path / "installed" / "partly"
    partly.mkdir()
    (partly / "adapter.py").write_text("KEYS = ()\n")
    unread = tmp_path / "installed" / "unread"
    unread.mkdir()
    (unread / "adapter.py").write_text("KEYS = ()\ndef read(section, reveal): raise KeyError('host')\ndef make(s, a): pass\n")
    files = {
        "unread": 'name = "u"\nadapter = "unread"\ntoken = "x"\n',
        "absent": 'name = "a"\nadapter = "nowhere.at.all"\ntoken = "x"\n',
        "broken": 'name = "b"\nadapter = "broken"\ntoken = "x"\n',
        "partly": 'name = "c"\nadapter = "partly"\ntoken = "x"\n',
        "path": 'name = "d"\nadapter = "../gate"\ntoken = "x"\n',
        "keyless": 'name = "No Name"\nadapter = "gate"\nstray = 1\n[settings]\nhost = "h"\nport = 0\nstray = 1\n',
    }
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text)
    config = tmp_path / "node.toml"
    config.write_text(f"[systems]\nprofiles = {[str(tmp_path / f'{name}.toml') for name in files]}\n")
    said = run_biaojie("check", "-c", str(config), environ=installed)
    assert said.returncode == 2
    for part in (
        "absent.toml: adapter: nowhere.at.all cannot be used: ModuleNotFoundError",
        "broken.toml: adapter: broken cannot be used: RuntimeError: out of order",
        "unread.toml: settings: the adapter cannot read them: KeyError: 'host'",
        "partly.toml: adapter: partly.adapter has no read, make",
        "path.toml: adapter: the name of a Python package is wanted",
        'keyless.toml: name: "No Name": a name is',
        "keyless.toml: stray: unknown key",
        "keyless.toml: token: it is missing",
        "keyless.toml: settings.port: a number from 1 to 65535",
        "keyless.toml: settings.stray: unknown key",
    ):
        assert part in said.stderr, said.stderr
