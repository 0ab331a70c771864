"""The adapters that are folders: profiles from the files that `systems.profiles` names, each with the package that it names."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from adapters.section import ProfileMistakes, Section
from adapters.work import Adapter, Reveal, Surroundings, Work
from node.config import Config
from node.kinds import Secret, reveal
from node.profiles import load_all, read_document

_TOP: Final = ("name", "adapter", "token", "settings")

# A name stands in logs and in the node's status.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PACKAGE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,7}", re.ASCII)

# A line of the node's status.
MAX_STANDING_CHARS: Final = 1_000

_PARTS: Final = ("KEYS", "read", "make")


@dataclass(frozen=True, slots=True)
class System:
    """Another's system: the adapter to it, as its package has it, the key of the account that it works with, its settings."""

    name: str
    adapter: Adapter
    token: str = field(repr=False)
    settings: Any = field(repr=False)


class SystemWork:
    """The work of a system (`adapters.work.Work`), made anew whenever it is begun: others' code, whose faults are its own."""

    def __init__(self, system: System, around: Surroundings) -> None:
        self._system = system
        self._around = around
        self._work: Work | None = None

    async def run(self) -> None:
        self._work = work = self._system.adapter.make(self._system.settings, self._around)
        try:
            await work.run()
        finally:
            self._work = None
            await work.close()

    async def close(self) -> None:
        """What it held was let go when it ended."""

    def describe(self) -> Mapping[str, Any]:
        """What it says of itself, under its own name: it must not take the place of what the node says of the process."""
        if self._work is None:
            return {f"system {self._system.name}": "not at work"}
        try:
            said = "; ".join(f"{key}: {standing}" for key, standing in self._work.describe().items())
        except Exception as error:  # noqa: BLE001 # it is others' code, and may fail in any way
            said = f"it does not say how it stands: {type(error).__name__}: {error}"
        return {f"system {self._system.name}": said[:MAX_STANDING_CHARS]}


def load_systems(config: Config, environ: Mapping[str, str]) -> tuple[System, ...]:
    """The systems that are configured. Raises `ProfileMistakes` with all mistakes of all files."""
    return load_all(config.systems.profiles, lambda file: load_system(file, environ))


def load_system(file: Path, environ: Mapping[str, str]) -> System:
    """The system that a file describes. Raises `ProfileMistakes`."""
    mistakes: list[str] = []
    top = Section(read_document(file), "", mistakes, _TOP)

    def tell(said: str) -> str:
        return reveal(Secret(said), environ)

    name, token = top.text("name", check=_check_name), _token(top, tell)
    adapter = _adapter(top)
    settings = _settings(top, adapter, tell) if adapter is not None else None
    if mistakes or adapter is None:
        raise ProfileMistakes(mistakes)
    return System(name, adapter, token, settings)


def _adapter(top: Section) -> Adapter | None:
    """The module that the profile names."""
    package = top.text("adapter")
    if not package:
        return None
    if not _PACKAGE.fullmatch(package):
        top.note("adapter", "the name of a Python package is wanted, such as adapters.upstream.whois")
        return None
    try:
        found = importlib.import_module(f"{package}.adapter")
    except Exception as error:  # noqa: BLE001 # it is others' code, and may fail in any way
        top.note("adapter", f"{package} cannot be used: {type(error).__name__}: {error}")
        return None
    missing = [part for part in _PARTS if not hasattr(found, part)]
    if missing:
        top.note("adapter", f"{package}.adapter has no {', '.join(missing)}, which adapters/work.py asks for")
        return None
    return cast(Adapter, found)


def _settings(top: Section, adapter: Adapter, tell: Reveal) -> Any:
    try:
        return adapter.read(top.section("settings", adapter.KEYS), tell)
    except Exception as error:  # noqa: BLE001 # it is others' code, and may fail in any way
        top.note("settings", f"the adapter cannot read them: {type(error).__name__}: {error}")
        return None


def _token(top: Section, tell: Reveal) -> str:
    said = top.text("token")
    try:
        token = tell(said).strip() if said else ""
    except ValueError as error:
        top.note("token", str(error))
        return ""
    if said and not (token.isascii() and token.isprintable() and token):
        top.note("token", "it is no API key")
    return token


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("a name is 1 to 64 lower-case letters, digits and '-'")
