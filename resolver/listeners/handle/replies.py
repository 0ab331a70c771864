"""Answers and refusals as Handle response codes and bodies: the one table of this edge, and nothing but rendering.

What a stock client makes of a code decided some of them: it throws on a number that it does not know; code 2 over UDP
makes it ask again over TCP at once; code 402 must come with a challenge, or it cannot be read.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from proto.errors import Reason
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Retired, Suspended, ValuesNotFound
from proto.model.identifier import PREFIX_OF_PREFIXES, fold_ascii
from proto.model.record import State
from proto.wire.handle import codes
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.resolution import (
    ReferralResponse,
    compose_error_body,
    compose_referral_body,
    compose_resolution_body,
)
from proto.wire.handle.trailer import LifeCycle, compose_trailer

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


class Reply(NamedTuple):
    """What an answer comes to: a code, the parts of a body, flags beside the echoed ones; not `is_own` if others gave it."""

    code: ResponseCode
    body: tuple[bytes, ...]
    flags: int = 0
    is_own: bool = True


ANSWERS: Final = (Found, ValuesNotFound, NotFound, Suspended, Retired, Referral, Refused)
"""Every type of answer, the commonest first: what a result is that need not be waited for."""


def refuse(reason: Reason, detail: str) -> Reply:
    """A refusal as a reply; with code 402 the body is still to become a challenge."""
    return Reply(REASON_CODES[reason], (compose_error_body(detail),))


def render(answer: Answer, flags: int, is_own: bool = True) -> Reply:
    """An answer as a reply to a request with these flags; one that other nodes gave does not claim to be the primary's."""
    reply = _render(answer, flags)
    return reply if is_own else reply._replace(is_own=False)


def _render(answer: Answer, flags: int) -> Reply:
    reply = _RENDERERS[type(answer)](answer, flags)
    if flags & codes.LIFE_CYCLE:
        life_cycle = _life_cycle(answer)
        if life_cycle:
            return Reply(reply.code, (*reply.body, compose_trailer(life_cycle)), reply.flags | codes.LIFE_CYCLE)
    return reply


def _found(answer: Found, _flags: int) -> Reply:
    return Reply(ResponseCode.SUCCESS, compose_resolution_body(answer.echo, answer.values))


def _error(code: ResponseCode, message: str) -> Callable[[Any, int], Reply]:
    reply = Reply(code, (compose_error_body(message),))
    return lambda _answer, _flags: reply


def _suspended(answer: Suspended, _flags: int) -> Reply:
    return Reply(ResponseCode.VALUES_NOT_FOUND, (compose_error_body(f"the {answer.what} is suspended"),))


def _referral(answer: Referral, flags: int) -> Reply:
    if flags & codes.DO_NOT_REFER:
        return Reply(ResponseCode.NOT_RESPONSIBLE, (compose_error_body(f"prefix {answer.prefix} is delegated"),))
    names_prefix = "/" not in answer.asked or fold_ascii(answer.asked).startswith(f"{PREFIX_OF_PREFIXES}/")
    code = ResponseCode.PREFIX_REFERRAL if names_prefix else ResponseCode.SERVICE_REFERRAL
    return Reply(code, (compose_referral_body(ReferralResponse(f"0.NA/{answer.prefix}", answer.values)),))


def _refused(answer: Refused, _flags: int) -> Reply:
    return refuse(answer.refusal.reason, answer.refusal.detail)


# CONTRACT's table for this protocol. Stock servers send no message with 100 and 200; neither do we, but for the reason.
_RENDERERS: Final[dict[type, Callable[[Any, int], Reply]]] = {
    Found: _found,
    ValuesNotFound: _error(ResponseCode.VALUES_NOT_FOUND, ""),
    NotFound: _error(ResponseCode.IDENTIFIER_NOT_FOUND, ""),
    Suspended: _suspended,
    Retired: _error(ResponseCode.IDENTIFIER_NOT_FOUND, "it is retired"),
    Referral: _referral,
    Refused: _refused,
}


def _life_cycle(answer: Answer) -> LifeCycle | None:
    match answer:
        case Found() | ValuesNotFound():
            return LifeCycle(State.ACTIVE, answer.version, answer.identifier, answer.source, answer.age_s)
        case Suspended():
            return LifeCycle(State.SUSPENDED, 0, "")
        case Retired():
            return LifeCycle(State.RETIRED, answer.version, "")
        case _:
            return None
