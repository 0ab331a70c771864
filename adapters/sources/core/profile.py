"""Profiles: one source each, as a TOML file says it. All mistakes are named at once.

name = "erp-products"                # of the source: small letters, digits, '-'
system = "ERP, 许昌变压器厂"           # for people
token = "file:/etc/biaojie/erp.key"  # API key of the registrant's account; or env:NAME
prefix = "88.118.1001"               # all its identifiers lie right below
every_s = 300                        # how often it is read

[read]                               # as core/places.py describes each kind
[record]                             # as core/mapping.py describes it, with [maps.NAME]

[gone]                               # what has vanished from a source that is read whole
then = "keep"                        # or "suspend", "retire"
begins = "T-"                        # only identifiers whose suffix begins so are the source's; empty: all below the prefix
resume = false                       # whether an identifier that comes back is resumed if it is suspended

[brake]                              # as core/plan.py describes it
share = 0.2
faulty = 0.5
least = 10
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from adapters.section import ProfileMistakes, Section
from adapters.sources.core.mapping import Mapping as RecordMapping
from adapters.sources.core.mapping import parse_mapping, parse_maps
from adapters.sources.core.places import Place, Reveal, parse_place
from proto.errors import Refusal
from proto.model.identifier import parse_prefix

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

# More often than every second is no reading any more but following; less than daily is forgetting.
EVERY_BOUNDS_S: Final = (1.0, 86_400.0)
DEFAULT_EVERY_S: Final = 300.0

# A fifth of what is there does not change by itself between two readings; ten do.
DEFAULT_SHARE: Final = 0.2
DEFAULT_FAULTY: Final = 0.5
DEFAULT_LEAST: Final = 10
MAX_LEAST: Final = 10_000


class Then(StrEnum):
    """What becomes of an identifier whose row has vanished."""

    KEEP = "keep"
    SUSPEND = "suspend"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True)
class Gone:
    """What has vanished, and what comes back."""

    then: Then = Then.KEEP
    begins: str = ""
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Brake:
    """What a plan may touch: a share of what is there, or of rows that are faulty; up to `least` it may always."""

    share: float = DEFAULT_SHARE
    faulty: float = DEFAULT_FAULTY
    least: int = DEFAULT_LEAST


@dataclass(frozen=True, slots=True)
class Profile:
    """One source as it is configured."""

    name: str
    system: str
    token: str = field(repr=False)
    prefix: str
    every_s: float
    place: Place
    mapping: RecordMapping
    gone: Gone
    brake: Brake


_TOP: Final = ("name", "system", "token", "prefix", "every_s", "read", "record", "maps", "gone", "brake")


def parse_profile(document: Mapping[str, Any], reveal: Reveal) -> Profile:
    """The profile that a TOML document is. Raises `ProfileMistakes`."""
    mistakes: list[str] = []
    top = Section(document, "", mistakes, _TOP)
    name = top.text("name", check=_check_name)
    token = _token(top, reveal)
    given = document.get("maps", {})
    names = list(given) if isinstance(given, dict) else []
    place = parse_place(document.get("read", {}), mistakes, reveal)
    maps = parse_maps(top.section("maps", names), names)
    mapping = parse_mapping(top.section("record", ("identifier", "template", "aliases", "values")), maps)
    profile = Profile(
        name,
        top.text("system", name),
        token,
        top.text("prefix", check=_check_prefix),
        top.number("every_s", DEFAULT_EVERY_S, *EVERY_BOUNDS_S),
        place,
        mapping,
        _gone(top.section("gone", ("then", "begins", "resume")), place),
        _brake(top.section("brake", ("share", "faulty", "least"))),
    )
    if mistakes:
        raise ProfileMistakes(mistakes)
    return profile


def _token(top: Section, reveal: Reveal) -> str:
    said = top.text("token")
    try:
        token = reveal(said).strip() if said else ""
    except ValueError as error:
        top.note("token", str(error))
        return ""
    if said and not (token.isascii() and token.isprintable() and token):
        top.note("token", "it is no API key")
    return token


def _gone(section: Section, place: Place) -> Gone:
    then = section.text("then", Then.KEEP)
    if then not in list(Then):
        section.note("then", f"one of {', '.join(Then)} is wanted")
        then = Then.KEEP
    if then != Then.KEEP and not place.is_whole:
        section.note("then", "only a source that is read whole shows what is gone")
    return Gone(Then(then), section.text("begins", ""), section.flag("resume", False))


def _brake(section: Section) -> Brake:
    return Brake(
        section.number("share", DEFAULT_SHARE, 0, 1),
        section.number("faulty", DEFAULT_FAULTY, 0, 1),
        int(section.number("least", DEFAULT_LEAST, 0, MAX_LEAST)),
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("a name is 1 to 64 lower-case letters, digits and '-'")


def _check_prefix(name: str) -> None:
    try:
        folded = parse_prefix(name)
    except Refusal as refusal:
        raise ValueError(refusal.detail) from None
    if folded != name:
        raise ValueError(f"a prefix is written as it is stored: {folded}")
