"""Who may do what: one table, and one function that every command and every reading of every door passes.

What a caller may do with a thing depends on how it stands to the thing's registrant. There is no right without a
registrant: whoever asks the policy names it (empty: the node's own things; `EVERY_REGISTRANT`: a scan across all).
"""

from enum import IntEnum, StrEnum
from typing import Final

from proto.errors import Reason, Refusal
from proto.model.account import Caller, Role

EVERY_REGISTRANT: Final = "*"
"""In place of a registrant: all of them. Nobody's code (codes have letters, digits, '.', '-' and '_')."""


class Action(StrEnum):
    """What is to be done. The value is its name in refusals and logs."""

    READ = "read identifiers"
    LIST = "list identifiers"
    REGISTER = "register identifiers"
    RETIRE = "retire identifiers"
    SUSPEND = "suspend or resume identifiers"
    FOLLOW = "follow changes"
    READ_PREFIX = "read prefixes"
    ADMINISTER_PREFIX = "create or change prefixes"
    READ_REGISTRANT = "read registrants"
    ADMINISTER_REGISTRANT = "create or change registrants"
    READ_PAPERS = "read papers"
    ADMINISTER_PAPERS = "give or erase papers"
    READ_ACCOUNT = "read accounts"
    ADMINISTER_ACCOUNT = "create or change accounts"
    ROTATE_OWN_KEY = "change its own key"
    GRANT = "grant or revoke a group"
    RUN_JOB = "run jobs"
    READ_JOB = "read jobs"
    RUN_FEED = "run feeds"
    ADMINISTER_FEED = "pause, resume or replay feeds"
    RUN_SOURCE = "run sources"
    LIFT_BRAKE = "let a run of a source pass its brake"
    READ_FILING = "read filings"
    RUN_FILING = "run filings"
    ADMINISTER_FILING = "change or redraft filings"
    READ_STATISTICS = "read statistics"
    READ_ACCESS = "read who of the city has read what"


class Reach(IntEnum):
    """How much of a thing is open to the caller."""

    NOTHING = 0
    SHARED = 1
    """What is public, and what the caller's groups open."""
    WHOLE = 2


class Standing(IntEnum):
    """How a caller stands to a registrant; the columns of the table."""

    ANONYMOUS = 0
    CITY = 1
    UPSTREAM = 2
    STRANGER = 3
    """An account of another registrant."""
    HOLDER = 4
    """An account of this registrant."""
    OPERATOR = 5


_NOTHING, _SHARED, _WHOLE = Reach.NOTHING, Reach.SHARED, Reach.WHOLE

TABLE: Final[dict[Action, tuple[Reach, Reach, Reach, Reach, Reach, Reach]]] = {
    #                               anonymous  city      upstream  stranger  holder    operator
    Action.READ:                   (_SHARED,  _SHARED,  _SHARED,  _SHARED,  _WHOLE,   _WHOLE),
    Action.LIST:                   (_NOTHING, _SHARED,  _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.REGISTER:               (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.RETIRE:                 (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.SUSPEND:                (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.FOLLOW:                 (_NOTHING, _SHARED,  _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.READ_PREFIX:            (_NOTHING, _SHARED,  _WHOLE,   _NOTHING, _WHOLE,   _WHOLE),
    Action.ADMINISTER_PREFIX:      (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE),
    Action.READ_REGISTRANT:        (_NOTHING, _SHARED,  _WHOLE,   _NOTHING, _WHOLE,   _WHOLE),
    Action.ADMINISTER_REGISTRANT:  (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE),
    Action.READ_PAPERS:            (_NOTHING, _NOTHING, _WHOLE,   _NOTHING, _WHOLE,   _WHOLE),
    Action.ADMINISTER_PAPERS:      (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE),
    Action.READ_ACCOUNT:           (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.ADMINISTER_ACCOUNT:     (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE),
    Action.ROTATE_OWN_KEY:         (_NOTHING, _WHOLE,   _WHOLE,   _WHOLE,   _WHOLE,   _WHOLE),
    Action.GRANT:                  (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.RUN_JOB:                (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.READ_JOB:               (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.RUN_FEED:               (_NOTHING, _WHOLE,   _NOTHING, _NOTHING, _NOTHING, _WHOLE),
    Action.ADMINISTER_FEED:        (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE),
    Action.RUN_SOURCE:             (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
    Action.LIFT_BRAKE:             (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE),
    Action.READ_FILING:            (_NOTHING, _SHARED,  _WHOLE,   _NOTHING, _WHOLE,   _WHOLE),
    Action.RUN_FILING:             (_NOTHING, _NOTHING, _WHOLE,   _NOTHING, _NOTHING, _WHOLE),
    Action.ADMINISTER_FILING:      (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE),
    Action.READ_STATISTICS:        (_NOTHING, _SHARED,  _WHOLE,   _NOTHING, _WHOLE,   _WHOLE),
    Action.READ_ACCESS:            (_NOTHING, _NOTHING, _NOTHING, _NOTHING, _WHOLE,   _WHOLE),
}  # fmt: skip


def standing(caller: Caller, registrant: str) -> Standing:
    """How `caller` stands to `registrant`."""
    if caller.role is None:
        return Standing.ANONYMOUS
    if caller.role is Role.OPERATOR:
        return Standing.OPERATOR
    if caller.role is Role.CITY:
        return Standing.CITY
    if caller.role is Role.UPSTREAM:
        return Standing.UPSTREAM
    return Standing.HOLDER if caller.registrant and caller.registrant == registrant else Standing.STRANGER


def judge(caller: Caller, action: Action, registrant: str) -> Reach:
    """How far `caller` may do `action` to a thing of `registrant`."""
    return TABLE[action][standing(caller, registrant)]


def require(caller: Caller, action: Action, registrant: str) -> Reach:
    """`judge`, or raise `Refusal`: UNAUTHENTICATED if nobody in particular asks, PERMISSION_DENIED otherwise."""
    reach = judge(caller, action, registrant)
    if reach is not Reach.NOTHING:
        return reach
    if caller.is_anonymous:
        raise Refusal(Reason.UNAUTHENTICATED, f"to {action} an API key is needed", "authorization")
    whose = f" of {registrant}" if registrant and registrant != EVERY_REGISTRANT else ""
    raise Refusal(Reason.PERMISSION_DENIED, f"account {caller.account} may not {action}{whose}")


def enter(caller: Caller, action: Action) -> None:
    """Raise as `require` does if `caller` may not do `action` to anything, not even what is its own: nothing is read for it."""
    require(caller, action, caller.registrant)
