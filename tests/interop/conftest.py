"""One running node for all foreign clients: it homes 88.118.1 and holds what the recordings ask for, and odd names."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.interop.handle_replay import registrations
from tests.support.node import RunningNode

HOMED = "88.118.1"

# What identifiers may look like, to clients that take them for paths.
ODD_SUFFIXES = (
    "a/b", "a//b", "/a", "a/", "a%2Fb", "50%", "a b", "a+b", "a&b=c;d", "a?b", "a#b", "a\\b", "a.b", "..", "../a", "a/../b",
    "./a", "a/./b", "变压器/S20-M-630", "ü", "'quoted'", '"quoted"', "{a}", "[1-3]", "~a", "a:b@c", "a,b",
)  # fmt: skip


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path_factory.mktemp("node") / "data", f"node.homed={HOMED}")
    try:
        running.until_ready()
        for identifier, values in {**registrations(), **odd_records()}.items():
            reply = running.call("PUT", f"/api/v1/identifiers/{quote(identifier, safe='')}", {"values": values})
            assert reply.status == 201, f"{identifier}: {reply.text}"
        yield running
    finally:
        running.destroy()


def odd_records() -> dict[str, list[dict[str, object]]]:
    """Records whose only value says whose it is."""
    return {
        identifier: [{"index": 1, "type": "NOTE", "data": {"format": "string", "value": identifier}}]
        for identifier in (f"{HOMED}/{suffix}" for suffix in ODD_SUFFIXES)
    }
