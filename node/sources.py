"""Where configuration values come from: defaults, one TOML file, the environment, the command line; a later source wins.

Every given value is checked, also one that a later source replaces, and all mistakes are reported together.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from node import kinds
from node.config import KINDS, Config, build_config, missing_for, mistakes_between
from node.kinds import Secret

ENVIRONMENT_PREFIX: Final = "BIAOJIE_"
ENVIRONMENT_SEPARATOR: Final = "__"

# A configuration is some hundred lines; a larger file is another file.
MAX_FILE_BYTES: Final = 1 << 20


class ConfigMistakes(Exception):
    """Everything that is wrong with a configuration, one sentence each."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(self.mistakes))


class Given(NamedTuple):
    """A value that somebody set, and where (`node.toml`, `--set`, `BIAOJIE_...`)."""

    source: str
    key: str
    raw: Any


def load_config(
    file: Path | None = None, overrides: Iterable[tuple[str, str]] = (), environ: Mapping[str, str] = os.environ
) -> Config:
    """Read the configuration; `overrides` are (key, text) from the command line, the last winning.

    Raises `ConfigMistakes` with all mistakes of all sources.
    """
    mistakes: list[str] = []
    given = [*_from_file(file, mistakes), *_from_environment(environ), *_from_texts("--set", overrides)]
    values: dict[str, Any] = {}
    for source, key, raw in given:
        try:
            values[key] = _read(key, raw, environ)
        except ValueError as error:
            mistakes.append(f"{source}: {key}: {error}")
    config = build_config(values)
    mistakes.extend(mistakes_between(config))
    if mistakes:
        raise ConfigMistakes(mistakes)
    return config


def _from_file(file: Path | None, mistakes: list[str]) -> list[Given]:
    if file is None:
        return []
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
        document = tomllib.loads(raw.decode())
    except OSError as error:
        mistakes.append(f"{file}: it cannot be read: {error.strerror}")
        return []
    except (ValueError, UnicodeDecodeError) as error:
        mistakes.append(f"{file}: {error}")
        return []
    given = []
    for section, entries in document.items():
        if isinstance(entries, dict):
            given += [Given(str(file), f"{section}.{key}", raw) for key, raw in entries.items()]
        else:
            mistakes.append(f"{file}: {section}: a key outside of any section")
    return given


def _from_environment(environ: Mapping[str, str]) -> list[Given]:
    texts = []
    for name, text in environ.items():
        section, separator, key = name.removeprefix(ENVIRONMENT_PREFIX).partition(ENVIRONMENT_SEPARATOR)
        if name.startswith(ENVIRONMENT_PREFIX) and separator:
            texts.append(_given_text(name, f"{section}.{key}".lower(), text))
    return texts


def _from_texts(source: str, texts: Iterable[tuple[str, str]]) -> list[Given]:
    return [_given_text(source, key, text) for key, text in texts]


def _given_text(source: str, key: str, text: str) -> Given:
    kind = KINDS.get(key)
    return Given(source, key, kind.from_text(text) if kind else text)


def _read(key: str, raw: Any, environ: Mapping[str, str]) -> Any:
    kind = KINDS.get(key)
    if kind is None:
        near = difflib.get_close_matches(key, KINDS, n=1)
        raise ValueError(f"there is no such key{f'; did you mean {near[0]}?' if near else ''}")
    value = kind.read(raw)
    if isinstance(value, Secret):
        value = kinds.reveal(value, environ)
    missing = missing_for(key, value)
    if missing:
        raise ValueError(missing)
    return value
