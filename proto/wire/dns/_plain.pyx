# cython: language_level=3, binding=True, embedsignature=False
"""`proto.wire.dns.plain`, compiled: reading plain questions, and the replies to them that are kept."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memcmp, memcpy

from proto.wire.dns.plain_message cimport (
    CHECKING_DISABLED, HEADER_BYTES, MAX_LABEL_BYTES, MAX_NAME_BYTES, Message, OPT_BYTES, RECURSION_DESIRED, read_message,
)

from proto.compiled import pure
from proto.wire.dns.edns import LEAST_PAYLOAD_BYTES as _LEAST_PAYLOAD_BYTES
from proto.wire.dns.message import Reply

cdef enum:
    ASKS_BYTES = 5  # before the name: what the OPT record says, flags, type
    # A label has two octets at least, so that so many fit any name.
    MAX_LABELS = 128
    IDENT_BYTES = 2

cdef Py_ssize_t LEAST_PAYLOAD_BYTES = _LEAST_PAYLOAD_BYTES
_Reply = Reply


def read_plain(bytes message not None, bytes zone not None):
    """As `proto.wire.dns.plain.read_plain`."""
    return _read(message, zone, b"")


def read_turn(messages, bytes zone not None, bytes mark not None, kept):
    """As `proto.wire.dns.plain.read_turn`."""
    cdef list known = [], places = [], keys = [], asked = []
    cdef Py_ssize_t place = -1
    cdef tuple question
    for each in messages:
        place += 1
        question = _read(<bytes?> each, zone, mark)
        if question is None:
            continue
        key = question[0]
        if key in kept:
            known.append((place, key))
        else:
            places.append(place)
            keys.append(key)
            asked.append((question[1], False, True))
    return known, places, keys, asked


def finish_plain(bytes message not None, reply):
    """As `proto.wire.dns.plain.finish_plain`."""
    cdef bytes head, sections, opt, whole
    cdef Py_ssize_t asked, size
    cdef char* into
    if type(reply) is not _Reply or len(message) < HEADER_BYTES:
        return pure("proto.wire.dns.plain", "finish_plain")(message, reply)
    head, sections, opt, serial_at = <tuple> reply
    asked = PyBytes_GET_SIZE(message) - (OPT_BYTES if message[HEADER_BYTES - 1] else 0) - HEADER_BYTES
    if asked < 0 or head is None or sections is None or opt is None:
        return pure("proto.wire.dns.plain", "finish_plain")(message, reply)
    size = HEADER_BYTES + PyBytes_GET_SIZE(sections) + PyBytes_GET_SIZE(opt) + asked
    if serial_at >= 0 or size > LEAST_PAYLOAD_BYTES:
        return None
    whole = PyBytes_FromStringAndSize(NULL, size - HEADER_BYTES + IDENT_BYTES + PyBytes_GET_SIZE(head))
    into = PyBytes_AS_STRING(whole)
    memcpy(into, PyBytes_AS_STRING(message), IDENT_BYTES)
    into += IDENT_BYTES
    memcpy(into, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
    into += PyBytes_GET_SIZE(head)
    memcpy(into, PyBytes_AS_STRING(message) + HEADER_BYTES, asked)
    into += asked
    memcpy(into, PyBytes_AS_STRING(sections), PyBytes_GET_SIZE(sections))
    into += PyBytes_GET_SIZE(sections)
    memcpy(into, PyBytes_AS_STRING(opt), PyBytes_GET_SIZE(opt))
    return whole


cdef tuple _read(bytes message, bytes zone, bytes mark):
    """As `read_plain`, with `mark` before what decides the reply."""
    cdef Message question
    cdef unsigned char[MAX_NAME_BYTES] name
    cdef char[MAX_NAME_BYTES + 1] identifier
    cdef Py_ssize_t[MAX_LABELS] starts  # of the prefix's labels
    cdef Py_ssize_t place, size, own, suffix, written = 0, marked = PyBytes_GET_SIZE(mark)
    cdef int count = 0
    cdef bytes key
    cdef unsigned char* into
    if not read_message(message, &question):
        return None
    size = question.name_size
    own = size - len(zone)
    if own <= 0:
        return None
    for place in range(size):
        name[place] = _lower(question.at[HEADER_BYTES + place])
    if memcmp(name + own, <const char*> zone, len(zone)):
        return None
    suffix = name[0]
    if not _is_readable(name, 0, own):
        return None
    place = 1 + suffix
    # The separator: a label of one octet.
    if own - place < 2 or name[place] != 1 or name[place + 1] != c"_":
        return None
    place += 2
    while place < own:
        if count == MAX_LABELS or not _is_readable(name, place, own):
            return None
        starts[count] = place
        count += 1
        place += 1 + name[place]
    if not count:
        return None
    while count:
        count -= 1
        place = starts[count]
        memcpy(identifier + written, name + place + 1, name[place])
        written += name[place]
        identifier[written] = c"." if count else c"/"
        written += 1
    memcpy(identifier + written, name + 1, suffix)
    written += suffix
    key = PyBytes_FromStringAndSize(NULL, marked + ASKS_BYTES + size)
    memcpy(PyBytes_AS_STRING(key), PyBytes_AS_STRING(mark), marked)
    into = <unsigned char*> PyBytes_AS_STRING(key) + marked
    into[0] = 1 | question.dnssec_ok << 1 if question.has_opt else 0
    into[1], into[2] = question.at[2] & RECURSION_DESIRED, question.at[3] & CHECKING_DISABLED
    into[3], into[4] = question.kind >> 8, question.kind & 0xFF
    memcpy(into + ASKS_BYTES, name, size)
    return key, PyUnicode_DecodeASCII(identifier, written, NULL)


cdef inline unsigned char _lower(unsigned char octet) noexcept:
    return octet + 32 if c"A" <= octet <= c"Z" else octet


cdef inline bint _is_readable(const unsigned char* name, Py_ssize_t place, Py_ssize_t end) noexcept:
    """Whether a label that begins at a place and ends before `end` stands for itself."""
    cdef Py_ssize_t size = name[place], at
    cdef unsigned char octet
    if not 0 < size <= MAX_LABEL_BYTES or place + 1 + size > end:
        return False
    for at in range(place + 1, place + 1 + size):
        octet = name[at]
        if not (c"a" <= octet <= c"z" or c"0" <= octet <= c"9" or octet == c"-" or (octet == c"_" and at > place + 1)):
            return False
    return True
