"""Frames of EPP: whole however they are cut, and refused when they lie about their length."""

import itertools

import pytest

from adapters.upstream.epp.core.commands import compose_command
from adapters.upstream.epp.core.frames import MAX_FRAME_BYTES, FrameReader, compose_frame, parse_head
from adapters.upstream.epp.core.malformed import Malformed
from tests.support.epp import COMMANDS

DOCUMENTS = [compose_command(command, "bj-1") for command in (COMMANDS["poll"], COMMANDS["create prefix"])] + [b"x"]
STREAM = b"".join(map(compose_frame, DOCUMENTS))


def test_documents_come_out_wherever_the_stream_is_cut() -> None:
    for cut in range(len(STREAM) + 1):
        reader = FrameReader()
        assert reader.take(STREAM[:cut]) + reader.take(STREAM[cut:]) == DOCUMENTS
        assert reader.is_between


def test_documents_come_out_byte_by_byte() -> None:
    reader = FrameReader()
    found = list(itertools.chain.from_iterable(reader.take(bytes([byte])) for byte in STREAM))
    assert found == DOCUMENTS


def test_half_a_frame_is_no_place_to_end() -> None:
    reader = FrameReader()
    assert reader.take(STREAM[:3]) == []
    assert not reader.is_between


@pytest.mark.parametrize("size", [0, 1, 4, MAX_FRAME_BYTES + 1, 100_000_000, 2**32 - 1])
def test_a_length_that_no_frame_has_is_refused_at_once(size: int) -> None:
    with pytest.raises(Malformed):
        FrameReader().take(size.to_bytes(4))


def test_the_largest_frame_is_taken_and_a_larger_one_is_not_made() -> None:
    document = b"x" * (MAX_FRAME_BYTES - 4)
    frame = compose_frame(document)
    assert parse_head(frame[:4]) == len(document)
    assert FrameReader().take(frame) == [document]
    with pytest.raises(Malformed):
        compose_frame(document + b"x")
