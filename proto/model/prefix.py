"""Prefix (前缀) and the registrant (企业) that holds it.

The state of a prefix is kept here and not in its records: suspending a prefix is one write, whatever lies below it.
A *homed* prefix answers for everything below it that no longer prefix in the table claims (longest label match).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from proto.model.identifier import Identifier, SuffixRule

# Members of an enumeration are slow to come by.
_FOLD_ASCII: Final = SuffixRule.FOLD_ASCII


class PrefixState(IntEnum):
    """Life cycle of prefixes and registrants.

    Only below an APPROVED prefix of an APPROVED registrant is anything registered; whether it answers is the prefix's own
    matter: to shut a registrant's identifiers off, its prefixes are suspended.
    """

    DRAFT = 0
    SUBMITTED = 1
    APPROVED = 2
    REJECTED = 3
    SUSPENDED = 4


@dataclass(frozen=True, slots=True)
class Delegation:
    """The stored fact that another node serves a prefix. `sites` are the data of its HS_SITE values, the one to be preferred
    first; `url` is its HTTP address, empty if it has none."""

    sites: tuple[bytes, ...]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix as this node keeps it. `registrant` is empty for the node's own prefixes (its home, `88.118`).

    `in_use` says that an identifier was registered below it once: from then on its suffix rule is fixed. With a `delegation`
    another node answers for it; what was registered here before stays, shown to nobody, until the prefix is hosted here again.
    """

    name: str
    registrant: str
    state: PrefixState
    suffix_rule: SuffixRule
    version: int
    created_ms: int
    changed_ms: int
    in_use: bool = False
    delegation: Delegation | None = None

    @property
    def is_delegated(self) -> bool:
        """Whether another node answers for it now; while it is suspended nobody does."""
        return self.delegation is not None and self.state is PrefixState.APPROVED


def normalise(identifier: Identifier, home: Prefix | None) -> str:
    """The string under which `identifier` is stored, `home` being the prefix that homes it (`RecordReader.homing`).

    Everybody who makes keys of identifiers (look-ups, claims of aliases, the view's alias pointers) must make the same;
    what nobody homes, and what names a prefix, folds ASCII.
    """
    return identifier.normalised(_FOLD_ASCII if home is None else home.suffix_rule)


@dataclass(frozen=True, slots=True)
class Registrant:
    """An enterprise, keyed by its unified social credit code (USCC, GB 32100) or another code it is known by.

    `papers` are the references of its papers (`proto.model.papers`), by paper.
    """

    code: str
    name: str
    state: PrefixState
    version: int
    created_ms: int
    changed_ms: int
    papers: tuple[tuple[str, str], ...] = ()
