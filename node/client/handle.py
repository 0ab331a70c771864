"""Asks over the Handle protocol, as a stock client does: one question over TCP, or over UDP with retries.

A UDP answer with code 2 says what it says to stock clients: ask again over TCP. The request sets one flag of ours
(`codes.LIFE_CYCLE`), which other servers ignore; where it is known, the answer also tells state and version.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from node.client.document import DEFAULT_TIMEOUT_S, Outcome, ResolvedDocument, Unanswered
from proto.errors import Reason, Refusal
from proto.handle_json import render_value
from proto.limits import MAX_MESSAGE_BYTES
from proto.model.record import State
from proto.wire.handle import codes
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.datagram import PART_BYTES, Reassembly, split_message
from proto.wire.handle.envelope import Envelope
from proto.wire.handle.exchange import MAX_REQUEST, REFERRALS, Question, Response, read_response
from proto.wire.handle.exchange import compose_question as compose
from proto.wire.handle.message import Message, parse_message
from proto.wire.handle.stream import StreamParser
from proto.wire.handle.value import parse_value

_FLAGS: Final = codes.RECURSIVE | codes.CACHE_CERTIFY | codes.PUBLIC_ONLY | codes.LIFE_CYCLE
# Seconds to wait for an answer to each sending, after which the question is sent again (Handle.Net: 0.5, 1, 1.5; then silence).
_UDP_WAITS_S: Final = (0.5, 1.0, 1.5, 2.0, 2.5)
_READ_BYTES: Final = 65_536
_MAX_ANSWER_PARTS: Final = -(-MAX_MESSAGE_BYTES // PART_BYTES)

_OUTCOMES: Final[dict[int, Outcome]] = {
    ResponseCode.VALUES_NOT_FOUND: Outcome.VALUES_NOT_FOUND,
    ResponseCode.IDENTIFIER_NOT_FOUND: Outcome.NOT_FOUND,
    ResponseCode.NOT_RESPONSIBLE: Outcome.NOT_HOMED,
}
_LIFE_CYCLE_OUTCOMES: Final[dict[int, Outcome]] = {State.SUSPENDED: Outcome.SUSPENDED, State.RETIRED: Outcome.RETIRED}
_REASONS: Final[dict[int, str]] = {
    ResponseCode.TOO_BUSY: Reason.OVERLOADED,
    ResponseCode.PROTOCOL_ERROR: Reason.MALFORMED_MESSAGE,
    ResponseCode.OPERATION_NOT_SUPPORTED: Reason.UNSUPPORTED_OPERATION,
    ResponseCode.INVALID_IDENTIFIER: Reason.INVALID_IDENTIFIER,
    ResponseCode.INVALID_ADMIN: Reason.PERMISSION_DENIED,
    ResponseCode.INSUFFICIENT_PERMISSION: Reason.PERMISSION_DENIED,
}


async def resolve(
    identifier: str,
    host: str,
    port: int,
    *,
    types: Sequence[str] = (),
    indexes: Sequence[int] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> ResolvedDocument:
    """Ask over TCP. Raises `Unanswered`."""
    question = compose_question(identifier, types, indexes)
    try:
        async with asyncio.timeout(timeout_s):
            return read_answer(identifier, await _exchange(question, host, port))
    except TimeoutError:
        raise Unanswered(f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise Unanswered(error.strerror or str(error)) from None


async def resolve_udp(
    identifier: str,
    host: str,
    port: int,
    *,
    types: Sequence[str] = (),
    indexes: Sequence[int] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> ResolvedDocument:
    """Ask over UDP, and over TCP if the server says so. Raises `Unanswered`."""
    question = compose_question(identifier, types, indexes)
    try:
        async with asyncio.timeout(timeout_s):
            answer = await _exchange_packets(question, host, port)
            if answer.code == ResponseCode.ERROR:
                answer = await _exchange(question, host, port)
            return read_answer(identifier, answer)
    except TimeoutError:
        raise Unanswered(f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise Unanswered(error.strerror or str(error)) from None


def compose_question(identifier: str, types: Sequence[str] = (), indexes: Sequence[int] = ()) -> bytes:
    """A resolution request with an envelope, ready to be sent."""
    question = Question(identifier, tuple(indexes), tuple(types), _FLAGS)
    return compose(question, 1 + secrets.randbelow(MAX_REQUEST), int(time.time()))


def read_answer(identifier: str, answer: Message) -> ResolvedDocument:
    """What an answer to the question for `identifier` says. Raises `Unanswered` if it cannot be read."""
    try:
        return _read(identifier, read_response(identifier, answer))
    except Refusal as refusal:
        raise Unanswered(f"the answer cannot be read: {refusal.detail}") from None


def _read(identifier: str, response: Response) -> ResolvedDocument:
    if response.code == ResponseCode.SUCCESS:
        outcome = Outcome.FOUND if response.values else Outcome.VALUES_NOT_FOUND
        return _document(response, identifier, outcome, values=_render(response.values))
    if response.code in REFERRALS:
        detail = f"ask at {response.service or 'the sites given'}"
        return ResolvedDocument(identifier, Outcome.REFERRAL, values=_render(response.values), detail=detail)
    if response.code == ResponseCode.AUTHENTICATION_NEEDED:
        return ResolvedDocument(identifier, Outcome.REFUSED, detail="credentials are needed", reason=Reason.UNAUTHENTICATED)
    outcome = _OUTCOMES.get(response.code, Outcome.REFUSED)
    reason = _REASONS.get(response.code, "") if outcome is Outcome.REFUSED else ""
    detail = response.message or f"response code {response.code}"
    return _document(response, identifier, outcome, detail=detail, reason=reason)


def _document(
    response: Response,
    identifier: str,
    outcome: Outcome,
    values: Sequence[dict[str, Any]] = (),
    detail: str = "",
    reason: str = "",
) -> ResolvedDocument:
    told = response.told
    if told is None:
        return ResolvedDocument(identifier, outcome, values=values, detail=detail, reason=reason)
    return ResolvedDocument(
        told.identifier or identifier,
        _LIFE_CYCLE_OUTCOMES.get(told.state, outcome),
        told.state.name.lower(),
        told.version or None,
        values,
        detail,
        reason,
        source=told.source if outcome in (Outcome.FOUND, Outcome.VALUES_NOT_FOUND) else "",
        age_s=told.age_s,
    )


def _render(values: Sequence[bytes]) -> list[dict[str, Any]]:
    return [render_value(parse_value(packed)[0]) for packed in values]


async def _exchange(question: bytes, host: str, port: int) -> Message:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(question)
        parser = StreamParser()
        while data := await reader.read(_READ_BYTES):
            parser.feed(data)
            while received := _next_answer(parser):
                answer = _match(question, *received)
                if answer:
                    return answer
        raise Unanswered("the server closed the connection without an answer")
    finally:
        writer.close()


def _next_answer(parser: StreamParser) -> tuple[Envelope, bytes] | None:
    try:
        return parser.next_message()
    except Refusal as refusal:
        raise Unanswered(f"the answer is not of the Handle protocol: {refusal.detail}") from None


def _match(question: bytes, envelope: Envelope, payload: bytes) -> Message | None:
    """The message if it answers the question. Raises `Unanswered` if its header cannot be read."""
    if envelope.request not in (int.from_bytes(question[8:12]), 0):
        return None
    try:
        return parse_message(envelope, payload)
    except Refusal as refusal:
        raise Unanswered(f"the answer cannot be read: {refusal.detail}") from None


async def _exchange_packets(question: bytes, host: str, port: int) -> Message:
    loop = asyncio.get_running_loop()
    transport, receiver = await loop.create_datagram_endpoint(lambda: _Receiver(question), remote_addr=(host, port))
    try:
        for wait_s in _UDP_WAITS_S:
            for packet in split_message(question, mark_truncated=False):
                transport.sendto(packet)
            done, _ = await asyncio.wait((receiver.answer,), timeout=wait_s)
            if done:
                return receiver.answer.result()
        raise Unanswered(f"no answer to {len(_UDP_WAITS_S)} packets")
    finally:
        receiver.answer.cancel()
        transport.close()


class _Receiver(asyncio.DatagramProtocol):
    """Gathers the packets of the one answer."""

    def __init__(self, question: bytes) -> None:
        self._question = question
        self._reassembly = Reassembly(max_parts=_MAX_ANSWER_PARTS)
        self.answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        try:
            received = self._reassembly.accept(data, addr, time.monotonic())
            answer = _match(self._question, *received) if received else None
        except Refusal:
            return  # a stray packet; the answer, or silence, is still to come
        except Unanswered as failure:
            self._fail(failure)
            return
        if answer and not self.answer.done():
            self.answer.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        self._fail(exc)

    def _fail(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)
