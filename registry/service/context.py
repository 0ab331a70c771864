"""Context: what a door knows about a request besides what it asks for."""

import struct
from dataclasses import dataclass
from typing import Final

from proto.errors import Reason, Refusal
from proto.limits import MAX_IDEMPOTENCY_KEY_CHARS
from proto.model.account import ANONYMOUS, Caller
from proto.sm3 import sm3

_LENGTH: Final = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, and how the request can be found again.

    `body_digest` (see `digest_request`) is what an idempotency key is bound to; it is empty without a key.
    """

    caller: Caller = ANONYMOUS
    request_id: str = ""
    traceparent: str = ""
    idempotency_key: str = ""
    body_digest: bytes = b""


def digest_request(*parts: bytes) -> bytes:
    """The SM3 digest of all that makes a request what it is: method, path, conditions, body."""
    return sm3(*(piece for part in parts for piece in (_LENGTH.pack(len(part)), part)))


def check_idempotency_key(key: str) -> str:
    """The key itself. Raises `Refusal(INVALID_IDEMPOTENCY_KEY)` unless it is 1 to 255 visible ASCII characters."""
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS or not all("!" <= char <= "~" for char in key):
        why = f"a key is 1 to {MAX_IDEMPOTENCY_KEY_CHARS} visible ASCII characters"
        raise Refusal(Reason.INVALID_IDEMPOTENCY_KEY, why, "idempotency_key")
    return key
