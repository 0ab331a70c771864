"""Domain names on the wire (RFC 1035 3.1, 4.1.4): labels of at most 63 octets, 255 in all, the root's empty label at the end.

A name may end in a pointer to where its rest was written before. A pointer is followed only to what lies before everything that
was read of the name so far: so a chain of pointers gets nearer to the message's beginning with each step, and loops cannot be.
"""

import re
from typing import Final

from proto.errors import Reason, Refusal
from proto.wire.dns.codes import HEADER_BYTES

MAX_NAME_BYTES: Final = 255
MAX_LABEL_BYTES: Final = 63

ROOT: Final = b"\0"

_POINTER: Final = 0xC0
_POINTER_WORD: Final = 0xC000
# Names that people write into a configuration: host names (RFC 1123 2.1), and the underscore that service names have.
_WRITTEN_LABEL: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")

Labels = tuple[bytes, ...]
"""A name without its root label, the leftmost label first."""


def malformed(why: str) -> Refusal:
    """The refusal of bytes that are no DNS message."""
    return Refusal(Reason.MALFORMED_MESSAGE, why)


def parse_name(message: bytes, offset: int) -> tuple[Labels, int]:
    """The name at `offset` and the offset after it. Raises `Refusal(MALFORMED_MESSAGE)`."""
    labels: list[bytes] = []
    size, end, bound = 1, -1, offset
    try:
        while length := message[offset]:
            begin = offset + 1
            if length <= MAX_LABEL_BYTES:
                offset = begin + length
                labels.append(message[begin:offset])
                size += 1 + length
                if size > MAX_NAME_BYTES:
                    raise malformed(f"a name is longer than {MAX_NAME_BYTES} octets")
            elif length >= _POINTER:
                target = (length << 8 | message[begin]) ^ _POINTER_WORD
                end = begin + 1 if end < 0 else end
                if not HEADER_BYTES <= target < bound:
                    raise malformed("a pointer in a name does not point to an earlier name")
                offset = bound = target
            else:
                raise malformed("a label of an unknown kind")
    except IndexError:
        # A label that is cut short leads here too: the next length is looked for behind the end.
        raise malformed("a name passes the end of the message") from None
    return tuple(labels), offset + 1 if end < 0 else end


def compose_name(labels: Labels) -> bytes:
    """The uncompressed name. Raises `Refusal(INVALID_ARGUMENT)` if it does not fit."""
    if not all(0 < len(label) <= MAX_LABEL_BYTES for label in labels):
        raise Refusal(Reason.INVALID_ARGUMENT, f"a label of a DNS name has 1 to {MAX_LABEL_BYTES} octets")
    size = name_bytes(labels)
    if size > MAX_NAME_BYTES:
        raise Refusal(Reason.INVALID_ARGUMENT, f"a DNS name has at most {MAX_NAME_BYTES} octets, and this one {size}")
    return b"".join([*(bytes((len(label),)) + label for label in labels), ROOT])


def name_bytes(labels: Labels) -> int:
    """Octets of the uncompressed name."""
    return sum(map(len, labels)) + len(labels) + 1


def pointer_to(offset: int) -> bytes:
    """The two octets that stand for the name at `offset`."""
    return (_POINTER_WORD | offset).to_bytes(2)


def parse_written_name(text: str) -> Labels:
    """A name as people write it (`id.example.cn`, with or without the last dot), in lower case. Raises `ValueError`."""
    labels = text.removesuffix(".").split(".")
    if not all(len(label) <= MAX_LABEL_BYTES and _WRITTEN_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f'"{text}" is not a domain name: labels of 1 to {MAX_LABEL_BYTES} letters, digits, "-" and "_"')
    name = tuple(label.lower().encode() for label in labels)
    if name_bytes(name) > MAX_NAME_BYTES:
        raise ValueError(f'"{text}" is longer than a domain name may be')
    return name
