"""One message in, one reply out, whatever carried it: the part of the listener that TCP and UDP share.

Operations: resolution and GET_SITE_INFO are answered; every other one, known or not, gets code 5 under its own op and
request id, so that the client that sent it can tell what was refused (a stock server answers op 0 and request id -1, which
no client can match). That includes the answer to a challenge: a challenge is the only way to say "credentials needed" on
this wire, but credentials are not taken over it yet.
"""

import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from itertools import compress
from typing import Final

from proto.errors import Reason, Refusal
from proto.metrics import Counter
from proto.model.answer import Answer, NotFound
from proto.model.query import Query
from proto.packed_handle import compose_public_replies
from proto.packing import COPY_FORMAT
from proto.ports import Clock
from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode, ResponseCode
from proto.wire.handle.envelope import Envelope
from proto.wire.handle.message import (
    LATEST_SIGNED,
    Message,
    compose_rejection,
    compose_reply,
    parse_message,
    reply_expiration,
)
from proto.wire.handle.plain import body_of, compose_plain, read_turn
from proto.wire.handle.resolution import NONCE_BYTES, compose_challenge_body, compose_error_body, parse_resolution_request
from proto.wire.handle.typed import SiteInfo, compose_site
from resolver.answer_cache import Shelf
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.listeners.handle.replies import ANSWERS, REASON_CODES, Reply, refuse, render

logger = logging.getLogger(__name__)

SiteAt = Callable[[str], SiteInfo]

# Serial and kind of the site are the same wherever it is seen from.
_ANY_ADDRESS: Final = "127.0.0.1"

# What the idle heartbeat of the Chinese SDK asks for. It must be answered, and is no resolution.
HEARTBEAT: Final = "0"
# What keys of this listener's replies begin with, in the answer cache that all listeners share.
_KEY: Final = b"n"

_FAILED: Final = "a resolution failed"
_FAILURE: Final = Refusal(Reason.INTERNAL, "the node failed to answer")
_ABSENT_CODE, (_ABSENT_BODY,), *_ = render(NotFound(""), 0)
_HEARTBEAT_REPLY: Final = Reply(ResponseCode.IDENTIFIER_NOT_FOUND, (compose_error_body(),))


class Dialogue:
    """Answers messages that arrived by one protocol. `site_at` is the node's site as seen at one of its addresses."""

    __slots__ = ("_kept", "_now_ms", "_plain", "_primary_flag", "_protocol", "_refused", "_resolve", "_serial", "_site_at")

    def __init__(
        self,
        resolve: Resolve,
        protocol: str,
        refused: Counter,
        clock: Clock,
        site_at: SiteAt,
        kept: Shelf[Reply],
        plain: PlainLookups | None = None,
    ) -> None:
        self._resolve = resolve
        self._kept = kept
        self._plain = plain
        self._protocol = protocol
        self._refused = refused
        self._now_ms = clock.now_ms
        self._site_at = site_at
        site = site_at(_ANY_ADDRESS)
        self._serial = site.serial
        self._primary_flag = codes.AUTHORITATIVE if site.is_primary else 0

    def respond(self, envelope: Envelope, payload: bytes, reached: Callable[[], str], peer: str) -> bytes | Awaitable[bytes]:
        """The whole reply to a whole message, now or later. Raises nothing: whatever goes wrong is a reply.

        `reached` tells the address of the node that the client at `peer` sent to.
        """
        try:
            message = parse_message(envelope, payload)
            if not message.is_request:
                raise Refusal(Reason.MALFORMED_MESSAGE, "a response is no question")
        except Refusal as refusal:
            return self.reject(envelope, refusal)
        try:
            if message.op == OpCode.RESOLUTION:
                return self._resolution(message, peer)
            if message.op == OpCode.GET_SITE_INFO:
                return self._reply(message, Reply(ResponseCode.SUCCESS, (compose_site(self._site_at(reached())),)))
            raise Refusal(Reason.UNSUPPORTED_OPERATION, f"operation {message.op} is not offered here")
        except Refusal as refusal:
            return self._refuse(message, refusal)
        except Exception:
            logger.exception(_FAILED, extra={"request_id": f"{message.envelope.request:08x}"})
            return self._refuse(message, _FAILURE)

    def serves(self, peer: str) -> bool:
        """Whether others are asked for an address, so that it may have copies."""
        return self._plain is None or self._plain.serves(peer)

    def respond_plainly(self, packet: bytes, is_served: bool = True) -> bytes | None:
        """The reply to a plain question that is kept or that a plain look-up answers; None: `respond` is to look at it.

        Nothing of a packet that gets None was counted. Raises nothing.
        """
        return self.respond_plainly_to([packet], is_served)[0]

    def respond_plainly_to(self, packets: Sequence[bytes], is_served: bool = True) -> list[bytes | None]:
        """The same for many packets, in order: they are looked up together. `is_served`: all who ask are (`serves`)."""
        now_s = self._now_ms() // 1000
        known, places, keys, asked = read_turn(packets, _KEY, self._kept.keys, HEARTBEAT)
        replies: list[bytes | None]
        plain = self._plain if is_served or self._plain is None else self._plain.here
        if plain is not None and asked:
            found = plain.look_up_turn(asked)
            replies = self._compose_plainly(packets, places, found, now_s)
            self._keep_plainly(plain, keys, asked, found, [replies[place] for place in places])
        else:
            replies = [None] * len(packets)
        if known:
            self._answer_kept(packets, known, replies, now_s, is_served)
        return replies

    def _answer_kept(
        self,
        packets: Sequence[bytes],
        known: Sequence[tuple[int, bytes]],
        replies: list[bytes | None],
        now_s: int,
        is_served: bool,
    ) -> None:
        """Put the kept replies to the packets at these places, with their keys, where they belong."""
        serial, own = self._serial, self._primary_flag
        for (place, _), kept in zip(known, self._kept.get_turn([key for _, key in known]), strict=True):
            if kept is None:  # it was stale, and has gone
                replies[place] = self.respond_plainly(packets[place], is_served)
                continue
            code, body, flags, is_own = kept
            whole = body[0] if len(body) == 1 else b"".join(body)
            replies[place] = compose_plain(packets[place], code, whole, serial, flags | own if is_own else flags, now_s)

    def _compose_plainly(
        self, packets: Sequence[bytes], places: Sequence[int], found: Sequence[bytes | None], now_s: int
    ) -> list[bytes | None]:
        """The replies to what plain look-ups came to; None also for a record that is damaged."""
        try:
            return compose_public_replies(
                packets, places, found, self._serial, self._primary_flag, now_s, _ABSENT_CODE, _ABSENT_BODY
            )
        except Exception:
            if len(places) == 1:
                logger.exception(_FAILED)
                return [None] * len(packets)
        replies: list[bytes | None] = [None] * len(packets)
        for place, stored in zip(places, found, strict=True):
            replies[place] = self._compose_plainly(packets, [place], [stored], now_s)[place]
        return replies

    def _keep_plainly(
        self,
        plain: PlainLookups,
        keys: Sequence[bytes],
        asked: Sequence[tuple[str, bool, bool]],
        found: Sequence[bytes | None],
        replies: Sequence[bytes | None],
    ) -> None:
        """Keep the replies to what has been asked for before."""
        if None in replies:
            # What the chain is to answer is noted there.
            if not any(replies):
                return
            rows = [row for row in zip(keys, asked, found, replies, strict=True) if row[3] is not None]
            keys, asked, found, replies = zip(*rows, strict=True)
        admitted = self._kept.admits_each(keys)
        for key, (identifier, *_), stored, reply in compress(zip(keys, asked, found, replies, strict=True), admitted):
            if stored is not None and reply is not None:
                body = body_of(reply)
                is_own = not stored or stored[0] != COPY_FORMAT
                kept = Reply(ResponseCode.SUCCESS if stored else _ABSENT_CODE, (body,), is_own=is_own)
                plain.keep(self._kept, key, identifier, stored, kept, len(body))

    def reject(self, envelope: Envelope | None, refusal: Refusal) -> bytes:
        """The reply to something that is no message."""
        self.count(refusal.reason)
        body = compose_error_body(refusal.detail)
        return compose_rejection(envelope, REASON_CODES[refusal.reason], body, expiration=self._expiration(0))

    def count(self, reason: Reason) -> None:
        """Count a refusal."""
        self._refused.labels(reason).inc()

    def _resolution(self, message: Message, peer: str) -> bytes | Awaitable[bytes]:
        key = b"%b%b%b" % (_KEY, message.flags.to_bytes(4), message.body)
        kept = self._kept.get(key)
        if kept is not None:
            return self._reply(message, kept)
        question = parse_resolution_request(message.body)
        if question.identifier == HEARTBEAT:
            return self._reply(message, _HEARTBEAT_REPLY)
        query = Query(
            question.identifier,
            self._protocol,
            question.indexes,
            question.types,
            wants_private=not message.flags & codes.PUBLIC_ONLY,
            request_id=f"{message.envelope.request:08x}",
            reads=[],
            peer=peer,
            is_recursive=bool(message.flags & codes.RECURSIVE),
            hops=message.recursion,
            max_age_s=0 if message.flags & codes.AUTHORITATIVE else None,
        )
        result = self._resolve(query)
        if isinstance(result, ANSWERS):
            reply = render(result, message.flags, query.foreign is None)
            self._kept.keep(key, query, result, reply, sum(map(len, reply.body)))
            return self._reply(message, reply)
        return self._answer_later(message, query, result)

    async def _answer_later(self, message: Message, query: Query, result: Awaitable[Answer]) -> bytes:
        try:
            return self._answer(message, query, await result)
        except Refusal as refusal:
            return self._refuse(message, refusal)
        except Exception:
            logger.exception(_FAILED, extra={"request_id": f"{message.envelope.request:08x}"})
            return self._refuse(message, _FAILURE)

    def _answer(self, message: Message, query: Query, answer: Answer) -> bytes:
        # Refusals that come out of the chain were counted there.
        return self._reply(message, render(answer, message.flags, query.foreign is None))

    def _refuse(self, message: Message, refusal: Refusal) -> bytes:
        self.count(refusal.reason)
        return self._reply(message, refuse(refusal.reason, refusal.detail))

    def _reply(self, message: Message, reply: Reply) -> bytes:
        session = message.envelope.session
        if reply.code is ResponseCode.AUTHENTICATION_NEEDED:
            session = session or 1 + secrets.randbelow(LATEST_SIGNED)
            challenge = compose_challenge_body(os.urandom(NONCE_BYTES))
            reply = Reply(reply.code, (challenge,), codes.RETURN_DIGEST)
        return compose_reply(
            message,
            reply.code,
            reply.body,
            serial=self._serial,
            expiration=self._expiration(message.expiration),
            flags=reply.flags | self._primary_flag if reply.is_own else reply.flags,
            session=session,
        )

    def _expiration(self, asked: int) -> int:
        return reply_expiration(asked, self._now_ms() // 1000)
