# Bytes that grow while they are composed: what compiled functions write into (no module of its own, only what they include).
#
# A `Growing` lives on the stack of one call and begins with room of its own, so that common answers cost no allocation until
# they are made a bytes object. Every `put` makes sure of the room before it writes; nothing here writes without. Whoever
# begins one releases it, whatever happens (`try`, `finally`).

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcpy

cdef enum:
    OWN_BYTES = 4096


cdef struct Growing:
    char* at
    Py_ssize_t size
    Py_ssize_t room
    char own[OWN_BYTES]


cdef inline void begin(Growing* into) noexcept:
    into.at = into.own
    into.size = 0
    into.room = OWN_BYTES


cdef inline void release(Growing* into) noexcept:
    if into.at != into.own:
        PyMem_Free(into.at)
    into.at = into.own


cdef inline bytes finish(Growing* into):
    return PyBytes_FromStringAndSize(into.at, into.size)


cdef inline int make_room(Growing* into, Py_ssize_t size) except -1:
    """Make sure that `size` more bytes can be written."""
    cdef Py_ssize_t room
    cdef char* at
    if size <= into.room - into.size:
        return 0
    # Doubling, and at least what is wanted; sizes here come from lengths of objects in memory and cannot pass 2^62.
    room = 2 * into.room
    if room - into.size < size:
        room = into.size + size
    at = <char*> PyMem_Malloc(room)
    if at == NULL:
        raise MemoryError()
    memcpy(at, into.at, into.size)
    release(into)
    into.at, into.room = at, room
    return 0


cdef inline int put(Growing* into, const void* what, Py_ssize_t size) except -1:
    make_room(into, size)
    memcpy(into.at + into.size, what, size)
    into.size += size
    return 0


cdef inline int put_byte(Growing* into, int what) except -1:
    make_room(into, 1)
    into.at[into.size] = <char> what
    into.size += 1
    return 0


cdef inline int put_bytes(Growing* into, bytes what) except -1:
    return put(into, <const char*> what, len(what))


cdef inline int put_varint(Growing* into, unsigned long long number) except -1:
    """A number as protobuf writes it: at most ten bytes."""
    make_room(into, 10)
    while number >= 0x80:
        into.at[into.size] = <char> (number & 0x7F | 0x80)
        into.size += 1
        number >>= 7
    into.at[into.size] = <char> number
    into.size += 1
    return 0


cdef inline int varint_size(unsigned long long number) noexcept:
    cdef int size = 1
    while number >= 0x80:
        number >>= 7
        size += 1
    return size


cdef inline int put_decimal(Growing* into, unsigned long long number) except -1:
    """A number in digits: at most twenty."""
    cdef char digits[20]
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char> (48 + number % 10)
        number //= 10
        if not number:
            break
    return put(into, digits + at, 20 - at)


cdef inline int put_hexadecimal(Growing* into, unsigned long long number, int least) except -1:
    """A number in small hexadecimal digits, at least so many (and at most sixteen)."""
    cdef char digits[16]
    cdef int at = 16
    while number or 16 - at < least:
        at -= 1
        digits[at] = b"0123456789abcdef"[number & 0x0F]
        number >>= 4
    return put(into, digits + at, 16 - at)
