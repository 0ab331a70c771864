"""`biaojie serve`: the whole node in the foreground."""

import argparse
import asyncio
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.cli.configured import add_config_options, read_config
from node.cli.outcome import Failed
from node.cli.place import in_url, reachable
from node.config import PORT_KEYS, Config, value_of
from node.folder import METRICS_VARIABLE, DataFolder, FolderInUse
from node.logs import configure_logs
from node.reservations import Reservations

if TYPE_CHECKING:
    from node.supervisor import Supervisor

HELP: Final = "serve a whole node in the foreground"

SAMPLE_IDENTIFIER: Final = "88.118.1001/SAMPLE-1"

# What is shown of each port once the node is ready: a label and how its address is used.
_ADDRESSES: Final = (
    ("resolver.http_port", "resolve over HTTP", "http://{address}/api/handles/{identifier}"),
    ("resolver.handle_port", "Handle TCP and UDP", "{address}"),
    ("resolver.grpc_port", "resolve over gRPC", "{address}"),
    ("resolver.dns_port", "DNS UDP and TCP", "{address}"),
    ("registry.http_port", "registry REST", "http://{address}/api/v1/  (described by http://{address}/openapi.json)"),
    ("registry.grpc_port", "registry gRPC", "{address}"),
    ("node.metrics_port", "metrics and health", "http://{address}/metrics  /healthz  /readyz  /status"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_options(parser)
    parser.add_argument("--data", metavar="DIR", help="data folder (node.data); may exist empty")
    parser.add_argument("--workers", metavar="N", help="processes that answer (resolver.workers)")
    parser.add_argument("--sample", action="store_true", help="load the sample into an empty store")


def run(arguments: argparse.Namespace) -> int:
    given = {"node.data": arguments.data, "resolver.workers": arguments.workers}
    config = read_config(arguments, {key: text for key, text in given.items() if text is not None})
    configure_logs("node", config.node.log_level, config.node.log_format)
    folder = DataFolder(config.node.data)
    config = dataclasses.replace(config, node=dataclasses.replace(config.node, data=folder.path))
    try:
        folder.acquire()
        folder.clear_run()
    except (FolderInUse, OSError) as error:
        raise Failed(str(error)) from None
    reservations = reserve_ports(config)
    # prometheus-client decides when it is imported whether figures go into files.
    os.environ[METRICS_VARIABLE] = str(folder.metrics)
    from node.supervisor import Supervisor

    async def serve() -> int:
        return await Supervisor(config, folder, reservations, sample=arguments.sample, on_ready=announce).run()

    try:
        return asyncio.run(serve())
    finally:
        reservations.release()
        folder.release()


def reserve_ports(config: Config) -> Reservations:
    """The ports of a configuration, kept for this node. Raises `Failed` with everything that hinders."""
    reservations = Reservations()
    hosts = {key: value_of(config, f"{key.partition('.')[0]}.host") for key in PORT_KEYS}
    troubles = reservations.reserve(hosts, {key: value_of(config, key) for key in PORT_KEYS})
    if troubles:
        raise Failed(*troubles)
    return reservations


def announce(supervisor: "Supervisor") -> None:
    """Tell people that the node is ready, and where."""
    identifier = SAMPLE_IDENTIFIER if supervisor.sample else "{identifier}"
    print("\n".join(_introduction(supervisor.config, supervisor.folder, dict(supervisor.ports), identifier)), flush=True)


def _introduction(config: Config, folder: DataFolder, ports: dict[str, int | None], identifier: str) -> Iterator[str]:
    yield f"biaojie 标解 is ready; data in {folder.path}; Ctrl-C ends it"
    for key, label, form in _ADDRESSES:
        if ports[key] is not None:
            address = f"{in_url(reachable(value_of(config, key.partition('.')[0] + '.host')))}:{ports[key]}"
            yield f"  {label:20} {form.format(address=address, identifier=identifier)}"
    if folder.operator_token.exists():
        yield f"  {'operator token':20} {folder.operator_token}"
    if identifier == SAMPLE_IDENTIFIER:
        yield f"  {'identifiers to try':20} {SAMPLE_IDENTIFIER}  88.118.1001/SAMPLE-2"
        yield f"  {'try':20} {_command()} resolve {SAMPLE_IDENTIFIER} --via handle --data {config.node.data}"


def _command() -> str:
    """This program as it was called, so that what is shown can be typed."""
    return sys.argv[0] if Path(sys.argv[0]).name == "biaojie" else "biaojie"
