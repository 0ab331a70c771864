"""The command line: `biaojie COMMAND ...`.

Every command is a module of this folder: `HELP` (one line), `configure(parser)` and `run(arguments)`, which returns the exit
status: 0 done, 1 refused or partly failed, 2 wrong usage or configuration. What a command needs beyond the standard library it
imports when it runs, so that the command line stays quick and the supervisor small.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import MappingProxyType
from typing import Final, Protocol

from node.cli import check, city, demo, exports, feeds, filings, imports, nouns, papers, resolve, serve, sources, status, verify
from node.cli.outcome import DONE, REFUSED, Failed, WrongUsage
from node.cli.table import is_text, printable


class Command(Protocol):
    """What a module of this folder offers."""

    @property
    def HELP(self) -> str: ...  # noqa: N802  # a constant of the module

    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, arguments: argparse.Namespace) -> int: ...


COMMANDS: Final = MappingProxyType[str, Command](
    {
        "serve": serve,
        "check": check,
        "status": status,
        "verify": verify,
        "resolve": resolve,
        "import": imports,
        "export": exports,
        **nouns.COMMANDS,
        "papers": papers,
        "feed": feeds,
        "source": sources,
        "filing": filings,
        "statistics": city.STATISTICS,
        "audit": city.AUDIT,
        "demo": demo,
    }
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="biaojie", description="A secondary node (二级节点) of the industrial identifier system."
    )
    parser.add_argument("--version", action="version", version=f"biaojie {version('biaojie')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        command.configure(commands.add_parser(name, help=command.HELP, description=command.HELP))
    return parser


def _check_text(arguments: argparse.Namespace) -> None:
    """Names of files may be any bytes; what else is said goes to others as text. Raises `WrongUsage`."""
    for name, said in vars(arguments).items():
        for word in said if isinstance(said, list) else [said]:
            if isinstance(word, str) and not is_text(word):
                raise WrongUsage(
                    f"{name}: it is not text in {sys.getfilesystemencoding()}, the encoding of this terminal: {word!a}"
                )


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = build_parser().parse_args(words)
    try:
        _check_text(arguments)
        return COMMANDS[arguments.command].run(arguments)
    except Failed as failure:
        for sentence in failure.sentences:
            print(f"biaojie {arguments.command}: {printable(sentence)}", file=sys.stderr)
        return failure.status
    except KeyboardInterrupt:
        return REFUSED
    except BrokenPipeError:
        # The reader of our output has seen enough (`| head`): not a failure. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


__all__ = ["COMMANDS", "Command", "Failed", "WrongUsage", "build_parser", "main"]
