"""Accounts: logins with hashed API keys, and the groups that open others' values to them."""

import re
import secrets
from dataclasses import dataclass, replace
from typing import Final

from proto.credentials import SECRET_BYTES, account_of_token, compose_token, digest_token, token_matches
from proto.errors import Reason, Refusal
from proto.model.account import ANONYMOUS, Account, Caller, GroupGrant, Role, caller_of
from proto.model.change import Table
from proto.model.value import PRIVATE, PUBLIC, check_audience
from proto.ports import RecordReader
from proto.tables import pack_account, unpack_account
from registry.policy.rules import EVERY_REGISTRANT, Action, enter, require
from registry.service.execute import Written
from registry.service.listing import Page, page_of, plan_nothing, plan_row
from registry.service.plan import Plan, check_version
from registry.service.registrants import find_registrant, parse_code, parse_whose

# A name stands in its API keys, between underscores, and in paths.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")

# A partner works with some dozens of suppliers; each grant is looked through at every look-up of the account.
MAX_GRANTS: Final = 256

_WRONG_TOKEN: Final = "the token is not a valid key of an enabled account"  # noqa: S105 # a sentence, not a secret


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account whose key was just made. `token` is shown this once; a replayed request has none any more."""

    account: Account
    token: str
    written: Written


def new_secret() -> str:
    """A fresh secret for an API key."""
    return secrets.token_urlsafe(SECRET_BYTES)


def authenticate(reader: RecordReader, token: str) -> Caller:
    """Who a bearer token is; nobody in particular for an empty one.

    Raises `Refusal(UNAUTHENTICATED)`: whether the account exists is nobody's business who does not hold its key.
    """
    if not token:
        return ANONYMOUS
    name = account_of_token(token)
    account = reader.account(name) if name is not None else None
    if account is None or not token_matches(token, account):
        raise Refusal(Reason.UNAUTHENTICATED, _WRONG_TOKEN, "authorization")
    return caller_of(account)


def make_token(name: str, secret: str) -> str:
    """The API key of the account `name`. Raises `Refusal(INVALID_ARGUMENT)` unless it can be an account's name."""
    if not _NAME.fullmatch(name):
        raise Refusal(Reason.INVALID_ARGUMENT, "a name is 1 to 64 lower-case letters, digits, '.' and '-'", "name")
    return compose_token(name, secret)


def plan_account(
    reader: RecordReader,
    caller: Caller,
    name: str,
    role: Role,
    registrant: str,
    groups: tuple[GroupGrant, ...],
    token: str,
    now_ms: int,
) -> Plan:
    """A new account. Raises `Refusal`: PERMISSION_DENIED, INVALID_ARGUMENT, NOT_FOUND (registrant), ALREADY_EXISTS."""
    require(caller, Action.ADMINISTER_ACCOUNT, registrant)
    if bool(registrant) != (role is Role.REGISTRANT):
        raise Refusal(Reason.INVALID_ARGUMENT, "accounts of the role registrant, and only they, have one", "registrant")
    holder = parse_code(registrant, "registrant") if registrant else ""
    if holder:
        find_registrant(reader, holder)
    grants = tuple(_check_grant(reader, grant, f"groups[{place}]") for place, grant in enumerate(groups))
    _check_count(grants)
    if reader.account(name) is not None:
        raise Refusal(Reason.ALREADY_EXISTS, f"there is an account {name}", "name")
    account = Account(name, role, holder, digest_token(token), grants, True, 1, now_ms, now_ms)
    return plan_row(Table.ACCOUNT, name, pack_account(account), 1)


def plan_new_key(
    reader: RecordReader, caller: Caller, name: str, token: str, expected_version: int | None, now_ms: int
) -> Plan:
    """An account with another key: its own for everybody, anybody's for the operator."""
    own = name == caller.account and not caller.is_anonymous
    before = _find_for(reader, caller, Action.ROTATE_OWN_KEY if own else Action.ADMINISTER_ACCOUNT, name)
    check_version(before.version, expected_version)
    return _plan_next(before, replace(before, key_digest=digest_token(token)), now_ms)


def plan_enabled(reader: RecordReader, caller: Caller, name: str, enabled: bool, now_ms: int) -> Plan:
    """An account opened or closed. Raises `Refusal(INVALID_STATE)` for who would lock itself out."""
    before = _find_for(reader, caller, Action.ADMINISTER_ACCOUNT, name)
    if not enabled and name == caller.account:
        raise Refusal(Reason.INVALID_STATE, "an account does not disable itself", "name")
    return _plan_next(before, replace(before, enabled=enabled), now_ms)


def plan_grant(reader: RecordReader, caller: Caller, name: str, grant: GroupGrant, now_ms: int) -> Plan:
    """An account with one more grant. Who holds the values decides who reads them."""
    before, checked = _find_grantee(reader, caller, name, grant)
    if checked in before.groups:
        return _plan_next(before, before, now_ms)
    groups = (*before.groups, checked)
    _check_count(groups)
    return _plan_next(before, replace(before, groups=groups), now_ms)


def plan_revocation(reader: RecordReader, caller: Caller, name: str, grant: GroupGrant, now_ms: int) -> Plan:
    """An account without a grant."""
    before, checked = _find_grantee(reader, caller, name, grant)
    groups = tuple(each for each in before.groups if each != checked)
    return _plan_next(before, replace(before, groups=groups), now_ms)


def show_account(reader: RecordReader, caller: Caller, name: str) -> Account:
    """An account; its own for everybody. Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND."""
    own = name == caller.account and not caller.is_anonymous
    return _find_for(reader, caller, Action.ROTATE_OWN_KEY if own else Action.READ_ACCOUNT, name)


def list_accounts(reader: RecordReader, caller: Caller, registrant: str, after: str, limit: int) -> Page[Account]:
    """The accounts of one registrant (empty: of none), or of `EVERY_REGISTRANT`, by name."""
    whose = parse_whose(registrant)
    require(caller, Action.READ_ACCOUNT, whose)

    def item_of(name: str) -> Account | None:
        account = reader.account(name)
        belongs = account is not None and whose in (EVERY_REGISTRANT, account.registrant)
        return account if belongs else None

    return page_of(reader.images(Table.ACCOUNT), after, limit, item_of)


def visible_account(account: Account, caller: Caller) -> Account:
    """The account as who granted it something may see it: without what others granted."""
    if caller.role is Role.OPERATOR or account.name == caller.account or account.registrant == caller.registrant != "":
        return account
    return replace(account, groups=tuple(each for each in account.groups if each.registrant == caller.registrant))


def _find_for(reader: RecordReader, caller: Caller, action: Action, name: str) -> Account:
    enter(caller, action)
    account = reader.account(name)
    if account is None:
        raise Refusal(Reason.NOT_FOUND, f"there is no account {name}", "name")
    require(caller, action, account.registrant)
    return account


def _find_grantee(reader: RecordReader, caller: Caller, name: str, grant: GroupGrant) -> tuple[Account, GroupGrant]:
    """Raises `Refusal`: PERMISSION_DENIED if the values are another's, INVALID_VALUE, NOT_FOUND."""
    enter(caller, Action.GRANT)
    require(caller, Action.GRANT, parse_code(grant.registrant, "registrant"))
    checked = _check_grant(reader, grant, "group")
    account = reader.account(name)
    if account is None:
        raise Refusal(Reason.NOT_FOUND, f"there is no account {name}", "name")
    return account, checked


def _check_grant(reader: RecordReader, grant: GroupGrant, field: str) -> GroupGrant:
    check_audience(grant.group, field)
    if grant.group in (PUBLIC, PRIVATE):
        raise Refusal(Reason.INVALID_VALUE, f"{grant.group} is no group", field)
    code = parse_code(grant.registrant, "registrant")
    find_registrant(reader, code)
    return GroupGrant(code, grant.group)


def _check_count(groups: tuple[GroupGrant, ...]) -> None:
    if len(groups) > MAX_GRANTS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"{len(groups)} grants; an account has at most {MAX_GRANTS}", "groups")


def _plan_next(before: Account, after: Account, now_ms: int) -> Plan:
    if after == before:
        return plan_nothing(before.name, pack_account(before), before.version)
    after = replace(after, version=before.version + 1, changed_ms=max(now_ms, before.changed_ms))
    return plan_row(Table.ACCOUNT, after.name, pack_account(after), after.version)


def unpack_new(written: Written, token: str) -> NewAccount:
    """What a write of an account with a new key answers with: a replay must not tell a key that was never committed."""
    return NewAccount(unpack_account(written.outcomes[0].image), "" if written.replayed else token, written)
