# JSON text as compiled functions write it (included, no module of its own): the strings of `compose_string`, the values of
# `render_packed` that are of the common kind, and the times of `render_time`.

from libc.string cimport memcpy

from proto.growing cimport Growing, make_room, put, put_decimal
from proto.packed_record cimport PackedValue, Part

cdef extern from *:
    int ctzll "__builtin_ctzll"(unsigned long long) nogil

cdef enum:
    NO_UTF8 = -1
    NO_TEXT = 0
    TEXT = 1
    USUAL_PERMISSIONS = 0x0E
    DAY_S = 86400


cdef inline unsigned long long not_plain(const unsigned char* at) noexcept:
    """Which of eight bytes are no ASCII, or a control character, a quotation mark or a backslash: the first of them is the one
    with the lowest bit set (on machines that store the least byte first; others are refused where this is included).

    Of each byte the uppermost bit: that of x - 0x20 is set below 0x20, that of (x ^ c) - 1 where x is c, both only below 0x80;
    a borrow comes only from a byte that is found already, and goes only to later ones.
    """
    cdef unsigned long long eight
    memcpy(&eight, at, 8)
    return (
        (eight - 0x2020202020202020ULL) | ((eight ^ 0x2222222222222222ULL) - 0x0101010101010101ULL)
        | ((eight ^ 0x5C5C5C5C5C5C5C5CULL) - 0x0101010101010101ULL) | ((eight ^ 0x7F7F7F7F7F7F7F7FULL) - 0x0101010101010101ULL)
        | eight
    ) & 0x8080808080808080ULL


cdef inline int put_string(Growing* into, const unsigned char* at, Py_ssize_t size) except -2:
    """Bytes as a JSON string, unescaped but for what must be (RFC 8259 7), and what they are: UTF-8 (RFC 3629 4) or not, and if
    so, whether `proto.handle_json.data` takes them for text. What was written of bytes that are not UTF-8 is to be thrown away.
    """
    cdef Py_ssize_t place = 0, plain
    cdef int kind = TEXT, more, least, most
    cdef unsigned long long found
    cdef unsigned char byte, short
    cdef char* to
    cdef const char* digits = b"0123456789abcdef"
    # Two bytes for each, the marks around them, and eight that are written at once although fewer count. A control character
    # makes sure of six for itself beside those for the rest.
    make_room(into, 2 * size + 2 + 8)
    to = into.at + into.size
    to[0] = c'"'
    to += 1
    while place < size:
        if size - place >= 8:
            found = not_plain(at + place)
            memcpy(to, at + place, 8)
            plain = ctzll(found) >> 3 if found else 8
            to += plain
            place += plain
            if not found:
                continue
        byte = at[place]
        place += 1
        if byte >= 0x80:
            if byte < 0xC2 or byte > 0xF4:
                return NO_UTF8
            more = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
            if size - place < more:
                return NO_UTF8
            # What may follow first: no longer form than need be, no half of a surrogate pair, nothing past U+10FFFF.
            least = 0xA0 if byte == 0xE0 else 0x90 if byte == 0xF0 else 0x80
            most = 0x9F if byte == 0xED else 0x8F if byte == 0xF4 else 0xBF
            if at[place] < least or at[place] > most:
                return NO_UTF8
            if more > 1 and at[place + 1] & 0xC0 != 0x80 or more > 2 and at[place + 2] & 0xC0 != 0x80:
                return NO_UTF8
            # Control characters of Latin-1, and U+FFFE and U+FFFF, which are none.
            if byte == 0xC2 and at[place] < 0xA0 or byte == 0xEF and at[place] == 0xBF and at[place + 1] >= 0xBE:
                kind = NO_TEXT
            to[0] = <char> byte
            memcpy(to + 1, at + place, more)
            to += 1 + more
            place += more
        elif byte >= 0x20 and byte != c'"' and byte != c'\\':
            if byte == 0x7F:
                kind = NO_TEXT
            to[0] = <char> byte
            to += 1
        else:
            to[0] = c'\\'
            short = byte if byte >= 0x20 else c'b' if byte == 8 else c't' if byte == 9 else c'n' if byte == 10 else \
                c'f' if byte == 12 else c'r' if byte == 13 else 0
            if byte < 0x20 and byte != 9 and byte != 10 and byte != 13:
                kind = NO_TEXT
            if short:
                to[1] = <char> short
                to += 2
            else:
                into.size = to - into.at
                make_room(into, 6 + 2 * (size - place) + 1 + 8)
                to = into.at + into.size
                memcpy(to, b"\\u00", 4)
                to[4] = digits[byte >> 4]
                to[5] = digits[byte & 0x0F]
                to += 6
    to[0] = c'"'
    into.size = to + 1 - into.at
    return kind


cdef inline bint is_structured(Part* kind) noexcept:
    """Whether the data of a type in ASCII may have a form of its own (all those begin with HS_)."""
    return kind.size > 3 and kind.at[0] | 0x20 == c'h' and kind.at[1] | 0x20 == c's' and kind.at[2] == c'_'


cdef inline bint is_ascii(Part* part) noexcept:
    cdef Py_ssize_t place
    for place in range(part.size):
        if part.at[place] >= 0x80:
            return False
    return True


cdef inline void two_digits(char* to, unsigned int number) noexcept:
    to[0] = <char> (48 + number // 10)
    to[1] = <char> (48 + number % 10)


cdef inline int put_time(Growing* into, unsigned int epoch_s) except -1:
    """Days since 1970 to a date of the Gregorian calendar, in years that begin with March, so that leap days come last.

    32 bits of seconds end in 2106: a year has four digits.
    """
    cdef unsigned int days = epoch_s // DAY_S + 719468, second = epoch_s % DAY_S  # since the 1st of March of year 0
    cdef unsigned int era = days // 146097, day = days % 146097
    cdef unsigned int year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    cdef unsigned int month
    cdef char* to
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    year += 400 * era + (1 if month >= 10 else 0)
    month = month + 3 if month < 10 else month - 9
    make_room(into, 20)
    to = into.at + into.size
    memcpy(to, b"0000-00-00T00:00:00Z", 20)
    two_digits(to, year // 100)
    two_digits(to + 2, year % 100)
    two_digits(to + 5, month)
    two_digits(to + 8, day + 1)
    two_digits(to + 11, second // 3600)
    two_digits(to + 14, second // 60 % 60)
    two_digits(to + 17, second % 60)
    into.size += 20
    return 0


cdef inline bint put_common(Growing* into, PackedValue* value) except -1:
    """A value of the common kind: text of a type without a form of its own, with the usual permissions and a relative TTL.

    False, and nothing written, if it is another.
    """
    cdef Py_ssize_t begun = into.size
    if value.permissions != USUAL_PERMISSIONS or value.is_absolute or not is_ascii(&value.kind) or is_structured(&value.kind):
        return False
    put(into, b'{"index":', 9)
    put_decimal(into, value.index)
    put(into, b',"type":', 8)
    put_string(into, value.kind.at, value.kind.size)
    put(into, b',"data":{"format":"string","value":', 35)
    if put_string(into, value.data.at, value.data.size) != TEXT:
        into.size = begun
        return False
    put(into, b'},"ttl":', 8)
    put_decimal(into, value.ttl)
    put(into, b',"timestamp":"', 14)
    put_time(into, value.timestamp)
    put(into, b'"}', 2)
    return True
