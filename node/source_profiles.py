"""The sources of a configuration: profiles from the files that `sources.profiles` names."""

from collections.abc import Mapping
from pathlib import Path

from adapters.sources.core.profile import Profile, parse_profile
from node.config import Config
from node.kinds import Secret, reveal
from node.profiles import load_all, read_document


def load_sources(config: Config, environ: Mapping[str, str]) -> tuple[Profile, ...]:
    """The profiles that are configured. Raises `ProfileMistakes` with all mistakes of all files."""
    return load_all(config.sources.profiles, lambda file: load_source(file, environ))


def load_source(file: Path, environ: Mapping[str, str]) -> Profile:
    """The profile in a file. Raises `ProfileMistakes`."""
    return parse_profile(read_document(file), lambda said: reveal(Secret(said), environ))
