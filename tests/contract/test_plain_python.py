"""What holds where hot functions are compiled holds for plain Python, too: the same suites, run once more in that way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proto import compiled
from tests.support.ways import both_ways

ROOT = Path(__file__).resolve().parent.parent.parent
# All that goes through functions that are there twice; both ways of each are compared elsewhere, with more input.
SUITES = {
    "unit": ("test_packing", "test_service", "test_together", "test_tallies", "test_http2_connection", "test_feed_events"),
    "property": ("test_ways_properties", "test_grpc_properties", "test_handle_properties", "test_http_path_properties"),
    "contract/rest": ("test_rest_pages",),
    "contract/http": ("test_http_answers", "test_http_kept", "test_http_two_paths", "test_http_turns"),
    "contract/grpc": ("test_grpc_batches",),
    "contract/handle": ("test_handle_udp",),
    "fuzz": ("test_http_fuzz", "test_http2_fuzz"),
}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_suites_hold_for_plain_python() -> None:
    both_ways("proto.packed_messages", "compose_public_response")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow"]
    command += [f"tests/{folder}/{name}.py" for folder, names in SUITES.items() for name in names]
    environment = os.environ | {compiled.PURE_VARIABLE: "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4_000:]
