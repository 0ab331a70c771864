"""`biaojie check`: read a configuration as the node would, and name every mistake."""

import argparse
from typing import Final

from node.cli.configured import add_config_options, read_config
from node.cli.outcome import DONE

HELP: Final = "check a configuration: every mistake is named at once"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> int:
    read_config(arguments)
    print("the configuration is valid")
    return DONE
