"""Aliases: further identifiers of a record, each claimed or released in the very command that changes the record's list.

An alias lies below a prefix of the record's registrant, so that nobody names things in another's space; and under it there
is nothing: no record (not even a retired one) and no other record's alias. What looks free here is claimed with the
expectation that it still is.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from proto.errors import Reason, Refusal
from proto.model.identifier import Identifier
from proto.model.prefix import Prefix, normalise
from proto.ports import Claim, RecordReader
from registry.service.ground import Grounds, key_of, parse_named


@dataclass(frozen=True, slots=True)
class NamedAlias:
    """An alias of a draft: where it stands in the request, and its key."""

    field: str
    identifier: Identifier
    key: str


@dataclass(frozen=True, slots=True)
class AliasChanges:
    """What one record claims and releases; `homes` are the prefixes of the claimed aliases."""

    claims: Sequence[Claim] = ()
    releases: Sequence[Claim] = ()
    homes: Sequence[Prefix] = ()


NO_CHANGES = AliasChanges()


class AliasBook:
    """The aliases of one batch, against the store and against each other.

    `wanted` are the lists that the batch's records are to have: what is under these aliases is read at once.
    """

    def __init__(
        self, reader: RecordReader, grounds: Grounds, registering: Iterable[str], wanted: Iterable[Sequence[str]]
    ) -> None:
        self._reader = reader
        self._grounds = grounds
        self._registering = frozenset(registering)
        self._taken: set[str] = set()
        self._stored = self._read(wanted)

    def name(self, aliases: Sequence[str]) -> list[NamedAlias]:
        """Parse a list of aliases. Raises `Refusal`: INVALID_IDENTIFIER, INVALID_ARGUMENT if one is listed twice."""
        named: dict[str, NamedAlias] = {}
        for place, text in enumerate(aliases):
            field = f"aliases[{place}]"
            identifier = parse_named(text, field)
            key = key_of(self._reader, identifier)
            if key in named:
                raise Refusal(Reason.INVALID_ARGUMENT, f"it is the same identifier as {named[key].field}", field)
            named[key] = NamedAlias(field, identifier, key)
        return list(named.values())

    def compare(self, key: str, registrant: str, before: Sequence[str], after: Sequence[str]) -> AliasChanges:
        """What the record under `key` claims and releases when its list goes from `before` to `after`.

        Raises `Refusal` naming the alias: what `Grounds.under` raises, PERMISSION_DENIED, ALIAS_TAKEN, INVALID_ARGUMENT.
        """
        if not before and not after:
            return NO_CHANGES
        held = {alias.key for alias in self.name(before)}
        wanted = self.name(after)
        new = [alias for alias in wanted if alias.key not in held]
        homes = [self._check(alias, key, registrant) for alias in new]
        kept = {alias.key for alias in wanted}
        return AliasChanges(
            [Claim(alias.key, key) for alias in new],
            [Claim(alias, key) for alias in sorted(held - kept)],
            homes,
        )

    def enter(self, changes: AliasChanges) -> None:
        """Remember the claims of a record that will be written."""
        self._taken.update(claim.alias for claim in changes.claims)

    def _check(self, alias: NamedAlias, key: str, registrant: str) -> Prefix:
        if alias.key == key:
            raise Refusal(Reason.INVALID_ARGUMENT, "an identifier is not an alias of itself", alias.field)
        if alias.identifier.names_prefix:
            raise Refusal(Reason.INVALID_ARGUMENT, "the name of a prefix is not an alias", alias.field)
        try:
            home = self._grounds.under(alias.identifier)
        except Refusal as refusal:
            refusal.field = alias.field
            raise
        if home.registrant != registrant:
            raise Refusal(Reason.PERMISSION_DENIED, f"prefix {home.name} is another registrant's", alias.field)
        if normalise(alias.identifier, home) in self._registering or alias.key in self._taken:
            raise Refusal(Reason.ALIAS_TAKEN, f"another row of this batch takes {alias.identifier.text}", alias.field)
        if self._stored[alias.key] is not None:
            raise Refusal(Reason.ALIAS_TAKEN, f"{alias.identifier.text} is registered already", alias.field)
        return home

    def _read(self, wanted: Iterable[Sequence[str]]) -> dict[str, bytes | None]:
        keys: dict[str, None] = {}
        for aliases in wanted:
            # A list with a mistake in it is refused when it is compared.
            with suppress(Refusal):
                keys.update(dict.fromkeys([alias.key for alias in self.name(aliases)]))
        return dict(zip(keys, self._reader.records(list(keys)), strict=True)) if keys else {}
