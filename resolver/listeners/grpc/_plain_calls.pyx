# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.listeners.grpc.plain_calls`, compiled. The message is written by `proto._packed_messages`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from proto._packed_messages cimport put_response
from proto.growing cimport Growing, begin, finish, put, put_byte, put_bytes, release
from proto.packed_record cimport uint32

from proto.compiled import pure
from proto.packed_messages import compose_public_response
from proto.wire.grpc.message import PREFIX_BYTES as _PREFIX_BYTES
from proto.request_id import compose_id
from proto.wire.grpc.response import answer_with, compose_tail
from proto.wire.http2.frames import compose_headers
from proto.wire.http2.response import Response
from resolver.listeners.grpc.limits import MAX_KEPT_QUESTION_BYTES as _MAX_KEPT_QUESTION_BYTES

cdef enum:
    PREFIX_BYTES = 5
    IDENTIFIER = 0x0A
    # A message of so many bytes needs two for the length of its only field.
    LONGER_LENGTH = 2 + 0x80
    DATA = 0
    ID_CHARS = 32  # of an id of our own making
    MAX_SIZE = 0xFFFFFF

assert PREFIX_BYTES == _PREFIX_BYTES and LONGER_LENGTH <= _MAX_KEPT_QUESTION_BYTES

cdef bytes _KEY = b"gR"
# The frames of an answer without data: what stands before the first number of the stream, between them, and behind the last.
cdef bytes _FIRST, _SECOND, _THIRD, _LAST
_FIRST, _SECOND, _THIRD, _LAST = answer_with(b"").parts
cdef bytes _HEADERS = _SECOND[:-5]
cdef bytes _TRAILERS_BEGIN = _THIRD[PREFIX_BYTES:]
cdef Py_ssize_t _TAIL_BYTES = answer_with(b"").tail_bytes

# In front of an id of our own making, which has as many characters as it tells.
cdef bytes _TAIL_BEGIN = compose_tail("0" * ID_CHARS)[:-ID_CHARS]
cdef bytes _ENDS = compose_headers(0, b"", ends=True)[3:5]

assert len(_TAIL_BEGIN) + ID_CHARS == _TAIL_BYTES <= 64

_answered = None
_answer_absent = None
_answer_kept = None
_Response = Response


def answer_call(unsigned int stream, bytes data not None, way):
    """As `resolver.listeners.grpc.plain_calls.answer_call`."""
    global _answered, _answer_absent, _answer_kept
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data) - PREFIX_BYTES
    cdef bytes key, raw
    cdef str identifier, own
    cdef unsigned long long number
    cdef char tail[64]
    cdef Growing message, frames
    if not isinstance(way, tuple):
        return pure("resolver.listeners.grpc.plain_calls", "answer_call")(stream, data, way)
    # One message that is not compressed, and in it one field whose length takes one byte.
    if size < 2 or size >= LONGER_LENGTH or at[0] or uint32(at + 1) != <unsigned int> size:
        return None
    if at[PREFIX_BYTES] != IDENTIFIER or at[PREFIX_BYTES + 1] + 2 != size:
        return None
    try:
        identifier = PyUnicode_DecodeUTF8(<const char*> at + PREFIX_BYTES + 2, size - 2, NULL)
    except UnicodeDecodeError:
        return None
    if _answered is None:
        from resolver.listeners.grpc.plain_calls import Answered, answer_absent, answer_kept
        _answered, _answer_absent, _answer_kept = Answered, answer_absent, answer_kept
    get, has_seen, note, look_up, absent, ids, now_s = <tuple> way
    key = _KEY + data[PREFIX_BYTES:]
    kept = get(key)
    if kept is not None:
        return _answer_kept_quickly(stream, kept, way, ids)
    if has_seen(key):
        return None
    raw = look_up(identifier)
    if raw is None:
        return None
    if not raw:
        return _answer_absent(stream, key, way)
    begin(&message)
    begin(&frames)
    try:
        if not put_response(&message, raw, identifier, now_s()):
            message.size = 0
            put_bytes(&message, compose_public_response(raw, identifier, now_s()))
        note(key)
        own, number = ids.reserve(1)
        if message.size + PREFIX_BYTES > MAX_SIZE or not _put_tail(tail, own, number):
            response, request_id = answer_with(finish(&message)), compose_id(own, number)
            put_bytes(&frames, _join(response.parts, stream.to_bytes(4, "big"), compose_tail(request_id)))
            return _answered(finish(&frames), response.data_bytes, request_id)
        put_bytes(&frames, _FIRST)
        _put_number(&frames, stream)
        put_bytes(&frames, _HEADERS)
        put_byte(&frames, <int> (message.size + PREFIX_BYTES) >> 16)
        put_byte(&frames, <int> (message.size + PREFIX_BYTES) >> 8 & 0xFF)
        put_byte(&frames, <int> (message.size + PREFIX_BYTES) & 0xFF)
        put_byte(&frames, DATA)
        put_byte(&frames, 0)
        _put_number(&frames, stream)
        put_byte(&frames, 0)
        _put_number(&frames, <unsigned int> message.size)
        put(&frames, message.at, message.size)
        put_bytes(&frames, _TRAILERS_BEGIN)
        _put_number(&frames, stream)
        put_bytes(&frames, _LAST)
        put(&frames, tail, _TAIL_BYTES)
        request_id = PyUnicode_DecodeASCII(tail + _TAIL_BYTES - ID_CHARS, ID_CHARS, NULL)
        return _answered(finish(&frames), message.size + PREFIX_BYTES, request_id)
    finally:
        release(&message)
        release(&frames)


cdef bytes _join(parts, bytes number, bytes tail):
    first, second, third, last = parts
    return b"".join((first, number, second, number, third, number, last, tail))


cdef _answer_kept_quickly(unsigned int stream, kept, way, ids):
    """As `answer_kept`. What is not composed for an id of ours is left to plain Python."""
    cdef Growing frames
    cdef bytes first, second, third, last, block
    cdef str own
    cdef unsigned long long number
    cdef char tail[64]
    cdef Py_ssize_t size
    if type(kept) is not _Response or kept.tail_bytes != _TAIL_BYTES:
        return _answer_kept(stream, kept, way)
    own, number = ids.reserve(1)
    if not _put_tail(tail, own, number):
        raise ValueError("an id of another length than ours have")
    begin(&frames)
    try:
        if kept.data_bytes:
            first, second, third, last = kept.parts
            put_bytes(&frames, first)
            _put_number(&frames, stream)
            put_bytes(&frames, second)
            _put_number(&frames, stream)
            put_bytes(&frames, third)
            _put_number(&frames, stream)
            put_bytes(&frames, last)
        else:
            block = kept.trailers
            size = PyBytes_GET_SIZE(block) + _TAIL_BYTES
            put_byte(&frames, <int> (size >> 16) & 0xFF)
            put_byte(&frames, <int> (size >> 8) & 0xFF)
            put_byte(&frames, <int> size & 0xFF)
            put_bytes(&frames, _ENDS)
            _put_number(&frames, stream)
            put_bytes(&frames, block)
        put(&frames, tail, _TAIL_BYTES)
        request_id = PyUnicode_DecodeASCII(tail + _TAIL_BYTES - ID_CHARS, ID_CHARS, NULL)
        return _answered(finish(&frames), kept.data_bytes, request_id)
    finally:
        release(&frames)


cdef bint _put_tail(char* to, str own, unsigned long long number) except -1:
    """The tail for an id that `compose_id` would make: `_TAIL_BYTES` bytes; False if it would have another length."""
    cdef Py_ssize_t size, at
    cdef const char* half = PyUnicode_AsUTF8AndSize(own, &size)
    if size != ID_CHARS // 2:
        return False
    memcpy(to, PyBytes_AS_STRING(_TAIL_BEGIN), _TAIL_BYTES - ID_CHARS)
    memcpy(to + _TAIL_BYTES - ID_CHARS, half, size)
    for at in range(_TAIL_BYTES - 1, _TAIL_BYTES - 1 - ID_CHARS // 2, -1):
        to[at] = b"0123456789abcdef"[number & 0x0F]
        number >>= 4
    return True


cdef int _put_number(Growing* into, unsigned int number) except -1:
    cdef unsigned char raw[4]
    raw[0], raw[1], raw[2], raw[3] = number >> 24, number >> 16 & 0xFF, number >> 8 & 0xFF, number & 0xFF
    return put(into, raw, 4)
