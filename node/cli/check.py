"""`biaojie check`: read a configuration as the node would, and name every mistake."""

import argparse
from typing import Final

from node.cli.configured import add_config_options, read_config
from node.cli.outcome import DONE, WrongUsage
from node.clock import SystemClock
from proto.model.day import day_of, start_of

HELP: Final = "check a configuration: every mistake is named at once"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> int:
    config = read_config(arguments)
    now_ms, not_before = SystemClock().now_ms(), config.node.clock_not_before
    if not_before and start_of(not_before) > now_ms:
        raise WrongUsage(f"node.clock_not_before: {not_before} is still to come: this machine's clock says {day_of(now_ms)}")
    print("the configuration is valid")
    return DONE
