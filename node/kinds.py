"""Kinds of configuration values: how one is read from TOML, from the text of `--set` or the environment, and told again.

A reader gets what TOML gave (or what a text was made into by `from_text`) and returns the typed value, or raises `ValueError`
with a sentence for people. Nothing here knows a key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

MAX_PORT: Final = 65_535
OFF: Final = "off"
AUTO: Final = "auto"

# A secret is a key or an address; a larger file is not one.
MAX_SECRET_BYTES: Final = 65_536


class Secret(str):
    """A string that does not show itself in logs and representations."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret()" if not self else "Secret('...')"


NO_SECRET: Final = Secret()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value. `read` takes TOML's value, `from_text` makes a text into one, `tell` is TOML's value again."""

    read: Callable[[Any], Any]
    from_text: Callable[[str], Any] = field(default=lambda text: text)
    tell: Callable[[Any], Any] = field(default=lambda value: value)


def text(pattern: str = "", check: Callable[[str], Any] = lambda _: None) -> Kind:
    """A string that passes `check`; `pattern` says in words what must not be missing (empty: may be empty)."""

    def read(raw: Any) -> str:
        if not isinstance(raw, str):
            raise ValueError(f"expected a string, not {_describe(raw)}")
        if pattern and not raw.strip():
            raise ValueError(f"expected {pattern}, not an empty string")
        check(raw)
        return raw

    return Kind(read)


def checked_text(check: Callable[[str], Any]) -> Kind:
    """A string that is empty or passes `check`, which raises `ValueError`."""

    def read(raw: Any) -> str:
        said = text().read(raw)
        if said:
            check(said)
        return str(said)

    return Kind(read)


def path() -> Kind:
    """A path of the file system, relative to the working directory."""
    return Kind(lambda raw: Path(text("a path").read(raw)), tell=str)


def integer(least: int, most: int) -> Kind:
    """A whole number within bounds."""

    def read(raw: Any) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise ValueError(f"expected a whole number, not {_describe(raw)}")
        if not least <= raw <= most:
            raise ValueError(f"{raw} is not between {least} and {most}")
        return raw

    return Kind(read, _number)


def count_or_auto(most: int) -> Kind:
    """A whole number up to `most`; `auto` (None) leaves it to the machine."""
    number = integer(0, most)

    def read(raw: Any) -> int | None:
        if isinstance(raw, str) and raw != AUTO:
            raise ValueError(f'expected a whole number or "{AUTO}", not {_describe(raw)}')
        return None if raw == AUTO else int(number.read(raw))

    return Kind(read, lambda raw: raw if raw == AUTO else _number(raw), lambda value: AUTO if value is None else value)


def seconds(least: float, most: float) -> Kind:
    """A span of time in seconds within bounds."""

    def read(raw: Any) -> float:
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            raise ValueError(f"expected a number of seconds, not {_describe(raw)}")
        if not least <= raw <= most:
            raise ValueError(f"{raw} is not between {least:g} and {most:g} seconds")
        return float(raw)

    return Kind(read, _number)


def port() -> Kind:
    """A port number; 0 picks a free one; `off` (None) opens none."""

    def read(raw: Any) -> int | None:
        if raw == OFF:
            return None
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise ValueError(f'expected a port number or "off", not {_describe(raw)}')
        if not 0 <= raw <= MAX_PORT:
            raise ValueError(f"{raw} is not a port: they end at {MAX_PORT}")
        return raw

    return Kind(read, lambda raw: raw if raw == OFF else _number(raw), lambda value: OFF if value is None else value)


def choice(options: type[StrEnum]) -> Kind:
    """One of a few words."""

    def read(raw: Any) -> StrEnum:
        if raw not in list(options):
            raise ValueError(f"{_describe(raw)} is not one of {', '.join(options)}")
        return options(raw)

    return Kind(read, tell=str)


def texts(check: Callable[[str], Any]) -> Kind:
    """A list of strings, each of which passes `check`; as a text, parted by commas."""

    def read(raw: Any) -> tuple[str, ...]:
        if not isinstance(raw, list | tuple) or not all(isinstance(item, str) for item in raw):
            raise ValueError(f"expected a list of strings, not {_describe(raw)}")
        for item in raw:
            check(item)
        return tuple(raw)

    return Kind(read, lambda raw: [item.strip() for item in raw.split(",") if item.strip()], list)


def secret() -> Kind:
    """A secret as it was said: see `reveal`."""
    return Kind(lambda raw: Secret(text().read(raw)), tell=str)


def reveal(said: Secret, environ: Mapping[str, str]) -> Secret:
    """The secret behind `env:NAME` or `file:PATH`; anything else is the secret itself."""
    source, _, name = said.partition(":")
    if source == "env":
        if name not in environ:
            raise ValueError(f"the environment has no {name}")
        return Secret(environ[name])
    return _secret_of_file(name) if source == "file" else said


def _secret_of_file(name: str) -> Secret:
    try:
        with open(name, "rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
        if len(raw) > MAX_SECRET_BYTES:
            raise ValueError(f"{name} is too large for a secret: more than {MAX_SECRET_BYTES} bytes")
        return Secret(raw.decode().rstrip("\r\n"))
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8 text") from None


def _number(raw: str) -> Any:
    for make in (int, float):
        try:
            return make(raw)
        except ValueError:
            continue
    return raw


def _describe(raw: Any) -> str:
    return f'"{raw}"' if isinstance(raw, str) else f"{type(raw).__name__} {raw!r}"
