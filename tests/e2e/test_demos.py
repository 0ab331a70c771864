"""Demonstrations leave nothing behind, also when they are ended in the middle. (What they show is checked by themselves.)"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.started import COMMAND
from tests.support.node import DEADLINE_S, group_lives

pytestmark = pytest.mark.slow

# The first sentence that is said when all nodes are up.
ALL_ARE_UP = b"national has the prefix"


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
