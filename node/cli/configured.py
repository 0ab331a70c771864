"""Options of commands that read the node's configuration."""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from adapters.section import ProfileMistakes
from node.cli.outcome import WrongUsage
from node.config import Config
from node.encryption import EncryptionMistake, make_encryption
from node.feeds import load_profiles
from node.filing import FilingMistakes, make_place
from node.source_profiles import load_sources
from node.sources import ConfigMistakes, load_config
from node.systems import load_systems


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """`-c FILE` and `--set section.key=value`."""
    parser.add_argument("-c", "--config", metavar="FILE", type=Path, help="configuration, as deploy/node.toml describes it")
    parser.add_argument(
        "--set", metavar="SECTION.KEY=VALUE", action="append", default=[], help="override one key (may be repeated)"
    )


def read_config(arguments: argparse.Namespace, overrides: dict[str, str] | None = None) -> Config:
    """The configuration that the options name; `overrides` come from options of their own. Raises `WrongUsage`."""
    texts = list((overrides or {}).items())
    shapeless = [text for text in arguments.set if "=" not in text]
    for text in arguments.set:
        key, separator, value = text.partition("=")
        if separator:
            texts.append((key, value))
    mistakes = [f"--set: {text}: expected section.key=value" for text in shapeless]
    try:
        config = load_config(arguments.config, texts)
    except ConfigMistakes as error:
        raise WrongUsage(*mistakes, *error.mistakes) from None
    loads: tuple[Callable[[Config, Mapping[str, str]], object], ...] = (load_profiles, load_sources, load_systems)
    for load in loads:
        try:
            load(config, os.environ)
        except ProfileMistakes as error:
            mistakes += error.mistakes
    try:
        if config.filing.server:
            make_place(config)
    except FilingMistakes as error:
        mistakes += error.mistakes
    try:
        make_encryption(config)
    except EncryptionMistake as error:
        mistakes.append(str(error))
    if mistakes:
        raise WrongUsage(*mistakes)
    return config
