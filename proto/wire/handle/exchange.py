"""The asking side of a resolution: composing the question, and reading whatever comes back. No sockets, no clock.

Nodes that ask other nodes and the command line that asks a node share this. A response is read whole or refused: a server may
lie about lengths, answer somebody else's question or send what no server should, and none of that may pass for an answer.
"""

from dataclasses import dataclass
from typing import Final

from proto.errors import Refusal
from proto.model.identifier import fold_ascii
from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode, ResponseCode
from proto.wire.handle.envelope import OWN_VERSION, envelope_for
from proto.wire.handle.fields import malformed
from proto.wire.handle.message import Message, compose_message, split_digest
from proto.wire.handle.resolution import (
    ResolutionRequest,
    compose_resolution_request,
    parse_error_body,
    parse_referral_body,
    parse_resolution_body,
)
from proto.wire.handle.trailer import LifeCycle, parse_trailer

# What a client opens with before it knows the server: what Handle.Net's own does.
OPENING_VERSION: Final = (2, 3)

# How long a question may be believed to be fresh, as stock clients say of theirs.
QUESTION_LIFETIME_S: Final = 12 * 3600

# Request ids are positive signed numbers to stock software.
MAX_REQUEST: Final = 0x7FFF_FFFF

REFERRALS: Final = (ResponseCode.SERVICE_REFERRAL, ResponseCode.PREFIX_REFERRAL)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `hops` counts the nodes that it has passed (the recursion count of RFC 3652 2.2.2)."""

    identifier: str
    indexes: tuple[int, ...] = ()
    types: tuple[str, ...] = ()
    flags: int = codes.PUBLIC_ONLY
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """What a server said. `values` are packed, those of the record or of a referral; `service` is a referral's identifier.

    `message` is for people; `told` is the life cycle, if the server knows of such and was asked.
    """

    code: int
    values: tuple[bytes, ...] = ()
    service: str = ""
    message: str = ""
    told: LifeCycle | None = None


def compose_question(question: Question, number: int, now_s: int) -> bytes:
    """The question under a request number, with an envelope, ready to be sent by one write."""
    envelope = envelope_for(OPENING_VERSION, number, 0, suggested=OWN_VERSION)
    body = compose_resolution_request(ResolutionRequest(question.identifier, question.indexes, question.types))
    expiration = now_s + QUESTION_LIFETIME_S
    message = Message(
        envelope, OpCode.RESOLUTION, ResponseCode.REQUEST, question.flags, codes.UNKNOWN_SERIAL, question.hops, expiration, body
    )
    return compose_message(message)


def read_response(identifier: str, message: Message) -> Response:
    """What a message says in answer to the question for `identifier`.

    Raises `Refusal(MALFORMED_MESSAGE)` if it is no response, cannot be read, or answers for another identifier.
    """
    if message.is_request:
        raise malformed("a request is no answer")
    _, body = split_digest(message)
    if message.code == ResponseCode.SUCCESS:
        if message.op != OpCode.RESOLUTION:
            raise malformed(f"an answer to operation {message.op}")
        found = parse_resolution_body(body)
        told = _told(message, found.rest)
        _check_echo(identifier, found.identifier, told)
        return Response(message.code, found.values, told=told)
    if message.code in REFERRALS:
        referral = parse_referral_body(body)
        return Response(message.code, referral.values, referral.service)
    if message.code == ResponseCode.AUTHENTICATION_NEEDED:
        # Its body is a challenge and no message.
        return Response(message.code)
    error = parse_error_body(body)
    return Response(message.code, message=error.message, told=_told(message, error.rest))


def _check_echo(asked: str, echoed: str, told: LifeCycle | None) -> None:
    """A server repeats what was asked; a node of ours repeats the record's own identifier for an alias, and says so."""
    if fold_ascii(echoed) == fold_ascii(asked) or fold_ascii(echoed) == fold_ascii(f"0.NA/{asked}"):
        return
    if told is None or not told.identifier or fold_ascii(told.identifier) != fold_ascii(echoed):
        raise malformed("an answer for another identifier")


def _told(message: Message, rest: bytes) -> LifeCycle | None:
    if not message.flags & codes.LIFE_CYCLE:
        return None
    try:
        return parse_trailer(rest)
    except Refusal:
        # A server that repeats every flag of its request has no such trailer, and may have other bytes there.
        return None
