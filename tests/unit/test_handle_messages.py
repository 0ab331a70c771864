"""Envelope, header and credential of Handle messages: both directions, version negotiation, leniency, replies."""

import hashlib
import struct
from dataclasses import replace

import pytest

from proto.errors import Reason, Refusal
from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode, ResponseCode
from proto.wire.handle.envelope import (
    ENVELOPE_BYTES,
    OWN_VERSION,
    Envelope,
    check_envelope,
    compose_envelope,
    envelope_for,
    negotiate_version,
    parse_envelope,
)
from proto.wire.handle.message import (
    Message,
    compose_instead,
    compose_message,
    compose_payload,
    compose_rejection,
    compose_reply,
    parse_message,
    split_digest,
)

ENVELOPES = [
    (Envelope(2, 3, 2, 10, 0, 0x2029BC24, 0, 33), "0203020a000000002029bc240000000000000021"),
    (Envelope(2, 10, 2, 11, 10001, 2, 0, 33), "020a020b00002711000000020000000000000021"),
    (Envelope(2, 10, 0x22, 10, 0, 7, 3, 2365), "020a220a0000000000000007000000030000093d"),
    (Envelope(255, 255, 255, 255, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF), "ff" * 20),
]

BODY = b"\x00\x00\x00\x0188"
VERSION = envelope_for((2, 10), 1, 0)
MESSAGES = [
    (Message(VERSION, 1, 0, 0x19000000, 1, 0, 5, BODY),
     "00000001" "00000000" "19000000" "0001" "00" "00" "00000005" "00000006" + BODY.hex() + "00000000"),
    (Message(VERSION, 2001, 0, 0x10800000, 0xFFFF, 0, 0, b"", None),
     "000007d1" "00000000" "10800000" "ffff" "00" "00" "00000000" "00000000"),
    (Message(VERSION, 77, 99, 0xFFFFFFFF, 0, 255, 0xFFFFFFFF, b"", b"mac"),
     "0000004d" "00000063" "ffffffff" "0000" "ff" "00" "ffffffff" "00000000" "00000003" "6d6163"),
]  # fmt: skip


def parsed(raw: bytes) -> Message:
    return parse_message(parse_envelope(raw), raw[ENVELOPE_BYTES:])


def request(flags: int = codes.PUBLIC_ONLY, version: tuple[int, int] = (2, 3), suggested: tuple[int, int] = (2, 10)) -> Message:
    head = envelope_for(version, 4711, 0, session=99, suggested=suggested)
    return parsed(compose_message(Message(head, OpCode.RESOLUTION, 0, flags, 0xFFFF, 3, 5, BODY)))


@pytest.mark.parametrize(("envelope", "hexadecimal"), ENVELOPES)
def test_envelopes_read_and_write(envelope: Envelope, hexadecimal: str) -> None:
    raw = bytes.fromhex(hexadecimal)
    assert parse_envelope(raw) == envelope
    assert compose_envelope(envelope) == raw
    assert parse_envelope(b"junk" + raw, 4) == envelope


@pytest.mark.parametrize(("message", "hexadecimal"), MESSAGES)
def test_messages_read_and_write(message: Message, hexadecimal: str) -> None:
    payload = bytes.fromhex(hexadecimal)
    assert compose_payload(message) == payload
    read = parse_message(message.envelope, payload)
    assert compose_payload(read) == payload
    assert replace(read, signed=b"") == message
    assert read.signed == payload[: 24 + len(message.body)]
    assert read.is_request == (message.code == 0)


@pytest.mark.parametrize(("message", "hexadecimal"), MESSAGES)
def test_a_message_cut_short_within_header_or_body_is_refused(message: Message, hexadecimal: str) -> None:
    payload = bytes.fromhex(hexadecimal)
    for size in range(24 + len(message.body)):
        with pytest.raises(Refusal) as refused:
            parse_message(message.envelope, payload[:size])
        assert refused.value.reason is Reason.MALFORMED_MESSAGE


@pytest.mark.parametrize("rest", ["", "00", "000000", "00000005aabb", "ffffffff"])
def test_a_credential_left_out_or_not_whole_is_none(rest: str) -> None:
    payload = compose_payload(MESSAGES[1][0]) + bytes.fromhex(rest)
    assert parse_message(MESSAGES[1][0].envelope, payload).credential is None


def test_bytes_after_the_credential_are_ignored() -> None:
    message, hexadecimal = MESSAGES[2]
    assert parse_message(message.envelope, bytes.fromhex(hexadecimal) + b"junk").credential == b"mac"


@pytest.mark.parametrize(
    ("version", "suggested", "spoken"),
    [
        ((2, 3), (2, 10), (2, 10)),
        ((2, 10), (2, 11), (2, 10)),
        ((2, 3), (2, 5), (2, 5)),
        ((2, 3), (0, 0), (2, 3)),
        ((2, 0), (0, 9), (2, 0)),
        ((2, 11), (0, 0), (2, 10)),
        ((3, 0), (3, 0), (2, 10)),
        ((2, 3), (1, 9), (2, 0)),
    ],
)
def test_the_lesser_of_the_suggested_version_and_ours_is_spoken(
    version: tuple[int, int], suggested: tuple[int, int], spoken: tuple[int, int]
) -> None:
    assert negotiate_version(Envelope(*version, suggested[0], suggested[1], 0, 0, 0, 0)) == spoken


@pytest.mark.parametrize(
    "changed",
    [
        {"major": 0}, {"major": 1}, {"major": 4}, {"major": 0x47}, {"major": 0x16}, {"flags": 0x80}, {"flags": 0x42},
        {"length": 0}, {"length": 23}, {"length": 262_145}, {"length": 2**31}, {"length": 2**32 - 1},
    ],
)  # fmt: skip
def test_an_envelope_that_leads_nowhere_is_refused(changed: dict[str, int]) -> None:
    envelope = Envelope(2, 10, 2, 10, 0, 1, 0, 24)
    check_envelope(envelope)
    with pytest.raises(Refusal) as refused:
        check_envelope(envelope._replace(**changed))
    assert refused.value.reason is Reason.MALFORMED_MESSAGE


def test_a_reply_carries_what_its_request_did_and_is_what_the_general_form_composes() -> None:
    raw = compose_reply(request(0x19000000), 1, (b"ab", b"c"), serial=1, session=99, expiration=7, flags=codes.AUTHORITATIVE)
    reply = parsed(raw)
    assert reply.envelope == Envelope(2, 10, 2, 10, 99, 4711, 0, len(raw) - ENVELOPE_BYTES)
    assert (reply.op, reply.code, reply.flags, reply.serial, reply.recursion) == (1, 1, 0x99000000, 1, 3)
    assert (reply.expiration, reply.body, reply.credential) == (7, b"abc", b"")
    assert compose_message(reply) == raw


def test_a_reply_echoes_unknown_flags_but_claims_nothing_that_it_is_not() -> None:
    reply = parsed(compose_reply(request(0xFFFFFFFF), 1, (), serial=1, session=0, expiration=7))
    claims = codes.CERTIFIED | codes.ENCRYPTED | codes.CONTINUED | codes.TRUSTED_RESULT | codes.LIFE_CYCLE | codes.AUTHORITATIVE
    assert reply.flags == 0xFFFFFFFF & ~claims


@pytest.mark.parametrize(
    ("suggested", "kind", "algorithm"),
    [((2, 10), 3, "sha256"), ((2, 7), 3, "sha256"), ((2, 6), 2, "sha1"), ((2, 1), 2, "sha1"), ((2, 0), 1, "md5")],
)
def test_the_request_digest_follows_the_version(suggested: tuple[int, int], kind: int, algorithm: str) -> None:
    asked = request(codes.RETURN_DIGEST, suggested=suggested)
    reply = parsed(compose_reply(asked, 100, (b"\0\0\0\0",), serial=1, session=0, expiration=7))
    digest, body = split_digest(reply)
    assert digest == bytes((kind,)) + hashlib.new(algorithm, compose_payload(asked)[:-4]).digest()
    assert body == b"\0\0\0\0"


def test_without_the_flag_there_is_no_digest() -> None:
    reply = parsed(compose_reply(request(), 100, (b"body",), serial=1, session=0, expiration=7))
    assert split_digest(reply) == (b"", b"body")


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x04" + bytes(64), b"\x03" + bytes(31)])
def test_a_digest_of_unknown_type_or_cut_short_is_refused(body: bytes) -> None:
    message = Message(envelope_for((2, 10), 1, 0), 1, 1, codes.RETURN_DIGEST, 0, 0, 0, body)
    with pytest.raises(Refusal):
        split_digest(message)


def test_a_rejection_answers_what_could_not_be_read() -> None:
    rejection = parsed(
        compose_rejection(Envelope(2, 3, 2, 11, 5, 42, 9, 3), ResponseCode.PROTOCOL_ERROR, b"\0\0\0\0", expiration=7)
    )
    assert rejection.envelope == Envelope(*OWN_VERSION, 2, 10, 5, 42, 0, 32)
    assert (rejection.op, rejection.code, rejection.serial, rejection.body) == (0, 4, 0xFFFF, b"\0\0\0\0")
    nobody = parsed(compose_rejection(None, ResponseCode.TOO_BUSY, b"\0\0\0\0", expiration=7))
    assert (nobody.envelope.version, nobody.envelope.request) == ((2, 3), 0)


def test_another_outcome_in_place_of_a_composed_reply() -> None:
    asked = request(codes.RETURN_DIGEST)
    reply = compose_reply(asked, 1, (b"x" * 9_000,), serial=1, session=3, expiration=7, flags=codes.LIFE_CYCLE)
    instead = parsed(compose_instead(reply, ResponseCode.ERROR, b"\0\0\0\0"))
    digest, body = split_digest(instead)
    assert (instead.code, body, digest) == (2, b"\0\0\0\0", split_digest(parsed(reply))[0])
    assert instead.envelope.request == 4711
    assert not instead.flags & codes.LIFE_CYCLE


def test_the_reserved_byte_of_the_header_is_ignored() -> None:
    payload = bytearray(compose_payload(MESSAGES[0][0]))
    struct.pack_into(">B", payload, 15, 255)
    assert parse_message(MESSAGES[0][0].envelope, bytes(payload)).body == BODY
