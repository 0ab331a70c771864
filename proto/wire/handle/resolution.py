"""Bodies of resolution: the question, and every shape of answer to it (RFC 3652 3.2).

    request    identifier str | [n] index 4 | [n] type str | (whatever follows: the Chinese SDK appends a token str)
    success    identifier str | [n] value
    error      message str
    referral   service identifier str (empty if values follow) | [n] value
    challenge  nonce str (behind the request digest)

Values stay packed on the way out: a success body is a join of slices of the stored record.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.limits import MAX_FILTERS, MAX_IDENTIFIER_BYTES, MAX_VALUES
from proto.wire.handle.fields import EMPTY_LIST, FieldReader, compose_string, compose_uint32, malformed
from proto.wire.handle.value import parse_value

_NO_FILTERS: Final = EMPTY_LIST + EMPTY_LIST

NONCE_BYTES: Final = 16
"""Length of a challenge's nonce, as stock servers make it."""


class ResolutionRequest(NamedTuple):
    """`rest` is what follows the fields of the standard, as received."""

    identifier: str
    indexes: tuple[int, ...] = ()
    types: tuple[str, ...] = ()
    rest: bytes = b""


class ResolutionResponse(NamedTuple):
    """`values` are packed (`proto.wire.handle.value`); `rest` is what follows them."""

    identifier: str
    values: tuple[bytes, ...]
    rest: bytes = b""


class ErrorResponse(NamedTuple):
    """`message` is for people; `rest` is what follows it (DO-IRP 3 appends indexes)."""

    message: str
    rest: bytes = b""


class ReferralResponse(NamedTuple):
    """Where to ask instead: a service identifier, or packed HS_SITE values."""

    service: str
    values: tuple[bytes, ...]


def compose_resolution_request(request: ResolutionRequest) -> bytes:
    parts = [compose_string(request.identifier.encode()), compose_uint32(len(request.indexes))]
    parts += map(compose_uint32, request.indexes)
    parts.append(compose_uint32(len(request.types)))
    parts += (compose_string(kind.encode()) for kind in request.types)
    parts.append(request.rest)
    return b"".join(parts)


def parse_resolution_request(body: bytes) -> ResolutionRequest:
    """Raises `Refusal`: MALFORMED_MESSAGE, INVALID_IDENTIFIER (too long, not UTF-8), INVALID_ARGUMENT (too many filters)."""
    end = 4 + int.from_bytes(body[:4])
    if end > len(body) or len(body) < 4:
        raise malformed("the identifier passes the end of the body")
    identifier = parse_identifier_text(body[4:end])
    if body.startswith(_NO_FILTERS, end):
        return ResolutionRequest(identifier, (), (), body[end + len(_NO_FILTERS) :])
    reader = FieldReader(body, end)
    indexes = tuple(reader.uint32() for _ in range(_filter_count(reader, "indexes")))
    types = tuple(reader.text() for _ in range(_filter_count(reader, "types")))
    return ResolutionRequest(identifier, indexes, types, body[reader.offset :])


def parse_identifier_text(raw: bytes) -> str:
    """The spelling of an identifier. Raises `Refusal(INVALID_IDENTIFIER)` if it is too long or not UTF-8."""
    if len(raw) > MAX_IDENTIFIER_BYTES:
        raise Refusal(Reason.INVALID_IDENTIFIER, f"it is longer than {MAX_IDENTIFIER_BYTES} bytes", "identifier")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Refusal(Reason.INVALID_IDENTIFIER, "it is not UTF-8", "identifier") from None


def compose_resolution_body(identifier: str, values: Sequence[bytes]) -> tuple[bytes, ...]:
    """The parts of a success body, to be joined once with what stands around them."""
    return compose_string(identifier.encode()), compose_uint32(len(values)), *values


def parse_resolution_body(body: bytes) -> ResolutionResponse:
    """Raises `Refusal(MALFORMED_MESSAGE)`."""
    reader = FieldReader(body)
    identifier = reader.text()
    values = _parse_values(reader)
    return ResolutionResponse(identifier, values, body[reader.offset :])


def compose_error_body(message: str = "") -> bytes:
    return compose_string(message.encode(errors="replace"))


def parse_error_body(body: bytes) -> ErrorResponse:
    """An error without any body is one without a message. Raises `Refusal(MALFORMED_MESSAGE)` for a length past the end."""
    if not body:
        return ErrorResponse("")
    reader = FieldReader(body)
    message = reader.string().decode(errors="replace")
    return ErrorResponse(message, body[reader.offset :])


def compose_referral_body(referral: ReferralResponse) -> bytes:
    """With values the service identifier must be empty: stock clients read one or the other."""
    if not referral.values:
        return compose_string(referral.service.encode())
    return b"".join(compose_resolution_body("", referral.values))


def parse_referral_body(body: bytes) -> ReferralResponse:
    """Raises `Refusal(MALFORMED_MESSAGE)`."""
    reader = FieldReader(body)
    service = reader.text()
    return ReferralResponse(service, _parse_values(reader) if reader.remaining else ())


def compose_challenge_body(nonce: bytes) -> bytes:
    """What follows the request digest in an answer that asks for authentication."""
    return compose_string(nonce)


def parse_challenge_body(body: bytes) -> bytes:
    """The nonce. Raises `Refusal(MALFORMED_MESSAGE)`."""
    return FieldReader(body).string()


def _filter_count(reader: FieldReader, what: str) -> int:
    count = reader.uint32()
    if count * 4 > reader.remaining:
        raise malformed(f"{count} {what} announced, which the body does not hold")
    if count > MAX_FILTERS:
        raise Refusal(Reason.INVALID_ARGUMENT, f"{count} {what}; a question has at most {MAX_FILTERS}", what)
    return count


def _parse_values(reader: FieldReader) -> tuple[bytes, ...]:
    values = []
    for _ in range(reader.count(MAX_VALUES, "values")):
        start = reader.offset
        _, reader.offset = parse_value(reader.data, start)
        values.append(reader.data[start : reader.offset])
    return tuple(values)
