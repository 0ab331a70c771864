"""Frames of the change stream: what a log entry, a segment and a follower's connection carry, byte for byte the same.

    header length 4 | payload length 4 | CRC-32 of header 4 | CRC-32 of payload 4 | header | payload

The header is a `biaojie.v1.ChangeHeader`; it names the payload by its SM3 and the change before by its chain hash, so
header and payload have lengths and checks of their own: a payload can be erased one day without breaking the chain.
A reader at the growing end of a file meets half a frame as a matter of course (`None`: wait); a check that fails is
damage (`Damaged`).
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from proto import compiled
from proto.limits import MAX_CHANGE_BYTES
from proto.model.change import Change, Position, Row, Table
from proto.sm3 import SM3_BYTES, sm3
from proto.v1 import stream_pb2

HEADER_FORMAT: Final = 1
NO_CHAIN: Final = bytes(SM3_BYTES)
"""The chain hash before the first change of a store."""

_FRAME: Final = struct.Struct(">IIII")
FRAME_HEAD_BYTES: Final = _FRAME.size

# Identifiers, digests and trace context; a longer header is not one of ours.
MAX_HEADER_BYTES: Final = 4_096


class Damaged(Exception):
    """Bytes of the stream contradict their own checks: they were torn, or changed after they were written."""


def compose_payload(rows: Sequence[Row]) -> bytes:
    """Serialise after-images."""
    image = stream_pb2.RowImage
    return stream_pb2.ChangePayload(
        rows=[
            image(
                table=row.table,
                name=row.name,
                image=row.image,
                version=row.version,
                prior_version=row.prior_version,
                state=row.state,
                prior_state=row.prior_state,
            )
            for row in rows
        ]
    ).SerializeToString()


def parse_images(payload: bytes) -> Sequence[stream_pb2.RowImage]:
    """The after-images as they are serialised, for who reads only parts of them. Raises `Damaged` as `parse_payload` does."""
    try:
        return stream_pb2.ChangePayload.FromString(payload).rows
    except DecodeError as error:
        raise Damaged(f"a payload cannot be read: {error}") from None


def parse_payload(payload: bytes) -> list[Row]:
    """The after-images of a change. Raises `Damaged` if the bytes are not a payload."""
    try:
        return [
            Row(Table(row.table), row.name, row.image, row.version, row.prior_version, row.state, row.prior_state)
            for row in parse_images(payload)
        ]
    except ValueError as error:
        raise Damaged(f"a payload cannot be read: {error}") from None


def compose_change(
    *,
    node_id: str,
    position: Position,
    time_ms: int,
    actor: str,
    request_id: str,
    traceparent: str,
    row_count: int,
    payload: bytes,
    previous: bytes,
) -> tuple[bytes, bytes]:
    """The frame of a new change, and its chain hash."""
    header = stream_pb2.ChangeHeader(
        format=HEADER_FORMAT,
        node_id=node_id,
        epoch=position.epoch,
        sequence=position.sequence,
        time_ms=time_ms,
        actor=actor,
        request_id=request_id,
        traceparent=traceparent,
        row_count=row_count,
        payload_digest=sm3(payload),
        previous=previous,
    ).SerializeToString()
    lengths = _FRAME.pack(len(header), len(payload), zlib.crc32(header), zlib.crc32(payload))
    return b"".join((lengths, header, payload)), sm3(header)


class Frame(NamedTuple):
    """One frame whose checksums hold: the serialised header, the payload, and the offset after the frame."""

    header: bytes
    payload: bytes
    end: int


class Link(NamedTuple):
    """What ties a change to its place: all that a reader needs of a header that only follows."""

    position: Position
    time_ms: int
    previous: bytes
    chain: bytes


def split_header(data: bytes, offset: int = 0) -> tuple[bytes, int] | None:
    """The serialised header of the frame at `offset` and where that frame ends; None if the header is not all there yet.

    The payload may be missing. Raises `Damaged` if a length is impossible or the header's CRC does not hold.
    """
    start = offset + FRAME_HEAD_BYTES
    if len(data) < start:
        return None
    header_size, payload_size, header_crc, _ = _FRAME.unpack_from(data, offset)
    if not 0 < header_size <= MAX_HEADER_BYTES or payload_size > MAX_CHANGE_BYTES:
        raise Damaged(f"impossible lengths at byte {offset}")
    middle = start + header_size
    if len(data) < middle:
        return None
    header = bytes(data[start:middle])
    if zlib.crc32(header) != header_crc:
        raise Damaged(f"a header's checksum does not hold at byte {offset}")
    return header, middle + payload_size


def split_frame(data: bytes, offset: int = 0) -> Frame | None:
    """The frame that begins at `offset`; None if its bytes are not all there yet.

    Raises `Damaged` if a length is impossible or a CRC does not hold.
    """
    found = split_header(data, offset)
    if found is None or len(data) < found[1]:
        return None
    header, end = found
    payload = bytes(data[offset + FRAME_HEAD_BYTES + len(header) : end])
    if zlib.crc32(payload) != _FRAME.unpack_from(data, offset)[3]:
        raise Damaged(f"a payload's checksum does not hold at byte {offset}")
    return Frame(header, payload, end)


def parse_link(header: bytes) -> Link:
    """The place of the change with this serialised header. Raises `Damaged` if it is no header."""
    try:
        message = stream_pb2.ChangeHeader.FromString(header)
    except DecodeError:
        raise Damaged("a header cannot be read") from None
    return Link(Position(message.epoch, message.sequence), message.time_ms, message.previous, sm3(header))


@compiled.preferred
def parse_change(data: bytes, offset: int = 0) -> tuple[Change, int] | None:
    """The change that begins at `offset` and the offset after it; None if its bytes are not all there yet.

    Raises `Damaged` if a length is impossible, a CRC does not hold or the header cannot be read.
    """
    frame = split_frame(data, offset)
    if frame is None:
        return None
    try:
        header = stream_pb2.ChangeHeader.FromString(frame.header)
    except DecodeError:
        raise Damaged(f"a header cannot be read at byte {offset}") from None
    change = Change(
        node_id=header.node_id,
        position=Position(header.epoch, header.sequence),
        time_ms=header.time_ms,
        actor=header.actor,
        request_id=header.request_id,
        traceparent=header.traceparent,
        row_count=header.row_count,
        payload=frame.payload,
        payload_digest=header.payload_digest,
        previous=header.previous,
        chain=sm3(frame.header),
    )
    return change, frame.end


def check_linked(change: Change | Link, position: Position, chain: bytes) -> None:
    """Raise `Damaged` unless `change` follows `position` and its chain hash `chain`.

    An epoch begins at the sequence after the one it was promoted at: sequences never restart.
    """
    if change.position.sequence != position.sequence + 1 or change.position.epoch < position.epoch:
        raise Damaged(f"{change.position} does not follow {position}")
    if change.previous != chain:
        raise Damaged(f"{change.position} does not chain to the change before it")


def check_follows(change: Change, position: Position, chain: bytes) -> None:
    """Raise `Damaged` unless `change` follows `position` and `chain`, and its payload is the one that its header names."""
    check_linked(change, position, chain)
    if sm3(change.payload) != change.payload_digest:
        raise Damaged(f"the payload of {change.position} is not the one its header names")
