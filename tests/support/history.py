"""A workload that two processes can make up alike, and the memory of what was ever under a key.

Change number n is a function of the seed and of the changes before it. So whoever knows the seed knows what a store holds
after any change, without asking it.
"""

import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from proto.keys import RECORDS, name_in_key, record_key, row_key, space_prefix
from proto.model.change import Row, Table
from proto.model.identifier import SuffixRule
from proto.model.prefix import Prefix, PrefixState
from proto.model.record import Record, State
from proto.model.value import Value
from proto.packing import ALIAS_FORMAT, pack_record
from proto.ports import Claim, Command
from proto.tables import pack_prefix

HOME = "88.118"


def record_row(name: str, version: int, size: int = 40, aliases: Sequence[str] = (), state: State = State.ACTIVE) -> Row:
    """A row that writes a record, with data that tells the version."""
    values = (Value(1, "URL", f"{name} {version} ".encode() + bytes(size), timestamp=1),)
    record = Record(name, version, state, values, "acme", 1, version, aliases=tuple(aliases))
    return Row(Table.RECORD, name, pack_record(record), version, version - 1, state)


def prefix_row(name: str, version: int = 1, state: PrefixState = PrefixState.APPROVED) -> Row:
    """A row that writes a prefix."""
    prefix = Prefix(name, "acme", state, SuffixRule.FOLD_ASCII, version, 1, version)
    return Row(Table.PREFIX, name, pack_prefix(prefix), version, version - 1, state)


class History:
    """Every value that was ever under a key, by the sequence of the change that put it there."""

    def __init__(self) -> None:
        self._past: dict[bytes, tuple[list[int], list[bytes]]] = {}

    @property
    def keys(self) -> Iterable[bytes]:
        return self._past.keys()

    def record(self, sequence: int, writes: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember what the change `sequence` wrote (empty: deleted)."""
        for key, value in writes:
            sequences, values = self._past.setdefault(key, ([0], [b""]))
            sequences.append(sequence)
            values.append(value)

    def forget_after(self, sequence: int) -> None:
        """A restore: nothing after this change ever was."""
        for sequences, values in self._past.values():
            kept = bisect_right(sequences, sequence)
            del sequences[kept:], values[kept:]

    def at(self, key: bytes, sequence: int) -> bytes | None:
        """What was under `key` after a change."""
        if key not in self._past:
            return None
        sequences, values = self._past[key]
        return values[bisect_right(sequences, sequence) - 1] or None

    def records_below(self, prefix: str, sequence: int) -> list[tuple[str, bytes]]:
        """What a whole scan of a prefix gives after a change."""
        below = space_prefix(RECORDS) + b"h" + f"{prefix}/".encode()
        found = ((key, self.at(key, sequence)) for key in sorted(self._past) if key.startswith(below))
        return [(name_in_key(key), value) for key, value in found if value and value[0] != ALIAS_FORMAT]


@dataclass(slots=True)
class Workload:
    """Makes up one change after the other: records come and change, aliases change hands, prefixes change state."""

    seed: int
    names: int = 300
    size: int = 200
    done: int = 0
    _versions: dict[bytes, int] = field(default_factory=dict)
    _aliases: dict[str, frozenset[str]] = field(default_factory=dict)
    _holders: dict[str, str] = field(default_factory=dict)

    @property
    def all_names(self) -> list[str]:
        """Every identifier that may ever be a record or an alias."""
        return [f"{HOME}.{number % 3}/n{number:05}" for number in range(self.names)] + [
            f"{HOME}.{number % 3}/a{number:05}" for number in range(self.names // 4)
        ]

    def next(self) -> Command:
        """The next change."""
        self.done += 1
        chance = random.Random(f"{self.seed}:{self.done}")
        if self.done == 1:
            return self._command([self._prefix(HOME), *(self._prefix(f"{HOME}.{number}") for number in range(3))])
        rows: list[Row] = []
        claims: list[Claim] = []
        releases: list[Claim] = []
        if chance.random() < 0.05:
            state = chance.choice([PrefixState.APPROVED, PrefixState.SUSPENDED])
            rows.append(self._prefix(f"{HOME}.{chance.randrange(3)}", state))
        for number in chance.sample(range(self.names), chance.choice([1, 1, 1, 2, 5, 30])):
            self._write(f"{HOME}.{number % 3}/n{number:05}", chance, rows, claims, releases)
        return self._command(rows, claims, releases)

    def _write(self, name: str, chance: random.Random, rows: list[Row], claims: list[Claim], releases: list[Claim]) -> None:
        version = self._version(record_key(name))
        kind = chance.random()
        if kind < 0.05 and version > 1:
            releases += self._give_up(name, self._aliases.get(name, frozenset()))
            rows.append(Row(Table.RECORD, name, b"", 0, version - 1))
            self._versions[record_key(name)] = 0
            return
        held = self._aliases.get(name, frozenset())
        if kind < 0.3:
            kept = frozenset(alias for alias in sorted(held) if chance.random() < 0.5)
            releases += self._give_up(name, held - kept)
            number = chance.randrange(self.names // 4)
            wanted = f"{HOME}.{number % 3}/a{number:05}"
            touched = {claim.alias for claim in (*claims, *releases)}
            if wanted not in self._holders and wanted not in touched:
                self._holders[wanted] = name
                claims.append(Claim(wanted, name))
                kept |= {wanted}
            self._aliases[name] = held = kept
        spelt = [alias.replace("/a", "/A") for alias in sorted(held)]
        rows.append(record_row(name, version, chance.randrange(self.size), spelt))

    def _give_up(self, name: str, aliases: Iterable[str]) -> list[Claim]:
        gone = sorted(aliases)
        for alias in gone:
            del self._holders[alias]
        self._aliases[name] = self._aliases.get(name, frozenset()) - frozenset(gone)
        return [Claim(alias, name) for alias in gone]

    def _prefix(self, name: str, state: PrefixState = PrefixState.APPROVED) -> Row:
        return prefix_row(name, self._version(row_key(Table.PREFIX, name)), state)

    def _version(self, key: bytes) -> int:
        self._versions[key] = self._versions.get(key, 0) + 1
        return self._versions[key]

    def _command(self, rows: Sequence[Row], claims: Sequence[Claim] = (), releases: Sequence[Claim] = ()) -> Command:
        return Command("acme", f"r-{self.done}", rows, claims, releases)
