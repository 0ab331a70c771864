# cython: language_level=3, binding=True, embedsignature=False
"""`proto.packing`, compiled: what of a stored record is asked with every look-up."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from proto.packed_record cimport ENTRY_BYTES, HEAD_BYTES, Record, PackedValue, TOLD, read_record, read_shown, read_value, uint16, uint32

from proto.compiled import pure

cdef enum:
    RECORD_FORMAT = 1
    ACTIVE = 0
    RETIRED = 2
    TTL = 8  # of a value
    TTL_BYTES = 5

cdef long long MOST_S = 0xFFFFFFFF


def shows_all(bytes raw not None, wants_private):
    """As `proto.packing.shows_all`."""
    return does_show_all(raw, wants_private)


cdef bint does_show_all(bytes raw, wants_private) except -1:
    cdef const unsigned char* at = <const unsigned char*> <const char*> raw
    cdef int count
    if len(raw) < HEAD_BYTES or at[9] > RETIRED:
        return pure("proto.packing", "shows_all")(raw, wants_private)
    count = uint16(at + 12)
    return at[0] == RECORD_FORMAT and at[9] == ACTIVE and count > 0 and (not wants_private or count == uint16(at + 10))


def has_absolute_ttl(bytes raw not None):
    """As `proto.packing.has_absolute_ttl`."""
    cdef Record record
    cdef PackedValue value
    cdef int place
    if read_record(raw, &record) and record.state <= RETIRED and record.aliases == record.table:
        for place in range(record.public_count):
            if not read_value(&record, place, &value):
                break
            if value.is_absolute:
                return True
        else:
            return False
    return pure("proto.packing", "has_absolute_ttl")(raw)


def show_copy(bytes packed not None, age_s, ttl_s, holds_ms, passed_s):
    """As `proto.packing.show_copy`."""
    return show(packed, age_s, ttl_s, holds_ms, passed_s)


cdef bytes show(bytes packed, long long age_s, long long ttl_s, long long holds_ms, long long passed_s):
    cdef Record record
    cdef bytes shown
    cdef unsigned char* at
    cdef Py_ssize_t begin
    cdef unsigned long long left
    cdef int place
    if (
        not read_shown(packed, &record) or record.aliases != record.table or record.public_count != record.value_count
        or not (0 <= age_s <= MOST_S and 0 <= ttl_s <= MOST_S and 0 <= holds_ms and 0 <= passed_s)
    ):
        return pure("proto.packing", "show_copy")(packed, age_s, ttl_s, holds_ms, passed_s)
    for place in range(record.public_count if passed_s else 0):
        if uint32(record.raw + record.table + place * ENTRY_BYTES + 4) + TTL + TTL_BYTES > record.size:
            return pure("proto.packing", "show_copy")(packed, age_s, ttl_s, holds_ms, passed_s)
    shown = PyBytes_FromStringAndSize(PyBytes_AS_STRING(packed), PyBytes_GET_SIZE(packed))
    at = <unsigned char*> PyBytes_AS_STRING(shown)
    _put_uint32(at + TOLD, <unsigned int> age_s)
    _put_uint32(at + TOLD + 4, <unsigned int> ttl_s)
    _put_uint32(at + TOLD + 8, <unsigned int> (holds_ms >> 32))
    _put_uint32(at + TOLD + 12, <unsigned int> (holds_ms & 0xFFFFFFFF))
    for place in range(record.public_count if passed_s else 0):
        begin = uint32(record.raw + record.table + place * ENTRY_BYTES + 4) + TTL
        if not record.raw[begin]:
            left = uint32(record.raw + begin + 1)
            _put_uint32(at + begin + 1, <unsigned int> (left - passed_s) if <long long> left > passed_s else 0)
    return shown


cdef inline void _put_uint32(unsigned char* at, unsigned int number) noexcept:
    at[0], at[1], at[2], at[3] = number >> 24, number >> 16 & 0xFF, number >> 8 & 0xFF, number & 0xFF
