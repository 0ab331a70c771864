# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.listeners.grpc.plain_calls`, compiled. The message is written by `proto._packed_messages`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

from proto._packed_messages cimport put_response
from proto.growing cimport Growing, begin, finish, put, put_byte, put_bytes, release
from proto.packed_record cimport uint32

from proto.compiled import pure
from proto.packed_messages import compose_public_response
from proto.wire.grpc.message import PREFIX_BYTES as _PREFIX_BYTES
from proto.wire.grpc.response import answer_with, compose_tail
from resolver.listeners.grpc.limits import MAX_KEPT_QUESTION_BYTES as _MAX_KEPT_QUESTION_BYTES

cdef enum:
    PREFIX_BYTES = 5
    IDENTIFIER = 0x0A
    # A message of so many bytes needs two for the length of its only field.
    LONGER_LENGTH = 2 + 0x80
    DATA = 0
    MAX_SIZE = 0xFFFFFF

assert PREFIX_BYTES == _PREFIX_BYTES and LONGER_LENGTH <= _MAX_KEPT_QUESTION_BYTES

cdef bytes _KEY = b"gR"
# The frames of an answer without data: what stands before the first number of the stream, between them, and behind the last.
cdef bytes _FIRST, _SECOND, _THIRD, _LAST
_FIRST, _SECOND, _THIRD, _LAST = answer_with(b"").parts
cdef bytes _HEADERS = _SECOND[:-5]
cdef bytes _TRAILERS_BEGIN = _THIRD[PREFIX_BYTES:]
cdef Py_ssize_t _TAIL_BYTES = answer_with(b"").tail_bytes

_answered = None
_answer_absent = None
_answer_kept = None


def answer_call(unsigned int stream, bytes data not None, way):
    """As `resolver.listeners.grpc.plain_calls.answer_call`."""
    global _answered, _answer_absent, _answer_kept
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data) - PREFIX_BYTES
    cdef bytes key, raw, tail, number
    cdef str identifier, request_id
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
    get, has_seen, note, look_up, _, new_id, now_s = <tuple> way
    key = _KEY + data[PREFIX_BYTES:]
    kept = get(key)
    if kept is not None:
        return _answer_kept(stream, kept, way)
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
        request_id = new_id()
        tail = compose_tail(request_id)
        number = stream.to_bytes(4, "big")
        if message.size + PREFIX_BYTES > MAX_SIZE or PyBytes_GET_SIZE(tail) != _TAIL_BYTES:
            response = answer_with(finish(&message))
            put_bytes(&frames, _join(response.parts, number, tail))
        else:
            put_bytes(&frames, _FIRST)
            put_bytes(&frames, number)
            put_bytes(&frames, _HEADERS)
            put_byte(&frames, <int> (message.size + PREFIX_BYTES) >> 16)
            put_byte(&frames, <int> (message.size + PREFIX_BYTES) >> 8 & 0xFF)
            put_byte(&frames, <int> (message.size + PREFIX_BYTES) & 0xFF)
            put_byte(&frames, DATA)
            put_byte(&frames, 0)
            put_bytes(&frames, number)
            put_byte(&frames, 0)
            put_byte(&frames, <int> (message.size >> 24) & 0xFF)
            put_byte(&frames, <int> (message.size >> 16) & 0xFF)
            put_byte(&frames, <int> (message.size >> 8) & 0xFF)
            put_byte(&frames, <int> message.size & 0xFF)
            put(&frames, message.at, message.size)
            put_bytes(&frames, _TRAILERS_BEGIN)
            put_bytes(&frames, number)
            put_bytes(&frames, _LAST)
            put_bytes(&frames, tail)
        return _answered(finish(&frames), message.size + PREFIX_BYTES, request_id)
    finally:
        release(&message)
        release(&frames)


cdef bytes _join(parts, bytes number, bytes tail):
    first, second, third, last = parts
    return b"".join((first, number, second, number, third, number, last, tail))
