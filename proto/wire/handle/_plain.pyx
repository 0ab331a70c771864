# cython: language_level=3, binding=True, embedsignature=False
"""`proto.wire.handle.plain`, compiled: reading a plain question, and the reply to it that has one piece of body."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy, memset

from proto.wire.handle.plain_packet cimport (
    BODY, AUTHORITATIVE, ENVELOPE_BYTES, LENGTH_BYTES, PUBLIC_ONLY, Question, RECURSION, RECURSIVE, put_head, read_question,
)

from proto.compiled import pure
from proto.limits import MAX_HOPS as _MAX_HOPS

cdef str _PURE = "proto.wire.handle.plain"
cdef enum:
    FLAGS_BYTES = 4
    # Replies that this program makes are far below; what is not is left to plain Python.
    MOST_BYTES = 1 << 24
cdef long long LATEST_S = 1 << 31
cdef int MAX_HOPS = _MAX_HOPS


def read_plain(bytes packet not None):
    """As `proto.wire.handle.plain.read_plain`."""
    cdef Question question
    if not read_question(packet, &question):
        return None
    identifier = _identifier(&question)
    return None if identifier is None else (_key(b"", &question), *_asked(identifier, &question))


def read_turn(packets, bytes mark not None, kept, but):
    """As `proto.wire.handle.plain.read_turn`."""
    cdef list known = [], places = [], keys = [], asked = []
    cdef Question question
    cdef Py_ssize_t place = -1
    cdef bytes packet, key
    for each in packets:
        place += 1
        packet = <bytes?> each
        if not read_question(packet, &question):
            continue
        identifier = _identifier(&question)
        if identifier is None:
            continue
        key = _key(mark, &question)
        if key in kept:
            known.append((place, key))
        elif identifier != but:
            places.append(place)
            keys.append(key)
            asked.append(_asked(identifier, &question))
    return known, places, keys, asked


cdef tuple _asked(str identifier, Question* question):
    """What is asked: the identifier, whether for private values, too, and whether a copy will do."""
    cdef unsigned int recursion = question.flags & (RECURSIVE | <unsigned int> AUTHORITATIVE)
    return identifier, not question.flags & PUBLIC_ONLY, recursion == RECURSIVE and question.at[RECURSION] < MAX_HOPS


cdef str _identifier(Question* question):
    """What a question names; None if that is no text."""
    try:
        return PyUnicode_DecodeUTF8(
            <const char*> question.identifier + LENGTH_BYTES, question.identifier_size - LENGTH_BYTES, NULL
        )
    except UnicodeDecodeError:
        return None


cdef bytes _key(bytes mark, Question* question):
    """`mark`, and what decides the answer."""
    cdef Py_ssize_t size = question.size - BODY - LENGTH_BYTES, marked = len(mark)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, marked + FLAGS_BYTES + size)
    cdef char* into = PyBytes_AS_STRING(key)
    memcpy(into, PyBytes_AS_STRING(mark), marked)
    memcpy(into + marked, question.at + ENVELOPE_BYTES + 8, FLAGS_BYTES)
    memcpy(into + marked + FLAGS_BYTES, question.at + BODY, size)
    return key


def compose_plain(bytes packet not None, code, bytes body not None, serial, flags, now_s):
    """As `proto.wire.handle.plain.compose_plain`."""
    cdef Question question
    cdef Py_ssize_t size = len(body)
    cdef bytes reply
    cdef unsigned char* into
    if not (
        read_question(packet, &question) and size < MOST_BYTES and 0 <= code < LATEST_S and 0 <= serial <= 0xFFFF
        and 0 <= flags <= 0xFFFFFFFF and 0 <= now_s < LATEST_S
    ):
        return pure(_PURE, "compose_plain")(packet, code, body, serial, flags, now_s)
    reply = PyBytes_FromStringAndSize(NULL, BODY + size + LENGTH_BYTES)
    into = <unsigned char*> PyBytes_AS_STRING(reply)
    put_head(into, &question, code, size, serial, flags, now_s)
    memcpy(into + BODY, PyBytes_AS_STRING(body), size)
    memset(into + BODY + size, 0, LENGTH_BYTES)
    return reply
