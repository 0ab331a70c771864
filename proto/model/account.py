"""Account: a login of the operator, a registrant, the city or towards the upstream, and the caller it makes of a request.

An account's API key is shown once; only its digest is stored (`proto.credentials`). Groups are grants of reading: a
grant names the registrant whose values it opens, so that two registrants' groups of one name stay apart. They are read
at look-up, so granting or revoking rewrites no record.
"""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What an account may do at all; `registry.policy` says the rest."""

    OPERATOR = 0
    REGISTRANT = 1
    CITY = 2
    UPSTREAM = 3
    """Reports registrants and prefixes to the upstream, and keeps what it answers."""


@dataclass(frozen=True, slots=True)
class GroupGrant:
    """Membership in one group of one registrant: opens that registrant's values with this audience."""

    registrant: str
    group: str


@dataclass(frozen=True, slots=True)
class Account:
    """A login. `registrant` is set exactly for `Role.REGISTRANT`; `key_digest` is the SM3 digest of its API key."""

    name: str
    role: Role
    registrant: str
    key_digest: bytes
    groups: tuple[GroupGrant, ...]
    enabled: bool
    version: int
    created_ms: int
    changed_ms: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an authenticated account, or nobody in particular (`ANONYMOUS`)."""

    account: str = ""
    role: Role | None = None
    registrant: str = ""
    groups: tuple[GroupGrant, ...] = ()

    @property
    def is_anonymous(self) -> bool:
        return self.role is None


ANONYMOUS = Caller()


def caller_of(account: Account) -> Caller:
    """The caller that a request with this account's key is."""
    return Caller(account.name, account.role, account.registrant, account.groups)
