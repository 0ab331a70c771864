"""Replies of the Handle protocol written straight from packed records: what everybody may read, to a plain question.

The record holds its values as they are sent, the public ones end to end: a reply is a head, the question's identifier, their
number and that one slice. The generic way there (`proto.wire.handle.resolution`) takes the values apart and joins them again.
"""

from collections.abc import Sequence

from proto import compiled
from proto.packing import PackedRecord
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.fields import compose_uint32
from proto.wire.handle.message import reply_expiration
from proto.wire.handle.plain import compose_plain, compose_plain_reply, parse_plain


@compiled.preferred
def compose_public_reply(packet: bytes, stored: bytes, serial: int, flags: int, now_s: int) -> bytes:
    """The whole reply to the plain question in `packet`: the public values of a record as it is `stored`, or of a shown copy.

    `flags` are set beside the echoed ones, but not with a copy; `now_s` is UTC seconds. Raises `ValueError` if the packet holds
    no plain question.
    """
    question = parse_plain(packet)
    if question is None:
        raise ValueError("this is no plain question")
    record = PackedRecord(stored)
    body = (question.identifier, compose_uint32(record.public_count), record.public_part)
    expiration = reply_expiration(question.expiration, now_s)
    own = 0 if record.is_copy else flags
    return compose_plain_reply(question, ResponseCode.SUCCESS, body, serial=serial, expiration=expiration, flags=own)


@compiled.preferred
def compose_public_replies(
    packets: Sequence[bytes],
    places: Sequence[int],
    found: Sequence[bytes | None],
    serial: int,
    flags: int,
    now_s: int,
    absent_code: int,
    absent_body: bytes,
) -> list[bytes | None]:
    """The replies to packets, in order, of which those at `places` hold plain questions: to these from what was `found`, which
    is a record as it is stored, or empty if there is none, or None as the reply then is. Raises as `compose_public_reply` does.
    """
    replies: list[bytes | None] = [None] * len(packets)
    for place, stored in zip(places, found, strict=True):
        if stored:
            replies[place] = compose_public_reply(packets[place], stored, serial, flags, now_s)
        elif stored is not None:
            replies[place] = compose_plain(packets[place], absent_code, absent_body, serial, flags, now_s)
    return replies
