"""Damaged EPP: whatever comes is read or refused as malformed, never anything else."""

import random

import pytest

from adapters.upstream.epp.core.commands import compose_command, parse_command
from adapters.upstream.epp.core.frames import FrameReader, compose_frame
from adapters.upstream.epp.core.malformed import Malformed
from adapters.upstream.epp.core.replies import Greeting, compose_greeting, compose_response, parse_reply
from tests.support.epp import COMMANDS, REPLIES

SEEDS = [compose_command(command, "bj-1") for command in COMMANDS.values()] + [
    compose_greeting(reply) if isinstance(reply, Greeting) else compose_response(reply) for reply in REPLIES.values()
]
PIECES = [b"<", b">", b"&", b"]]>", b"<![CDATA[", b"<!--", b"\x00", b"\xff", b"9" * 40, b"<!DOCTYPE", b'xmlns="urn:x"', b" "]


def damage(raw: bytes, moments: random.Random) -> bytes:
    made = bytearray(raw)
    for _ in range(moments.randrange(1, 6)):
        at = moments.randrange(len(made) + 1)
        match moments.randrange(4):
            case 0:
                made[at : at + 1] = bytes([moments.randrange(256)])
            case 1:
                del made[at : at + moments.randrange(1, 30)]
            case 2:
                made[at:at] = moments.choice(PIECES)
            case 3:
                other = moments.choice(SEEDS)
                cut = moments.randrange(len(other))
                made[at:at] = other[cut : cut + moments.randrange(60)]
    return bytes(made)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_documents_are_read_or_malformed(seed: int) -> None:
    moments = random.Random(seed)
    for _ in range(150):
        raw = damage(moments.choice(SEEDS), moments)
        for parse in (parse_command, parse_reply):
            try:
                parse(raw)
            except Malformed:
                continue


@pytest.mark.parametrize("seed", range(5))
def test_damaged_streams_are_read_or_malformed(seed: int) -> None:
    moments = random.Random(seed)
    for _ in range(200):
        raw = damage(b"".join(compose_frame(each) for each in moments.sample(SEEDS, 3)), moments)
        reader = FrameReader()
        try:
            while raw:
                cut = moments.randrange(1, 200)
                reader.take(raw[:cut])
                raw = raw[cut:]
        except Malformed:
            continue
