"""The registry as doors see it: one asynchronous method per verb.

Every method takes the `Context` first and passes the policy. Writes return `Written`; a single thing that is refused is
raised as `Refusal`, rows of a batch are refused in their outcomes. Reads return nouns of `proto.model` with only what the
caller may see, or raise `Refusal` (NOT_FOUND, RETIRED, SUSPENDED, ...).
"""

from collections.abc import Callable, Sequence
from typing import NoReturn

from proto.errors import Refusal
from proto.limits import DEFAULT_PAGE
from proto.model.account import Account, Caller, GroupGrant, Role
from proto.model.change import Position
from proto.model.identifier import SuffixRule
from proto.model.prefix import Prefix, PrefixState, Registrant
from proto.model.record import Record
from proto.ports import Clock, Committer, FollowingReader, Stream
from registry.service.accounts import NewAccount, new_secret
from registry.service.changes import ChangesPage
from registry.service.context import Context
from registry.service.execute import Executor, Written
from registry.service.listing import Page
from registry.service.patch import Patch
from registry.service.plan import Draft, RowOutcome
from registry.service.register import Mode


class Registry:
    """All use cases over one view and one committer."""

    def __init__(
        self,
        reader: FollowingReader,
        committer: Committer,
        stream: Stream,
        clock: Clock,
        make_secret: Callable[[], str] = new_secret,
    ) -> None:
        self.executor = Executor(reader, committer, stream, clock)
        raise NotImplementedError

    def authenticate(self, token: str) -> Caller:
        """Who a bearer token is; nobody in particular for an empty one. Raises `Refusal(UNAUTHENTICATED)`."""
        raise NotImplementedError

    async def refuse(self, context: Context, refusal: Refusal) -> NoReturn:
        """Refuse a request that could not even be read; under its idempotency key, so that a retry meets the same."""
        await self.executor.refuse(context, refusal)

    # Identifiers

    async def register(self, context: Context, draft: Draft) -> Written:
        """Register an identifier, or replace what is registered under it."""
        raise NotImplementedError

    async def register_batch(
        self, context: Context, drafts: Sequence[Draft | RowOutcome], mode: Mode = Mode.PARTIAL
    ) -> Written:
        """Register up to `MAX_BATCH_ROWS` identifiers in one change; one outcome for each, in order.

        PARTIAL: refused rows do not hinder the others. ATOMIC: all or nothing (raises `AtomicRefusal`, which holds all
        outcomes). REHEARSAL: says what would happen and writes nothing.
        """
        raise NotImplementedError

    async def patch(self, context: Context, identifier: str, patch: Patch, expected_version: int | None = None) -> Written:
        """Change some values of an identifier."""
        raise NotImplementedError

    async def retire(self, context: Context, identifier: str, expected_version: int | None = None) -> Written:
        """Leave a tombstone under an identifier, for ever."""
        raise NotImplementedError

    async def suspend(self, context: Context, identifier: str, expected_version: int | None = None) -> Written:
        """Let an identifier show nothing until it is resumed."""
        raise NotImplementedError

    async def resume(self, context: Context, identifier: str, expected_version: int | None = None) -> Written:
        """Let a suspended identifier answer again."""
        raise NotImplementedError

    async def read(self, context: Context, identifier: str, after: Position | None = None) -> Record:
        """All of a record that the caller may see; `after` waits for a position. An alias reads as its record."""
        raise NotImplementedError

    async def list_identifiers(
        self, context: Context, registrant: str, prefix: str, after: str = "", limit: int = DEFAULT_PAGE
    ) -> Page[Record]:
        """Records of `registrant` below `prefix`, in order of their normalised names, from a cursor on."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def move_prefix(
        self, context: Context, name: str, state: PrefixState, expected_version: int | None = None
    ) -> Written:
        """Move a prefix along its life cycle: submit, approve, reject, suspend, resume (to APPROVED)."""
        raise NotImplementedError

    async def set_suffix_rule(
        self, context: Context, name: str, rule: SuffixRule, expected_version: int | None = None
    ) -> Written:
        """Change how suffixes compare; refused (INVALID_STATE) once an identifier was registered."""
        raise NotImplementedError

    async def show_prefix(self, context: Context, name: str) -> Prefix:
        raise NotImplementedError

    async def list_prefixes(
        self, context: Context, registrant: str, after: str = "", limit: int = DEFAULT_PAGE
    ) -> Page[Prefix]:
        """The prefixes of one registrant (`EVERY_REGISTRANT` for those who may see all)."""
        raise NotImplementedError

    # Registrants

    async def create_registrant(
        self, context: Context, code: str, name: str, state: PrefixState = PrefixState.APPROVED
    ) -> Written:
        """Create a registrant. `unpack_registrant(outcomes[0].image)` is the registrant."""
        raise NotImplementedError

    async def move_registrant(
        self, context: Context, code: str, state: PrefixState, expected_version: int | None = None
    ) -> Written:
        """Move a registrant along its life cycle, as `move_prefix` does."""
        raise NotImplementedError

    async def show_registrant(self, context: Context, code: str) -> Registrant:
        raise NotImplementedError

    async def list_registrants(self, context: Context, after: str = "", limit: int = DEFAULT_PAGE) -> Page[Registrant]:
        raise NotImplementedError

    # Accounts

    async def create_account(
        self, context: Context, name: str, role: Role, registrant: str = "", groups: tuple[GroupGrant, ...] = ()
    ) -> NewAccount:
        """Create a login; its API key is in the answer and nowhere else."""
        raise NotImplementedError

    async def rotate_key(self, context: Context, name: str, expected_version: int | None = None) -> NewAccount:
        """Give an account a new API key; the old one opens nothing from now on."""
        raise NotImplementedError

    async def enable_account(self, context: Context, name: str) -> Written:
        raise NotImplementedError

    async def disable_account(self, context: Context, name: str) -> Written:
        """Close an account: its key opens nothing."""
        raise NotImplementedError

    async def grant(self, context: Context, name: str, grant: GroupGrant) -> Written:
        """Let an account read the values of a registrant's group."""
        raise NotImplementedError

    async def revoke(self, context: Context, name: str, grant: GroupGrant) -> Written:
        raise NotImplementedError

    async def show_account(self, context: Context, name: str) -> Account:
        raise NotImplementedError

    async def list_accounts(self, context: Context, after: str = "", limit: int = DEFAULT_PAGE) -> Page[Account]:
        raise NotImplementedError

    # Changes

    async def changes(
        self, context: Context, after: Position, limit: int = DEFAULT_PAGE, wait_s: float = 0, prefix: str = ""
    ) -> ChangesPage:
        """The changes after a position as the caller may see them; waits up to `wait_s` seconds if there are none."""
        raise NotImplementedError
