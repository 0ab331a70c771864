"""The image of `deploy/container/`, built on a Debian of our own making: a node in it serves, stops, and serves again."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from node.config import PORT_KEYS
from node.started import StartedNode, Surroundings
from tests.support.podman import FETCH_LIMIT_S, LIMIT_S, Podman, own_podman

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * FETCH_LIMIT_S)]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
BASE: Final = "localhost/debian"
IMAGE: Final = "localhost/biaojie"
USER: Final = 900
DATA: Final = "/var/lib/biaojie"
WORKERS: Final = 2
# Of the sample.
KNOWN: Final = "/api/handles/88.118.1001/SAMPLE-1"
# Below a prefix of the sample.
TOLD: Final = "88.118.1001/in-a-container"


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """One that has the image."""
    with own_podman() as podman:
        podman.make_base(BASE)
        containerfile = str(ROOT / "deploy" / "container" / "Containerfile")
        # Nothing in it needs more than another root directory, and that is to be had also where containers within are not.
        building = ["build", "--format=docker", "--isolation=chroot", "--network=host", f"--build-arg=BASE={BASE}"]
        podman.run(*building, f"--file={containerfile}", f"--tag={IMAGE}", str(ROOT), limit_s=FETCH_LIMIT_S)
        yield podman


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder for the volume."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o700)
    os.chown(folder, USER, USER)
    return folder


def serve(podman: Podman, data: Path) -> StartedNode:
    """As the head of the Containerfile says, with ports that nobody else has."""
    ports = [f"--env=BIAOJIE_{key.replace('.', '__').upper()}=0" for key in PORT_KEYS]
    words = ["--name=biaojie", "--init", "--stop-timeout=30", f"--volume={data}:{DATA}", "--network=host", *ports, IMAGE]
    command = podman.running(*words, "serve", "--data", DATA, "--sample", "--workers", str(WORKERS))
    return StartedNode(command, data, data.with_name("log"), Surroundings())


def inside(podman: Podman, *words: str) -> str:
    return podman.run("exec", "biaojie", *words)


def test_a_node_in_a_container_serves_and_keeps_what_it_was_told(podman: Podman, data: Path) -> None:
    node = serve(podman, data)
    node.until_ready()
    assert node.fetch(KNOWN, "resolver.http_port").json()["responseCode"] == 1
    headers = {"Authorization": f"Bearer {node.token}", "Content-Type": "application/json"}
    body = b'{"values": [{"index": 1, "type": "NOTE", "data": {"format": "string", "value": "kept"}}]}'
    told = node.fetch(f"/api/v1/identifiers/{TOLD}", "registry.http_port", method="PUT", headers=headers, body=body)
    assert told.status == 201, told.text

    podman.run("healthcheck", "run", "biaojie")
    status = inside(podman, "biaojie", "status", "--data", DATA)
    assert re.findall(r"^worker-\d+ .* (\w+) +\[", status, re.MULTILINE) == ["compiled"] * WORKERS
    assert inside(podman, "id", "-u").strip() == str(USER)

    podman.run("stop", "biaojie")
    assert node.process.wait(LIMIT_S) == 0, node.last_words
    again = serve(podman, data)
    again.until_ready()
    kept = again.fetch(f"/api/handles/{TOLD}", "resolver.http_port")
    assert kept.json()["values"][0]["data"]["value"] == "kept"
    assert again.end() == 0, again.last_words


def test_the_image_holds_what_configurations_name_and_no_compiler(podman: Podman) -> None:
    podman.run_once("--network=none", IMAGE, "check", "-c", "/usr/share/biaojie/node.toml")
    shell = ["--network=none", "--entrypoint=sh", IMAGE, "-c"]
    held = podman.run_once(*shell, "cd /usr/share/biaojie && ls profiles sources; command -v cc gcc || true").split()
    shipped = [path.name for folder in ("profiles", "sources") for path in (ROOT / "deploy" / folder).iterdir()]
    assert sorted(held) == sorted(["profiles:", "sources:", *shipped])
