"""Access: that an account of the city has read something of an enterprise, or was told of it."""

from dataclasses import dataclass
from enum import StrEnum


class Reading(StrEnum):
    """What was read."""

    ENTERPRISE = "enterprise"
    PREFIX = "prefix"
    IDENTIFIER = "identifier"
    IDENTIFIERS = "identifiers"
    CHANGES = "changes"
    FILINGS = "filings"
    STATISTICS = "statistics"
    RESOLUTION = "resolution"
    """An identifier at a resolver, with values that the public does not see."""
    DELIVERY = "delivery"
    """What a feed has told."""


@dataclass(frozen=True, slots=True)
class Access:
    """One reading of one registrant's things: when (UTC ms), who, what, whose, and in which request.

    `registrant` is `*` where figures of all were read together. `subject` is what was asked for, as far as it has a name: an
    identifier, a prefix. `count` says how many things of this registrant the answer held. `way` is empty for the registry's own
    doors; otherwise the protocol at a resolver, or the feed and the cursor up to which it has told.
    """

    at_ms: int
    account: str
    reading: Reading
    registrant: str
    subject: str
    count: int
    request_id: str
    way: str = ""
