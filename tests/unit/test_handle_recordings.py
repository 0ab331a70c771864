"""Our codec against every recorded message of stock clients and servers: it reads them all and writes them again."""

import json
from pathlib import Path

import pytest

from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode, ResponseCode
from proto.wire.handle.envelope import ENVELOPE_BYTES, OWN_VERSION, check_envelope, negotiate_version, parse_envelope
from proto.wire.handle.exchange import REFERRALS
from proto.wire.handle.message import Message, compose_message, compose_reply, parse_message, request_digest, split_digest
from proto.wire.handle.resolution import (
    compose_error_body,
    compose_referral_body,
    compose_resolution_body,
    compose_resolution_request,
    parse_challenge_body,
    parse_error_body,
    parse_referral_body,
    parse_resolution_body,
    parse_resolution_request,
)
from proto.wire.handle.typed import compose_admin, compose_site, parse_admin, parse_site
from proto.wire.handle.value import compose_value, parse_value
from tests.interop.handle_replay import RECORDINGS

NO_INDEXES = bytes(4)
FILES = sorted(RECORDINGS.glob("*.jsonl"))


def read(path: Path) -> list[tuple[dict[str, int | str], bytes, Message]]:
    """Each line of a recording, its bytes, and what our codec makes of them."""
    lines = []
    for line in path.read_text().splitlines():
        recorded = json.loads(line)
        raw = bytes.fromhex(recorded["envelope"] + recorded["message"])
        envelope = parse_envelope(raw)
        check_envelope(envelope)
        lines.append((recorded, raw, parse_message(envelope, raw[ENVELOPE_BYTES:])))
    return lines


def pairs(path: Path) -> list[tuple[Message, Message, bytes]]:
    """Question, answer and the answer's bytes, by connection and request id."""
    lines = read(path)
    questions = {(each["conn"], each["req"]): message for each, _, message in lines if each["dir"] == ">"}
    return [(questions[each["conn"], each["req"]], message, raw) for each, raw, message in lines if each["dir"] == "<"]


def test_there_are_recordings() -> None:
    assert sum(len(read(path)) for path in FILES) > 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_message_reads_as_the_recorder_read_it_and_composes_to_the_same_bytes(path: Path) -> None:
    for recorded, raw, message in read(path):
        envelope = message.envelope
        assert f"{envelope.major}.{envelope.minor}" == recorded["ver"]
        assert (envelope.session, envelope.request, message.code) == (recorded["session"], recorded["req"], recorded["rc"])
        assert f"{message.flags:08x}" == recorded["flags"]
        assert message.is_request == (recorded["dir"] == ">")
        assert compose_message(message) == raw


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_body_of_a_resolution_reads_and_composes_to_the_same_bytes(path: Path) -> None:
    for _, _, message in read(path):
        if message.op == OpCode.RESOLUTION and message.is_request:
            assert compose_resolution_request(parse_resolution_request(message.body)) == message.body
        elif message.op == OpCode.RESOLUTION and message.code == ResponseCode.SUCCESS:
            response = parse_resolution_body(message.body)
            assert b"".join(compose_resolution_body(response.identifier, response.values)) == message.body
            for packed in response.values:
                value, end = parse_value(packed)
                assert (compose_value(value), end) == (packed, len(packed))
                if value.type == "HS_ADMIN":
                    assert compose_admin(parse_admin(value.data)) == value.data
        elif message.op == OpCode.GET_SITE_INFO and message.code == ResponseCode.SUCCESS:
            assert compose_site(parse_site(message.body)) == message.body


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_errors_challenges_and_digests_read_as_what_they_are(path: Path) -> None:
    for question, answer, _ in pairs(path):
        digest, body = split_digest(answer)
        if digest:
            assert digest == request_digest(question, negotiate_version(question.envelope))
        if answer.code == ResponseCode.AUTHENTICATION_NEEDED:
            assert len(parse_challenge_body(body)) == 16
        elif answer.code in REFERRALS:
            assert compose_referral_body(parse_referral_body(body)) == body
        elif answer.code != ResponseCode.SUCCESS:
            composed = compose_error_body(parse_error_body(body).message)
            # Handle.Net 9.2 goes on with a list of indexes, an empty one.
            assert body in (composed, composed + NO_INDEXES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_our_reply_to_a_recorded_resolution_is_the_recorded_one_byte_for_byte(path: Path) -> None:
    compared = 0
    for question, answer, raw in pairs(path):
        # A stock server signs on demand, says that it recurses even unasked, and adds nothing else that we do not.
        unlike = (codes.CERTIFIED | codes.RECURSIVE) & (answer.flags ^ (question.flags & ~codes.CERTIFIED))
        # Handle.Net 9.2 speaks a newer minor version than we do, and says so.
        is_newer = max(raw[1], raw[3]) > OWN_VERSION[1]
        if question.op != OpCode.RESOLUTION or answer.code == ResponseCode.AUTHENTICATION_NEEDED or unlike or is_newer:
            continue
        ours = compose_reply(
            question, answer.code, (answer.body,), serial=answer.serial, session=answer.envelope.session,
            expiration=answer.expiration, flags=codes.AUTHORITATIVE,
        )  # fmt: skip
        assert ours == raw
        compared += 1
    expected = {
        "hs90_resolve_big",
        "hs90_resolve_cert",
        "hs90_resolve_restricted",
        "hs90_nosession_delete",
        "hs90_nosession_seckey",
    }
    assert compared or path.stem in expected or path.stem.startswith("hs92_")
