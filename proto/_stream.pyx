# cython: language_level=3, binding=True, embedsignature=False
"""`proto.stream`, compiled: the change at a place of a segment, read where it stands."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

from zlib import crc32

from proto.packed_fields cimport Cursor, take_part, take_varint
from proto.packed_record cimport Part, uint32

from proto.compiled import pure
from proto.limits import MAX_CHANGE_BYTES
from proto.model.change import Change, Position
from proto.sm3 import sm3

cdef str _PURE = "proto.stream"
cdef unsigned long long _MAX_PAYLOAD_BYTES = MAX_CHANGE_BYTES

cdef enum:
    HEAD_BYTES = 16
    # No header comes near it, and longer ones are damage, which plain Python names.
    MAX_HEADER_BYTES = 4096
    # Of a header.
    FORMAT = 0x08
    NODE_ID = 0x12
    EPOCH = 0x18
    SEQUENCE = 0x20
    TIME_MS = 0x28
    ACTOR = 0x32
    REQUEST_ID = 0x3A
    TRACEPARENT = 0x42
    ROW_COUNT = 0x48
    PAYLOAD_DIGEST = 0x52
    PREVIOUS = 0x5A


def parse_change(data not None, Py_ssize_t offset=0):
    """As `proto.stream.parse_change`."""
    if type(data) is bytes and offset >= 0:
        found = _parse(data, offset)
        if found is not None:
            return found
    return pure(_PURE, "parse_change")(data, offset)


cdef tuple _parse(bytes data, Py_ssize_t offset):
    """None if it is not all there, or there is anything else about it."""
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef unsigned long long left, header_size, payload_size
    cdef Py_ssize_t begin, middle
    cdef bytes header, payload
    if PyBytes_GET_SIZE(data) - offset < HEAD_BYTES:
        return None
    begin = offset + HEAD_BYTES
    left = <unsigned long long> (PyBytes_GET_SIZE(data) - begin)
    header_size, payload_size = uint32(at + offset), uint32(at + offset + 4)
    if not 0 < header_size <= MAX_HEADER_BYTES or payload_size > _MAX_PAYLOAD_BYTES or header_size + payload_size > left:
        return None
    middle = begin + <Py_ssize_t> header_size
    header = PyBytes_FromStringAndSize(<const char*> (at + begin), <Py_ssize_t> header_size)
    payload = PyBytes_FromStringAndSize(<const char*> (at + middle), <Py_ssize_t> payload_size)
    if crc32(header) != uint32(at + offset + 8) or crc32(payload) != uint32(at + offset + 12):
        return None
    change = _read_header(header, payload)
    return (change, middle + <Py_ssize_t> payload_size) if change is not None else None


cdef object _read_header(bytes header, bytes payload):
    """The change of a header; None if that has a field that is not ours, or a number beyond what it may be."""
    cdef Cursor fields
    cdef int tag
    cdef unsigned long long form = 0, epoch = 0, sequence = 0, time_ms = 0, row_count = 0
    cdef str node_id = "", actor = "", request_id = "", traceparent = ""
    cdef bytes payload_digest = b"", previous = b""
    cdef bint is_taken = True
    fields.at = <const unsigned char*> PyBytes_AS_STRING(header)
    fields.end = fields.at + PyBytes_GET_SIZE(header)
    while is_taken and fields.at < fields.end:
        tag = fields.at[0]
        fields.at += 1
        if tag == FORMAT:
            is_taken = take_varint(&fields, &form)
        elif tag == NODE_ID:
            node_id = _take_text(&fields)
            is_taken = node_id is not None
        elif tag == EPOCH:
            is_taken = take_varint(&fields, &epoch)
        elif tag == SEQUENCE:
            is_taken = take_varint(&fields, &sequence)
        elif tag == TIME_MS:
            is_taken = take_varint(&fields, &time_ms)
        elif tag == ACTOR:
            actor = _take_text(&fields)
            is_taken = actor is not None
        elif tag == REQUEST_ID:
            request_id = _take_text(&fields)
            is_taken = request_id is not None
        elif tag == TRACEPARENT:
            traceparent = _take_text(&fields)
            is_taken = traceparent is not None
        elif tag == ROW_COUNT:
            is_taken = take_varint(&fields, &row_count)
        elif tag == PAYLOAD_DIGEST:
            payload_digest = _take_bytes(&fields)
            is_taken = payload_digest is not None
        elif tag == PREVIOUS:
            previous = _take_bytes(&fields)
            is_taken = previous is not None
        else:
            is_taken = False
    if not is_taken or form >> 32 or epoch >> 32 or row_count >> 32:
        return None
    position = Position(epoch, sequence)
    return Change(
        node_id, position, time_ms, actor, request_id, traceparent, row_count, payload, payload_digest, previous, sm3(header)
    )


cdef str _take_text(Cursor* fields):
    cdef Part part
    if not take_part(fields, &part):
        return None
    try:
        return PyUnicode_DecodeUTF8(<const char*> part.at, part.size, NULL)
    except UnicodeDecodeError:
        return None


cdef bytes _take_bytes(Cursor* fields):
    cdef Part part
    if not take_part(fields, &part):
        return None
    return PyBytes_FromStringAndSize(<const char*> part.at, part.size)
