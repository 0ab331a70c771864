"""The one vocabulary of refusals.

Inside the system everything that is refused is a `Refusal` with a `Reason`; each edge (HTTP, gRPC, Handle, CLI)
translates reasons once, in one table that a test proves complete. Normal outcomes (not found, suspended, referral)
are answers, not refusals: see `proto.model.answer`. Nothing here knows a protocol.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why something was refused. The value is the name in metrics (`refused_total{reason}`), problems and logs."""

    # What the caller sent cannot be understood.
    MALFORMED_MESSAGE = "malformed_message"
    INVALID_ENCODING = "invalid_encoding"
    INVALID_ARGUMENT = "invalid_argument"
    INVALID_IDENTIFIER = "invalid_identifier"
    AMBIGUOUS_IDENTIFIER = "ambiguous_identifier"
    INVALID_VALUE = "invalid_value"
    DUPLICATE_INDEX = "duplicate_index"
    DUPLICATE_IDENTIFIER = "duplicate_identifier"
    INVALID_IDEMPOTENCY_KEY = "invalid_idempotency_key"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    UNSUPPORTED_OPERATION = "unsupported_operation"
    # It is understood, and beyond a limit.
    MESSAGE_TOO_LARGE = "message_too_large"
    VALUE_TOO_LARGE = "value_too_large"
    RECORD_TOO_LARGE = "record_too_large"
    TOO_MANY_VALUES = "too_many_values"
    BATCH_TOO_LARGE = "batch_too_large"
    # It does not fit what is registered.
    UNKNOWN_PREFIX = "unknown_prefix"
    NOT_HOMED = "not_homed"
    PREFIX_NOT_APPROVED = "prefix_not_approved"
    PREFIX_SUSPENDED = "prefix_suspended"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    RETIRED = "retired"
    SUSPENDED = "suspended"
    VERSION_CONFLICT = "version_conflict"
    INVALID_STATE = "invalid_state"
    ALIAS_TAKEN = "alias_taken"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    # The caller may not.
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    QUOTA_EXCEEDED = "quota_exceeded"
    # The node cannot now.
    OVERLOADED = "overloaded"
    STORAGE_FULL = "storage_full"
    STORE_FAILED = "store_failed"
    NOT_READY = "not_ready"
    TIMEOUT = "timeout"
    UPSTREAM_FAILED = "upstream_failed"
    TOO_MANY_HOPS = "too_many_hops"
    FORBIDDEN_ADDRESS = "forbidden_address"
    INTERNAL = "internal"


@dataclass(slots=True)
class Refusal(Exception):
    """A request is refused, whole, with nothing written.

    `detail` is a sentence for people; `field` names the offending part of the request in the request's own terms
    (`values[3].data`, `identifier`); `row` counts from 0 within a batch; `retry_after_s` is set when trying again helps.
    """

    reason: Reason
    detail: str = ""
    field: str = ""
    row: int | None = None
    retry_after_s: float | None = None

    def __str__(self) -> str:
        where = f" ({self.field})" if self.field else ""
        return f"{self.reason}{where}: {self.detail}" if self.detail else f"{self.reason}{where}"
