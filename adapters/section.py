"""Reading profiles, TOML documents that a person wrote, section by section: what is wrong is noted, and reading goes on."""

from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from proto.hosts import check_host

Check = Callable[[str], object]
"""Raises `ValueError` for a text that will not do."""

# Lists are written by hand.
MAX_ITEMS: Final = 1_000


def split_url(url: str) -> SplitResult:
    """The parts of a URL. Raises `ValueError`, which does not repeat it: there may be a password in it."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        if parts.hostname is not None:
            check_host(parts.hostname)
    except ValueError:
        raise ValueError("it is no URL: its host or port cannot be read") from None
    return parts


class ProfileMistakes(Exception):
    """Everything that is wrong with a profile, one sentence each."""

    def __init__(self, mistakes: Collection[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(self.mistakes))


class Section:
    """A section at `path` (`transport.`) with just these `keys`; `mistakes` collects sentences."""

    def __init__(self, document: Any, path: str, mistakes: list[str], keys: Collection[str]) -> None:
        self.mistakes = mistakes
        self._path = path
        self._document: dict[str, Any] = document if isinstance(document, dict) else {}
        if not isinstance(document, dict):
            mistakes.append(f"{path.rstrip('.')}: a section is wanted")
        for key in self._document:
            if key not in keys:
                self.note(key, f"unknown key; known are {', '.join(sorted(keys))}")

    def note(self, key: str, why: str) -> None:
        """What is wrong with a key."""
        self.mistakes.append(f"{self._path}{key}: {why}")

    def section(self, key: str, keys: Collection[str]) -> "Section":
        """A section of it, empty if it is missing."""
        return Section(self._document.get(key, {}), f"{self._path}{key}.", self.mistakes, keys)

    def text(self, key: str, default: str | None = None, check: Check = str) -> str:
        """A string; one without a default must be there."""
        found = self._document.get(key, default)
        if not isinstance(found, str) or (not found and default is None):
            self.note(key, "it is missing" if key not in self._document else "a string is wanted")
            return ""
        if found:
            self._check(key, found, check)
        return found

    def sections(self, key: str, keys: Collection[str]) -> list["Section"]:
        """A list of sections (`[[values]]`), empty if it is missing."""
        found = self._document.get(key, [])
        if not isinstance(found, list) or len(found) > MAX_ITEMS:
            self.note(key, f"a list of at most {MAX_ITEMS} sections is wanted")
            return []
        return [Section(each, f"{self._path}{key}[{place}].", self.mistakes, keys) for place, each in enumerate(found)]

    def has(self, key: str) -> bool:
        """Whether a key is there."""
        return key in self._document

    def texts(self, key: str, default: Collection[str] = (), check: Check = str) -> tuple[str, ...]:
        """A list of strings."""
        found = self._document.get(key, list(default))
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found) or len(found) > MAX_ITEMS:
            self.note(key, f"a list of at most {MAX_ITEMS} strings is wanted")
            return ()
        for each in found:
            self._check(key, each, check)
        return tuple(found)

    def entries(self, key: str) -> list[tuple[str, Any]]:
        """The entries of a section whose keys are the writer's own."""
        found = self._document.get(key, {})
        if not isinstance(found, dict) or len(found) > MAX_ITEMS:
            self.note(key, f"a section of at most {MAX_ITEMS} entries is wanted")
            return []
        return list(found.items())

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        found = self._document.get(key, default)
        if not isinstance(found, bool):
            self.note(key, "true or false is wanted")
            return default
        return found

    def number(self, key: str, default: float, least: float, most: float) -> float:
        """A number within bounds."""
        found = self._document.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= most:
            self.note(key, f"a number from {least:g} to {most:g} is wanted")
            return default
        return float(found)

    def _check(self, key: str, text: str, check: Check) -> None:
        try:
            check(text)
        except ValueError as error:
            self.note(key, f'"{text}": {error}')
