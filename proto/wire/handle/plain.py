"""Plain questions and their replies, in one piece: what nearly every message to a resolver is.

A plain question is one whole message of version 2 that asks for an identifier without filters, carries no credential, and
wants neither digest nor life cycle. It is read by one unpacking, and its reply is written by one packing. Whatever is not
plain is None here and is read by `proto.wire.handle.message`, which would read and answer a plain one the same: a property
test compares.

A listener has two calls to make for the questions of a turn, `read_turn` and what composes the replies to the same packets:
each is there compiled, too, and between them the packets are all that is kept of the questions.
"""

import struct
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from proto import compiled
from proto.limits import MAX_HOPS
from proto.wire.handle import codes
from proto.wire.handle.envelope import (
    COMPRESSED,
    ENCRYPTED,
    ENVELOPE_BYTES,
    HEADER_BYTES,
    TRUNCATED,
    negotiate_version,
    parse_envelope,
)
from proto.wire.handle.fields import EMPTY_LIST, EMPTY_STRING
from proto.wire.handle.message import ECHOED, reply_expiration

# Envelope and header of any message; the envelope's first four bytes are one number here.
_HEAD: Final = struct.Struct(">IIIIIIIIHBBII")
_BODY: Final = _HEAD.size
# No indexes, no types, no credential.
_END: Final = EMPTY_LIST + EMPTY_LIST + EMPTY_STRING
_LEAST_BYTES: Final = _BODY + len(EMPTY_STRING) + len(_END)
_FLAGS: Final = slice(ENVELOPE_BYTES + 8, ENVELOPE_BYTES + 12)
_RESOLUTION: Final = int(codes.OpCode.RESOLUTION)
# Who wants it resolved wherever it lives, and not by its primary alone.
_TAKES_COPY: Final = codes.RECURSIVE | codes.AUTHORITATIVE
_NOT_PLAIN: Final = codes.LIFE_CYCLE | codes.RETURN_DIGEST

_MAJOR: Final = 2

# Clients open in a handful of ways.
_OPENINGS_KEPT: Final = 64


class PlainQuestion(NamedTuple):
    """`opening` is how the reply's envelope begins, `identifier` a `str` as it was received."""

    opening: int
    session: int
    request: int
    flags: int
    recursion: int
    expiration: int
    identifier: bytes


@compiled.preferred
def read_plain(packet: bytes) -> tuple[bytes, str, bool, bool] | None:
    """What a plain question asks: what decides its answer (`asked_by`), the identifier, whether for private values, too, and
    whether a copy of another node's answer will do.

    None if `packet` is none, or what it names is not UTF-8.
    """
    question = parse_plain(packet)
    if question is None:
        return None
    try:
        identifier = question.identifier[4:].decode()
    except UnicodeDecodeError:
        return None
    takes_copy = question.flags & _TAKES_COPY == codes.RECURSIVE and question.recursion < MAX_HOPS
    return asked_by(packet), identifier, not question.flags & codes.PUBLIC_ONLY, takes_copy


@compiled.preferred
def read_turn(
    packets: Sequence[bytes], mark: bytes, kept: Container[bytes], but: str
) -> tuple[list[tuple[int, bytes]], list[int], list[bytes], list[tuple[str, bool, bool]]]:
    """The plain questions among packets, by their places: those whose key (`mark`, and what decides the answer) is `kept`, with
    it; and places, keys, and what is asked (`read_plain`) of all others, but for those that name `but`.
    """
    known: list[tuple[int, bytes]] = []
    places: list[int] = []
    keys: list[bytes] = []
    asked: list[tuple[str, bool, bool]] = []
    for place, packet in enumerate(packets):
        question = read_plain(packet)
        if question is None:
            continue
        key = mark + question[0]
        if key in kept:
            known.append((place, key))
        elif question[1] != but:
            places.append(place)
            keys.append(key)
            asked.append(question[1:])
    return known, places, keys, asked


@compiled.preferred
def compose_plain(packet: bytes, code: int, body: bytes, serial: int, flags: int, now_s: int) -> bytes:
    """The reply to the plain question in `packet`, whole; `flags` are set beside the echoed ones, `now_s` is UTC seconds.

    Raises `ValueError` if it holds none.
    """
    question = parse_plain(packet)
    if question is None:
        raise ValueError("this is no plain question")
    expiration = reply_expiration(question.expiration, now_s)
    return compose_plain_reply(question, code, (body,), serial=serial, expiration=expiration, flags=flags)


def parse_plain(packet: bytes) -> PlainQuestion | None:
    """The plain question that `packet` is, whole and nothing else."""
    if len(packet) < _LEAST_BYTES:
        return None
    opening, session, request, sequence, length, op, code, flags, _, recursion, _, expiration, size = _HEAD.unpack_from(packet)
    if (
        op != _RESOLUTION
        or code
        or sequence
        or flags & _NOT_PLAIN
        or length + ENVELOPE_BYTES != len(packet)
        or size + HEADER_BYTES + len(EMPTY_STRING) != length
        or not packet.endswith(_END)
    ):
        return None
    identifier = packet[_BODY : -len(_END)]
    if int.from_bytes(identifier[:4]) + 4 != len(identifier):
        return None
    answered = _opening_of_reply(opening)
    if answered is None:
        return None
    return PlainQuestion(answered, session, request, flags, recursion, expiration, identifier)


def asked_by(packet: bytes) -> bytes:
    """What decides the answer to a plain question: its flags and its body."""
    return packet[_FLAGS] + packet[_BODY : -len(EMPTY_STRING)]


def body_of(reply: bytes) -> bytes:
    """The body of a reply to a plain question."""
    return reply[_BODY : -len(EMPTY_STRING)]


def compose_plain_reply(
    question: PlainQuestion, code: int, body: Iterable[bytes], *, serial: int, expiration: int, flags: int
) -> bytes:
    """The reply to a plain question, whole; `flags` are set beside the echoed ones."""
    whole = b"".join(body)
    size = len(whole)
    opening, session, request, asked, recursion, _, _ = question
    head = _HEAD.pack(
        opening, session, request, 0, HEADER_BYTES + size + len(EMPTY_STRING),
        _RESOLUTION, code, asked & ECHOED | flags, serial, recursion, 0, expiration, size,
    )  # fmt: skip
    return b"%b%b%b" % (head, whole, EMPTY_STRING)


@lru_cache(_OPENINGS_KEPT)
def _opening_of_reply(opening: int) -> int | None:
    """How a reply begins whose question began so; None if that was not plain."""
    envelope = parse_envelope(opening.to_bytes(4) + bytes(ENVELOPE_BYTES - 4))
    if envelope.major != _MAJOR or envelope.flags & (COMPRESSED | ENCRYPTED | TRUNCATED):
        return None
    version = bytes(negotiate_version(envelope))
    return int.from_bytes(version + version)
