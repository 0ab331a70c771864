"""The first start of a node: its homed prefixes, and the accounts that the node sees to itself, each with its key in a file.

The file is written before the account that its key opens, so that a start that is cut short leaves a key that the next
start takes up. Once the account exists it is the store that decides: a file that is gone stays gone, a key that was changed
stays changed. An *empty* file asks for a new key: whoever can write there owns the node anyway, and needs a way back in.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from proto.credentials import account_of_token, digest_token
from proto.model.account import Account, Caller, Role
from proto.model.change import Table
from proto.model.identifier import SuffixRule, parse_prefix
from proto.model.prefix import Prefix, PrefixState
from proto.ports import RecordReader
from proto.tables import pack_account, pack_prefix
from registry.service.accounts import make_token, new_secret
from registry.service.context import Context
from registry.service.execute import Executor
from registry.service.listing import plan_row
from registry.service.plan import Plan

log = logging.getLogger(__name__)

OPERATOR_ACCOUNT: Final = "operator"
FEEDS_ACCOUNT: Final = "feeds"
FILINGS_ACCOUNT: Final = "filings"
ROLES: Final[Mapping[str, Role]] = {
    OPERATOR_ACCOUNT: Role.OPERATOR,
    FEEDS_ACCOUNT: Role.CITY,
    FILINGS_ACCOUNT: Role.UPSTREAM,
}
"""The accounts that a node may see to itself: its operator's, and those of its adapters."""
_NODE: Final = Context(Caller("node", Role.OPERATOR), request_id="first-start")


@dataclass(frozen=True, slots=True)
class _Login:
    """An account that the node sees to itself, and the file that its key lies in."""

    name: str
    role: Role
    file: Path


async def bootstrap(executor: Executor, homed: Sequence[str], files: Mapping[str, Path]) -> None:
    """Seed an empty store with the homed prefixes, and see to accounts of `ROLES`, whose keys lie in `files` (0600).

    Does nothing where there is nothing to do, so it runs at every start, once the view is ready. Raises `Refusal`, and
    `OSError` if a file cannot be read or written.
    """
    await executor.catch_up()
    reader = executor.reader
    logins = [_Login(name, ROLES[name], file) for name, file in files.items()]
    tokens = {login: token for login in logins if (token := _new_token(reader, login))}
    if tokens or not reader.images(Table.PREFIX):
        await executor.execute(_NODE, lambda now_ms: _plan(reader, homed, tokens, now_ms))


def _new_token(reader: RecordReader, login: _Login) -> str:
    """A key that the store does not know yet and the file holds; empty if there is none to be made."""
    token = _read_token(login)
    is_new = reader.account(login.name) is None
    if token == "" or (token is None and is_new):
        token = make_token(login.name, new_secret())
        _write_token(login.file, token)
        log.info("the key of an account is in a file", extra={"account": login.name, "file": str(login.file)})
    elif not is_new:
        return ""
    return token or ""


def _plan(reader: RecordReader, homed: Sequence[str], tokens: Mapping[_Login, str], now_ms: int) -> Plan:
    plan = Plan()
    if not reader.images(Table.PREFIX):
        for name in sorted({parse_prefix(each) for each in homed}):
            prefix = Prefix(name, "", PrefixState.APPROVED, SuffixRule.FOLD_ASCII, 1, now_ms, now_ms)
            _extend(plan, plan_row(Table.PREFIX, name, pack_prefix(prefix), 1, prefix.state))
    for login, token in tokens.items():
        account = _account(login, reader.account(login.name), digest_token(token), now_ms)
        _extend(plan, plan_row(Table.ACCOUNT, account.name, pack_account(account), account.version))
    return plan


def _account(login: _Login, before: Account | None, digest: bytes, now_ms: int) -> Account:
    if before is None:
        return Account(login.name, login.role, "", digest, (), True, 1, now_ms, now_ms)
    return replace(before, key_digest=digest, enabled=True, version=before.version + 1, changed_ms=now_ms)


def _extend(plan: Plan, more: Plan) -> None:
    plan.rows.extend(more.rows)
    plan.outcomes.extend(more.outcomes)


def _read_token(login: _Login) -> str | None:
    """The key in the file, empty if the file is, None if there is no file. Raises `ValueError` for anything else in it."""
    try:
        token = login.file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    if token and account_of_token(token) != login.name:
        raise ValueError(f"{login.file} holds no key of the account {login.name}: empty it to get a new key")
    return token


def _write_token(file: Path, token: str) -> None:
    """Replace the file, readable by its owner alone, and durable before the account is."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(f"{token}\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
