"""Following what changes: the stream as one caller may see it.

A follower who may not see everything gets gaps, never guesses: rows that are not open to it are left out, a change without
a row for it is passed over, and the cursor moves on past both.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from proto.errors import Reason, Refusal
from proto.limits import MAX_CHANGE_BYTES
from proto.model.account import Account, Caller
from proto.model.change import Change, Position, Row, Table
from proto.model.identifier import PREFIX_OF_PREFIXES, parse_prefix
from proto.model.job import Job
from proto.model.notice import Notice
from proto.model.prefix import Prefix, Registrant
from proto.model.record import Record
from proto.packing import PackedRecord
from proto.ports import Clock, FollowingReader, Stream
from proto.stream import parse_payload
from proto.tables import unpack_account, unpack_job, unpack_notice, unpack_prefix, unpack_registrant
from registry.policy.rules import Action, Reach, enter, judge
from registry.policy.sight import visible_record
from registry.service import notices
from registry.service.listing import check_limit

# How far feeds, filings and sources have come is their own matter: a follower would follow itself. Counts are asked for.
_NOT_FOLLOWED: Final = frozenset({Table.FEED, Table.LETTER, Table.FILING, Table.SOURCE, Table.RESOLUTIONS})

# Changes are read in portions, and others get their turn in between: one change may hold thousands of rows.
PORTION: Final = 16
# Nor do others wait for more rows than this, plus those of one change, where what is seen of a row is written at once.
PORTION_ROWS: Final = 64

# A page ends when it has this many rows, however few changes they are: what is rendered at once stays bounded.
MAX_PAGE_ROWS: Final = 2_000

# A page ends with this many bytes of changes (a single one may have as many): what a follower holds stays bounded, too.
MAX_PAGE_BYTES: Final = MAX_CHANGE_BYTES

# A page ends after this many changes that are not for the caller: a follower of little must not scan for minutes.
MAX_PASSED_OVER: Final = 5_000

# A poll waits at most this long: shorter than the idle time-outs of the proxies in between.
MAX_WAIT_S: Final = 60.0

# The view of the registry is behind the stream by milliseconds; a request waits at most this long for it.
RIGHTS_WAIT_S: Final = 5.0

# Between two looks at a stream that does not move although it should.
PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class VisibleRow:
    """A row of a change with what the caller may see of it. States are those of the table (`State`, `PrefixState`, ...)."""

    table: Table
    name: str
    noun: Record | Prefix | Registrant | Account | Job | Notice
    version: int
    prior_version: int
    state: int
    prior_state: int


@dataclass(frozen=True, slots=True)
class VisibleChange:
    """A change with its visible rows (at least one). Who commanded it is empty for callers who may not know."""

    position: Position
    time_ms: int
    actor: str
    request_id: str
    traceparent: str
    rows: tuple[VisibleRow, ...]

    @property
    def row_count(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """Changes in order; `cursor` is where to go on (also past changes that are not the caller's); `head` the stream's end."""

    changes: tuple[VisibleChange, ...]
    cursor: Position
    head: Position


class Visible(Protocol):
    """What became of a change of which something is open to the caller."""

    @property
    def row_count(self) -> int:
        """Of its rows, those that are open."""


Kind = TypeVar("Kind", bound=Visible)

See = Callable[[Change], Kind | None]
"""What is made of a change; None if nothing in it is open to the caller."""


class Readout(Protocol):
    """What was made of some changes: false if there are none."""

    @property
    def holders(self) -> Counter[str]:
        """The registrants of their rows, as `holders_of` finds them."""

    def __len__(self) -> int: ...


Found = TypeVar("Found", bound=Readout)

Identify = Callable[[], Caller]
"""Who asks, as of now. Raises `Refusal(UNAUTHENTICATED)` if that is nobody any more."""

Read = Callable[[Caller, Position, int, str], Awaitable[tuple[Found, Position]]]
"""Reads up to so many changes after a position, as a caller may see them, below a prefix; and says where that ends."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Changes as they are."""

    changes: tuple[VisibleChange, ...]

    @property
    def holders(self) -> Counter[str]:
        return holders_of(self.changes)

    def __len__(self) -> int:
        return len(self.changes)


class Follower:
    """Reads the stream for callers."""

    def __init__(self, reader: FollowingReader, stream: Stream, clock: Clock) -> None:
        self._reader = reader
        self._stream = stream
        self._clock = clock

    async def page(self, identify: Identify, after: Position, limit: int, wait_s: float, prefix: str) -> ChangesPage:
        """The changes after a position as the caller may see them; waits up to `wait_s` seconds if there are none.

        What the caller may see is what it may when it is told, however long that was waited for and read.

        Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT for a position of another history, ...
        """
        found, cursor, head = await self.follow(identify, after, limit, wait_s, prefix, self._see)
        return ChangesPage(found.changes, cursor, head)

    async def follow(
        self, identify: Identify, after: Position, limit: int, wait_s: float, prefix: str, read: Read[Found]
    ) -> tuple[Found, Position, Position]:
        """The same with what `read` reads, whatever that makes of the changes: it, where it ends, and the stream's end."""
        enter(identify(), Action.FOLLOW)
        check_limit(limit)
        below = parse_prefix(prefix) if prefix else ""
        until = self._clock.monotonic() + min(wait_s, MAX_WAIT_S)
        cursor = after
        while True:
            before, caller = cursor, identify()
            found, end = await read(caller, before, limit, below)
            await self._know_rights(end)
            if identify() != caller:
                continue  # what was read is not what the caller may see
            cursor, head = end, self._stream.head()
            left_s = until - self._clock.monotonic()
            if found or left_s <= 0:
                return found, cursor, head
            if cursor == before < head:
                await asyncio.sleep(PAUSE_S)  # who reads does not see yet what there is
            elif cursor >= head:
                await self._wait_beyond(cursor, left_s)

    async def _know_rights(self, end: Position) -> None:
        """Until the view shows what was read from the stream, which may be a moment ahead of it: nobody is told a change by
        rights that are older than the change. Raises `Refusal(NOT_READY)`."""
        if not await self._reader.reach(end, RIGHTS_WAIT_S):
            raise Refusal(Reason.NOT_READY, "who may see these changes is not known yet", retry_after_s=RIGHTS_WAIT_S)

    async def _wait_beyond(self, cursor: Position, left_s: float) -> None:
        """Until there is a next change, or a little at least: a higher epoch alone brings the view on, but no change."""
        await self._reader.reach(Position(cursor.epoch, cursor.sequence + 1), left_s)
        if self._stream.head() <= cursor:
            await asyncio.sleep(PAUSE_S)

    async def _see(self, caller: Caller, after: Position, limit: int, below: str) -> tuple[Seen, Position]:
        changes, cursor = await self.read(partial(see_change, caller=caller, below=below), after, limit)
        return Seen(tuple(changes)), cursor

    async def read(self, see: See[Kind], after: Position, limit: int) -> tuple[list[Kind], Position]:
        """What is there for a caller who has passed the policy, as `see` makes it. Raises `Refusal` as the stream does."""
        steps = read_visible(self._stream, see, after, limit)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                page: tuple[list[Kind], Position] = done.value
                return page
            await asyncio.sleep(0)


def read_visible(
    stream: Stream, see: See[Kind], after: Position, limit: int, portion_changes: int = PORTION
) -> Generator[None, None, tuple[list[Kind], Position]]:
    """A page, portion by portion; in the end what `see` made of the visible changes, and where they end.

    Raises `Refusal` as the stream does.
    """
    found: list[Kind] = []
    cursor, rows, size, passed_over = after, 0, 0, 0
    while len(found) < limit and rows < MAX_PAGE_ROWS and size < MAX_PAGE_BYTES and passed_over < MAX_PASSED_OVER:
        portion = stream.read(cursor, min(portion_changes, limit - len(found)))
        if not portion:
            break
        paused_at = rows
        for change in portion:
            visible = see(change)
            cursor = change.position
            if visible is None:
                passed_over += 1
                continue
            found.append(visible)
            rows += visible.row_count
            size += len(change.payload)
            if rows >= MAX_PAGE_ROWS or size >= MAX_PAGE_BYTES:
                break
            if rows - paused_at >= PORTION_ROWS:
                paused_at = rows
                yield
        yield
    return found, cursor


def holders_of(changes: Iterable[VisibleChange]) -> Counter[str]:
    """The registrant of every row, as often as it comes; empty for what is the node's own."""
    return Counter(holder_of(row) for change in changes for row in change.rows)


def holder_of(row: VisibleRow) -> str:
    """The registrant of a row; empty for what is the node's own."""
    return row.noun.code if isinstance(row.noun, Registrant) else row.noun.registrant


def see_change(change: Change, caller: Caller, below: str = "") -> VisibleChange | None:
    """What `caller` may see of a change, None if it is nothing; `below` keeps only what is below a prefix."""
    rows, is_whole = see_rows(change.payload, caller, below)
    if not rows:
        return None
    who = (change.actor, change.request_id, change.traceparent) if is_whole else ("", "", "")
    return VisibleChange(change.position, change.time_ms, *who, tuple(rows))


def see_rows(payload: bytes, caller: Caller, below: str = "") -> tuple[list[VisibleRow], bool]:
    """What `caller` may see of the rows of a change, and whether all of these are open to it whole."""
    rows = []
    is_whole = True
    for row in parse_payload(payload):
        if below and not _is_below(row, below):
            continue
        seen = _see_row(row, caller)
        if seen is not None:
            noun, reach = seen
            is_whole = is_whole and reach is Reach.WHOLE
            rows.append(VisibleRow(row.table, row.name, noun, row.version, row.prior_version, row.state, row.prior_state))
    return rows, is_whole


def _see_row(row: Row, caller: Caller) -> tuple[Record | Prefix | Registrant | Account | Job | Notice, Reach] | None:
    """The noun of a row as far as it is open to the caller, and how far that is."""
    if not row.image or row.table in _NOT_FOLLOWED:
        return None  # old jobs make room: that is nobody's news
    if row.table is Table.RECORD:
        packed = PackedRecord(row.image)
        reach = judge(caller, Action.FOLLOW, packed.registrant)
        return (visible_record(packed.unpack(), caller, reach), reach) if reach else None
    if row.table is Table.NOTICE:
        notice = unpack_notice(row.image)
        return (notice, Reach.WHOLE) if notices.may_see(caller, notice) else None
    noun, action, registrant = _noun_of(row)
    reach = judge(caller, action, registrant)
    return (noun, reach) if reach else None


def _noun_of(row: Row) -> tuple[Prefix | Registrant | Account | Job, Action, str]:
    """A row of a small table: what it is, the action that opens it, and whose it is."""
    if row.table is Table.PREFIX:
        prefix = unpack_prefix(row.image)
        return prefix, Action.READ_PREFIX, prefix.registrant
    if row.table is Table.REGISTRANT:
        registrant = unpack_registrant(row.image)
        return registrant, Action.READ_REGISTRANT, registrant.code
    if row.table is Table.ACCOUNT:
        account = unpack_account(row.image)
        return account, Action.READ_ACCOUNT, account.registrant
    job = unpack_job(row.image)
    return job, Action.READ_JOB, job.registrant


def _is_below(row: Row, prefix: str) -> bool:
    if row.table is Table.RECORD:
        name, _, suffix = row.name.partition("/")
        name = suffix if name == PREFIX_OF_PREFIXES else name
    else:
        name = row.name if row.table is Table.PREFIX else ""
    return name == prefix or name.startswith(f"{prefix}.")
