"""One whole message: envelope, 24-byte header, body, credential (RFC 3652 2.2).

    op 4 | response code 4 | flags 4 | site serial 2 | recursion 1 | reserved 1 | expiration 4 | body length 4
    body | credential str

Read leniently where stock software is careless: the credential may be left out altogether (the Go client and the login
of the Chinese SDK do), bytes may follow it, any flag and any expiration may be set. Written strictly. A reply is made
from its request: it carries its request id and session, echoes what it may echo, and is one `bytes`, to be sent by one write.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proto.wire.handle import codes
from proto.wire.handle.envelope import (
    ENVELOPE_BYTES,
    HEADER_BYTES,
    Envelope,
    compose_envelope,
    envelope_for,
    negotiate_version,
    parse_envelope,
)
from proto.wire.handle.fields import EMPTY_STRING, FieldReader, compose_string, malformed

_HEADER: Final = struct.Struct(">IIIHBBII")
_REPLY: Final = struct.Struct(">BBBBIIIIIIIHBBII")

# A reply never claims what it is not: certified, encrypted, continued, trusted, or followed by a trailer that it lacks.
_NOT_ECHOED: Final = (
    codes.CERTIFIED | codes.ENCRYPTED | codes.CONTINUED | codes.TRUSTED_RESULT | codes.LIFE_CYCLE | codes.AUTHORITATIVE
)
ECHOED: Final = 0xFFFF_FFFF & ~_NOT_ECHOED

# How long a reply may be believed to be fresh; stock clients throw a reply away whose time has passed, so never less.
REPLY_LIFETIME_S: Final = 12 * 3600
# Clients read expirations and session ids as signed numbers.
LATEST_SIGNED: Final = 0x7FFF_FFFF

_MD5: Final = 1
_SHA1: Final = 2
_SHA256: Final = 3
_DIGEST_BYTES: Final = {_MD5: 16, _SHA1: 20, _SHA256: 32}


@dataclass(slots=True)
class Message:
    """A request or response. `op` and `code` are numbers as received, known to `codes` or not; times in epoch seconds.

    `credential` is None if the message ends without one. `signed` is header and body as received: what a request digest covers.
    """

    envelope: Envelope
    op: int
    code: int
    flags: int
    serial: int
    recursion: int
    expiration: int
    body: bytes
    credential: bytes | None = b""
    signed: bytes = b""

    @property
    def is_request(self) -> bool:
        return self.code == codes.ResponseCode.REQUEST


def parse_message(envelope: Envelope, payload: bytes) -> Message:
    """The message whose header begins `payload` (everything after the envelope, of all packets).

    Raises `Refusal(MALFORMED_MESSAGE)` if the header is cut short or the body is longer than what is there.
    """
    if len(payload) < HEADER_BYTES:
        raise malformed(f"a message of {len(payload)} bytes has no header")
    op, code, flags, serial, recursion, _, expiration, size = _HEADER.unpack_from(payload)
    end = HEADER_BYTES + size
    if end > len(payload):
        raise malformed(f"a body of {size} bytes; the message holds {len(payload) - HEADER_BYTES}")
    credential = _parse_credential(payload, end)
    return Message(
        envelope, op, code, flags, serial, recursion, expiration, payload[HEADER_BYTES:end], credential, payload[:end]
    )


def compose_message(message: Message) -> bytes:
    """Envelope and message. The envelope's length is computed, its other fields are kept."""
    payload = compose_payload(message)
    return compose_envelope(message.envelope._replace(length=len(payload))) + payload


def compose_payload(message: Message) -> bytes:
    """The message without its envelope."""
    header = _HEADER.pack(
        message.op, message.code, message.flags, message.serial, message.recursion, 0, message.expiration, len(message.body)
    )
    credential = b"" if message.credential is None else compose_string(message.credential)
    return b"".join((header, message.body, credential))


def compose_reply(
    request: Message,
    code: int,
    body: Iterable[bytes],
    *,
    serial: int,
    session: int,
    expiration: int,
    flags: int = 0,
) -> bytes:
    """The reply to `request`, whole. `flags` are set beside the echoed ones.

    With RETURN_DIGEST in the request the digest of the request stands before the body.
    """
    version = negotiate_version(request.envelope)
    parts = [*body, EMPTY_STRING]
    flags |= request.flags & ECHOED
    if flags & codes.RETURN_DIGEST:
        parts.insert(0, request_digest(request, version))
    size = sum(map(len, parts)) - len(EMPTY_STRING)
    major, minor = version
    envelope = request.envelope
    length = HEADER_BYTES + size + len(EMPTY_STRING)
    head = _REPLY.pack(
        major, minor, major, minor, session, envelope.request, 0, length,
        request.op, code, flags, serial, request.recursion, 0, expiration, size,
    )  # fmt: skip
    return b"".join((head, *parts))


def reply_expiration(asked: int, now_s: int) -> int:
    """Until when a reply is fresh, in UTC seconds: as its request has it, if that is far enough and clients can read it."""
    return asked if now_s + REPLY_LIFETIME_S // 2 <= asked <= LATEST_SIGNED else now_s + REPLY_LIFETIME_S


def compose_rejection(envelope: Envelope | None, code: int, body: bytes, *, expiration: int) -> bytes:
    """The reply to something that could not be read as a message: op 0 and, if even the envelope was wrong, request 0."""
    version = negotiate_version(envelope) if envelope else (2, 3)
    number = envelope.request if envelope else 0
    head = envelope_for(version, number, 0, envelope.session if envelope else 0)
    return compose_message(Message(head, codes.OpCode.RESERVED, code, 0, codes.UNKNOWN_SERIAL, 0, expiration, body, b""))


def compose_instead(reply: bytes, code: int, body: bytes) -> bytes:
    """`reply`, which was composed here, with another outcome: what is sent when the reply itself must not be."""
    message = parse_message(parse_envelope(reply), reply[ENVELOPE_BYTES:])
    digest, _ = split_digest(message)
    message.code, message.body, message.flags = code, digest + body, message.flags & ~codes.LIFE_CYCLE
    return compose_message(message)


def request_digest(request: Message, version: tuple[int, int]) -> bytes:
    """Type and digest of the request's header and body, in the algorithm that peers of `version` expect.

    Not a protection of ours: it lets a client see that its request arrived as sent.
    """
    if version >= (2, 7):
        return bytes((_SHA256,)) + hashlib.sha256(request.signed).digest()
    if version >= (2, 1):
        return bytes((_SHA1,)) + hashlib.sha1(request.signed, usedforsecurity=False).digest()
    return bytes((_MD5,)) + hashlib.md5(request.signed, usedforsecurity=False).digest()


def split_digest(response: Message) -> tuple[bytes, bytes]:
    """The request digest (with its type byte; empty if there is none) and the rest of a response's body.

    Raises `Refusal(MALFORMED_MESSAGE)` for an unknown digest type or a digest cut short.
    """
    if not response.flags & codes.RETURN_DIGEST:
        return b"", response.body
    reader = FieldReader(response.body)
    kind = reader.uint8()
    if kind not in _DIGEST_BYTES:
        raise malformed(f"a request digest of unknown type {kind}")
    reader.take(_DIGEST_BYTES[kind])
    return response.body[: reader.offset], response.body[reader.offset :]


def _parse_credential(payload: bytes, start: int) -> bytes | None:
    # A credential that is not whole is none: it can grant nothing, and careless clients pad their messages.
    if len(payload) - start < len(EMPTY_STRING):
        return None
    end = start + 4 + int.from_bytes(payload[start : start + 4])
    return payload[start + 4 : end] if end <= len(payload) else None
