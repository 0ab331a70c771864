# cython: language_level=3, binding=True, embedsignature=False
"""`proto.packed_dns`, compiled: the reply that a record of the common kind makes to a plain question for addresses."""

from libc.string cimport memcmp

from proto.growing cimport Growing, begin, finish, put, put_byte, release
from proto.packed_record cimport PackedValue, Part, Record, read_shown, read_value
from proto.wire.dns.plain_message cimport (
    CHECKING_DISABLED, HEADER_BYTES, KIND_BYTES, Message, NAPTR, OPT_TYPE, RECURSION_DESIRED, read_message,
)

from proto.compiled import pure

cdef str _PURE = "proto.packed_dns"
cdef enum:
    LAST_STATE = 2
    MAX_URIS = 16
    MAX_URI_BYTES = 2048
    MAX_SCHEME_BYTES = 32
    MAX_STRING_BYTES = 255
    PAYLOAD_BYTES = 1232
    NAPTR_ORDER = 100
    URI_WEIGHT = 1
    RESPONSE = 0x80  # of the first octet of flags
    AUTHORITATIVE = 0x04
    RECURSION_AVAILABLE = 0x80  # of the second
    # Beside the URI: of NAPTR order, preference, lengths, "u", signs, ".*" and the root.
    SERVICE_BYTES = 13
cdef const char* SERVICE = b"x-identifier:"
cdef const char* MARKS = b"._~:/?#[]@!$&'()*+,;=%-"


def compose_addresses(bytes message not None, bytes stored not None, now_s):
    """As `proto.packed_dns.compose_addresses`."""
    cdef Message question
    cdef Growing into
    cdef int told
    if read_message(message, &question) and 0 <= now_s <= 0xFFFFFFFF:
        begin(&into)
        try:
            told = _put_reply(&into, &question, stored, now_s)
            if told > 0:
                into.at[7] = <char> told
                return finish(&into)
            if not told:
                return None
        finally:
            release(&into)
    return pure(_PURE, "compose_addresses")(message, stored, now_s)


def compose_turn(messages, places, found, now_s, Py_ssize_t room):
    """As `proto.packed_dns.compose_turn`."""
    cdef list replies = []
    cdef bytes reply
    if len(places) != len(found):
        raise ValueError("not as many places as records")
    for place, stored in zip(places, found):
        reply = compose_addresses(messages[place], stored, now_s) if stored else None
        replies.append(reply if reply is not None and len(reply) <= room else None)
    return replies


cdef int _put_reply(Growing* into, Message* question, bytes stored, long long now_s) except -2:
    """The whole reply but for the number of its records, which is returned; -1 if something is not of the common kind."""
    cdef Record record
    cdef PackedValue value
    cdef int place, told = 0, scheme
    cdef long long ttl_s, least_ttl_s = 1LL << 32
    cdef Py_ssize_t[MAX_URIS] ttls
    if not read_shown(stored, &record) or record.state > LAST_STATE or record.aliases != record.table:
        return -1
    put(into, question.at, 2)
    put_byte(into, (RESPONSE if record.is_copy else RESPONSE | AUTHORITATIVE) | question.at[2] & RECURSION_DESIRED)
    put_byte(into, (RECURSION_AVAILABLE if record.is_copy else 0) | question.at[3] & CHECKING_DISABLED)
    _put_uint16(into, 1)
    _put_uint16(into, 0)
    _put_uint16(into, 0)
    _put_uint16(into, question.has_opt)
    put(into, question.at + HEADER_BYTES, question.name_size + KIND_BYTES)
    for place in range(record.public_count):
        if not read_value(&record, place, &value):
            return -1
        if told == MAX_URIS or not _is_url(&value.kind):
            continue
        scheme = _scheme_of(&value.data)
        if scheme < 0:
            return -1
        if not scheme or (question.kind == NAPTR and value.data.size + 5 > MAX_STRING_BYTES):
            continue
        ttl_s = value.ttl
        if value.is_absolute:
            ttl_s = max(0, ttl_s - now_s)
        if ttl_s < least_ttl_s:
            least_ttl_s = ttl_s
        _put_uint16(into, 0xC000 | HEADER_BYTES)
        _put_uint16(into, question.kind)
        _put_uint16(into, 1)
        ttls[told] = into.size  # the least of all is known at the end
        _put_uint16(into, 0)
        _put_uint16(into, 0)
        told += 1
        if question.kind == NAPTR:
            _put_naptr(into, told, &value.data, scheme)
        else:
            _put_uint16(into, <int> value.data.size + 4)
            _put_uint16(into, told)
            _put_uint16(into, URI_WEIGHT)
            put(into, value.data.at, value.data.size)
    for place in range(told):
        into.at[ttls[place]] = <char> (least_ttl_s >> 24)
        into.at[ttls[place] + 1] = <char> (least_ttl_s >> 16 & 0xFF)
        into.at[ttls[place] + 2] = <char> (least_ttl_s >> 8 & 0xFF)
        into.at[ttls[place] + 3] = <char> (least_ttl_s & 0xFF)
    if question.has_opt:
        put_byte(into, 0)
        _put_uint16(into, OPT_TYPE)
        _put_uint16(into, PAYLOAD_BYTES)
        _put_uint16(into, 0)
        _put_uint16(into, 0x8000 if question.dnssec_ok else 0)
        _put_uint16(into, 0)
    return told


cdef int _put_naptr(Growing* into, int place, Part* uri, int scheme) except -1:
    """The size of NAPTR data, and the data; the URI fits its string."""
    cdef int at
    cdef unsigned char sign = c"!"
    for at in range(<int> uri.size):
        if uri.at[at] == c"!":
            sign = c"|"  # which no URI has
    _put_uint16(into, 4 + 2 + 1 + SERVICE_BYTES + scheme + 1 + 5 + <int> uri.size + 1)
    _put_uint16(into, NAPTR_ORDER)
    _put_uint16(into, place)
    put_byte(into, 1)
    put_byte(into, c"u")
    put_byte(into, SERVICE_BYTES + scheme)
    put(into, SERVICE, SERVICE_BYTES)
    for at in range(scheme):
        put_byte(into, _lower(uri.at[at]))
    put_byte(into, 5 + <int> uri.size)
    put_byte(into, sign)
    put(into, b".*", 2)
    put_byte(into, sign)
    put(into, uri.at, uri.size)
    put_byte(into, sign)
    return put_byte(into, 0)


cdef inline int _put_uint16(Growing* into, int number) except -1:
    put_byte(into, number >> 8)
    return put_byte(into, number & 0xFF)


cdef inline bint _is_url(Part* kind) noexcept:
    """URL, and any type below it."""
    return (
        kind.size >= 3 and _lower(kind.at[0]) == c"u" and _lower(kind.at[1]) == c"r" and _lower(kind.at[2]) == c"l"
        and (kind.size == 3 or kind.at[3] == c".")
    )


cdef int _scheme_of(Part* data) noexcept:
    """How long the scheme of the URI in a value's data is; 0 if there is no URI in it, -1 if it would have to be encoded."""
    cdef Py_ssize_t at, scheme
    cdef unsigned char octet
    for at in range(data.size):
        if data.at[at] & 0x80:
            return -1  # text, or no text
    if data.size > MAX_URI_BYTES:
        return 0
    scheme = 0
    while scheme < data.size and data.at[scheme] != c":":
        octet = data.at[scheme]
        if not _is_letter(octet) and (not scheme or not (c"0" <= octet <= c"9" or octet in (c"+", c".", c"-"))):
            return 0
        scheme += 1
        if scheme > MAX_SCHEME_BYTES:
            return 0
    if not scheme or scheme + 1 >= data.size or data.at[scheme + 1] == c" " or 9 <= data.at[scheme + 1] <= 13:
        return 0
    for at in range(scheme + 1, data.size):
        octet = data.at[at]
        if not _is_letter(octet) and not c"0" <= octet <= c"9" and not _is_mark(octet):
            return -1
    return <int> scheme


cdef inline bint _is_mark(unsigned char octet) noexcept:
    cdef const char* mark = MARKS
    while mark[0]:
        if <unsigned char> mark[0] == octet:
            return True
        mark += 1
    return False


cdef inline bint _is_letter(unsigned char octet) noexcept:
    return c"a" <= octet <= c"z" or c"A" <= octet <= c"Z"


cdef inline unsigned char _lower(unsigned char octet) noexcept:
    return octet + 32 if c"A" <= octet <= c"Z" else octet
