"""The feeds of a configuration: profiles from the files that `feeds.profiles` names."""

from collections.abc import Mapping
from pathlib import Path

from adapters.city.core.profile import Profile, parse_profile
from adapters.city.mappings import MAPPINGS
from node.config import Config
from node.kinds import Secret, reveal
from node.profiles import load_all, read_document


def load_profiles(config: Config, environ: Mapping[str, str]) -> tuple[Profile, ...]:
    """The profiles that are configured. Raises `ProfileMistakes` with all mistakes of all files."""
    return load_all(config.feeds.profiles, lambda file: load_profile(file, environ))


def load_profile(file: Path, environ: Mapping[str, str]) -> Profile:
    """The profile in a file. Raises `ProfileMistakes`."""
    return parse_profile(read_document(file), lambda said: reveal(Secret(said), environ), MAPPINGS)


def read_profile(file: Path) -> Profile:
    """The profile in a file, for whoever wants no more than to read it: secrets stay names. Raises `ProfileMistakes`."""
    return parse_profile(read_document(file), str, MAPPINGS)
