"""One message in, one reply out or none, whatever carried it: the part of the listener that TCP and UDP share.

What the zone alone decides (its apex, names outside of it, names that only hold others) is answered here; every name of an
identifier is asked of the chain, for all that the record shows: the question's type selects from it. A response is never
replied to, so that two servers cannot be made to talk to each other for ever.

Identifiers that live on other nodes have names of the zone, too. The chain asks for them on behalf of the networks that it is
configured to ask for; a question with RD wants also that done which is otherwise referred. Such answers are nobody's authority:
no AA, but RA, and TTLs lowered by their age.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import compress
from typing import Final

from proto.errors import Reason, Refusal
from proto.metrics import Counter
from proto.model.answer import Answer, Found, NotFound, Referral
from proto.model.query import Query
from proto.packed_answer import found_in
from proto.packed_dns import compose_turn
from proto.packing import COPY_FORMAT
from proto.ports import RecordReader
from proto.wire.dns import codes, message
from proto.wire.dns.codes import Rcode, RRType
from proto.wire.dns.edns import (
    LEAST_PAYLOAD_BYTES,
    PAYLOAD_BYTES,
    VERSION,
    Edns,
    compose_extended_error,
    compose_opt,
    compose_option,
)
from proto.wire.dns.identifier_name import Interior, Named, read_name
from proto.wire.dns.message import Reply, compose_head, compose_rejection, is_response, operation_of, parse_query
from proto.wire.dns.name import Labels, compose_name
from proto.wire.dns.pieces import PIECE_BYTES
from proto.wire.dns.plain import asked_by, finish_plain, read_turn, split_plain
from proto.wire.dns.serial import serial_of
from proto.wire.dns.stream import MAX_STREAM_BYTES
from proto.wire.handle.trailer import compose_trailer
from resolver.answer_cache import Shelf
from resolver.chain.plain import PlainLookups
from resolver.chain.step import Resolve
from resolver.listeners.dns.interiors import Interiors
from resolver.listeners.dns.replies import ANSWERS, REASON_CODES, Asked, Content, refuse, render
from resolver.listeners.dns.zone import Zone

logger = logging.getLogger(__name__)

Room = Callable[[Edns | None], int]
"""The octets that a reply may have, given what its query says of that."""

_FAILED: Final = "a resolution failed"
_FAILURE: Final = Refusal(Reason.INTERNAL, "the node failed to answer")
_TRANSFERS: Final = (RRType.AXFR, RRType.IXFR)
# Types that are no records of any name (RFC 6895 3.1), but for ANY, which asks for some.
_META: Final = (RRType.OPT, RRType.TKEY, RRType.TSIG, RRType.MAILB, RRType.MAILA)
# Reserved: no record is of it (RFC 6895 3.1).
_NO_TYPE: Final = 0
_KIND_BYTES: Final = 4
# Whose entries in the answer cache these are.
_OWN_KEYS: Final = b"d"
_HIGH_RCODE_SHIFT: Final = 4


def datagram_room(edns: Edns | None) -> int:
    """What fits a datagram: 512 octets (RFC 1035 4.2.1), or what both sides take."""
    return LEAST_PAYLOAD_BYTES if edns is None else min(edns.payload_bytes, PAYLOAD_BYTES)


def stream_room(_edns: Edns | None) -> int:
    """What fits a message over TCP."""
    return MAX_STREAM_BYTES


class Dialogue:
    """Answers messages that arrived by one protocol."""

    def __init__(
        self,
        resolve: Resolve,
        protocol: str,
        refused: Counter,
        zone: Zone,
        reader: RecordReader,
        interiors: Interiors,
        shelf: Shelf[Reply],
        room: Room,
        now_ms: Callable[[], int],
        plain: PlainLookups | None,
    ) -> None:
        self._resolve = resolve
        self._protocol = protocol
        self._refused = refused
        self._zone = zone
        self._zone_name = compose_name(zone.labels)
        self._reader = reader
        self._interiors = interiors
        self._shelf = shelf
        self._room = room
        self._now_ms = now_ms
        self._plain = plain

    def respond(self, raw: bytes, peer: str = "") -> bytes | Awaitable[bytes] | None:
        """The whole reply to a whole message, now or later, or None. Raises nothing: whatever goes wrong is a reply.

        `peer` is the address that asks.
        """
        (reply,) = self.respond_plainly_to((raw,), self.serves(peer))
        return reply if reply is not None else self.respond_otherwise(raw, peer)

    def respond_otherwise(self, raw: bytes, peer: str = "") -> bytes | Awaitable[bytes] | None:
        """The same for a message that `respond_plainly_to` has not answered."""
        if is_response(raw):
            self.count(Reason.MALFORMED_MESSAGE)
            return None
        try:
            if operation_of(raw) != codes.QUERY:
                raise Refusal(Reason.UNSUPPORTED_OPERATION, f"operation {operation_of(raw)} is not offered here")
            query = parse_query(raw)
        except Refusal as refusal:
            return self.reject(raw, refusal)
        try:
            return self._respond(query, peer)
        except Refusal as refusal:
            return self._refuse(query, refusal)
        except Exception:
            logger.exception(_FAILED, extra={"request_id": f"{query.ident:04x}"})
            return self._refuse(query, _FAILURE)

    def reject(self, raw: bytes, refusal: Refusal) -> bytes:
        """The reply to something of which no more than the header can be read."""
        self.count(refusal.reason)
        return compose_rejection(raw, REASON_CODES[refusal.reason])

    def shorten(self, raw: bytes) -> bytes | None:
        """What sends the sender of a query to TCP; None if it is none."""
        try:
            query = parse_query(raw)
        except Refusal:
            return None
        return self._assemble(query, Content(Rcode.NOERROR)).shorten(query)

    def count(self, reason: Reason) -> None:
        """Count a refusal."""
        self._refused.labels(reason).inc()

    def serves(self, peer: str) -> bool:
        """Whether others are asked for an address, so that it may have copies."""
        return self._plain is None or self._plain.serves(peer)

    def respond_plainly_to(self, messages: Sequence[bytes], is_served: bool = True) -> list[bytes | None]:
        """The replies to messages, in order, that are plain questions whose replies are kept or that plain look-ups answer.

        None: `respond` is to look at it, and nothing of it was counted. `is_served`: all who ask are. Raises nothing.
        """
        replies: list[bytes | None] = [None] * len(messages)
        known, places, keys, asked = read_turn(messages, self._zone_name, _OWN_KEYS, self._shelf.keys)
        plain = self._plain if is_served or self._plain is None else self._plain.here
        if plain is not None and asked:
            self._answer_plainly(plain, messages, places, keys, asked, replies)
        if known:
            self._answer_kept(messages, known, replies, is_served)
        return replies

    def _answer_kept(
        self, messages: Sequence[bytes], known: Sequence[tuple[int, bytes]], replies: list[bytes | None], is_served: bool
    ) -> None:
        """Put the kept replies to the messages at these places, with their keys, where they belong."""
        for (place, _), kept in zip(known, self._shelf.get_turn([key for _, key in known]), strict=True):
            raw = messages[place]
            if kept is None:  # it was stale, and has gone
                (replies[place],) = self.respond_plainly_to((raw,), is_served)
            else:
                replies[place] = finish_plain(raw, kept) or self._finish(parse_query(raw), kept)

    def _answer_plainly(
        self,
        plain: PlainLookups,
        messages: Sequence[bytes],
        places: Sequence[int],
        keys: Sequence[bytes],
        asked: Sequence[tuple[str, bool, bool]],
        replies: list[bytes | None],
    ) -> None:
        """Put the replies that plain look-ups come to where they belong, and keep those that were asked for before."""
        now_s = self._now_ms() // 1_000
        found = plain.look_up_turn(asked)
        try:
            composed = compose_turn(messages, places, found, now_s, LEAST_PAYLOAD_BYTES)
        except Exception:
            logger.exception(_FAILED)  # each by itself meets it again
            composed = [None] * len(places)
        made: dict[int, Reply | None] = {}  # those that are made the general way, by place
        for at, stored in enumerate(found):
            if composed[at] is None and stored is not None:
                composed[at] = self._reply_plainly(messages[places[at]], asked[at][0], stored, now_s, made, places[at])
            replies[places[at]] = composed[at]
        # What the chain is to answer is noted there.
        answered = [at for at, reply in enumerate(composed) if reply is not None]
        admitted = self._shelf.admits_each([keys[at] for at in answered]) if answered else ()
        for at in compress(answered, admitted):
            place, stored, reply = places[at], found[at], composed[at]
            if stored is None or reply is None:
                continue
            kept = made[place] if place in made else split_plain(messages[place], reply)
            if kept is not None:
                plain.keep(self._shelf, keys[at], asked[at][0], stored, kept, kept.size)

    def _reply_plainly(
        self, raw: bytes, identifier: str, stored: bytes, now_s: int, made: dict[int, Reply | None], place: int
    ) -> bytes | None:
        """The reply to what a plain look-up came to, the general way; None for a record that is damaged."""
        try:
            query = parse_query(raw)
            asked = self._asked(query, Named(identifier), query.kind, now_s)
            asked = asked._replace(is_foreign=bool(stored) and stored[0] == COPY_FORMAT)
            made[place], composed = self._reply(query, asked, _answer_of(identifier, stored, now_s))
        except Exception:
            logger.exception(_FAILED)
            return None
        return composed

    def _respond(self, query: message.Query, peer: str) -> bytes | Awaitable[bytes]:
        if query.edns is not None and query.edns.version > VERSION:
            self.count(Reason.UNSUPPORTED_OPERATION)
            return self._finish(query, self._assemble(query, Content(Rcode.BADVERS, is_authoritative=False)))
        key = _key(query)
        kept = self._shelf.get(key)
        if kept is not None:
            return self._finish(query, kept)
        found = self._locate(query)
        if isinstance(found, Content):
            return self._finish(query, self._assemble(query, found))
        kind: int = query.kind
        if isinstance(found, Interior):
            # Whether anything can lie below a prefix that others serve is theirs to say; of the name itself there is nothing.
            found, kind = Named(found.prefix), _NO_TYPE
        asked = self._asked(query, found, kind, self._now_ms() // 1_000)
        stored = None if self._plain is None else self._plain.look_up(found.identifier, takes_copy=False)
        if self._plain is not None and stored is not None:
            reply, raw = self._reply(query, asked, _answer_of(found.identifier, stored, asked.now_s))
            if reply is not None:
                self._plain.offer(self._shelf, key, found.identifier, stored, reply, reply.size)
            return raw
        # RD asks for it. Without RD nothing is said of it: who asks for names of a zone means those, wherever they live.
        wants_recursion = True if query.flags & codes.RECURSION_DESIRED else None
        request_id = f"{query.ident:04x}"
        asking = Query(
            found.identifier, self._protocol, request_id=request_id, reads=[], peer=peer, is_recursive=wants_recursion
        )
        result = self._resolve(asking)
        if asking.foreign is not None:
            # What lies below the name of a prefix, and has names, is not for this node to deny.
            asked = asked._replace(is_foreign=True, has_names_below=found.is_prefix)
        if not isinstance(result, ANSWERS):
            return self._answer_later(query, asked, result)
        reply, raw = self._reply(query, asked, result)
        if reply is not None and not (wants_recursion and isinstance(result, Referral)):
            # Who may have nobody asked is referred: that is not for everybody.
            self._shelf.keep(key, asking, result, reply, reply.size)
        return raw

    def _asked(self, query: message.Query, found: Named, kind: int, now_s: int) -> Asked:
        return Asked(
            kind,
            found.piece,
            self._zone.labels,
            self._zone_at(query),
            codes.HEADER_BYTES + len(query.question),
            now_s,
            has_names_below=found.is_prefix and self._reader.homing(found.identifier) is not None,
        )

    def _reply(self, query: message.Query, asked: Asked, answer: Answer) -> tuple[Reply | None, bytes]:
        """The reply as it may be kept, and as it is sent; a long one is not even made if it does not fit."""
        if self._is_too_long(query, asked, answer):
            return None, self._assemble(query, Content(Rcode.NOERROR)).shorten(query)
        reply = self._assemble(query, render(answer, asked))
        return reply, self._finish(query, reply)

    async def _answer_later(self, query: message.Query, asked: Asked, result: Awaitable[Answer]) -> bytes:
        try:
            return self._finish(query, self._assemble(query, render(await result, asked)))
        except Refusal as refusal:
            return self._refuse(query, refusal)
        except Exception:
            logger.exception(_FAILED, extra={"request_id": f"{query.ident:04x}"})
            return self._refuse(query, _FAILURE)

    def _locate(self, query: message.Query) -> Named | Interior | Content:
        """The identifier that is asked for, or what the zone itself answers. Raises `Refusal`."""
        if query.rr_class != codes.IN:
            raise Refusal(Reason.NOT_HOMED, f"class {query.rr_class} is not served here")
        below = self._zone.below(query.labels)
        if below is None:
            raise Refusal(Reason.NOT_HOMED, "the name lies in no zone of this server")
        if query.kind in _TRANSFERS:
            raise Refusal(Reason.PERMISSION_DENIED, "transfers of the zone are not offered here")
        if query.kind in _META:
            raise Refusal(Reason.UNSUPPORTED_OPERATION, f"type {query.kind} cannot be asked for")
        if not below:
            return self._apex(query)
        return self._place_of(below)

    def _place_of(self, below: Labels) -> Named | Interior | Content:
        found = read_name(below)
        if found is None:
            return Content(Rcode.NXDOMAIN, is_denial=True)
        if isinstance(found, Named) and not found.is_prefix:
            return found
        prefix = found.identifier if isinstance(found, Named) else found.prefix
        is_homed = self._reader.homing(prefix) is not None
        if not is_homed and prefix in self._interiors:
            return Content(Rcode.NOERROR, is_denial=True)
        if isinstance(found, Named) or not is_homed:
            return found
        return Content(Rcode.NOERROR, is_denial=True)

    def _apex(self, query: message.Query) -> Content:
        if query.kind in (RRType.SOA, RRType.ANY):
            return Content(Rcode.NOERROR, is_zone=True)
        servers = tuple(self._zone.compose_ns(self._zone_at(query))) if query.kind == RRType.NS else ()
        return Content(Rcode.NOERROR, servers, is_denial=not servers)

    def _is_too_long(self, query: message.Query, asked: Asked, answer: Answer) -> bool:
        """Whether a piece need not be rendered to know that it does not fit."""
        if asked.piece is None or not isinstance(answer, Found):
            return False
        size = sum(map(len, answer.values)) - asked.piece * PIECE_BYTES
        return min(size, PIECE_BYTES) > self._room(query.edns)

    def _refuse(self, query: message.Query, refusal: Refusal) -> bytes:
        self.count(refusal.reason)
        return self._finish(query, self._assemble(query, refuse(refusal)))

    def _finish(self, query: message.Query, reply: Reply) -> bytes:
        serial = serial_of(self._reader.position) if reply.serial_at >= 0 else 0
        return reply.finish(query, serial, self._room(query.edns))

    def _assemble(self, query: message.Query, content: Content) -> Reply:
        sections, serial_at = b"".join(content.answers), -1
        if content.is_denial or content.is_zone:
            soa, at = self._zone.compose_soa(self._zone_at(query))
            sections, serial_at = sections + soa, len(sections) + at
        flags = query.copied_flags | content.rcode & codes.RCODE_MASK
        if content.is_authoritative:
            flags |= codes.AUTHORITATIVE
        if content.is_foreign:
            flags |= codes.RECURSION_AVAILABLE
        opt = b""
        if query.edns is not None:
            options = _compose_options(content, query.edns)
            opt = compose_opt(query.edns, options, content.rcode >> _HIGH_RCODE_SHIFT)
        counts = len(content.answers) + content.is_zone, content.is_denial, len(content.additional) + bool(opt)
        return Reply(compose_head(flags, *counts), b"".join((sections, *content.additional)), opt, serial_at)

    def _zone_at(self, query: message.Query) -> int:
        """Where the zone's name stands in a message with this question."""
        return codes.HEADER_BYTES + len(query.question) - _KIND_BYTES - self._zone.size


def _answer_of(asked: str, stored: bytes, now_s: int) -> Answer:
    """What the chain would answer, of what a plain look-up found."""
    if not stored:
        return NotFound(asked)
    return found_in(stored, asked, now_s)


def _key(query: message.Query) -> bytes:
    return _OWN_KEYS + asked_by(query.kind, query.copied_flags, query.edns, query.question[:-_KIND_BYTES].lower())


def _compose_options(content: Content, edns: Edns) -> bytes:
    error = compose_extended_error(*content.error) if content.error else b""
    if edns.wants_life_cycle and content.life_cycle:
        return error + compose_option(codes.LIFE_CYCLE, compose_trailer(content.life_cycle))
    return error
