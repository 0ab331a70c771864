"""Demonstrations run to their end and say what they showed, and leave nothing behind, also when they are ended in the middle.

They check by themselves what they say, before they say it.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.started import COMMAND
from tests.support.machine import need_program
from tests.support.node import DEADLINE_S, group_lives, run_biaojie

pytestmark = pytest.mark.slow

# The first sentence that is said when all nodes are up.
ALL_ARE_UP = b"national has the prefix"

# Far beyond the twenty seconds that the longest takes on two cores.
SHOW_LIMIT_S = 240.0
CONCLUSION = "== What this showed"
FEDERATION = {
    "an identifier resolves through national, secondary and enterprise node",
    *(
        f"the transformer leads to its steel (88.118.1002/COIL-7), asked over {protocol}"
        for protocol in ("http", "grpc", "handle", "handle-udp")
    ),
    "what nobody registered is said to be unknown, by the node that must know",
    "what was resolved before is still answered, and marked stale with its age",
    "what was never asked for cannot be answered now, and that is what the answer says",
    "nobody else's identifiers are any worse for it",
    "the secondary node's metrics name the enterprise node that is down",
    "the partner gets the new version",
    "the secondary node's metrics say that the enterprise node is up again",
    "a prefix moves between nodes with one command, and an identifier below it stays what it was",
}
# Twelve of the thirteen systems hold things; the city's brain holds figures of them.
AGREED = "12 reconciled, nothing is missing, nothing different, nothing too much"
CITY = {
    "all 270 rows of the database are registered identifiers",
    f"every system holds what is its own: {AGREED}",
    "the enterprise platform finds 许昌示例变压器有限公司 and its prefix by each other",
    "the city's brain counts 270 identifiers",
    "what vanished from the database is suspended",
    f"after all that every system holds what is its own again: {AGREED}",
    "the brake holds: a table that shrinks by nine tenths takes nothing with it",
    "not one identifier was touched",
}


@pytest.fixture
def demonstration(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One in a process group of its own, that has started all its nodes; what it writes is below `tmp_path`."""
    running = subprocess.Popen(
        [*COMMAND, "demo", "federation"],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        process_group=0,
    )
    try:
        assert running.stdout is not None
        assert any(line.startswith(ALL_ARE_UP) for line in running.stdout)
        yield running
    finally:
        if group_lives(running.pid):
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()


def test_one_that_is_told_to_end_ends_its_nodes_and_removes_its_folder(
    demonstration: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """A closed terminal, `make` and `kill` reach the command alone; again, from who does not want to wait."""
    demonstration.send_signal(signal.SIGHUP)
    demonstration.send_signal(signal.SIGTERM)
    demonstration.communicate(timeout=DEADLINE_S)
    assert demonstration.returncode in {128 + signal.SIGHUP, 128 + signal.SIGTERM}
    assert not group_lives(demonstration.pid)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """For what demonstrations write: PostgreSQL is not root, and could not enter a test's folder."""
    with tempfile.TemporaryDirectory(prefix="biaojie-test-") as folder:
        path = Path(folder)
        path.chmod(0o711)
        yield path


@pytest.mark.timeout(2 * SHOW_LIMIT_S)
@pytest.mark.parametrize(
    ("name", "showed", "programs"),
    [("federation", FEDERATION, {}), ("city", CITY, {"redis-server": "redis-server", "psql": "postgresql"})],
)
def test_it_runs_to_its_end_and_says_in_plain_words_what_it_showed(
    name: str, showed: set[str], programs: dict[str, str], open_folder: Path
) -> None:
    for program, package in programs.items():
        need_program(program, package)
    told = run_biaojie("demo", name, environ={"TMPDIR": str(open_folder)}, limit_s=SHOW_LIMIT_S)
    assert (told.returncode, told.stderr) == (0, ""), told.stdout + told.stderr
    concluded = " ".join(told.stdout.rpartition(CONCLUSION)[2].split())
    assert set(concluded.removeprefix("* ").split(" * ")) == showed
    assert not list(open_folder.iterdir())
