"""A reader that holds what a test puts into it, and a clock that stands still until it is moved."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from proto.credentials import digest_token
from proto.model.account import Account, GroupGrant, Role
from proto.model.change import Position, Table
from proto.model.identifier import SuffixRule, ancestors, parse_identifier
from proto.model.prefix import Delegation, Prefix, PrefixState, normalise
from proto.model.record import Record, State
from proto.model.value import Value
from proto.packing import alias_target, pack_alias, pack_record
from proto.tables import pack_account, pack_prefix
from resolver.view.layers import Watcher

NOW_MS = 1_795_351_250_000


class StoppedClock:
    """A `proto.ports.Clock` that a test moves."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000


class DictReader:
    """A `proto.ports.FollowingReader` over dictionaries; every `put_*` moves its position on by one."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}
        self._prefixes: dict[str, Prefix] = {}
        self._accounts: dict[str, Account] = {}
        self._position = Position(1, 0)
        self._moved = asyncio.Event()
        self.watcher: Watcher | None = None

    def put_prefix(
        self,
        name: str,
        state: PrefixState = PrefixState.APPROVED,
        suffix_rule: SuffixRule = SuffixRule.FOLD_ASCII,
        registrant: str = "",
        delegation: Delegation | None = None,
    ) -> None:
        """Put a prefix in the table, or its next version."""
        there = self._prefixes.get(name)
        version = 1 if there is None else there.version + 1
        self._prefixes[name] = Prefix(name, registrant, state, suffix_rule, version, NOW_MS, NOW_MS, delegation=delegation)
        self._move()

    def drop_prefix(self, name: str) -> None:
        """Take a prefix out of the table."""
        del self._prefixes[name]
        self._move()

    def put_record(
        self,
        identifier: str,
        *values: Value,
        state: State = State.ACTIVE,
        registrant: str = "",
        aliases: tuple[str, ...] = (),
        version: int = 1,
    ) -> None:
        """Register a record and point its aliases to it."""
        key = self.key(identifier)
        record = Record(identifier, version, state, values, registrant, NOW_MS, NOW_MS, aliases=aliases)
        self._records[key] = pack_record(record)
        for alias in aliases:
            self.put_pointer(alias, identifier)
        self._move()

    def put_pointer(self, alias: str, identifier: str) -> None:
        """Point an alias to a record, whether the record lists it or not."""
        self._records[self.key(alias)] = pack_alias(self.key(identifier))

    def put_account(
        self, name: str, token: str, role: Role, registrant: str = "", groups: tuple[GroupGrant, ...] = (), enabled: bool = True
    ) -> None:
        self._accounts[name] = Account(name, role, registrant, digest_token(token), groups, enabled, 1, NOW_MS, NOW_MS)
        self._move()

    def disable(self, account: str) -> None:
        self._accounts[account] = replace(self._accounts[account], enabled=False)

    def key(self, identifier: str) -> str:
        name = parse_identifier(identifier)
        return normalise(name, self.homing(name.homing_prefix))

    @property
    def position(self) -> Position:
        return self._position

    def record(self, normalised: str) -> bytes | None:
        return self._records.get(normalised)

    def records(self, normalised: Sequence[str]) -> list[bytes | None]:
        return [self._records.get(name) for name in normalised]

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        below = sorted((name, raw) for name, raw in self._records.items() if name.startswith(f"{prefix}/") and name > after)
        return [(name, raw) for name, raw in below if alias_target(raw) is None][:limit]

    def prefix(self, name: str) -> Prefix | None:
        return self._prefixes.get(name)

    def homing(self, name: str) -> Prefix | None:
        return next((self._prefixes[each] for each in ancestors(name) if each in self._prefixes), None)

    def account(self, name: str) -> Account | None:
        return self._accounts.get(name)

    def image(self, table: Table, name: str) -> bytes | None:
        return self.images(table).get(name)

    def images(self, table: Table) -> dict[str, bytes]:
        if table is Table.PREFIX:
            return {name: pack_prefix(prefix) for name, prefix in self._prefixes.items()}
        if table is Table.ACCOUNT:
            return {name: pack_account(account) for name, account in self._accounts.items()}
        return {}

    async def reach(self, position: Position, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while self._position < position:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def _move(self) -> None:
        self._position = Position(self._position.epoch, self._position.sequence + 1)
        self._moved.set()
        if self.watcher is not None:
            self.watcher.forget_all()
