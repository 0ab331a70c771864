"""Answer: everything a resolution can come to, as values.

One table maps each answer to each protocol (`CONTRACT` in README.md of the resolver); listeners only render. Only
malformed requests and failures of the node itself are raised (`Refusal`); a listener renders those as `Refused`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proto.errors import Refusal


class Source(StrEnum):
    """Where an answer comes from."""

    AUTHORITATIVE = "authoritative"
    CACHED = "cached"
    STALE = "stale"


@dataclass(slots=True)
class RecordAnswer:
    """What `Found` and `ValuesNotFound` share. `identifier` is the record's own spelling, `asked` the caller's.

    Times in seconds; `ttl_s` is the least of the values'.
    """

    asked: str
    identifier: str
    version: int
    aliases: tuple[str, ...]
    template: str
    registrant: str
    ttl_s: int
    source: Source = Source.AUTHORITATIVE
    age_s: int = 0
    via_alias: bool = False

    @property
    def echo(self) -> str:
        """What answers repeat of the question: the asked spelling, or for an alias the record's own identifier."""
        return self.identifier if self.via_alias else self.asked


@dataclass(slots=True)
class Found(RecordAnswer):
    """The record, with the selected readable values, each packed for the Handle wire, in the record's order."""

    values: tuple[bytes, ...] = ()


@dataclass(slots=True)
class ValuesNotFound(RecordAnswer):
    """The record exists; no readable value matches the filters."""


@dataclass(slots=True)
class NotFound:
    """Homed here, and nothing is registered under it."""

    asked: str


@dataclass(slots=True)
class Suspended:
    """The record or its prefix is suspended: nothing of it is shown. `what` is `identifier` or `prefix`."""

    asked: str
    what: str


@dataclass(slots=True)
class Retired:
    """A tombstone: it was registered, and never will be again."""

    asked: str
    version: int


@dataclass(slots=True)
class Referral:
    """Another node answers for this prefix. `values` are its packed HS_SITE values; `url` its HTTP address, if it has one;
    `indexes` and `types` are the filters of the question, which it is to be asked with."""

    asked: str
    prefix: str
    values: tuple[bytes, ...]
    url: str = ""
    indexes: tuple[int, ...] = ()
    types: tuple[str, ...] = ()


@dataclass(slots=True)
class Refused:
    """The question was not answered, and why."""

    asked: str
    refusal: Refusal


Answer = Found | ValuesNotFound | NotFound | Suspended | Retired | Referral | Refused

ANSWERS: Final = (Found, ValuesNotFound, NotFound, Suspended, Retired, Referral, Refused)
"""The same for `isinstance`, which takes a tuple in a third of the time."""

OUTCOMES: Final[dict[type[Answer], str]] = {
    Found: "found",
    ValuesNotFound: "values_not_found",
    NotFound: "not_found",
    Suspended: "suspended",
    Retired: "retired",
    Referral: "referral",
    Refused: "refused",
}
"""The name of each answer in metrics and problems."""
