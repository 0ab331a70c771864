# cython: language_level=3, binding=True, embedsignature=False
"""`proto.packed_messages`, compiled: the response that a record of the common kind makes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.string cimport memcpy

from proto.growing cimport Growing, begin, finish, make_room, put, put_byte, put_bytes, put_varint, release, varint_size
from proto.packed_record cimport PackedValue, Part, Record, read_shown, read_value, uint16

from proto.compiled import pure

cdef str _PURE = "proto.packed_messages"
cdef enum:
    RESULT = 0x0A
    ANSWER = 0x0A
    IDENTIFIER = 0x0A
    STATE = 0x10
    ACTIVE = 0x01
    VERSION = 0x18
    VALUE = 0x22
    ALIAS = 0x2A
    TEMPLATE = 0x32
    REGISTRANT = 0x3A
    SOURCE = 0x40
    AUTHORITATIVE = 0x01
    CACHED = 0x02
    AGE = 0x48
    TTL = 0x50
    ASKED = 0x5A
    # Of a value.
    INDEX = 0x08
    TYPE = 0x12
    DATA = 0x1A
    VALUE_TTL = 0x20
    IS_ABSOLUTE = 0x28
    TIMESTAMP = 0x30
    PERMISSIONS = 0x38
    # What a result has beside the bytes of its record, mostly: the question, and keys and lengths.
    AROUND_BYTES = 96


def compose_public_response(bytes raw not None, str asked not None, long long now_s):
    """As `proto.packed_messages.compose_public_response`."""
    cdef Growing into
    begin(&into)
    try:
        if put_response(&into, raw, asked, now_s):
            return finish(&into)
    except UnicodeError:
        pass  # which of several faults is named, plain Python decides
    finally:
        release(&into)
    return pure(_PURE, "compose_public_response")(raw, asked, now_s)


def compose_public_result(bytes raw not None, str asked not None, long long now_s):
    """As `proto.packed_messages.compose_public_result`."""
    cdef Growing into, whole
    begin(&into)
    begin(&whole)
    try:
        if put_response(&into, raw, asked, now_s):
            put_byte(&whole, ANSWER)
            put_varint(&whole, into.size)
            put(&whole, into.at, into.size)
            return finish(&whole)
    except UnicodeError:
        pass
    finally:
        release(&into)
        release(&whole)
    return pure(_PURE, "compose_public_result")(raw, asked, now_s)


def compose_public_results(records, asked, now_s, bytes absent not None):
    """As `proto.packed_messages.compose_public_results`."""
    cdef list stored = list(records), identifiers = list(asked)
    cdef Py_ssize_t place, count = len(stored), room = 0, size
    cdef long long now = now_s
    cdef Growing into, one
    cdef bytes raw
    cdef bint is_common = True
    if len(identifiers) != count:
        return pure(_PURE, "compose_public_results")(records, asked, now_s, absent)
    for each in stored:
        if each is None:
            return None
        room += AROUND_BYTES + len(<bytes?> each)
    begin(&into)
    begin(&one)
    try:
        make_room(&into, room)  # of nearly all of them, so that it need not move
        for place in range(count):
            raw = stored[place]
            one.size = 0
            if raw:
                if not put_response(&one, raw, <str?> identifiers[place], now):
                    is_common = False
                    break
                size = 1 + varint_size(one.size) + one.size
                put_byte(&into, RESULT)
                put_varint(&into, size)
                put_byte(&into, ANSWER)
                put_varint(&into, one.size)
                put(&into, one.at, one.size)
            else:
                put_byte(&into, RESULT)
                put_varint(&into, len(absent))
                put_bytes(&into, absent)
        if is_common:
            return finish(&into)
    except UnicodeError:
        pass  # which of several faults is named, plain Python decides
    finally:
        release(&into)
        release(&one)
    return pure(_PURE, "compose_public_results")(records, asked, now_s, absent)


def join_results(list results not None):
    """As `proto.packed_messages.join_results`."""
    cdef bytes result, joined
    cdef Py_ssize_t size = 0, length
    cdef char* to
    cdef char* end
    cdef unsigned long long left
    for result in results:
        size += 1 + varint_size(len(result)) + len(result)
    joined = PyBytes_FromStringAndSize(NULL, size)
    to = PyBytes_AS_STRING(joined)
    end = to + size
    for result in results:
        length = len(result)
        # The list is ours alone between both loops; were it not, nothing would be written past the end.
        if end - to < 1 + varint_size(length) + length:
            raise RuntimeError("results changed while they were joined")
        to[0] = RESULT
        to += 1
        left = length
        while left >= 0x80:
            to[0] = <char> (left & 0x7F | 0x80)
            left >>= 7
            to += 1
        to[0] = <char> left
        memcpy(to + 1, PyBytes_AS_STRING(result), length)
        to += 1 + length
    return joined


cdef bint put_response(Growing* into, bytes raw, str asked, long long now_s) except -1:
    """The whole message; False if something in the record is not of the common kind."""
    cdef Record record
    cdef PackedValue value
    cdef Part name
    cdef int place
    cdef Py_ssize_t at
    cdef unsigned long long least_ttl_s = 1ULL << 32, ttl_s
    if not read_shown(raw, &record) or not record.public_count:
        return False
    name.at = <const unsigned char*> PyUnicode_AsUTF8AndSize(asked, &name.size)
    put_byte(into, IDENTIFIER)
    _put_part(into, &name if record.is_copy and not record.spelling.size else &record.spelling)
    put_byte(into, STATE)
    put_byte(into, ACTIVE)
    put_byte(into, VERSION)
    put_varint(into, record.version)
    for place in range(record.public_count):
        if not read_value(&record, place, &value):
            return False
        _put_value(into, &value)
        ttl_s = value.ttl
        if value.is_absolute:
            ttl_s = <unsigned long long> (<long long> ttl_s - now_s) if <long long> ttl_s > now_s else 0
        if ttl_s < least_ttl_s:
            least_ttl_s = ttl_s
    at = record.aliases
    for place in range(record.alias_count):
        name.at, name.size = record.raw + at + 2, uint16(record.raw + at)
        name.at[:name.size].decode("utf-8")  # text, or it is refused as plain Python refuses it
        put_byte(into, ALIAS)
        _put_part(into, &name)
        at += 2 + name.size
    if record.template.size:
        put_byte(into, TEMPLATE)
        _put_part(into, &record.template)
    if record.registrant.size:
        put_byte(into, REGISTRANT)
        _put_part(into, &record.registrant)
    put_byte(into, SOURCE)
    put_byte(into, CACHED if record.is_copy else AUTHORITATIVE)
    if record.age_s:
        put_byte(into, AGE)
        put_varint(into, record.age_s)
    if record.is_copy:
        least_ttl_s = record.ttl_s
    if least_ttl_s:
        put_byte(into, TTL)
        put_varint(into, least_ttl_s)
    name.at = <const unsigned char*> PyUnicode_AsUTF8AndSize(asked, &name.size)
    put_byte(into, ASKED)
    _put_part(into, &name)
    return True


cdef inline int _put_part(Growing* into, Part* part) except -1:
    put_varint(into, part.size)
    return put(into, part.at, part.size)


cdef int _put_value(Growing* into, PackedValue* value) except -1:
    cdef Py_ssize_t size = 2 + varint_size(value.ttl) + varint_size(value.permissions)
    if value.index:
        size += 1 + varint_size(value.index)
    if value.kind.size:
        size += 1 + varint_size(value.kind.size) + value.kind.size
    if value.data.size:
        size += 1 + varint_size(value.data.size) + value.data.size
    if value.is_absolute:
        size += 2
    if value.timestamp:
        size += 1 + varint_size(value.timestamp)
    put_byte(into, VALUE)
    put_varint(into, size)
    if value.index:
        put_byte(into, INDEX)
        put_varint(into, value.index)
    if value.kind.size:
        put_byte(into, TYPE)
        _put_part(into, &value.kind)
    if value.data.size:
        put_byte(into, DATA)
        _put_part(into, &value.data)
    put_byte(into, VALUE_TTL)
    put_varint(into, value.ttl)
    if value.is_absolute:
        put_byte(into, IS_ABSOLUTE)
        put_byte(into, 1)
    if value.timestamp:
        put_byte(into, TIMESTAMP)
        put_varint(into, value.timestamp)
    put_byte(into, PERMISSIONS)
    put_varint(into, value.permissions)
    return 0
