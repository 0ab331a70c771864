"""The feeds of a configuration: profiles from the files that `feeds.profiles` names."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from adapters.city.core.profile import Profile, ProfileMistakes, parse_profile
from adapters.city.mappings import MAPPINGS
from node.config import Config
from node.kinds import Secret, reveal

# A profile is some dozens of lines; a larger file is another file.
MAX_PROFILE_BYTES: Final = 1 << 18


def load_profiles(config: Config, environ: Mapping[str, str]) -> tuple[Profile, ...]:
    """The profiles that are configured. Raises `ProfileMistakes` with all mistakes of all files."""
    profiles: dict[str, Profile] = {}
    mistakes: list[str] = []
    for name in config.feeds.profiles:
        try:
            profile = load_profile(Path(name), environ)
        except ProfileMistakes as error:
            mistakes += [f"{name}: {mistake}" for mistake in error.mistakes]
            continue
        if profiles.setdefault(profile.name, profile) is not profile:
            mistakes.append(f"{name}: there is another profile called {profile.name}")
    if mistakes:
        raise ProfileMistakes(mistakes)
    return tuple(profiles.values())


def load_profile(file: Path, environ: Mapping[str, str]) -> Profile:
    """The profile in a file. Raises `ProfileMistakes`."""
    return parse_profile(_read(file), lambda said: reveal(Secret(said), environ), MAPPINGS)


def _read(file: Path) -> dict[str, object]:
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
