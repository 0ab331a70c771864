"""Options of commands that speak to the registry's REST, and the client that they come to."""

import argparse
from typing import TYPE_CHECKING

from node.cli.place import add_place_options, add_token_options, in_url, locate, read_token

if TYPE_CHECKING:
    from node.client.rest import RestClient


def add_registry_options(parser: argparse.ArgumentParser) -> None:
    """`--server`, `--data`, `--token-file`."""
    add_place_options(parser, "the registry's HTTP (default: the running node's, else 127.0.0.1:8000)")
    add_token_options(parser)


def registry_client(arguments: argparse.Namespace) -> "RestClient":
    """A client of the registry that the options name. Raises `Failed`, `WrongUsage`."""
    from node.client.rest import RestClient

    host, port = locate(arguments, "registry.http_port")
    url = arguments.server if "://" in (arguments.server or "") else f"http://{in_url(host)}:{port}"
    return RestClient(url, read_token(arguments))
