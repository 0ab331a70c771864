"""The registry as doors see it: one asynchronous method per verb.

Every method takes the `Context` first and passes the policy. Writes return `Written`; a single thing that is refused is
raised as `Refusal`, rows of a batch are refused in their outcomes. Reads return nouns of `proto.model` with only what the
caller may see, or raise `Refusal` (NOT_FOUND, RETIRED, SUSPENDED, ...), and show all that was acknowledged before them.
Every listing names its registrant: a code, empty for what is the node's own, `EVERY_REGISTRANT` for all. What is counted, and
what the city asks for, is beside it (`figures`).

Length: one short method for each verb; what a verb does is in the module of its noun.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from proto import places
from proto.errors import Refusal
from proto.limits import DEFAULT_PAGE
from proto.metrics import Gauge
from proto.model.access import Access, Reading
from proto.model.account import Account, Caller, GroupGrant, Role
from proto.model.change import START, Position
from proto.model.feed import FeedKind, Letter
from proto.model.filing import Filing, FilingKind
from proto.model.identifier import SuffixRule
from proto.model.notice import Notice
from proto.model.prefix import Delegation, Prefix, PrefixState, Registrant
from proto.model.record import Record
from proto.ports import Clock, Committer, FollowingReader, Stream
from registry.policy.rules import Action, enter
from registry.service import accounts, feeds, filing_listing, filings, notices, prefixes, registrants, statistics
from registry.service.access import AccessLog
from registry.service.accounts import NewAccount, new_secret
from registry.service.changes import ChangesPage, Follower, Found, Identify, Kind, Read, See, holders_of
from registry.service.city import Enterprise, list_enterprises, list_products, show_enterprise
from registry.service.context import Context
from registry.service.delegation import plan_delegation
from registry.service.execute import Executor, Written
from registry.service.feeds import FeedStanding, Progress
from registry.service.figures import Figures, Grouping, Statistics
from registry.service.filing_listing import EVERY_FILING, FilingCounts, Wanted
from registry.service.filings import UpstreamAnswer
from registry.service.listing import Page
from registry.service.notices import NewNotice
from registry.service.paper_files import PaperFiles
from registry.service.papers import PaperDesk
from registry.service.patch import Patch, plan_patch
from registry.service.plan import Draft, Plan, RowOutcome, plan_registrations
from registry.service.read import list_records, read_record
from registry.service.readings import ReadingDesk
from registry.service.register import Mode, plan_all_or_nothing, plan_registration
from registry.service.registrants import parse_whose
from registry.service.retire import plan_retirement
from registry.service.sealing import Seals
from registry.service.suspend import plan_resumption, plan_suspension


class Registry:
    """All use cases over one view and one committer."""

    def __init__(
        self,
        reader: FollowingReader,
        committer: Committer,
        stream: Stream,
        clock: Clock,
        make_secret: Callable[[], str] = new_secret,
        data: Path | None = None,
        counting: Gauge | None = None,
        seals: Seals | None = None,
    ) -> None:
        """`data` is the node's folder; without one nothing is kept beside the store. `counting` is told how far counts lag;
        without `seals` no papers are taken."""
        self.executor = Executor(reader, committer, stream, clock)
        self._reader = reader
        self._stream = stream
        self._follower = Follower(reader, stream, clock)
        self._make_secret = make_secret
        self.figures = Figures(self.executor, stream, data, counting)
        self.papers = PaperDesk(self.executor, PaperFiles(data / places.PAPERS) if data is not None else None, seals)
        self.access = AccessLog(data / places.ACCESS if data is not None else None, clock)
        self.readings: ReadingDesk | None = None
        if data is not None:
            self.readings = ReadingDesk(self.access, data / places.READINGS, data / places.READINGS_FULL, clock)

    def authenticate(self, token: str) -> Caller:
        """Who a bearer token is; nobody in particular for an empty one. Raises `Refusal(UNAUTHENTICATED)`."""
        return accounts.authenticate(self._reader, token)

    async def refuse(self, context: Context, refusal: Refusal) -> NoReturn:
        """Refuse a request that could not even be read; under its idempotency key, so that a retry meets the same."""
        await self.executor.refuse(context, refusal)

    # Identifiers

    async def register(self, context: Context, draft: Draft) -> Written:
        """Register an identifier, or replace what is registered under it."""
        return await self._write(context, lambda now_ms: plan_registration(self._reader, context.caller, draft, now_ms))

    async def register_batch(
        self, context: Context, drafts: Sequence[Draft | RowOutcome], mode: Mode = Mode.PARTIAL
    ) -> Written:
        """Register up to `MAX_BATCH_ROWS` identifiers in one change; one outcome for each, in order.

        PARTIAL: refused rows do not hinder the others. ATOMIC: all or nothing (raises `AtomicRefusal`, which holds all
        outcomes). REHEARSAL: says what would happen and writes nothing.
        """
        reader, caller = self._reader, context.caller
        if mode is Mode.REHEARSAL:
            await self.executor.catch_up()
            plan = plan_registrations(reader, caller, drafts, self.executor.clock.now_ms())
            return Written(tuple(plan.outcomes), reader.position)
        plan_batch = plan_all_or_nothing if mode is Mode.ATOMIC else plan_registrations
        return await self._write(context, lambda now_ms: plan_batch(reader, caller, drafts, now_ms))

    async def patch(self, context: Context, identifier: str, patch: Patch, expected_version: int | None = None) -> Written:
        """Change some values of an identifier."""
        reader, caller = self._reader, context.caller
        return await self._write(
            context, lambda now_ms: plan_patch(reader, caller, identifier, patch, expected_version, now_ms)
        )

    async def retire(self, context: Context, identifier: str, expected_version: int | None = None) -> Written:
        """Leave a tombstone under an identifier, for ever."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: plan_retirement(reader, caller, identifier, expected_version, now_ms))

    async def suspend(self, context: Context, identifier: str, expected_version: int | None = None) -> Written:
        """Let an identifier show nothing until it is resumed."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: plan_suspension(reader, caller, identifier, expected_version, now_ms))

    async def resume(self, context: Context, identifier: str, expected_version: int | None = None) -> Written:
        """Let a suspended identifier answer again."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: plan_resumption(reader, caller, identifier, expected_version, now_ms))

    async def read(self, context: Context, identifier: str, after: Position = START) -> Record:
        """All of a record that the caller may see; `after` waits for a position. An alias reads as its record."""
        await self.executor.catch_up(after)
        record = read_record(self._reader, context.caller, identifier)
        await self.access.note(context, Reading.IDENTIFIER, (record.registrant,), record.identifier)
        return record

    async def list_identifiers(
        self, context: Context, registrant: str, prefix: str, after: str = "", limit: int = DEFAULT_PAGE
    ) -> Page[Record]:
        """Records of `registrant` below exactly `prefix`, in order of their normalised names."""
        await self.executor.catch_up()
        page = list_records(self._reader, context.caller, registrant, prefix, after, limit)
        await self._note_page(context, page, prefix)
        return page

    # Prefixes

    async def create_prefix(
        self,
        context: Context,
        name: str,
        registrant: str = "",
        suffix_rule: SuffixRule = SuffixRule.FOLD_ASCII,
        state: PrefixState = PrefixState.APPROVED,
    ) -> Written:
        """Create a prefix for a registrant (empty: the node's own). `unpack_prefix(outcomes[0].image)` is the prefix."""
        reader, caller = self._reader, context.caller
        return await self._write(
            context,
            lambda now_ms: prefixes.plan_prefix(reader, caller, name, registrant, suffix_rule, state, now_ms),
        )

    async def move_prefix(
        self, context: Context, name: str, state: PrefixState, expected_version: int | None = None
    ) -> Written:
        """Move a prefix along its life cycle: submit, approve, reject, suspend, resume (to APPROVED)."""
        reader, caller = self._reader, context.caller
        return await self._write(
            context, lambda now_ms: prefixes.plan_prefix_move(reader, caller, name, state, expected_version, now_ms)
        )

    async def set_suffix_rule(
        self, context: Context, name: str, rule: SuffixRule, expected_version: int | None = None
    ) -> Written:
        """Change how suffixes compare; refused (INVALID_STATE) once an identifier was registered."""
        reader, caller = self._reader, context.caller
        return await self._write(
            context, lambda now_ms: prefixes.plan_suffix_rule(reader, caller, name, rule, expected_version, now_ms)
        )

    async def set_delegation(
        self, context: Context, name: str, delegation: Delegation | None, expected_version: int | None = None
    ) -> Written:
        """Hand a prefix to another node, or (None) take it back."""
        reader, caller = self._reader, context.caller
        return await self._write(
            context, lambda now_ms: plan_delegation(reader, caller, name, delegation, expected_version, now_ms)
        )

    async def show_prefix(self, context: Context, name: str) -> Prefix:
        """One prefix."""
        await self.executor.catch_up()
        prefix = prefixes.show_prefix(self._reader, context.caller, name)
        await self.access.note(context, Reading.PREFIX, (prefix.registrant,), prefix.name)
        return prefix

    async def list_prefixes(
        self, context: Context, registrant: str, after: str = "", limit: int = DEFAULT_PAGE
    ) -> Page[Prefix]:
        """The prefixes of a registrant, by name."""
        await self.executor.catch_up()
        page = prefixes.list_prefixes(self._reader, context.caller, registrant, after, limit)
        await self.access.note(context, Reading.PREFIX, [each.registrant for each in page.items])
        return page

    # Registrants

    async def create_registrant(
        self, context: Context, code: str, name: str, state: PrefixState = PrefixState.APPROVED
    ) -> Written:
        """Create a registrant. `unpack_registrant(outcomes[0].image)` is the registrant."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: registrants.plan_registrant(reader, caller, code, name, state, now_ms))

    async def move_registrant(
        self, context: Context, code: str, state: PrefixState, expected_version: int | None = None
    ) -> Written:
        """Move a registrant along its life cycle, as `move_prefix` does."""
        reader, caller = self._reader, context.caller
        return await self._write(
            context,
            lambda now_ms: registrants.plan_registrant_move(reader, caller, code, state, expected_version, now_ms),
        )

    async def show_registrant(self, context: Context, code: str) -> Registrant:
        """One registrant."""
        await self.executor.catch_up()
        registrant = registrants.show_registrant(self._reader, context.caller, code)
        await self.access.note(context, Reading.ENTERPRISE, (registrant.code,))
        return registrant

    async def list_registrants(
        self, context: Context, registrant: str, after: str = "", limit: int = DEFAULT_PAGE
    ) -> Page[Registrant]:
        """A registrant or all of them, by code."""
        await self.executor.catch_up()
        page = registrants.list_registrants(self._reader, context.caller, registrant, after, limit)
        await self.access.note(context, Reading.ENTERPRISE, [each.code for each in page.items])
        return page

    # Accounts

    async def create_account(
        self, context: Context, name: str, role: Role, registrant: str = "", groups: tuple[GroupGrant, ...] = ()
    ) -> NewAccount:
        """Create a login; its API key is in the answer and nowhere else."""
        reader, caller = self._reader, context.caller
        token = await self._new_token(context, name)
        written = await self._write(
            context,
            lambda now_ms: accounts.plan_account(reader, caller, name, role, registrant, groups, token, now_ms),
        )
        return accounts.unpack_new(written, token)

    async def rotate_key(self, context: Context, name: str, expected_version: int | None = None) -> NewAccount:
        """Give an account a new API key; the old one opens nothing from now on."""
        reader, caller = self._reader, context.caller
        token = await self._new_token(context, name)
        written = await self._write(
            context, lambda now_ms: accounts.plan_new_key(reader, caller, name, token, expected_version, now_ms)
        )
        return accounts.unpack_new(written, token)

    async def enable_account(self, context: Context, name: str) -> Written:
        """Open a closed account again, with the key it had."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: accounts.plan_enabled(reader, caller, name, True, now_ms))

    async def disable_account(self, context: Context, name: str) -> Written:
        """Close an account: its key opens nothing."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: accounts.plan_enabled(reader, caller, name, False, now_ms))

    async def grant(self, context: Context, name: str, grant: GroupGrant) -> Written:
        """Let an account read the values of a registrant's group."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: accounts.plan_grant(reader, caller, name, grant, now_ms))

    async def revoke(self, context: Context, name: str, grant: GroupGrant) -> Written:
        """Take a grant back."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: accounts.plan_revocation(reader, caller, name, grant, now_ms))

    async def show_account(self, context: Context, name: str) -> Account:
        """One account, without what opens it."""
        await self.executor.catch_up()
        return accounts.show_account(self._reader, context.caller, name)

    async def list_accounts(
        self, context: Context, registrant: str, after: str = "", limit: int = DEFAULT_PAGE
    ) -> Page[Account]:
        """The accounts of a registrant, by name."""
        await self.executor.catch_up()
        return accounts.list_accounts(self._reader, context.caller, registrant, after, limit)

    # Feeds

    async def create_feed(self, context: Context, name: str, account: str = "", after: Position = START) -> Written:
        """Create a feed that begins after a position; the same again changes nothing."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: feeds.plan_feed(reader, caller, name, account, after, now_ms))

    async def move_feed(self, context: Context, name: str, progress: Progress, expected_version: int | None = None) -> Written:
        """Move a feed's cursor with what a delivery came to."""
        reader, caller = self._reader, context.caller
        done = await self._write(
            context, lambda now_ms: feeds.plan_progress(reader, caller, name, progress, expected_version, now_ms)
        )
        self.access.tell(caller.account, name, progress.cursor, progress.told)
        return done

    async def pause_feed(self, context: Context, name: str, note: str = "") -> Written:
        """Let a feed deliver nothing until it is resumed."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: feeds.plan_pause(reader, caller, name, note, now_ms))

    async def resume_feed(self, context: Context, name: str) -> Written:
        """Let a feed go on from where it stopped."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: feeds.plan_resumed(reader, caller, name, now_ms))

    async def replay_feed(self, context: Context, name: str, after: Position, expected_version: int | None = None) -> Written:
        """Let a feed go on from another place."""
        reader, caller = self._reader, context.caller
        return await self._write(
            context, lambda now_ms: feeds.plan_replay(reader, caller, name, after, expected_version, now_ms)
        )

    async def request_letters(
        self, context: Context, name: str, wanted: Sequence[tuple[FeedKind, str]] | None = None
    ) -> Written:
        """Let a feed deliver dead letters again: those named by kind and name, or all."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda _: feeds.plan_requests(reader, caller, name, wanted))

    async def show_feed(self, context: Context, name: str) -> FeedStanding:
        """One feed, and how it stands."""
        await self.executor.catch_up()
        return feeds.show_feed(self._reader, context.caller, name)

    async def list_feeds(self, context: Context, after: str = "", limit: int = DEFAULT_PAGE) -> Page[FeedStanding]:
        """The feeds that the caller delivers; all for the operator."""
        await self.executor.catch_up()
        return feeds.list_feeds(self._reader, context.caller, after, limit)

    async def list_letters(
        self, context: Context, name: str, after: str = "", limit: int = DEFAULT_PAGE, *, requested_only: bool = False
    ) -> Page[Letter]:
        """The dead letters of a feed."""
        await self.executor.catch_up()
        return feeds.list_letters(self._reader, context.caller, name, after, limit, requested_only=requested_only)

    async def store_notices(self, context: Context, feed: str, wanted: Sequence[NewNotice]) -> Written:
        """Store what a feed is to tell of the node itself."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: notices.plan_notices(reader, caller, feed, wanted, now_ms))

    async def list_notices(self, context: Context, feed: str, after: str = "", limit: int = DEFAULT_PAGE) -> Page[Notice]:
        """What a feed has to tell of the node itself, as it is now."""
        await self.executor.catch_up()
        return notices.list_notices(self._reader, context.caller, feed, after, limit)

    # Filings

    async def draft_filings(self, context: Context, home: str) -> Written:
        """Draft the filings that are due, at most one batch."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: filings.plan_drafts(reader, caller, home, now_ms))

    async def report_day(self, context: Context) -> Written:
        """Draft the report of the next day that is over; nothing is drafted if there is none."""
        enter(context.caller, Action.RUN_FILING)
        await self.executor.catch_up()
        day = statistics.next_day(self._reader, self.executor.clock.now_ms())
        if not day:
            return Written((), self._reader.position)
        counted = await statistics.count_day(self._reader, self._stream, day)
        resolved = await self.figures.resolved_on(day)
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: statistics.plan_report(reader, caller, counted, resolved, now_ms))

    async def detail_filing(self, context: Context, code: str, details: Mapping[str, str]) -> Written:
        """Say more about a registrant to the upstream."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: filings.plan_details(reader, caller, code, details, now_ms))

    async def redraft_filing(self, context: Context, kind: FilingKind, name: str) -> Written:
        """Try a rejected filing again."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: filings.plan_redraft(reader, caller, kind, name, now_ms))

    async def submit_filing(
        self, context: Context, kind: FilingKind, name: str, transaction: str, expected_version: int | None = None
    ) -> Written:
        """Keep that a draft is about to be sent."""
        reader, caller = self._reader, context.caller
        return await self._write(
            context,
            lambda now_ms: filings.plan_submission(reader, caller, kind, name, transaction, expected_version, now_ms),
        )

    async def answer_filing(self, context: Context, kind: FilingKind, name: str, answer: UpstreamAnswer) -> Written:
        """Keep what the upstream answered."""
        reader, caller = self._reader, context.caller
        return await self._write(context, lambda now_ms: filings.plan_answer(reader, caller, kind, name, answer, now_ms))

    async def show_filing(self, context: Context, kind: FilingKind, name: str) -> Filing:
        """One filing as far as the caller may see it."""
        await self.executor.catch_up()
        filing = filing_listing.show_filing(self._reader, context.caller, kind, name)
        await self.access.note(context, Reading.FILINGS, (filing.registrant,), filing.name)
        return filing

    async def list_filings(
        self, context: Context, registrant: str, wanted: Wanted = EVERY_FILING, after: str = "", limit: int = DEFAULT_PAGE
    ) -> Page[Filing]:
        """The filings of one registrant, or of all, that are wanted."""
        await self.executor.catch_up()
        page = filing_listing.list_filings(self._reader, context.caller, registrant, wanted, after, limit)
        await self.access.note(context, Reading.FILINGS, [each.registrant for each in page.items])
        return page

    async def count_filings(self, context: Context) -> FilingCounts:
        """How many filings there are in each state."""
        await self.executor.catch_up()
        return filing_listing.count_filings(self._reader, context.caller)

    # Changes

    async def changes(
        self,
        context: Context,
        after: Position,
        limit: int = DEFAULT_PAGE,
        wait_s: float = 0,
        prefix: str = "",
        identify: Identify | None = None,
    ) -> ChangesPage:
        """The changes after a position as the caller may see them; waits up to `wait_s` seconds if there are none.

        `identify` says who asks once that was waited for; without it, it is the context's caller all the time.
        """
        page = await self._follower.page(identify or (lambda: context.caller), after, limit, wait_s, prefix)
        await self.access.note(context, Reading.CHANGES, holders_of(page.changes), prefix)
        return page

    # What the city asks for, and who may know that it did

    async def show_enterprise(self, context: Context, code: str) -> Enterprise:
        """An enterprise by its code (USCC), with its prefixes."""
        await self.executor.catch_up()
        enterprise = show_enterprise(self._reader, context.caller, code)
        await self.access.note(context, Reading.ENTERPRISE, (enterprise.registrant.code,))
        return enterprise

    async def list_enterprises(self, context: Context, after: str = "", limit: int = DEFAULT_PAGE) -> Page[Enterprise]:
        """All enterprises, by code."""
        await self.executor.catch_up()
        page = list_enterprises(self._reader, context.caller, after, limit)
        await self.access.note(context, Reading.ENTERPRISE, [each.registrant.code for each in page.items])
        return page

    async def list_products(
        self, context: Context, code: str, prefix: str = "", after: str = "", limit: int = DEFAULT_PAGE
    ) -> Page[Record]:
        """The identifiers of an enterprise, below all its prefixes or one of them."""
        await self.executor.catch_up()
        page = list_products(self._reader, context.caller, code, prefix, after, limit)
        await self._note_page(context, page, prefix)
        return page

    async def statistics(
        self, context: Context, registrant: str, grouping: Grouping = Grouping.NOTHING, days: int = 0
    ) -> Statistics:
        """The figures of one registrant, or of all."""
        found = await self.figures.show(context, registrant, grouping, days)
        await self.access.note(context, Reading.STATISTICS, (parse_whose(registrant),))
        return found

    async def list_accesses(
        self, context: Context, registrant: str, after: str = "", limit: int = DEFAULT_PAGE
    ) -> Page[Access]:
        """Who of the city has read what of a registrant, or of all, newest first."""
        if self.readings is not None:
            await self.readings.settle()
        return await self.access.page(context.caller, registrant, after, limit)

    async def _note_page(self, context: Context, page: Page[Record], prefix: str) -> None:
        await self.access.note(context, Reading.IDENTIFIERS, [each.registrant for each in page.items], prefix)

    async def follow(
        self, context: Context, identify: Identify, after: Position, limit: int, wait_s: float, prefix: str, read: Read[Found]
    ) -> tuple[Found, Position, Position]:
        """The same as `read` reads and renders it: what it made of the changes, where they end, and the end of the stream."""
        found, cursor, head = await self._follower.follow(identify, after, limit, wait_s, prefix, read)
        await self.access.note(context, Reading.CHANGES, found.holders, prefix)
        return found, cursor, head

    async def read_changes(self, see: See[Kind], after: Position, limit: int) -> tuple[list[Kind], Position]:
        """The changes that are there, as `follow` has them read: what `see` makes of each."""
        return await self._follower.read(see, after, limit)

    async def _write(self, context: Context, make_plan: Callable[[int], Plan]) -> Written:
        return await self.executor.execute(context, make_plan)

    async def _new_token(self, context: Context, name: str) -> str:
        """A fresh API key for an account of this name."""
        try:
            return accounts.make_token(name, self._make_secret())
        except Refusal as refusal:
            await self.refuse(context, refusal)
