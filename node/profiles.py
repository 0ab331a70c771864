"""Profiles: files that a list of the configuration names, one each for a feed or a source."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from adapters.section import ProfileMistakes

# A profile is some dozens of lines; a larger file is another file.
MAX_PROFILE_BYTES: Final = 1 << 18


class Named(Protocol):
    """Any profile."""

    @property
    def name(self) -> str: ...


_Profile = TypeVar("_Profile", bound=Named)


def load_all(names: Iterable[str], load: Callable[[Path], _Profile]) -> tuple[_Profile, ...]:
    """The profiles in some files, no two of one name. Raises `ProfileMistakes` with all mistakes of all files."""
    profiles: dict[str, _Profile] = {}
    mistakes: list[str] = []
    for name in names:
        try:
            profile = load(Path(name))
        except ProfileMistakes as error:
            mistakes += [f"{name}: {mistake}" for mistake in error.mistakes]
            continue
        if profiles.setdefault(profile.name, profile) is not profile:
            mistakes.append(f"{name}: there is another profile called {profile.name}")
    if mistakes:
        raise ProfileMistakes(mistakes)
    return tuple(profiles.values())


def read_document(file: Path) -> Mapping[str, Any]:
    """The TOML document in a file. Raises `ProfileMistakes`."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_PROFILE_BYTES + 1)
        if len(raw) > MAX_PROFILE_BYTES:
            raise ProfileMistakes([f"it is larger than {MAX_PROFILE_BYTES} bytes"])
        return tomllib.loads(raw.decode())
    except OSError as error:
        raise ProfileMistakes([f"it cannot be read: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileMistakes([str(error)]) from None
