# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.upstream.copies`, compiled: the copies of a turn, as they are shown now."""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.unicode cimport PyUnicode_AsUTF8AndSize

from proto._packing cimport show
from proto.packed_record cimport HEAD_BYTES, uint16

cdef enum:
    SECOND_MS = 1000
    SPELLING_SIZE = 30  # in the head of a packed record


def show_each(names, copies, long long now_ms):
    """As `resolver.upstream.copies.show_each`."""
    cdef list shown = []
    cdef bytes record
    cdef long long born_ms, fetched_ms, until_ms, left_ms
    move_to_end = copies.move_to_end
    for name in names:
        copy = copies.get(name)
        record = None
        if copy is not None and now_ms < <long long> copy.plain_until_ms:
            record = copy.record
            record = record if _is_called(record, <str?> name) else None
        if record is not None:
            move_to_end(name)
            born_ms, fetched_ms, until_ms = copy.born_ms, copy.fetched_ms, copy.until_ms
            left_ms = until_ms - now_ms
            record = show(
                record,
                max(0, now_ms - born_ms) // SECOND_MS,
                max(0, (left_ms + SECOND_MS - 1) // SECOND_MS),
                min(_holds_ms(now_ms - born_ms), _holds_ms(now_ms - fetched_ms), _holds_ms(now_ms - until_ms)),
                max(0, now_ms - fetched_ms) // SECOND_MS,
            )
        shown.append(record)
    return shown


cdef inline long long _holds_ms(long long passed_ms) noexcept:
    """Until it is a whole number of seconds."""
    return SECOND_MS - passed_ms % SECOND_MS  # as Python takes it, never negative


cdef bint _is_called(bytes record, str name) except -1:
    """As `_is_called` there."""
    cdef Py_ssize_t size, place
    cdef const unsigned char* spelt = <const unsigned char*> PyBytes_AS_STRING(record) + HEAD_BYTES
    cdef Py_ssize_t spelling = uint16(spelt - HEAD_BYTES + SPELLING_SIZE)
    cdef const char* asked
    if not spelling:
        return True
    asked = PyUnicode_AsUTF8AndSize(name, &size)
    if size != spelling:
        return False
    for place in range(size):
        if _lower(<unsigned char> asked[place]) != _lower(spelt[place]):
            return False
    return True


cdef inline unsigned char _lower(unsigned char octet) noexcept:
    return octet + 32 if c"A" <= octet <= c"Z" else octet
