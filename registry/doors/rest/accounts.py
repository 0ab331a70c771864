"""Accounts over REST. An API key is in the answer that makes it, and nowhere else."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from proto.model.account import Account
from proto.tables import unpack_account
from registry.doors.rest.call import Call, parse_limit
from registry.doors.rest.documents import account_document
from registry.doors.rest.limits import MAX_SMALL_BODY_BYTES
from registry.doors.rest.parameters import AFTER_NAME, IDEMPOTENCY_KEY, KNOWN, LIMIT, REGISTRANT, WRITE, name_of, page, shown
from registry.doors.rest.parameters import written as written_answers
from registry.doors.rest.render import render_page
from registry.doors.rest.reply import Reply, reply_versioned, reply_written
from registry.doors.rest.requests import parse_account, parse_grant
from registry.doors.rest.route import Body, Route
from registry.service.accounts import NewAccount, visible_account
from registry.service.context import Context
from registry.service.execute import Written
from registry.service.registry import Registry

ALL: Final = "/api/v1/accounts"
ONE: Final = "/api/v1/accounts/{account}"
GRANT: Final = "/api/v1/accounts/{account}/groups/{registrant}/{group}"
_NAME: Final = name_of("account", "The account's name.")
_GRANT: Final = (
    _NAME,
    name_of("registrant", "Code of the registrant whose values the grant opens."),
    name_of("group", "The group: the audience of those values."),
    IDEMPOTENCY_KEY,
)


class AccountResource:
    """Logins, their keys, and the groups that they may read."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def routes(self) -> Sequence[Route]:
        tag, done, keyed = "accounts", written_answers("AccountWritten"), (_NAME, IDEMPOTENCY_KEY)
        registry, small = self._registry, MAX_SMALL_BODY_BYTES
        return (
            Route("POST", ALL, "createAccount", tag, "Create a login. Its key is in this answer and nowhere else.", self.create,
                  written_answers("AccountWritten", creates=True), (IDEMPOTENCY_KEY,), Body(small, "NewAccount")),
            Route("GET", ALL, "listAccounts", tag, "Accounts, by name.", self.list,
                  page("AccountPage"), (REGISTRANT, AFTER_NAME, LIMIT)),
            Route("GET", ONE, "readAccount", tag, "One account.", self.get, shown("Account"), (_NAME, KNOWN)),
            Route("POST", f"{ONE}/rotate-key", "rotateKey", tag, "Give it a new key; the old one opens nothing any more.",
                  self.rotate, done, (_NAME, *WRITE)),
            Route("POST", f"{ONE}/enable", "enableAccount", tag, "Open a closed account.",
                  self._switch(registry.enable_account), done, keyed),
            Route("POST", f"{ONE}/disable", "disableAccount", tag, "Close it: its key opens nothing.",
                  self._switch(registry.disable_account), done, keyed),
            Route("PUT", GRANT, "grantGroup", tag, "Let it read the values of a registrant's group.", self.grant, done, _GRANT),
            Route("DELETE", GRANT, "revokeGroup", tag, "Take that back.", self.revoke, done, _GRANT),
        )  # fmt: skip

    async def create(self, call: Call) -> Reply:
        name, role, registrant, groups = await call.read(lambda: parse_account(call.document()))
        return _reply_new(await self._registry.create_account(call.context, name, role, registrant, groups))

    async def rotate(self, call: Call) -> Reply:
        expected = await call.read(call.expected_version)
        return _reply_new(await self._registry.rotate_key(call.context, call.path["account"], expected))

    async def grant(self, call: Call) -> Reply:
        grant = parse_grant(call.path)
        return _reply(call.context, await self._registry.grant(call.context, call.path["account"], grant))

    async def revoke(self, call: Call) -> Reply:
        grant = parse_grant(call.path)
        return _reply(call.context, await self._registry.revoke(call.context, call.path["account"], grant))

    async def get(self, call: Call) -> Reply:
        account = await self._registry.show_account(call.context, call.path["account"])
        return reply_versioned(account_document(account), account.version, call.headers.get("If-None-Match", ""))

    async def list(self, call: Call) -> Reply:
        query = call.query()
        found = await self._registry.list_accounts(call.context, call.whose(query), query.get("after", ""), parse_limit(query))
        return await render_page("accounts", found, account_document)

    def _switch(self, verb: Callable[[Context, str], Awaitable[Written]]) -> Callable[[Call], Awaitable[Reply]]:
        async def switch(call: Call) -> Reply:
            return _reply(call.context, await verb(call.context, call.path["account"]))

        return switch


def _reply(context: Context, written: Written) -> Reply:
    (outcome,) = written.outcomes
    account = visible_account(unpack_account(outcome.image), context.caller)
    return reply_written(account_document(account), written)


def _reply_new(made: NewAccount) -> Reply:
    """A replayed answer has no key: it was shown once."""
    document = _with_key(made.account, made.token)
    return reply_written(document, made.written, f"{ALL}/{made.account.name}")


def _with_key(account: Account, token: str) -> dict[str, Any]:
    document = account_document(account)
    return {**document, "api_key": token} if token else document
