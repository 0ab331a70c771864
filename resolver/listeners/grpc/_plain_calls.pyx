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

cdef enum:
    PREFIX_BYTES = 5
    IDENTIFIER = 0x0A
    # A message of so many bytes needs two for the length of its only field.
    LONGER_LENGTH = 2 + 0x80
    DATA = 0
    ID_CHARS = 32  # of an id of our own making
    MAX_SIZE = 0xFFFFFF

assert PREFIX_BYTES == _PREFIX_BYTES

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
_frame_answer = None
_Response = Response


def answer_call(unsigned int stream, bytes body not None, way):
    """As `resolver.listeners.grpc.plain_calls.answer_call`."""
    cdef bytes key, raw
    cdef str name, own
    cdef unsigned long long number
    if not isinstance(way, tuple):
        return pure("resolver.listeners.grpc.plain_calls", "answer_call")(stream, body, way)
    _import_rest()
    name = _asked_for(body)
    if name is None:
        return None
    get, _, look_up, _, admits, _, keep, absent, ids, now_s = <tuple> way
    key = _KEY + body[PREFIX_BYTES:]
    response = get(key)
    raw = None
    if response is None:
        raw = look_up(name)
        if raw is None:
            return None
        response = _respond(raw, name, key, admits(key), keep, absent, now_s)
    own, number = ids.reserve(1)
    return _frame_record(stream, raw, name, now_s(), own, number) if response is None else _frame(stream, response, own, number)


def answer_calls(list streams not None, list bodies not None, way):
    """As `resolver.listeners.grpc.plain_calls.answer_calls`."""
    cdef Py_ssize_t count = len(streams), place, each, size = 0
    cdef list answers = [None] * count, keys = [], names = [], places = [], asked = [], found, admitted
    cdef bytes body, raw
    cdef str name, own
    cdef unsigned long long first
    if not isinstance(way, tuple) or len(bodies) != count:
        return pure("resolver.listeners.grpc.plain_calls", "answer_calls")(streams, bodies, way)
    _import_rest()
    _, get_turn, _, look_up_turn, _, admits_each, keep, absent, ids, now_s = <tuple> way
    own, first = ids.reserve(count)
    for place in range(count):
        body = bodies[place]
        name = _asked_for(body)
        if name is not None:
            places.append(place)
            names.append(name)
            keys.append(_KEY + body[PREFIX_BYTES:])
    found = get_turn(keys)
    # What is kept is answered; of all others what they ask for is noted, in the same lists.
    for each in range(len(keys)):
        place, kept = places[each], found[each]
        if kept is not None:
            answers[place] = _frame(streams[place], kept, own, first + place)
            continue
        asked.append((names[each], False, True))
        places[size], names[size], keys[size] = place, names[each], keys[each]
        size += 1
    if not size:
        return answers
    found = look_up_turn(asked)
    del keys[size:]
    settled = keys if None not in found else [keys[each] for each in range(size) if found[each] is not None]
    admitted = admits_each(settled) if settled else []
    verdicts = iter(admitted)
    for each in range(size):
        raw = found[each]
        if raw is None:
            continue
        place, name = places[each], names[each]
        response = _respond(raw, name, keys[each], next(verdicts), keep, absent, now_s)
        if response is None:
            answers[place] = _frame_record(streams[place], raw, name, now_s(), own, first + place)
        else:
            answers[place] = _frame(streams[place], response, own, first + place)
    return answers


cdef int _import_rest() except -1:
    """Take from the plain module what stands in it behind the import of this one."""
    global _answered, _frame_answer
    if _answered is None:
        from resolver.listeners.grpc.plain_calls import Answered, frame_answer
        _answered, _frame_answer = Answered, frame_answer
    return 0


cdef _respond(bytes raw, str name, bytes key, bint is_admitted, keep, absent, now_s):
    """As `_respond` there; None for an answer that is not kept: its frames are written at once (`_frame_record`)."""
    if raw and not is_admitted:
        return None
    response = answer_with(compose_public_response(raw, name, now_s())) if raw else absent
    if is_admitted:
        keep(key, name, raw, response)
    return response


cdef str _asked_for(bytes body):
    """The identifier, if that is all of a call's data: one message that is not compressed, and in it one field whose length takes
    one byte."""
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(body)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body) - PREFIX_BYTES
    if size < 2 or size >= LONGER_LENGTH or at[0] or uint32(at + 1) != <unsigned int> size:
        return None
    if at[PREFIX_BYTES] != IDENTIFIER or at[PREFIX_BYTES + 1] + 2 != size:
        return None
    try:
        return PyUnicode_DecodeUTF8(<const char*> at + PREFIX_BYTES + 2, size - 2, NULL)
    except UnicodeDecodeError:
        return None


cdef _frame_record(unsigned int stream, bytes raw, str identifier, now_s, str own, unsigned long long number):
    """The answer with what is public of a record."""
    cdef char tail[64]
    cdef Growing message, frames
    begin(&message)
    begin(&frames)
    try:
        if not put_response(&message, raw, identifier, now_s):
            message.size = 0
            put_bytes(&message, compose_public_response(raw, identifier, now_s))
        if message.size + PREFIX_BYTES > MAX_SIZE or not _put_tail(tail, own, number):
            return _frame_answer(stream, answer_with(finish(&message)), compose_id(own, number))
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


cdef _frame(unsigned int stream, response, str own, unsigned long long number):
    """As `frame_answer`. What is not composed for an id of ours is left to plain Python."""
    cdef Growing frames
    cdef bytes first, second, third, last, block
    cdef char tail[64]
    cdef Py_ssize_t size
    if type(response) is not _Response or response.tail_bytes != _TAIL_BYTES or not _put_tail(tail, own, number):
        return _frame_answer(stream, response, compose_id(own, number))
    begin(&frames)
    try:
        if response.data_bytes:
            first, second, third, last = response.parts
            put_bytes(&frames, first)
            _put_number(&frames, stream)
            put_bytes(&frames, second)
            _put_number(&frames, stream)
            put_bytes(&frames, third)
            _put_number(&frames, stream)
            put_bytes(&frames, last)
        else:
            block = response.trailers
            size = PyBytes_GET_SIZE(block) + _TAIL_BYTES
            put_byte(&frames, <int> (size >> 16) & 0xFF)
            put_byte(&frames, <int> (size >> 8) & 0xFF)
            put_byte(&frames, <int> size & 0xFF)
            put_bytes(&frames, _ENDS)
            _put_number(&frames, stream)
            put_bytes(&frames, block)
        put(&frames, tail, _TAIL_BYTES)
        request_id = PyUnicode_DecodeASCII(tail + _TAIL_BYTES - ID_CHARS, ID_CHARS, NULL)
        return _answered(finish(&frames), response.data_bytes, request_id)
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
