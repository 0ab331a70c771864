"""The one table from reasons to Handle response codes (RFC 3652 2.2, and what stock servers answer beside it).

What a stock client makes of a code decided some of them: it throws on a number that it does not know; code 2 over UDP
makes it ask again over TCP at once; code 402 must come with a challenge, or it cannot be read.
"""

from typing import Final

from proto.errors import Reason
from proto.wire.handle.codes import ResponseCode

REASON_CODES: Final[dict[Reason, ResponseCode]] = {
    Reason.MALFORMED_MESSAGE: ResponseCode.PROTOCOL_ERROR,
    Reason.INVALID_ENCODING: ResponseCode.PROTOCOL_ERROR,
    Reason.INVALID_ARGUMENT: ResponseCode.PROTOCOL_ERROR,
    Reason.INVALID_IDENTIFIER: ResponseCode.INVALID_IDENTIFIER,
    Reason.AMBIGUOUS_IDENTIFIER: ResponseCode.INVALID_IDENTIFIER,
    Reason.INVALID_VALUE: ResponseCode.INVALID_VALUE,
    Reason.DUPLICATE_INDEX: ResponseCode.INVALID_VALUE,
    Reason.DUPLICATE_IDENTIFIER: ResponseCode.PROTOCOL_ERROR,
    Reason.INVALID_IDEMPOTENCY_KEY: ResponseCode.PROTOCOL_ERROR,
    Reason.UNSUPPORTED_CONTENT_TYPE: ResponseCode.PROTOCOL_ERROR,
    Reason.UNSUPPORTED_OPERATION: ResponseCode.OPERATION_NOT_SUPPORTED,
    Reason.MESSAGE_TOO_LARGE: ResponseCode.PROTOCOL_ERROR,
    Reason.VALUE_TOO_LARGE: ResponseCode.INVALID_VALUE,
    Reason.RECORD_TOO_LARGE: ResponseCode.INVALID_VALUE,
    Reason.TOO_MANY_VALUES: ResponseCode.INVALID_VALUE,
    Reason.BATCH_TOO_LARGE: ResponseCode.PROTOCOL_ERROR,
    Reason.UNKNOWN_PREFIX: ResponseCode.NOT_RESPONSIBLE,
    Reason.NOT_HOMED: ResponseCode.NOT_RESPONSIBLE,
    Reason.PREFIX_NOT_APPROVED: ResponseCode.NOT_RESPONSIBLE,
    Reason.PREFIX_SUSPENDED: ResponseCode.VALUES_NOT_FOUND,
    Reason.NOT_FOUND: ResponseCode.IDENTIFIER_NOT_FOUND,
    Reason.ALREADY_EXISTS: ResponseCode.IDENTIFIER_EXISTS,
    Reason.RETIRED: ResponseCode.IDENTIFIER_EXISTS,
    Reason.SUSPENDED: ResponseCode.VALUES_NOT_FOUND,
    Reason.VERSION_CONFLICT: ResponseCode.ERROR,
    Reason.INVALID_STATE: ResponseCode.ERROR,
    Reason.ALIAS_TAKEN: ResponseCode.IDENTIFIER_EXISTS,
    Reason.IDEMPOTENCY_MISMATCH: ResponseCode.ERROR,
    Reason.UNAUTHENTICATED: ResponseCode.AUTHENTICATION_NEEDED,
    Reason.PERMISSION_DENIED: ResponseCode.INVALID_ADMIN,
    Reason.QUOTA_EXCEEDED: ResponseCode.TOO_BUSY,
    Reason.OVERLOADED: ResponseCode.TOO_BUSY,
    Reason.STORAGE_FULL: ResponseCode.SERVER_READ_ONLY,
    Reason.STORE_FAILED: ResponseCode.ERROR,
    Reason.NOT_READY: ResponseCode.TOO_BUSY,
    Reason.TIMEOUT: ResponseCode.TOO_BUSY,
    Reason.UPSTREAM_FAILED: ResponseCode.TOO_BUSY,
    Reason.TOO_MANY_HOPS: ResponseCode.RECURSION_TOO_HIGH,
    # Not ERROR: a node that asks this one would take it for ill, because of what somebody has registered elsewhere.
    Reason.FORBIDDEN_ADDRESS: ResponseCode.NOT_RESPONSIBLE,
    Reason.INTERNAL: ResponseCode.ERROR,
}
