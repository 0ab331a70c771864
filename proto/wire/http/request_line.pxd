# The path of a plain request line as compiled functions read it (included, no module of its own).

from libc.string cimport memcmp

cdef enum:
    MAX_LINE_BYTES = 4096
    VERSION_BYTES = 9
    NOT_PLAIN = -1
    HAS_QUERY = -2


cdef inline bint may_stand(unsigned char byte) noexcept:
    """Whether a character may stand in a path as it is: `proto.wire.http.plain`'s, without the question mark and the percent."""
    cdef unsigned long long low = (
        0x03FF000000000000ULL  # digits
        | 1ULL << c"!" | 1ULL << c"$" | 1ULL << c"&" | 1ULL << c"'" | 1ULL << c"(" | 1ULL << c")" | 1ULL << c"*" | 1ULL << c"+"
        | 1ULL << c"," | 1ULL << c"-" | 1ULL << c"." | 1ULL << c"/" | 1ULL << c":" | 1ULL << c";" | 1ULL << c"="
    )
    cdef unsigned long long high = 0x07FFFFFE07FFFFFEULL | 1ULL << (c"@" - 64) | 1ULL << (c"_" - 64) | 1ULL << (c"~" - 64)
    if byte < 64:
        return low >> byte & 1
    return byte < 128 and high >> (byte - 64) & 1


cdef inline int digit(unsigned char byte) noexcept:
    if c"0" <= byte <= c"9":
        return byte - c"0"
    byte |= 0x20
    return byte - c"a" + 10 if c"a" <= byte <= c"f" else -1


cdef inline bint ends_plainly(const unsigned char* at, Py_ssize_t size) noexcept:
    """Whether a line has the one version there is at its end."""
    return size >= VERSION_BYTES and memcmp(at + size - VERSION_BYTES, b" HTTP/1.1", VERSION_BYTES) == 0


cdef inline Py_ssize_t decode_path(const unsigned char* at, Py_ssize_t size, char* to) noexcept:
    """Percent-decode a path once into `to`, which has room for `size` bytes; how many were written, or why none were."""
    cdef Py_ssize_t place = 0, written = 0
    cdef int high, low
    while place < size:
        if may_stand(at[place]):
            to[written] = <char> at[place]
        elif at[place] == c"%":
            if size - place < 3:
                return NOT_PLAIN
            high, low = digit(at[place + 1]), digit(at[place + 2])
            if high < 0 or low < 0:
                return NOT_PLAIN
            to[written] = <char> (high << 4 | low)
            place += 2
        else:
            return HAS_QUERY if at[place] == c"?" else NOT_PLAIN
        written += 1
        place += 1
    return written
