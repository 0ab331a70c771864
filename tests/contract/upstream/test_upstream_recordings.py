"""What stock servers said when they were recorded, said again to a node that asks them."""

import asyncio
import json

import pytest

from proto.model.answer import Answer, Found, NotFound, Refused, ValuesNotFound
from proto.wire.handle.codes import OpCode, ResponseCode
from proto.wire.handle.envelope import ENVELOPE_BYTES, compose_envelope, parse_envelope
from proto.wire.handle.message import Message, parse_message
from proto.wire.handle.resolution import parse_resolution_body, parse_resolution_request
from resolver.upstream.copies import public_of
from tests.interop.handle_replay import RECORDINGS
from tests.support.foreign_chain import foreign_chain
from tests.support.foreign_node import ForeignNode

KINDS: dict[int, type[Answer]] = {
    ResponseCode.SUCCESS: Found,
    ResponseCode.IDENTIFIER_NOT_FOUND: NotFound,
    ResponseCode.VALUES_NOT_FOUND: ValuesNotFound,
    ResponseCode.AUTHENTICATION_NEEDED: ValuesNotFound,
    ResponseCode.NOT_RESPONSIBLE: Refused,
}


def resolutions() -> list[tuple[str, str, bytes]]:
    """Recording, identifier and the server's answer of every resolution in them."""
    found = []
    for path in sorted(RECORDINGS.glob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        asked = {(line["conn"], line["req"]): line for line in lines if line["dir"] == ">"}
        for line in lines:
            question = asked.get((line["conn"], line["req"]))
            if line["dir"] == "<" and line["op"] == OpCode.RESOLUTION.name and line["rc"] in KINDS and question is not None:
                found.append((path.stem, identifier_in(question), bytes.fromhex(line["envelope"] + line["message"])))
    return found


def identifier_in(line: dict[str, str]) -> str:
    message = parse_message(parse_envelope(bytes.fromhex(line["envelope"])), bytes.fromhex(line["message"]))
    return parse_resolution_request(message.body).identifier


RECORDED = resolutions()
NAMES = [f"{name}-{place}" for place, (name, *_) in enumerate(RECORDED)]


def test_there_are_answers_of_every_kind() -> None:
    codes = {parse_message(parse_envelope(raw), raw[ENVELOPE_BYTES:]).code for _, _, raw in RECORDED}
    assert codes >= {ResponseCode.SUCCESS, ResponseCode.IDENTIFIER_NOT_FOUND, ResponseCode.NOT_RESPONSIBLE}


@pytest.mark.parametrize(("recording", "identifier", "raw"), RECORDED, ids=NAMES)
async def test_a_recorded_answer_is_understood(recording: str, identifier: str, raw: bytes) -> None:
    node = await ForeignNode().open()

    async def say_it_again(message: Message, reply: bytes, writer: asyncio.StreamWriter) -> None:
        if parse_resolution_request(message.body).identifier != identifier:
            writer.write(reply)
            return
        envelope = parse_envelope(raw)._replace(request=message.envelope.request)
        writer.write(compose_envelope(envelope) + raw[ENVELOPE_BYTES:])

    node.misbehave = say_it_again
    said = parse_message(parse_envelope(raw), raw[ENVELOPE_BYTES:])
    async with foreign_chain(node, home="77") as chain:
        answer = await chain.ask(identifier)
        if said.code != ResponseCode.SUCCESS:
            assert isinstance(answer, KINDS[said.code])
            return
        values = public_of(parse_resolution_body(said.body).values)
        assert isinstance(answer, Found if values else ValuesNotFound), recording
        if isinstance(answer, Found):
            assert answer.values == values
