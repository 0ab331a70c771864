"""Where the node is that a command speaks to, and with which token.

`--server` says it; otherwise `DATA/ports.json` of a running node on this machine does (`--data`, or the default data folder);
otherwise the default ports on loopback are tried.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from node.cli.outcome import Failed, WrongUsage
from node.config import Config, value_of
from node.folder import TOKEN_FILE, read_ports
from node.kinds import MAX_PORT
from proto.hosts import check_host

# A token is a line; a longer file is another file.
MAX_TOKEN_BYTES: Final = 4_096

_EVERYWHERE: Final[Mapping[str, str]] = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # compared, not bound


def add_place_options(parser: argparse.ArgumentParser, server: str) -> None:
    """`--server` (described by `server`) and `--data`."""
    parser.add_argument("--server", metavar="HOST:PORT", help=server)
    parser.add_argument("--data", metavar="DIR", type=Path, help="data folder of a running node on this machine")


def add_token_options(parser: argparse.ArgumentParser) -> None:
    """`--token-file`; the environment's BIAOJIE_TOKEN and the data folder's token need no option."""
    parser.add_argument(
        "--token-file", metavar="FILE", type=Path, help="file with the API key (else BIAOJIE_TOKEN, else DATA's)"
    )


def locate(arguments: argparse.Namespace, key: str) -> tuple[str, int]:
    """Host and port to connect to for the listener under a configuration key. Raises `Failed`, `WrongUsage`."""
    if arguments.server:
        return parse_address(arguments.server, default_port=value_of(Config(), key))
    document = read_ports(_data(arguments)) or {}
    if arguments.data and not document:
        raise Failed(f"no node is running on the data folder {arguments.data} (it has no ports.json)")
    host = document.get(_host_key(key)) or value_of(Config(), _host_key(key))
    port = document.get(key, value_of(Config(), key))
    if port is None:
        raise Failed(f"the node on {_data(arguments)} has {key} off")
    return reachable(host), port


def find(arguments: argparse.Namespace, key: str) -> str:
    """What the node in question has configured under a key that it tells beside its ports; the default of a node elsewhere."""
    document = {} if arguments.server and not arguments.data else read_ports(_data(arguments)) or {}
    return str(document.get(key) or value_of(Config(), key))


def read_token(arguments: argparse.Namespace, name: str = TOKEN_FILE) -> str:
    """The API key to use, by default that in the data folder's file `name`; empty if there is none.

    Raises `Failed` if a named file cannot be read.
    """
    if arguments.token_file:
        return _read_token(arguments.token_file)
    from_environment = os.environ.get("BIAOJIE_TOKEN", "").strip()
    kept = _data(arguments) / name
    if from_environment or (arguments.server and not arguments.data):
        # The token of a node on this machine is not for a server elsewhere.
        return from_environment
    return _read_token(kept) if kept.exists() else ""


def parse_address(text: str, default_port: int) -> tuple[str, int]:
    """`HOST`, `HOST:PORT`, `[IPv6]:PORT`, or a URL of them. Raises `WrongUsage`."""
    bare = text.partition("://")[2] or text
    bare = bare.partition("/")[0]
    host, separator, port = bare.rpartition(":")
    if not separator or "]" in port or (":" in host and not host.startswith("[")):
        host, port = bare, str(default_port)
    is_whole = host.startswith("[") == host.endswith("]")
    if not host or not is_whole or not port.isascii() or not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
        raise WrongUsage(f"--server {text}: expected HOST:PORT")
    host = host.strip("[]")
    try:
        check_host(host)
    except ValueError as error:
        raise WrongUsage(f"--server: {error}") from None
    return host, int(port)


def reachable(host: str) -> str:
    """An address to connect to for one that is listened on."""
    return _EVERYWHERE.get(host, host)


def in_url(host: str) -> str:
    """A host as URLs and `HOST:PORT` write it."""
    return f"[{host}]" if ":" in host else host


def _data(arguments: argparse.Namespace) -> Path:
    default = os.environ.get("BIAOJIE_NODE__DATA") or value_of(Config(), "node.data")
    return Path(arguments.data or default)


def _host_key(key: str) -> str:
    return f"{key.partition('.')[0]}.host"


def _read_token(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw: Any = opened.read(MAX_TOKEN_BYTES)
        token: str = raw.decode("ascii").strip()
    except OSError as error:
        raise Failed(f"the token file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failed(f"{file} does not hold an API key") from None
    return token
