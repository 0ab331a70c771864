"""Who answers: the home of the asked identifier.

What lives nowhere here goes on to the upstream, if this caller may have it asked, and is refused otherwise. What this node has
handed to another one is referred to it, or asked for there on behalf of a caller who wants that. The name of a delegated prefix
itself (`0.NA/P`) is answered here: with the sites of the node that serves it, and with what else is registered under that name.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from proto.model.answer import Answer, Found, RecordAnswer, Referral, Refused, Suspended
from proto.model.identifier import Identifier, parse_identifier
from proto.model.prefix import Delegation, Prefix
from proto.model.query import Foreign, Located, Query
from proto.model.value import Value
from proto.ports import RecordReader
from proto.wire.handle.value import compose_value, type_of
from resolver.chain.recursion import Recursion
from resolver.chain.step import Resolve, Result, then
from resolver.service import refuse_foreign
from resolver.upstream.copies import select
from resolver.upstream.sites import HS_SITE

# How long a client may go on asking the node that a prefix was handed to, after it was taken back.
SITE_TTL_S: Final = 300

# Above all that people give: the sites stand beside what is registered under the name of the prefix.
FIRST_SITE_INDEX: Final = 9_001

# As many delegations as are asked for at a time.
_COMPOSED: Final = 1_024


class DelegationStep:
    """Locates the query: homed here, foreign, or delegated. Raises `Refusal`: INVALID_IDENTIFIER, NOT_HOMED."""

    def __init__(self, reader: RecordReader, recursion: Recursion) -> None:
        self._reader = reader
        self._recursion = recursion

    def resolve(self, query: Query, following: Resolve) -> Result:
        name = parse_identifier(query.identifier)
        home = self._reader.homing(name.homing_prefix)
        if home is None:
            if not self._recursion.reaches_upstream(query):
                raise refuse_foreign(query, name)
            _explain(query, f"prefix {name.homing_prefix}: not homed here, the upstream is asked")
            query.foreign = Foreign(name, None)
            return following(query)
        if home.delegation is not None and home.is_delegated:
            return self._resolve_delegated(query, following, name, home, home.delegation)
        query.located = Located(name, home)
        return following(query)

    def _resolve_delegated(
        self, query: Query, following: Resolve, name: Identifier, home: Prefix, delegation: Delegation
    ) -> Result:
        values = site_values(delegation)
        if name.names_prefix and name.homing_prefix == home.name:
            query.located = Located(name, home)
            return then(following(query), lambda answer: _with_sites(query, home, values, answer))
        if self._recursion.reaches_delegate(query):
            _explain(query, f"prefix {home.name}: delegated, its node is asked")
            query.foreign = Foreign(name, home)
            return following(query)
        _explain(query, f"prefix {home.name}: delegated")
        # Whether others were referred or served depends on who they are.
        query.reads = None
        filters = tuple(query.indexes), tuple(query.types)
        return Referral(query.identifier, home.name, values, delegation.url, *filters)


@lru_cache(_COMPOSED)
def site_values(delegation: Delegation) -> tuple[bytes, ...]:
    """The packed HS_SITE values of a delegation."""
    return tuple(
        compose_value(Value(FIRST_SITE_INDEX + place, HS_SITE, site, SITE_TTL_S)) for place, site in enumerate(delegation.sites)
    )


def _with_sites(query: Query, home: Prefix, sites: Sequence[bytes], answer: Answer) -> Answer:
    """What is registered under the name of a delegated prefix, its sites being those of the delegation."""
    if isinstance(answer, Refused | Suspended):
        return answer
    registered = answer.values if isinstance(answer, Found) else ()
    others = [value for value in registered if type_of(value).upper() != HS_SITE]
    values = (*others, *select(sites, query.indexes, query.types))
    if not values:
        return answer
    if isinstance(answer, RecordAnswer):
        facts = (answer.identifier, answer.version, answer.aliases, answer.template, answer.registrant)
        ttl_s = min(answer.ttl_s, SITE_TTL_S) if others else SITE_TTL_S
    else:
        facts = (f"0.NA/{home.name}", home.version, (), "", home.registrant)
        ttl_s = SITE_TTL_S
    return Found(query.identifier, *facts, ttl_s, values=values)


def _explain(query: Query, line: str) -> None:
    if query.explain is not None:
        query.explain.append(line)
