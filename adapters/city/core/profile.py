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

[transport]
kind = "webhook"
url = "https://platform.example/events"
secret = "env:PLATFORM_SECRET"       # or file:PATH
batch = 200                          # events in a request at most
timeout_s = 10                       # for a request and its answer

[retry]
first_s = 0.5
last_s = 300
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from adapters.city.core.retry import RetryPolicy
from adapters.city.core.section import Section
from adapters.city.core.selection import Selection, Share, share_class
from adapters.city.core.shape import FIELDS, Shape, is_field
from proto.errors import Refusal
from proto.model.feed import FeedKind
from proto.model.identifier import parse_prefix
from proto.model.prefix import PrefixState
from proto.model.record import State

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

# A batch is one request and one commit of the cursor; beyond this neither gets any cheaper for an event.
MAX_BATCH: Final = 1_000
DEFAULT_BATCH: Final = 200

# A system that takes longer over a batch is not alive to us; one that answers at once does not wait for it.
DEFAULT_TIMEOUT_S: Final = 10.0
TIMEOUT_BOUNDS_S: Final = (0.1, 300.0)

# Less than the first bound is hammering; more than the last one is forgetting.
FIRST_BOUNDS_S: Final = (0.05, 60.0)
LAST_BOUNDS_S: Final = (0.1, 3_600.0)

WEBHOOK: Final = "webhook"
_SELECT: Final = ("kinds", "prefixes", "registrants", "templates", "types", "states", "share")
_WEBHOOK: Final = ("kind", "url", "secret", "batch", "timeout_s")
_STATES: Final = frozenset(state.name.lower() for states in (State, PrefixState) for state in states)

Reveal = Callable[[str], str]
"""The secret behind `env:NAME` or `file:PATH`. Raises `ValueError`."""


class ProfileMistakes(Exception):
    """Everything that is wrong with a profile, one sentence each."""

    def __init__(self, mistakes: Collection[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(self.mistakes))


@dataclass(frozen=True, slots=True)
class WebhookPlace:
    """Where a webhook goes. `secret` signs; empty: unsigned."""

    url: str
    secret: bytes = field(repr=False)
    batch: int = DEFAULT_BATCH
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Profile:
    """One feed as it is configured."""

    name: str
    system: str
    selection: Selection
    shape: Shape
    place: WebhookPlace
    retry: RetryPolicy

    @property
    def source(self) -> str:
        """The `source` of its events."""
        return f"/biaojie/feeds/{self.name}"


def parse_profile(document: Mapping[str, Any], reveal: Reveal) -> Profile:
    """The profile that a TOML document is. Raises `ProfileMistakes`."""
    mistakes: list[str] = []
    top = Section(document, "", mistakes, ("name", "system", "select", "shape", "transport", "retry"))
    name = top.text("name", check=_check_name)
    profile = Profile(
        name,
        top.text("system", name),
        _selection(top.section("select", _SELECT)),
        Shape(top.section("shape", ("fields",)).texts("fields", (), _check_field)),
        _webhook(top.section("transport", _WEBHOOK), reveal),
        _retry(top.section("retry", ("first_s", "last_s"))),
    )
    if mistakes:
        raise ProfileMistakes(mistakes)
    return profile


def _selection(section: Section) -> Selection:
    kinds = section.texts("kinds", (FeedKind.RECORD,), FeedKind)
    share = section.texts("share", (Share.UNCONDITIONAL,), share_class)
    return Selection(
        frozenset(FeedKind(kind) for kind in kinds if kind in list(FeedKind)),
        tuple(section.texts("prefixes", (), _check_prefix)),
        frozenset(section.texts("registrants")),
        frozenset(section.texts("templates")),
        section.texts("types"),
        frozenset(section.texts("states", (), _check_state)),
        frozenset(Share(name) for name in share if name in list(Share)),
    )


def _webhook(section: Section, reveal: Reveal) -> WebhookPlace:
    section.text("kind", check=_check_transport)
    secret = ""
    try:
        secret = reveal(section.text("secret", ""))
    except ValueError as error:
        section.note("secret", str(error))
    return WebhookPlace(
        section.text("url", check=_check_url),
        secret.encode(),
        int(section.number("batch", DEFAULT_BATCH, 1, MAX_BATCH)),
        section.number("timeout_s", DEFAULT_TIMEOUT_S, *TIMEOUT_BOUNDS_S),
    )


def _retry(section: Section) -> RetryPolicy:
    usual = RetryPolicy()
    return RetryPolicy(
        section.number("first_s", usual.first_s, *FIRST_BOUNDS_S), section.number("last_s", usual.last_s, *LAST_BOUNDS_S)
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


def _check_state(state: str) -> None:
    if state not in _STATES:
        raise ValueError(f"a state is one of {', '.join(sorted(_STATES))}")


def _check_field(name: str) -> None:
    if not is_field(name):
        raise ValueError(f"a field is one of {', '.join(sorted(FIELDS))}, or values.TYPE")


def _check_transport(kind: str) -> None:
    if kind != WEBHOOK:
        raise ValueError(f"a transport is one of {WEBHOOK}")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an http or https URL with a host is wanted")
