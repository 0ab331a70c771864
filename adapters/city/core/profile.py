"""Profiles: what one system gets, in which shape and by which way, as a TOML file says it. All mistakes are named at once.

name = "platform"                    # of the feed: small letters, digits, '-'
system = "城市数字平台"               # for people

[select]                             # what is told; every key may be missing
kinds = ["record"]                   # record, prefix, registrant
prefixes = ["88.118"]                # at or below
registrants = []                     # codes
templates = []
types = []                           # records with a value of such a type; "HS_." for a family
states = []                          # "active", "suspended", "retired"; of prefixes and registrants "approved", ...
share = ["unconditional"]            # and "conditional"

[shape]
fields = []                          # a mask: "registrant", "values.URL"; empty: everything shared
[shape.members]                      # or what the system calls its own, as core/members.py describes it
equipment = "identifier"
operator = { from = "values.OPERATOR_ID", pattern = "[0-9A-Z]{9}" }

[indicators]                         # instead of select and shape: figures and alarms, as core/indicators.py describes
every_s = 60

[transport]                          # as core/places.py describes each kind
kind = "webhook"
url = "https://platform.example/events"
secret = "env:PLATFORM_SECRET"       # or file:PATH

[retry]
first_s = 0.5
last_s = 300
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from adapters.city.core.indicators import KEYS as INDICATOR_KEYS
from adapters.city.core.indicators import Indicators, parse_indicators
from adapters.city.core.members import parse_member
from adapters.city.core.places import Place, Reveal, WebhookPlace, parse_place
from adapters.city.core.retry import RetryPolicy
from adapters.city.core.selection import Selection, Share, share_class
from adapters.city.core.shape import FIELDS, MapNoun, Shape, is_field
from adapters.section import ProfileMistakes, Section
from proto.errors import Refusal
from proto.model.feed import FeedKind
from proto.model.identifier import parse_prefix
from proto.model.prefix import PrefixState
from proto.model.record import State

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

# Less than the first bound is hammering; more than the last one is forgetting.
FIRST_BOUNDS_S: Final = (0.05, 60.0)
LAST_BOUNDS_S: Final = (0.1, 3_600.0)

_SELECT: Final = ("kinds", "prefixes", "registrants", "templates", "types", "states", "share")
# What the node tells of itself has a section of its own.
_KINDS: Final = tuple(kind for kind in FeedKind if kind is not FeedKind.NOTICE)
_STATES: Final = frozenset(state.name.lower() for states in (State, PrefixState) for state in states)


@dataclass(frozen=True, slots=True)
class Profile:
    """One feed as it is configured. With `indicators` it tells figures, and no changes."""

    name: str
    system: str
    selection: Selection
    shape: Shape
    place: Place
    retry: RetryPolicy
    indicators: Indicators | None = None

    @property
    def source(self) -> str:
        """The `source` of its events."""
        return f"/biaojie/feeds/{self.name}"


def parse_profile(document: Mapping[str, Any], reveal: Reveal, mappings: Mapping[str, MapNoun] | None = None) -> Profile:
    """The profile that a TOML document is; `mappings` are those it may name. Raises `ProfileMistakes`."""
    mistakes: list[str] = []
    top = Section(document, "", mistakes, ("name", "system", "select", "shape", "indicators", "transport", "retry"))
    name = top.text("name", check=_check_name)
    place = parse_place(document.get("transport", {}), mistakes, reveal)
    indicators = _indicators(document, top, place)
    selection = _selection(top.section("select", _SELECT))
    profile = Profile(
        name,
        top.text("system", name),
        selection if indicators is None else Selection(frozenset({FeedKind.NOTICE}), notices_for=name),
        _shape(top.section("shape", ("fields", "members", "mapping")), mappings or {}),
        place,
        _retry(top.section("retry", ("first_s", "last_s"))),
        indicators,
    )
    if mistakes:
        raise ProfileMistakes(mistakes)
    return profile


def _indicators(document: Mapping[str, Any], top: Section, place: Place) -> Indicators | None:
    if "indicators" not in document:
        return None
    for key in ("select", "shape"):
        if key in document:
            top.note(key, "indicators are figures of the whole node: there is nothing to select or to shape")
    if type(place) not in (WebhookPlace, Place):
        top.note("transport.kind", "indicators go by webhook")
    return parse_indicators(top.section("indicators", INDICATOR_KEYS))


def _selection(section: Section) -> Selection:
    kinds = section.texts("kinds", (FeedKind.RECORD,), _check_kind)
    share = section.texts("share", (Share.UNCONDITIONAL,), share_class)
    return Selection(
        frozenset(FeedKind(kind) for kind in kinds if kind in _KINDS),
        tuple(section.texts("prefixes", (), _check_prefix)),
        frozenset(section.texts("registrants")),
        frozenset(section.texts("templates")),
        section.texts("types"),
        frozenset(section.texts("states", (), _check_state)),
        frozenset(Share(name) for name in share if name in list(Share)),
    )


def _shape(section: Section, mappings: Mapping[str, MapNoun]) -> Shape:
    fields = section.texts("fields", (), _check_field)
    members = []
    for name, given in section.entries("members"):
        try:
            members.append(parse_member(name, given))
        except ValueError as error:
            section.note(f"members.{name}", str(error))
    mapping = section.text("mapping", "")
    if mapping and mapping not in mappings:
        section.note("mapping", f"one of {', '.join(sorted(mappings)) or 'none'} is wanted")
    if fields and (members or mapping):
        section.note("fields", "there are members or a mapping: one or the other says what is sent")
    return Shape(fields, tuple(members), mappings.get(mapping))


def _retry(section: Section) -> RetryPolicy:
    usual = RetryPolicy()
    return RetryPolicy(
        section.number("first_s", usual.first_s, *FIRST_BOUNDS_S), section.number("last_s", usual.last_s, *LAST_BOUNDS_S)
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("a name is 1 to 64 lower-case letters, digits and '-'")


def _check_kind(kind: str) -> None:
    if kind not in _KINDS:
        raise ValueError(f"a kind is one of {', '.join(_KINDS)}")


def _check_prefix(name: str) -> None:
    try:
        folded = parse_prefix(name)
    except Refusal as refusal:
        raise ValueError(refusal.detail) from None
    if folded != name:
        raise ValueError(f"a prefix is written as it is stored: {folded}")


def _check_state(state: str) -> None:
    if state not in _STATES:
        raise ValueError(f"a state is one of {', '.join(sorted(_STATES))}")


def _check_field(name: str) -> None:
    if not is_field(name):
        raise ValueError(f"a field is one of {', '.join(sorted(FIELDS))}, or values.TYPE")
