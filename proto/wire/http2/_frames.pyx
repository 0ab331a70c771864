# cython: language_level=3, binding=True, embedsignature=False
"""`proto.wire.http2.frames`, compiled: a unary call as it comes and as it is answered."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from proto.compiled import pure
from proto.wire.http2.codes import DATA, END_HEADERS, END_STREAM, HEADERS, MAX_STREAM
from proto.wire.http2.limits import MAX_FRAME_BYTES

cdef enum:
    HEAD_BYTES = 9
    BEGIN_BYTES = 5  # of a head: all but the stream
    MAX_SIZE = 0xFFFFFF

cdef unsigned char _DATA = DATA, _HEADERS = HEADERS, _END_HEADERS = END_HEADERS, _END_STREAM = END_STREAM
cdef unsigned int _MAX_STREAM = MAX_STREAM
cdef Py_ssize_t _MAX_FRAME_BYTES = MAX_FRAME_BYTES


def read_head(bytes data not None, Py_ssize_t at):
    """As `proto.wire.http2.frames.read_head`."""
    cdef const unsigned char* head
    if at < 0 or PyBytes_GET_SIZE(data) - at < HEAD_BYTES:
        return pure("proto.wire.http2.frames", "read_head")(data, at)
    head = <const unsigned char*> PyBytes_AS_STRING(data) + at
    return _length(head), head[3], head[4], _stream(head)


def read_call(bytes data not None, Py_ssize_t at):
    """As `proto.wire.http2.frames.read_call`."""
    cdef const unsigned char* raw = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), middle, end
    cdef unsigned int number
    if at < 0:
        return pure("proto.wire.http2.frames", "read_call")(data, at)
    if size - at < HEAD_BYTES:
        return None
    middle = at + HEAD_BYTES + _length(raw + at)
    number = _stream(raw + at)
    if (
        raw[at + 3] != _HEADERS or raw[at + 4] != _END_HEADERS
        or middle - at - HEAD_BYTES > _MAX_FRAME_BYTES or size - middle < HEAD_BYTES
    ):
        return None
    end = middle + HEAD_BYTES + _length(raw + middle)
    if (
        raw[middle + 3] != _DATA or raw[middle + 4] != _END_STREAM or _stream(raw + middle) != number
        or end > size or end - middle - HEAD_BYTES > _MAX_FRAME_BYTES
    ):
        return None
    return number, data[at + HEAD_BYTES:middle], data[middle + HEAD_BYTES:end], end


def compose_answer(bytes head not None, bytes data not None, bytes trailers not None, Py_ssize_t tail_bytes):
    """As `proto.wire.http2.frames.compose_answer`."""
    cdef bytes first, second, third
    cdef unsigned char ends = _END_HEADERS | _END_STREAM
    cdef Py_ssize_t last = PyBytes_GET_SIZE(trailers) + tail_bytes
    if PyBytes_GET_SIZE(head) > MAX_SIZE or last > MAX_SIZE or last < 0:
        return pure("proto.wire.http2.frames", "compose_answer")(head, data, trailers, tail_bytes)
    first = PyBytes_FromStringAndSize(NULL, BEGIN_BYTES)
    _put_begin(PyBytes_AS_STRING(first), PyBytes_GET_SIZE(head), _HEADERS, _END_HEADERS)
    second = _before(head)
    _put_begin(PyBytes_AS_STRING(second) + PyBytes_GET_SIZE(head), PyBytes_GET_SIZE(data), _DATA, 0)
    third = _before(data)
    _put_begin(PyBytes_AS_STRING(third) + PyBytes_GET_SIZE(data), last, _HEADERS, ends)
    return first, second, third, trailers


cdef inline Py_ssize_t _length(const unsigned char* head) noexcept:
    return head[0] << 16 | head[1] << 8 | head[2]


cdef inline unsigned int _stream(const unsigned char* head) noexcept:
    """Without the reserved bit in front of it."""
    return (<unsigned int> head[5] << 24 | head[6] << 16 | head[7] << 8 | head[8]) & _MAX_STREAM


cdef bytes _before(bytes payload):
    """A payload, with room for the beginning of a frame behind it."""
    cdef bytes made = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(payload) + BEGIN_BYTES)
    memcpy(PyBytes_AS_STRING(made), PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    return made


cdef inline void _put_begin(char* to, Py_ssize_t size, unsigned char kind, unsigned char flags) noexcept:
    to[0] = <char> (size >> 16)
    to[1] = <char> (size >> 8)
    to[2] = <char> size
    to[3] = <char> kind
    to[4] = <char> flags
