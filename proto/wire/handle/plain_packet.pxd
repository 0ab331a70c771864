# A plain question as compiled functions read it, and the head of its reply (`proto.wire.handle.plain` says what is plain; included,
# no module of its own).
#
# Nothing is read that was not found to lie within the packet.

from libc.string cimport memcmp, memcpy, memset

from proto.packed_record cimport uint32

cdef enum:
    ENVELOPE_BYTES = 20
    HEADER_BYTES = 24
    BODY = 44
    LENGTH_BYTES = 4
    # No indexes, no types, no credential.
    END_BYTES = 12
    LEAST_BYTES = BODY + LENGTH_BYTES + END_BYTES
    RESOLUTION = 1
    NOT_PLAIN = 0x00808000  # flags: a digest, a life cycle
    PUBLIC_ONLY = 0x01000000
    RECURSIVE = 0x10000000
    AUTHORITATIVE = 0x80000000
    RECURSION = 34  # how many nodes it has passed
    UNREADABLE = 0xE0  # compressed, encrypted, truncated
    MAJOR = 2
    NEWEST_MINOR = 10
    ECHOED = 0x1BFF7FFE  # what a reply repeats of the flags
    LIFETIME_S = 43200
    LATEST_SIGNED = 0x7FFFFFFF


cdef struct Question:
    const unsigned char* at  # the packet
    Py_ssize_t size
    const unsigned char* identifier  # with its length before it
    Py_ssize_t identifier_size
    unsigned int flags


cdef inline bint read_question(bytes packet, Question* question) noexcept:
    """Whether a packet is a plain question, whole and nothing else."""
    cdef const unsigned char* at = <const unsigned char*> <const char*> packet
    cdef Py_ssize_t size = len(packet)
    cdef unsigned char[END_BYTES] nothing
    if size < LEAST_BYTES:
        return False
    memset(nothing, 0, END_BYTES)
    question.at, question.size = at, size
    question.flags = uint32(at + ENVELOPE_BYTES + 8)
    question.identifier, question.identifier_size = at + BODY, size - BODY - END_BYTES
    return (
        at[0] == MAJOR
        and not at[2] & UNREADABLE
        and not uint32(at + 12)  # the first packet of its message
        and <Py_ssize_t> uint32(at + 16) == size - ENVELOPE_BYTES
        and uint32(at + ENVELOPE_BYTES) == RESOLUTION
        and not uint32(at + ENVELOPE_BYTES + 4)
        and not question.flags & NOT_PLAIN
        and <Py_ssize_t> uint32(at + ENVELOPE_BYTES + 20) == size - BODY - LENGTH_BYTES
        and not memcmp(at + size - END_BYTES, nothing, END_BYTES)
        and <Py_ssize_t> uint32(at + BODY) == question.identifier_size - LENGTH_BYTES
    )


cdef inline void put_uint32(unsigned char* at, unsigned int number) noexcept:
    at[0], at[1], at[2], at[3] = number >> 24, number >> 16 & 0xFF, number >> 8 & 0xFF, number & 0xFF


cdef inline void put_head(
    unsigned char* into, Question* question, unsigned int code, Py_ssize_t body_size, unsigned int serial, unsigned int flags,
    long long now_s,
) noexcept:
    """Write envelope and header of the reply, `BODY` bytes; the seconds must leave room for a day in 32 bits."""
    cdef const unsigned char* at = question.at
    cdef int minor = at[1]
    cdef long long expiration = uint32(at + BODY - 8)
    if at[2] & 3:  # what it suggests counts, not what it opens with
        minor = at[3] if (at[2] & 3) == MAJOR else NEWEST_MINOR if (at[2] & 3) > MAJOR else 0
    if minor > NEWEST_MINOR:
        minor = NEWEST_MINOR
    if not now_s + LIFETIME_S // 2 <= expiration <= LATEST_SIGNED:
        expiration = now_s + LIFETIME_S
    into[0], into[1], into[2], into[3] = MAJOR, minor, MAJOR, minor
    memcpy(into + 4, at + 4, 8)  # session and request
    put_uint32(into + 12, 0)
    put_uint32(into + 16, <unsigned int> (HEADER_BYTES + body_size + LENGTH_BYTES))
    put_uint32(into + 20, RESOLUTION)
    put_uint32(into + 24, code)
    put_uint32(into + 28, question.flags & ECHOED | flags)
    into[32], into[33] = serial >> 8 & 0xFF, serial & 0xFF
    into[34], into[35] = at[34], 0  # recursion
    put_uint32(into + 36, <unsigned int> expiration)
    put_uint32(into + 40, <unsigned int> body_size)
