"""Answers and refusals as DNS response codes and records: the one table of this edge, and nothing but rendering.

A question's type selects: NAPTR and URI ask for values of type URL, TXT for what the record is. Where a name exists and nothing
is of its type, DNS says so with NOERROR and an empty answer; that a name does not exist it says of all names below it
as well, so that the name of a homed prefix is never denied, whatever is registered under it.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.model.answer import (
    Answer,
    Found,
    NotFound,
    RecordAnswer,
    Referral,
    Refused,
    Retired,
    Source,
    Suspended,
    ValuesNotFound,
)
from proto.model.record import State
from proto.packed_dns import address_data, address_records
from proto.wire.dns.codes import ExtendedError, Rcode, RRType
from proto.wire.dns.identifier_name import name_of
from proto.wire.dns.name import Labels, compose_name, pointer_to
from proto.wire.dns.pieces import count_pieces, piece_strings, summary_of, summary_strings
from proto.wire.dns.records import QUESTION_NAME, RECORD_HEAD_BYTES, compose_rr, txt_data, uri_of
from proto.wire.handle.trailer import LifeCycle
from resolver.listeners.dns.zone import NEGATIVE_TTL_S

REASON_CODES: Final[dict[Reason, Rcode]] = {
    Reason.MALFORMED_MESSAGE: Rcode.FORMERR,
    Reason.INVALID_ENCODING: Rcode.FORMERR,
    Reason.INVALID_ARGUMENT: Rcode.FORMERR,
    Reason.INVALID_IDENTIFIER: Rcode.FORMERR,
    Reason.AMBIGUOUS_IDENTIFIER: Rcode.FORMERR,
    Reason.INVALID_VALUE: Rcode.FORMERR,
    Reason.DUPLICATE_INDEX: Rcode.FORMERR,
    Reason.DUPLICATE_IDENTIFIER: Rcode.FORMERR,
    Reason.INVALID_IDEMPOTENCY_KEY: Rcode.FORMERR,
    Reason.UNSUPPORTED_CONTENT_TYPE: Rcode.FORMERR,
    Reason.UNSUPPORTED_OPERATION: Rcode.NOTIMP,
    Reason.MESSAGE_TOO_LARGE: Rcode.FORMERR,
    Reason.VALUE_TOO_LARGE: Rcode.FORMERR,
    Reason.RECORD_TOO_LARGE: Rcode.FORMERR,
    Reason.TOO_MANY_VALUES: Rcode.FORMERR,
    Reason.BATCH_TOO_LARGE: Rcode.FORMERR,
    Reason.UNKNOWN_PREFIX: Rcode.REFUSED,
    Reason.NOT_HOMED: Rcode.REFUSED,
    Reason.PREFIX_NOT_APPROVED: Rcode.REFUSED,
    Reason.PREFIX_SUSPENDED: Rcode.NOERROR,
    Reason.NOT_FOUND: Rcode.NXDOMAIN,
    Reason.ALREADY_EXISTS: Rcode.REFUSED,
    Reason.RETIRED: Rcode.NXDOMAIN,
    Reason.SUSPENDED: Rcode.NOERROR,
    Reason.VERSION_CONFLICT: Rcode.REFUSED,
    Reason.INVALID_STATE: Rcode.REFUSED,
    Reason.ALIAS_TAKEN: Rcode.REFUSED,
    Reason.IDEMPOTENCY_MISMATCH: Rcode.REFUSED,
    Reason.UNAUTHENTICATED: Rcode.REFUSED,
    Reason.PERMISSION_DENIED: Rcode.REFUSED,
    Reason.QUOTA_EXCEEDED: Rcode.REFUSED,
    Reason.OVERLOADED: Rcode.REFUSED,
    Reason.STORAGE_FULL: Rcode.SERVFAIL,
    Reason.STORE_FAILED: Rcode.SERVFAIL,
    Reason.NOT_READY: Rcode.SERVFAIL,
    Reason.TIMEOUT: Rcode.SERVFAIL,
    Reason.UPSTREAM_FAILED: Rcode.SERVFAIL,
    Reason.TOO_MANY_HOPS: Rcode.SERVFAIL,
    Reason.FORBIDDEN_ADDRESS: Rcode.SERVFAIL,
    Reason.INTERNAL: Rcode.SERVFAIL,
}

# What says more than "other" (RFC 8914 4); the sentence of the refusal follows in any case.
_EXTENDED: Final = {
    Reason.UNKNOWN_PREFIX: ExtendedError.NOT_AUTHORITATIVE,
    Reason.NOT_HOMED: ExtendedError.NOT_AUTHORITATIVE,
    Reason.UNAUTHENTICATED: ExtendedError.PROHIBITED,
    Reason.PERMISSION_DENIED: ExtendedError.PROHIBITED,
    Reason.UNSUPPORTED_OPERATION: ExtendedError.NOT_SUPPORTED,
    Reason.NOT_READY: ExtendedError.NOT_READY,
}

ANSWERS: Final = (Found, ValuesNotFound, NotFound, Suspended, Retired, Referral, Refused)
"""Every type of answer, the commonest first: what a result is that need not be waited for."""


class Asked(NamedTuple):
    """A question as far as rendering needs it: type, piece of the record (None: the record), and where names stand.

    `zone_at` is the offset of the zone's name in the message, `end` that after the question. `now_s` (UTC seconds since 1970)
    is from when a TTL counts that ends at a certain second. `has_names_below` says that the name exists whatever is registered
    under it, `is_foreign` that another node was asked.
    """

    kind: int
    piece: int | None
    zone: Labels
    zone_at: int
    end: int
    now_s: int
    has_names_below: bool = False
    is_foreign: bool = False


class Content(NamedTuple):
    """What an answer comes to. `is_denial` wants the zone's SOA beside it (RFC 2308 3), `is_zone` as the answer itself.

    `is_foreign`: another node has answered.
    """

    rcode: Rcode
    answers: tuple[bytes, ...] = ()
    additional: tuple[bytes, ...] = ()
    is_denial: bool = False
    is_zone: bool = False
    is_authoritative: bool = True
    error: tuple[ExtendedError, str] | None = None
    life_cycle: LifeCycle | None = None
    is_foreign: bool = False


def refuse(refusal: Refusal) -> Content:
    """A refusal as a reply."""
    error = _EXTENDED.get(refusal.reason, ExtendedError.OTHER), refusal.detail
    return Content(REASON_CODES[refusal.reason], is_authoritative=False, error=error)


def render(answer: Answer, asked: Asked) -> Content:
    """An answer as a reply to what was asked."""
    content = _RENDERERS[type(answer)](answer, asked)
    return content._replace(is_authoritative=False, is_foreign=True) if asked.is_foreign else content


def _found(answer: Found, asked: Asked) -> Content:
    if asked.piece is not None and asked.piece >= count_pieces(answer.values):
        return Content(Rcode.NXDOMAIN, is_denial=True, life_cycle=_life_cycle(answer))
    owner, alias = _alias(answer, asked)
    if asked.kind in (RRType.TXT, RRType.ANY):
        return _record(answer, asked, alias, [compose_rr(owner, RRType.TXT, answer.ttl_s, _text(answer, asked.piece))])
    if asked.piece is None and asked.kind in (RRType.URI, RRType.NAPTR):
        return _record(answer, asked, alias, address_records(answer.values, asked.kind, asked.now_s, owner))
    return _record(answer, asked, alias, [])


def _text(answer: Found, piece: int | None) -> bytes:
    """The data of TXT: what the record is, or a piece of its values."""
    summary = summary_of(answer.identifier, answer.version, answer.values)
    return txt_data(summary_strings(summary) if piece is None else piece_strings(summary, answer.values, piece))


def _values_not_found(answer: ValuesNotFound, asked: Asked) -> Content:
    return _record(answer, asked, _alias(answer, asked)[1], [])


def _record(answer: RecordAnswer, asked: Asked, alias: list[bytes], records: list[bytes]) -> Content:
    """A name that exists, with these records of the asked type. An alias itself has but its CNAME (RFC 1034 3.6.2)."""
    is_about_alias = bool(alias) and asked.kind in (RRType.CNAME, RRType.ANY)
    shown = alias if is_about_alias else alias + records
    is_denial = not records and not is_about_alias
    return Content(
        Rcode.NOERROR,
        tuple(shown),
        is_denial=is_denial,
        is_authoritative=answer.source is Source.AUTHORITATIVE,
        error=(ExtendedError.STALE_ANSWER, f"{answer.age_s} s old") if answer.source is Source.STALE else None,
        life_cycle=_life_cycle(answer),
    )


def _alias(answer: RecordAnswer, asked: Asked) -> tuple[int, list[bytes]]:
    """The offset of the name that has the records; for an alias that is the record's own, after a CNAME that leads there."""
    if not answer.via_alias:
        return QUESTION_NAME, []
    try:
        own = name_of(answer.identifier, asked.zone, asked.piece)
    except Refusal:
        # The record's own identifier has no name: then the alias's own name has the records.
        return QUESTION_NAME, []
    labels = own[: len(own) - len(asked.zone)]
    written = compose_name(labels)[:-1] + pointer_to(asked.zone_at)
    ttl_s = answer.ttl_s if isinstance(answer, Found) else NEGATIVE_TTL_S
    return asked.end + RECORD_HEAD_BYTES, [compose_rr(QUESTION_NAME, RRType.CNAME, ttl_s, written)]


def _not_found(_answer: NotFound, asked: Asked) -> Content:
    return Content(_denial(asked), is_denial=True)


def _suspended(answer: Suspended, _asked: Asked) -> Content:
    error = ExtendedError.OTHER, f"the {answer.what} is suspended"
    return Content(Rcode.NOERROR, is_denial=True, error=error, life_cycle=LifeCycle(State.SUSPENDED, 0, ""))


def _retired(answer: Retired, asked: Asked) -> Content:
    error, life_cycle = (ExtendedError.OTHER, "it is retired"), LifeCycle(State.RETIRED, answer.version, "")
    return Content(_denial(asked), is_denial=True, error=error, life_cycle=life_cycle)


def _referral(answer: Referral, asked: Asked) -> Content:
    """Not an NS referral, because who serves the prefix need not speak DNS: its address as a URI, if it has one."""
    error = ExtendedError.NOT_AUTHORITATIVE, f"prefix {answer.prefix} is delegated"
    uri = uri_of(answer.url.encode())
    kind = asked.kind if asked.kind == RRType.NAPTR else RRType.URI
    data = address_data(kind, 1, uri) if uri else None
    record = (compose_rr(QUESTION_NAME, kind, NEGATIVE_TTL_S, data),) if data else ()
    if asked.kind in (RRType.URI, RRType.NAPTR, RRType.ANY):
        return Content(Rcode.NOERROR, record, is_authoritative=False, error=error)
    return Content(Rcode.NOERROR, (), record, is_authoritative=False, error=error)


def _refused(answer: Refused, _asked: Asked) -> Content:
    return refuse(answer.refusal)


# CONTRACT's table for this protocol.
_RENDERERS: Final[dict[type, Callable[[Any, Asked], Content]]] = {
    Found: _found,
    ValuesNotFound: _values_not_found,
    NotFound: _not_found,
    Suspended: _suspended,
    Retired: _retired,
    Referral: _referral,
    Refused: _refused,
}


def _denial(asked: Asked) -> Rcode:
    return Rcode.NOERROR if asked.has_names_below else Rcode.NXDOMAIN


def _life_cycle(answer: RecordAnswer) -> LifeCycle:
    return LifeCycle(State.ACTIVE, answer.version, answer.identifier, answer.source, answer.age_s)
