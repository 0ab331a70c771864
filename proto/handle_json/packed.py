"""Packed values as JSON text, without a value or a document in between.

An answer over HTTP is mostly this: three values cost more than their look-up if each is unpacked into an object, that made a
dictionary, and that written out. A value of the common kind (text, a relative TTL, the usual permissions, no references) is
written straight from its bytes: what stands before its text depends on index and type, what stands after it on TTL and
timestamp; both come again from value to value and are remembered. Any other value goes the long way. Either way the text is
that of `render_value`'s document.
"""

import json
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final

from proto.handle_json.data import is_structured, text_of
from proto.handle_json.value import render_time, render_value
from proto.model.value import DEFAULT_PERMISSIONS
from proto.wire.handle.value import LENGTH_BYTES, TYPE_OFFSET, parse_value

# Indexes and types are chosen by people, and few are in use; some 200 bytes each.
_BEGINNINGS_KEPT: Final = 1_024
# The values of a record were mostly written at once, and so were those of an import.
_ENDINGS_KEPT: Final = 1_024

# Parts of a packed value (`proto.wire.handle.value`). A type has at most 255 bytes: the last byte of its length says it.
_INDEX: Final = slice(0, 4)
_TIME: Final = slice(4, 13)
_PERMISSIONS_OFFSET: Final = 13
_TYPE_LENGTH_OFFSET: Final = TYPE_OFFSET - 1

# Made once: `json.dumps` with options makes an encoder for every call.
_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

compose_string: Final = encode_basestring
"""A JSON string, unescaped but for what must be."""


def compose_compact(document: Any) -> str:
    """JSON without white space, unescaped."""
    return _COMPACT.encode(document)


def render_packed(packed: bytes) -> str:
    """A packed value of our own store as the text of `render_value`'s document, without white space."""
    type_end = TYPE_OFFSET + packed[_TYPE_LENGTH_OFFSET]
    begin = _begin(packed[_INDEX] + packed[_PERMISSIONS_OFFSET:type_end])
    end = _end(packed[_TIME])
    at = type_end + LENGTH_BYTES
    data_end = at + int.from_bytes(packed[type_end:at])
    # Behind the data stands the number of references, and nothing more if that is none.
    if begin and end and len(packed) == data_end + LENGTH_BYTES:
        text = text_of(packed[at:data_end])
        if text is not None:
            return f"{begin}{encode_basestring(text)}{end}"
    return compose_compact(render_value(parse_value(packed)[0]))


@lru_cache(_BEGINNINGS_KEPT)
def _begin(fixed: bytes) -> str:
    """What stands before the text of a value of this index, permissions and type (with its length); empty if that is not all
    that is to be said, or the data of the type is no mere text."""
    index, permissions, kind = fixed[_INDEX], fixed[4], fixed[9:].decode()
    if permissions != DEFAULT_PERMISSIONS or is_structured(kind):
        return ""
    return f'{{"index":{int.from_bytes(index)},"type":{compose_string(kind)},"data":{{"format":"string","value":'


@lru_cache(_ENDINGS_KEPT)
def _end(times: bytes) -> str:
    """What stands after the text of a value of this timestamp and TTL (with its type); empty if it is an absolute one."""
    timestamp, absolute, ttl = times[:4], times[4], times[5:]
    if absolute:
        return ""
    return f'}},"ttl":{int.from_bytes(ttl)},"timestamp":"{render_time(int.from_bytes(timestamp))}"}}'
