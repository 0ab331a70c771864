"""Why another node gave no answer that could be used."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Why(StrEnum):
    """One word for each way to fail; the name in `upstream_requests_total{outcome}`."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    MALFORMED = "malformed"
    REFUSED = "refused"
    # Nobody was asked: these are counted by what they lead to.
    OPEN = "open"
    LOOP = "loop"
    OVERLOADED = "overloaded"
    FORBIDDEN = "forbidden"


ANSWERED: Final = "answered"
"""The outcome of a request that did not fail."""

REQUEST_OUTCOMES: Final = (ANSWERED, Why.UNREACHABLE, Why.TIMEOUT, Why.CLOSED, Why.MALFORMED, Why.REFUSED)


@dataclass(slots=True)
class Failed(Exception):
    """No usable answer. `detail` is for people; `is_of_one`: the server has answered, and what it said of this one identifier
    cannot be used."""

    why: Why
    detail: str
    is_of_one: bool = False

    def __str__(self) -> str:
        return self.detail
