"""Signatures of webhooks: HMAC-SHA256 over id, time and body, in headers as Standard Webhooks has them.

The time is signed as well, so that who records a delivery cannot repeat it for ever; the id is that of the batch, the same for
each attempt.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
_VERSION: Final = "v1"

# How far the clocks of two systems may be apart.
TOLERANCE_S: Final = 300


def sign(secret: bytes, delivery: str, timestamp_s: int, body: bytes) -> Mapping[str, str]:
    """The headers of a signed delivery."""
    return {ID: delivery, TIMESTAMP: str(timestamp_s), SIGNATURE: f"{_VERSION},{_mac(secret, delivery, timestamp_s, body)}"}


def verify(secret: bytes, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Whether a delivery comes from who knows the secret, and was signed just now. What a consumer does."""
    timestamp = headers.get(TIMESTAMP, "")
    if not (timestamp.isascii() and timestamp.isdecimal()) or abs(now_s - int(timestamp)) > TOLERANCE_S:
        return False
    expected = f"{_VERSION},{_mac(secret, headers.get(ID, ''), int(timestamp), body)}"
    return any(hmac.compare_digest(expected, each) for each in headers.get(SIGNATURE, "").split(" "))


def _mac(secret: bytes, delivery: str, timestamp_s: int, body: bytes) -> str:
    signed = b".".join((delivery.encode(), str(timestamp_s).encode(), body))
    return base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
