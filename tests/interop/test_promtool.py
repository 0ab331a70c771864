"""promtool, Prometheus' own judge, has nothing to say against the metrics of a running node."""

import subprocess

import pytest

from tests.support.machine import need_program
from tests.support.node import RunningNode

pytestmark = pytest.mark.slow


def test_promtool_finds_nothing_wrong(node: RunningNode) -> None:
    promtool = need_program("promtool", "prometheus")
    for _ in range(3):
        assert node.resolve("88.118.1/LOAD0000042").status == 200
    page = node.fetch("/metrics")
    assert page.headers["Content-Type"].startswith("text/plain; version=")
    checked = subprocess.run([promtool, "check", "metrics"], input=page.body, capture_output=True, timeout=30, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
