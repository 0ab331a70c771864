"""A federation on one machine: a top-level node, a secondary, an enterprise's, and a recursive one that asks them all."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.node import RunningNode

# All of it is on one machine, which is where records of the others lead.
INNER = "upstream.inner_networks=127.0.0.0/8"

TOP, SECONDARY, ENTERPRISE = "99", "99.1", "99.1.7"


@dataclass(frozen=True, slots=True)
class Federation:
    """Four running nodes. Who refers to whom is up to the test."""

    top: RunningNode
    secondary: RunningNode
    enterprise: RunningNode
    recursive: RunningNode


@contextmanager
def federation(folder: Path, *settings: str) -> Iterator[Federation]:
    """A federation that ends with the block; `settings` are the recursive node's."""
    with ExitStack() as stack:

        def start(kind: str, *more: str) -> RunningNode:
            node = RunningNode(folder / kind, f"node.kind={kind}", *more, workers=1)
            stack.callback(node.destroy)
            return node

        nodes = [start("top-level", f"node.homed={TOP}"), start("secondary", f"node.homed={SECONDARY}")]
        nodes.append(start("enterprise", f"node.homed={ENTERPRISE}"))
        nodes[0].until_ready()
        nodes.append(start("recursive", f"upstream.handle=127.0.0.1:{handle_port(nodes[0])}", INNER, *settings))
        for node in nodes:
            node.until_ready()
        yield Federation(*nodes)


def handle_port(node: RunningNode) -> int:
    """Where a node's Handle listener is."""
    port: int = node.ports["resolver.handle_port"]
    return port


def site_of(node: RunningNode) -> dict[str, Any]:
    """The site of a node as the Handle JSON API writes it."""
    interfaces = [{"query": True, "admin": False, "protocol": "TCP", "port": handle_port(node)}]
    server = {"serverId": 1, "address": "127.0.0.1", "interfaces": interfaces}
    return {"version": 1, "protocolVersion": "2.10", "serialNumber": 1, "primarySite": True, "servers": [server]}


def site_value(node: RunningNode, kind: str = "HS_SITE", index: int = 1) -> dict[str, Any]:
    return {"index": index, "type": kind, "data": {"format": "site", "value": site_of(node)}}


def text_value(kind: str, text: str, index: int = 1) -> dict[str, Any]:
    return {"index": index, "type": kind, "data": {"format": "string", "value": text}}


def register(node: RunningNode, identifier: str, *values: dict[str, Any]) -> None:
    """Register a record, or replace it."""
    reply = node.call("PUT", f"/api/v1/identifiers/{identifier}", {"values": list(values)})
    assert reply.status in (200, 201), reply.text


def create_prefix(node: RunningNode, name: str) -> None:
    """Create a prefix of the node's own."""
    reply = node.call("POST", "/api/v1/prefixes", {"name": name})
    assert reply.status == 201, reply.text
