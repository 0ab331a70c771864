"""A registry in memory: the store's simplest driver, a committer without queues, and a view that looks straight into it.

What the real parts do about speed and crashes is missing; what they promise is not: expectations, idempotency, order.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from proto import keys
from proto.model.account import ANONYMOUS, Account, Caller, GroupGrant, Role
from proto.model.change import Change, Head, Position, Table
from proto.model.identifier import ancestors
from proto.model.prefix import Prefix
from proto.packing import alias_target
from proto.ports import Command, Committed
from proto.stream import NO_CHAIN, parse_change
from proto.tables import unpack_account, unpack_memory, unpack_prefix
from registry.commit.transaction import conflict_of, idempotency_keys, prepare, replay
from registry.service.context import Context
from registry.service.registry import Registry
from registry.service.sealing import Seals
from registry.store.memory import MemoryStore
from registry.store.port import Mismatch
from tests.support.reader import NOW_MS, StoppedClock

DAY_MS = 86_400_000
OPERATOR = Caller("operator", Role.OPERATOR)
HOLDER = "91411000MA40XCDL1K"
OTHER = "91411002MA45TEKA4M"


class WallClock(StoppedClock):
    """A date that stands still over seconds that pass."""

    def monotonic(self) -> float:
        return time.monotonic()


class StoreView:
    """A `proto.ports.FollowingReader`; while it is `frozen` it shows an old state until somebody waits for a newer one."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._frozen: tuple[Position, dict[bytes, bytes]] | None = None
        self._moved = asyncio.Event()
        self.is_ready = True

    def freeze(self) -> None:
        snapshot = self._store.snapshot()
        self._frozen = (snapshot.position, dict(snapshot.rows))

    @property
    def position(self) -> Position:
        return self._frozen[0] if self._frozen else self._store.head().position

    def move(self) -> None:
        """The store has a new change."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def reach(self, position: Position, timeout_s: float) -> bool:
        self._frozen = None if self.position < position else self._frozen
        try:
            async with asyncio.timeout(timeout_s):
                while self.position < position:
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def record(self, normalised: str) -> bytes | None:
        return self._get(keys.record_key(normalised))

    def records(self, normalised: Sequence[str]) -> list[bytes | None]:
        return [self.record(name) for name in normalised]

    def scan(self, prefix: str, after: str, limit: int) -> list[tuple[str, bytes]]:
        begin = keys.record_key(f"{prefix}/")
        found = [(keys.name_in_key(key), raw) for key, raw in self._below(begin) if alias_target(raw) is None]
        return [(name, raw) for name, raw in found if name > after][:limit]

    def prefix(self, name: str) -> Prefix | None:
        image = self.image(Table.PREFIX, name)
        return unpack_prefix(image) if image is not None else None

    def homing(self, name: str) -> Prefix | None:
        return next((prefix for each in ancestors(name) if (prefix := self.prefix(each)) is not None), None)

    def account(self, name: str) -> Account | None:
        image = self.image(Table.ACCOUNT, name)
        return unpack_account(image) if image is not None else None

    def image(self, table: Table, name: str) -> bytes | None:
        return self._get(keys.row_key(table, name))

    def images(self, table: Table) -> dict[str, bytes]:
        return {keys.name_in_key(key): raw for key, raw in self._below(keys.row_key(table, ""))}

    def _get(self, key: bytes) -> bytes | None:
        if self._frozen:
            return self._frozen[1].get(key)
        (found,) = self._store.get([key])
        return found[1] if found is not None else None

    def _below(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        if self._frozen:
            return sorted((key, raw) for key, raw in self._frozen[1].items() if key.startswith(prefix))
        return self._store.scan(prefix, b"", 1_000_000)


class StoreStream:
    """A `proto.ports.Stream` over the log of the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def read(self, after: Position, limit: int) -> list[Change]:
        found = [parse_change(frame) for _, frame in self._store.log(after, limit)]
        return [each[0] for each in found if each is not None]

    def head(self) -> Position:
        return self._store.head().position


class StoreCommitter:
    """A `proto.ports.Committer` that applies one command at a time; `before_commit` may do something in between."""

    def __init__(self, store: MemoryStore, view: StoreView, clock: StoppedClock) -> None:
        self._store = store
        self._view = view
        self._clock = clock
        self.commands: list[Command] = []
        self.before_commit: Callable[[], None] | None = None

    async def commit(self, command: Command) -> Committed:
        if self.before_commit is not None:
            self.before_commit()
        self.commands.append(command)
        prepared = prepare(command, self._today())
        (result,) = self._store.apply([prepared.transaction], self._clock.now_ms())
        if isinstance(result, Mismatch):
            memory = self._memory(command)
            if result.place < prepared.remembered and memory is not None:
                return memory
            raise conflict_of(result, prepared, len(command.rows))
        self._view.move()
        return Committed(result.position, result.time_ms, command.outcome)

    async def recall(self, account: str, idempotency_key: str, body_digest: bytes) -> Committed | None:
        return self._memory(Command(account, "", (), idempotency_key=idempotency_key, body_digest=body_digest))

    def _memory(self, command: Command) -> Committed | None:
        if not command.idempotency_key:
            return None
        for found in self._store.get(idempotency_keys(command.account, command.idempotency_key, self._today())):
            if found is not None:
                return replay(unpack_memory(found[1]), command.body_digest)
        return None

    def _today(self) -> int:
        return self._clock.now_ms() // DAY_MS


class World:
    """A registry with a homed prefix (88.118), two registrants and a prefix of each: 88.118.1001 and 88.118.1002."""

    def __init__(self, data: Path | None = None, seals: Seals | None = None) -> None:
        self.clock = WallClock()
        self.store = MemoryStore(Head("node-1", Position(1, 0), NOW_MS, NO_CHAIN))
        self.view = StoreView(self.store)
        self.committer = StoreCommitter(self.store, self.view, self.clock)
        self.stream = StoreStream(self.store)
        self._secrets = 0
        parts = (self.view, self.committer, self.stream, self.clock, self._make_secret)
        self.registry = Registry(*parts, data=data, seals=seals)

    async def furnish(self) -> "World":
        registry, operator = self.registry, Context(OPERATOR, "setting-up")
        await registry.create_prefix(operator, "88.118")
        for code, name, prefix in ((HOLDER, "许昌变压器有限公司", "88.118.1001"), (OTHER, "长葛电缆有限公司", "88.118.1002")):
            await registry.create_registrant(operator, code, name)
            await registry.create_prefix(operator, prefix, code)
        return self

    def _make_secret(self) -> str:
        self._secrets += 1
        return f"secret-{self._secrets}"


def context(caller: Caller = OPERATOR, key: str = "", digest: bytes = b"digest") -> Context:
    return Context(caller, "request-1", "", key, digest if key else b"")


def holder(registrant: str = HOLDER, account: str = "holder") -> Caller:
    return Caller(account, Role.REGISTRANT, registrant)


def city(*groups: GroupGrant) -> Caller:
    return Caller("city", Role.CITY, "", groups)


EVERYBODY = {
    "anonymous": ANONYMOUS,
    "city": city(),
    "upstream": Caller("upstream", Role.UPSTREAM),
    "stranger": holder(OTHER, "stranger"),
    "holder": holder(),
    "operator": OPERATOR,
}
