"""Programs that are started: what is said of one that does not do what it should, and how it ends."""

import os
import signal
import sys
from pathlib import Path

import pytest

from node.started import NotReady, Started, StartedNode, Surroundings, serving


def test_a_node_that_ends_before_it_is_ready_is_told_with_its_last_words(tmp_path: Path) -> None:
    node = StartedNode([sys.executable, "-c", "print('no room')"], tmp_path / "data", tmp_path / "log", Surroundings())
    with pytest.raises(NotReady, match="no room"):
        node.until_ready()


def test_a_program_gets_its_folder_and_its_variables(tmp_path: Path) -> None:
    within = Surroundings({"WORD": "given"}, tmp_path)
    started = Started(["/bin/sh", "-c", 'pwd; echo "$WORD"'], tmp_path / "log", within)
    assert started.process.wait() == 0
    assert started.log_text() == f"{tmp_path}\ngiven\n"


@pytest.mark.parametrize(("group", "leads"), [(0, True), (None, False)])
def test_a_program_is_in_the_group_that_is_wanted_and_ends_by_the_signal(
    tmp_path: Path, group: int | None, leads: bool
) -> None:
    started = Started(["sleep", "60"], tmp_path / "log", Surroundings(group=group))
    assert (os.getpgid(started.process.pid) == started.process.pid) is leads
    assert started.end(signal.SIGKILL) == -signal.SIGKILL


def test_every_port_of_a_node_is_picked_by_itself_unless_a_setting_says_otherwise() -> None:
    command = serving(Path("data"), "resolver.http_port=8080", workers=1)
    assert command.index("resolver.http_port=0") < command.index("resolver.http_port=8080")
    assert "--sample" not in command
