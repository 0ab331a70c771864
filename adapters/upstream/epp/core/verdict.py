"""What a response means for what was asked, by its code (RFC 5730 3); one the standard does not know, by its first digits.

A code says more than yes and no: "try again" (the server's trouble), "no" (this will not do, and would not tomorrow), "I have
that already" (which is a yes to who asks a second time), and "who are you" (nothing will do until the login does).
"""

from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """What a create or update came to."""

    DONE = "done"
    PENDING = "pending"
    EXISTS = "exists"
    REFUSED = "refused"
    FAILED = "failed"
    """It was not done, for a reason that passes: it has to do with the server, the session, or an audit that is going on."""


OK: Final = 1000
PENDING: Final = 1001
NO_MESSAGES: Final = 1300
MESSAGE: Final = 1301
BYE: Final = 1500
NOT_YOURS: Final = 2201
EXISTS: Final = 2302
MISSING: Final = 2303

_KNOWN: Final = {OK: Verdict.DONE, PENDING: Verdict.PENDING, EXISTS: Verdict.EXISTS}

# 2002: the session is not in the state for it; 2200: the login does not hold. 24xx and 25xx are the server's own trouble.
_SESSION: Final = frozenset({2002, 2200})
# The object's state does not allow it, as while it is being audited: an audit ends.
_NOT_NOW: Final = 2304
_SERVER_TROUBLE: Final = frozenset({24, 25})


def verdict_of(code: int) -> Verdict:
    """What a code says about a create or update.

    Another code of success (1xxx) than those known says that it was taken: what is not said yet comes by poll.
    """
    if code in _KNOWN:
        return _KNOWN[code]
    if code // 1000 == 1:
        return Verdict.PENDING
    if code in _SESSION or code == _NOT_NOW or code // 100 in _SERVER_TROUBLE or code // 1000 != 2:
        return Verdict.FAILED
    return Verdict.REFUSED


def ends_login(code: int) -> bool:
    """Whether nothing will do in this session any more."""
    return code in _SESSION


def is_success(code: int) -> bool:
    """Whether a command was done or taken (RFC 5730 3: 1xxx)."""
    return code // 1000 == 1


def closes_session(code: int) -> bool:
    """Whether the server ends the connection after this."""
    return code == BYE or code // 100 == 25
