"""API keys: how one reads, and how it is checked against an account. Pure; making one is the registry's business.

A key is `bj_<account>_<secret>`; the secret is 32 random bytes, so its SM3 digest needs no salt and no slow hash: what
is stored cannot be searched backwards.
"""

import hmac
from typing import Final

from proto.model.account import Account
from proto.sm3 import sm3

_SCHEME: Final = "bj"
SECRET_BYTES: Final = 32

# Account name, secret in base64url and the separators; a longer token is not one of ours.
MAX_TOKEN_CHARS: Final = 256


def compose_token(account: str, secret: str) -> str:
    """The API key to show once."""
    return f"{_SCHEME}_{account}_{secret}"


def account_of_token(token: str) -> str | None:
    """The account that a token claims to be of, or None if it is not a key of this system."""
    if len(token) > MAX_TOKEN_CHARS or not token.isascii():
        return None
    scheme, _, rest = token.partition("_")
    account, separator, secret = rest.partition("_")
    return account if scheme == _SCHEME and separator and account and secret else None


def digest_token(token: str) -> bytes:
    """What is stored of a token."""
    return sm3(token.encode())


def token_matches(token: str, account: Account) -> bool:
    """Whether `token` is the current key of an enabled account (compared in constant time)."""
    return account.enabled and hmac.compare_digest(digest_token(token), account.key_digest)
