# cython: language_level=3, binding=True, embedsignature=False
"""`proto.packed_handle`, compiled: the reply that a record of the common kind makes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from proto.packed_record cimport ENTRY_BYTES, Record, read_shown, uint32
from proto.wire.handle.plain_packet cimport BODY, LENGTH_BYTES, Question, put_head, put_uint32, read_question

from proto.compiled import pure
from proto.wire.handle.plain import compose_plain

cdef str _PURE = "proto.packed_handle"
cdef enum:
    SUCCESS = 1
    LAST_STATE = 2
cdef long long LATEST_S = 1 << 31


def compose_public_reply(bytes packet not None, bytes stored not None, serial, flags, now_s):
    """As `proto.packed_handle.compose_public_reply`."""
    return _compose(packet, stored, serial, flags, now_s)


def compose_public_replies(packets, places, found, serial, flags, now_s, absent_code, absent_body):
    """As `proto.packed_handle.compose_public_replies`."""
    cdef list asked = list(packets), replies = [None] * len(asked)
    cdef bytes stored
    cdef Py_ssize_t place
    for where, what in zip(places, found, strict=True):
        stored, place = <bytes?> what if what is not None else None, where
        if stored:
            replies[place] = _compose(<bytes?> asked[place], stored, serial, flags, now_s)
        elif stored is not None:
            replies[place] = compose_plain(asked[place], absent_code, absent_body, serial, flags, now_s)
    return replies


cdef bytes _compose(bytes packet, bytes stored, serial, flags, now_s):
    cdef Question question
    cdef Record record
    cdef Py_ssize_t begin, end, size, total
    cdef bytes reply
    cdef unsigned char* into
    if (
        read_question(packet, &question) and read_shown(stored, &record) and record.public_count
        and record.state <= LAST_STATE and record.aliases == record.table and 0 <= serial <= 0xFFFF and 0 <= flags <= 0xFFFFFFFF and 0 <= now_s < LATEST_S
    ):
        begin, end = uint32(record.raw + record.table + 4), record.size
        if record.public_count < record.value_count:
            end = uint32(record.raw + record.table + record.public_count * ENTRY_BYTES + 4)
        if begin <= end <= record.size:
            size = question.identifier_size + LENGTH_BYTES + end - begin
            total = BODY + size + LENGTH_BYTES
            reply = PyBytes_FromStringAndSize(NULL, total)
            into = <unsigned char*> PyBytes_AS_STRING(reply)
            put_head(into, &question, SUCCESS, size, serial, 0 if record.is_copy else flags, now_s)
            into += BODY
            memcpy(into, question.identifier, question.identifier_size)
            into += question.identifier_size
            put_uint32(into, record.public_count)
            into += LENGTH_BYTES
            memcpy(into, record.raw + begin, end - begin)
            memset(into + end - begin, 0, LENGTH_BYTES)
            return reply
    return pure(_PURE, "compose_public_reply")(packet, stored, serial, flags, now_s)
