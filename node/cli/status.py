"""`biaojie status`: what a running node says of itself."""

import argparse
import http.client
import json
from collections.abc import Iterator
from typing import Any, Final

from node.cli.outcome import DONE, REFUSED, Failed
from node.cli.place import add_place_options, in_url, locate
from node.cli.table import as_json, columns

HELP: Final = "show the state of a running node"

TIMEOUT_S: Final = 10.0
# A tree of some hundred processes, each with a few figures.
MAX_STATUS_BYTES: Final = 1 << 20

_FIXED: Final = ("name", "state", "pid", "restarts", "uptime_s")


def configure(parser: argparse.ArgumentParser) -> None:
    add_place_options(parser, "the node's metrics port (default: the running node's, else 127.0.0.1:9464)")
    parser.add_argument("--json", action="store_true", help="print the state as JSON")


def run(arguments: argparse.Namespace) -> int:
    host, port = locate(arguments, "node.metrics_port")
    document = _fetch(host, port)
    print(as_json(document) if arguments.json else "\n".join(_lines(document)))
    return DONE if document["ready"] else REFUSED


def _fetch(host: str, port: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/status")
        response = connection.getresponse()
        document = json.loads(response.read(MAX_STATUS_BYTES))
        if response.status != http.HTTPStatus.OK or "processes" not in document:
            raise ValueError(f"HTTP status {response.status}")
    except OSError as error:
        raise Failed(f"no node answers at {in_url(host)}:{port}: {error.strerror or error}") from None
    except (ValueError, TypeError, http.client.HTTPException) as error:
        raise Failed(f"what answers at {in_url(host)}:{port} is not a node's metrics port: {error}") from None
    else:
        return dict(document)
    finally:
        connection.close()


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield f"{'ready' if document['ready'] else 'NOT READY'}, up {document['uptime_s']:.0f} s, process {document['pid']}"
    yield f"data     {document['data']}"
    yield f"role     {document['role']} ({document['kind']})"
    opened = [f"{key} {port}" for key, port in document["ports"].items() if port is not None]
    yield f"ports    {', '.join(opened)}"
    yield ""
    figures = sorted({key for process in document["processes"] for key in process} - {*_FIXED, "refusal"})
    rows = [[process.get(head) for head in (*_FIXED, *figures)] for process in document["processes"]]
    yield from columns((*_FIXED, *figures), rows)
    for process in document["processes"]:
        if process.get("refusal"):
            yield f"{process['name']}: {process['refusal']}"
