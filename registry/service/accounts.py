"""Accounts: logins with hashed API keys."""

import secrets
from dataclasses import dataclass

from proto.credentials import SECRET_BYTES
from proto.model.account import Account
from registry.service.execute import Written


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account whose key was just made. `token` is shown this once; a replayed request has none any more."""

    account: Account
    token: str
    written: Written


def new_secret() -> str:
    """A fresh secret for an API key."""
    return secrets.token_urlsafe(SECRET_BYTES)
