"""A reading as one line of JSON: in the access log, and on its way there from a worker.

    {"at_ms":...,"account":"...","reading":"...","registrant":"...",...,"from":"<file>:<offset>"}

A worker appends lines to files of its own (`resolver.readings`); whoever takes them into the log writes down with each where
it ended in which file. So it is known from the log alone how far a file was taken, and each line is taken once.
"""

import json
from typing import Any, Final, NamedTuple

from proto.model.access import Access, Reading

# A subject is cut, a line with everything else in it is far shorter: longer is no line of ours.
MAX_LINE_BYTES: Final = 8 * 1024

# Names of what was asked for are cut: a line stays a line.
MAX_SUBJECT_CHARS: Final = 255

# Whose readings come first: they are found without reading the rest.
_NAMES: Final = ("at_ms", "account", "reading", "registrant", "subject", "count", "request_id", "way")
_ORIGIN: Final = "from"


class Taken(NamedTuple):
    """A reading that a worker has answered already, and where its line ends in which of the worker's files."""

    access: Access
    file: str
    end: int


class TornLine(Exception):
    """What stands here is no whole line of a reading."""


def compose_line(access: Access) -> bytes:
    """A reading as JSON, without an end of the line."""
    return _compose({name: getattr(access, name) for name in _NAMES})


def compose_taken(taken: Taken) -> bytes:
    """The same with where it was taken from."""
    document = {name: getattr(taken.access, name) for name in _NAMES}
    return _compose({**document, _ORIGIN: f"{taken.file}:{taken.end}"})


def parse_line(line: bytes) -> Access:
    """A reading. Raises `TornLine`."""
    document = _parse(line)
    document.pop(_ORIGIN, None)
    try:
        return Access(**{**document, "reading": Reading(document["reading"])})
    except (KeyError, TypeError, ValueError):
        raise TornLine("not a reading") from None


def origin_of(line: bytes) -> tuple[str, int] | None:
    """The file that a line was taken from, and where it ended there. Raises `TornLine`."""
    said = _parse(line).get(_ORIGIN)
    if said is None:
        return None
    file, _, end = str(said).rpartition(":")
    if not end.isdecimal():
        raise TornLine("not an origin")
    return file, int(end)


def _compose(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _parse(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError:
        raise TornLine("not JSON") from None
    if not isinstance(document, dict):
        raise TornLine("not an object")
    return document
