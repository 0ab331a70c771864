"""Answers and refusals as Handle response codes and bodies: the one table of this edge, and nothing but rendering.

The codes of reasons are both edges' that speak of them, this one and the Handle JSON API's (`proto.wire.handle.status`).
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
from proto.wire.handle.status import REASON_CODES as REASON_CODES
from proto.wire.handle.trailer import LifeCycle, compose_trailer


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
