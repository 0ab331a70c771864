"""Asks over DNS: one TXT question for the record's values over UDP, and over TCP if the answer says so.

Values come as `proto.wire.dns.pieces` lays them out: whole, in as many pieces as the record needs. DNS has no filters by type
and index, so they are applied here, as the node would. What a name cannot carry is never asked: it is refused before it is
sent. State and version of a record without readable values are no part of DNS; the request asks for them with an EDNS option
of ours (`codes.LIFE_CYCLE`), which other servers ignore.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final

import dns.asyncquery
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rdtypes.ANY.URI

from node.client.document import DEFAULT_TIMEOUT_S, Outcome, ResolvedDocument, Unanswered
from node.config import Config
from proto.errors import Reason, Refusal
from proto.handle_json import render_value
from proto.limits import MAX_RECORD_BYTES
from proto.model.record import State
from proto.model.value import Value, type_filter
from proto.sm3 import sm3
from proto.wire.dns import codes
from proto.wire.dns.edns import PAYLOAD_BYTES
from proto.wire.dns.identifier_name import name_of
from proto.wire.dns.name import Labels, parse_written_name
from proto.wire.dns.pieces import PIECE_BYTES, Piece, parse_piece
from proto.wire.handle.trailer import LifeCycle, parse_trailer
from proto.wire.handle.value import parse_value

DEFAULT_ZONE: Final = Config().resolver.dns_zone

_MAX_PIECES: Final = -(-MAX_RECORD_BYTES // PIECE_BYTES)
# A record may change while its pieces are read. Who changes it in every round is not waited for.
_ROUNDS: Final = 3
# Seconds to wait for an answer to each datagram, after which the question is sent again; the last as long as there is time.
_UDP_WAITS_S: Final = (1.0, 2.0, None)

_LIFE_CYCLE_OUTCOMES: Final = {State.SUSPENDED: Outcome.SUSPENDED, State.RETIRED: Outcome.RETIRED}


async def resolve(
    identifier: str,
    host: str,
    port: int,
    *,
    types: Sequence[str] = (),
    indexes: Sequence[int] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
    zone: str = DEFAULT_ZONE,
) -> ResolvedDocument:
    """Ask for one identifier below `zone`. Raises `Unanswered`, or `ValueError` if the zone is no domain name."""
    labels = parse_written_name(zone)
    try:
        first_name = _name_of(identifier, labels, 0)
    except Refusal as refusal:
        return ResolvedDocument(identifier, Outcome.REFUSED, detail=refusal.detail, reason=refusal.reason)
    try:
        async with asyncio.timeout(timeout_s):
            server = await _address(host, port)
            for _ in range(_ROUNDS):
                answer = await _ask(first_name, server)
                first = _piece_in(answer)
                if first is None:
                    return _read_denial(identifier, answer)
                values = await _values(first, identifier, labels, server)
                if values is not None:
                    return _document(first, _told(answer), identifier, _select(values, types, indexes))
            raise Unanswered("the record changed while its pieces were read, again and again")
    except TimeoutError:
        raise Unanswered(f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise Unanswered(error.strerror or str(error)) from None
    except (dns.exception.DNSException, EOFError) as error:
        raise Unanswered(f"the answer cannot be read: {error}") from None
    except Refusal as refusal:
        raise Unanswered(f"the answer cannot be read: {refusal.detail}") from None


def _name_of(identifier: str, zone: Labels, piece: int) -> dns.name.Name:
    """The name of a piece of a record. Raises `Refusal(INVALID_IDENTIFIER)` if it has none."""
    return dns.name.Name((*name_of(identifier, zone, piece), b""))


async def _address(host: str, port: int) -> tuple[str, int]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return str(found[0][4][0]), port


async def _ask(name: dns.name.Name, server: tuple[str, int]) -> dns.message.Message:
    option = dns.edns.GenericOption(dns.edns.OptionType.make(codes.LIFE_CYCLE), b"")
    # As over every other protocol, what is delegated is wanted and not a referral to it.
    flags = dns.flags.RD
    query = dns.message.make_query(name, dns.rdatatype.TXT, use_edns=0, payload=PAYLOAD_BYTES, options=[option], flags=flags)
    host, port = server
    for wait_s in _UDP_WAITS_S:
        try:
            async with asyncio.timeout(wait_s):
                answer, _ = await dns.asyncquery.udp_with_fallback(query, host, port=port, ignore_unexpected=True)
                return answer
        except TimeoutError:
            continue
    raise TimeoutError


async def _values(first: Piece, identifier: str, zone: Labels, server: tuple[str, int]) -> list[Value] | None:
    """The values of the record that `first` begins; None if it has changed meanwhile. Raises `Refusal`."""
    if first.pieces > _MAX_PIECES:
        raise Refusal(Reason.MALFORMED_MESSAGE, f"a record of {first.pieces} pieces")
    pieces = [first]
    for number in range(1, first.pieces):
        piece = _piece_in(await _ask(_name_of(identifier, zone, number), server))
        if piece is None or piece.summary != first.summary:
            return None
        pieces.append(piece)
    octets = b"".join(piece.octets for piece in pieces)
    if sm3(octets) != first.summary.digest:
        raise Refusal(Reason.MALFORMED_MESSAGE, "the values do not have the digest that is told of them")
    values, offset = [], 0
    while offset < len(octets):
        value, offset = parse_value(octets, offset)
        values.append(value)
    return values


def _select(values: Sequence[Value], types: Sequence[str], indexes: Sequence[int]) -> list[dict[str, Any]]:
    matches, wanted = type_filter(types), frozenset(indexes)
    is_filtered = bool(types or indexes)
    chosen = [value for value in values if not is_filtered or value.index in wanted or matches(value.type)]
    return [render_value(value) for value in chosen]


def _document(piece: Piece, told: LifeCycle | None, identifier: str, values: list[dict[str, Any]]) -> ResolvedDocument:
    outcome = Outcome.FOUND if values else Outcome.VALUES_NOT_FOUND
    name = piece.summary.identifier or identifier
    source, age_s = (told.source, told.age_s) if told is not None else ("", 0)
    return ResolvedDocument(name, outcome, State.ACTIVE.name.lower(), piece.summary.version, values, source=source, age_s=age_s)


def _read_denial(identifier: str, answer: dns.message.Message) -> ResolvedDocument:
    """What an answer without values says."""
    told, error = _told(answer), _error_of(answer)
    detail = (error.text or "") if error else ""
    rcode = answer.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        if error is not None and error.code == dns.edns.EDECode.NOT_AUTHORITATIVE:
            return ResolvedDocument(identifier, Outcome.NOT_HOMED, detail=detail)
        return ResolvedDocument(identifier, Outcome.REFUSED, detail=detail or dns.rcode.to_text(rcode))
    # Without authority there is only another node's answer, which has RA.
    if rcode == dns.rcode.NOERROR and not answer.flags & (dns.flags.AA | dns.flags.RA):
        return ResolvedDocument(identifier, Outcome.REFERRAL, detail=f"ask at {_target_in(answer) or 'who serves the prefix'}")
    outcome = Outcome.NOT_FOUND if rcode == dns.rcode.NXDOMAIN else Outcome.VALUES_NOT_FOUND
    if told is None:
        return ResolvedDocument(identifier, outcome, detail=detail)
    outcome = _LIFE_CYCLE_OUTCOMES.get(told.state, outcome)
    name = told.identifier or identifier
    source, age_s = (told.source, told.age_s) if outcome is Outcome.VALUES_NOT_FOUND else ("", 0)
    return ResolvedDocument(
        name, outcome, told.state.name.lower(), told.version or None, detail=detail, source=source, age_s=age_s
    )


def _piece_in(answer: dns.message.Message) -> Piece | None:
    """The piece in an answer, behind a CNAME if need be. Raises `Refusal` for a TXT record that is none."""
    for rrset in answer.answer:
        for record in rrset:
            if isinstance(record, dns.rdtypes.ANY.TXT.TXT):
                return parse_piece(record.strings)
    return None


def _target_in(answer: dns.message.Message) -> str:
    for rrset in (*answer.answer, *answer.additional):
        for record in rrset:
            if isinstance(record, dns.rdtypes.ANY.URI.URI):
                return record.target.decode(errors="replace")
    return ""


def _told(answer: dns.message.Message) -> LifeCycle | None:
    for option in answer.options:
        if isinstance(option, dns.edns.GenericOption) and option.otype == codes.LIFE_CYCLE:
            return parse_trailer(option.data)
    return None


def _error_of(answer: dns.message.Message) -> dns.edns.EDEOption | None:
    return next((option for option in answer.options if isinstance(option, dns.edns.EDEOption)), None)
