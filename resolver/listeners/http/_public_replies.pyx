# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.listeners.http.public_replies`, compiled. A value that is not of the common kind is written by `render_packed`."""

from cpython.buffer cimport PyBUF_READ
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.string cimport memchr, memcmp

import sys
from struct import error as StructError
from zlib import crc32

from proto.growing cimport Growing, begin as start, finish, put, put_byte, put_bytes, put_decimal, put_hexadecimal, release
from proto.handle_json.json_text cimport NO_UTF8, put_common, put_string
from proto.packed_record cimport PackedValue, Part, Record, read_shown, read_value, uint16

from proto.wire.http.request_line cimport MAX_LINE_BYTES, VERSION_BYTES, decode_path, ends_plainly

from proto.compiled import pure
from proto.handle_json import render_packed
from proto.model.answer import Found, Source
from proto.wire.http import head
from resolver.listeners.http.limits import MAX_TURN, MAX_TURN_BYTES
from resolver.listeners.http.reply import JSON, Rendered, Reply, compose_head
from resolver.listeners.http.statuses import ANSWER_STATUSES

if sys.byteorder != "little":
    raise ImportError("texts are written eight bytes at a time, the least first")

cdef str _PURE = "resolver.listeners.http.public_replies"
# What a value that is damaged comes to when it is read.
cdef tuple _DAMAGE = (ValueError, IndexError, StructError)

cdef enum:
    NO_CLOCK = -1  # no second is before 1970

cdef Py_ssize_t _MAX_TURN = MAX_TURN
cdef Py_ssize_t _MAX_TURN_BYTES = MAX_TURN_BYTES
cdef bytes _KEY = b"h"
cdef bytes _HEAD_END = b"\r\n\r\n"

# What every such reply says, in this order, around what is its own.
_STATUS = ANSWER_STATUSES[Found]
cdef bytes _BEGIN = compose_head(Reply(_STATUS.http, content_type="")).encode()
cdef bytes _CODE = b'{"responseCode":%d,' % _STATUS.code
cdef bytes _HTTP_STATUS = b'"status":%d,"asked":' % _STATUS.http
cdef bytes _TYPE = f'\r\nVary: Authorization\r\nContent-Type: {JSON}\r\nContent-Length: '.encode()
cdef bytes _END = f'\r\n{head.REQUEST_ID}: '.encode()
cdef bytes _SOURCE = f',"source":"{Source.AUTHORITATIVE}","age_s":0,"ttl_s":'.encode()
cdef bytes _COPY = f',"source":"{Source.CACHED}","age_s":'.encode()


def answer_run(bytes data not None, Py_ssize_t begin, way, list replies not None):
    """As `resolver.listeners.http.public_replies.answer_run`."""
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), begun = begin, line, end, answered = 0
    cdef bytes key, raw, reply
    cdef str identifier, own
    cdef int place = 0
    if begun < 0 or not isinstance(way, tuple):
        return pure(_PURE, "answer_run")(data, begin, way, replies)
    routes, renders, silent, get, _, look_up, _, render, admits, _, ids, date = <tuple> way
    for reply in replies:
        answered += len(reply)
    while len(replies) < _MAX_TURN and answered <= _MAX_TURN_BYTES:
        line = _line_end(at, begun, size)
        end = _head_end(at, line, size)
        if end < 0 or data[line + 2:end] not in silent or line - begun < 4 or memcmp(at + begun, b"GET ", 4):
            break
        key = _KEY + data[begun + 4:line]
        rendered = get(key)
        if rendered is None:
            identifier = _read_name(at + begun + 4, line - begun - 4, <tuple> routes, &place)
            if identifier is None:
                break
            raw = look_up(identifier)
            if raw is None:
                break
            if admits(key):
                rendered = render(place, raw, identifier, key)
        own, number = ids.reserve(1)
        reply = _compose(renders[place], raw, identifier, own, number, date()) if rendered is None else None
        if reply is None:
            rendered = render(place, raw, identifier, b"") if rendered is None else rendered
            reply = _join(rendered, own, number, date())
        replies.append(reply)
        answered += len(reply)
        begun = end
    return begun


def answer_turn(list reads not None, way):
    """As `resolver.listeners.http.public_replies.answer_turn`."""
    cdef Py_ssize_t count = len(reads), place, line, size, each
    cdef const unsigned char* at
    cdef bytes data, raw, now, reply
    cdef str identifier, own
    cdef unsigned long long first
    cdef int route = 0
    cdef list replies = [None] * count, keys = [], places = [], asked = [], routes_asked = [], found, admitted
    if not isinstance(way, tuple):
        return pure(_PURE, "answer_turn")(reads, way)
    routes, renders, silent, _, get_turn, _, look_up_turn, render, _, admits_each, ids, date = <tuple> way
    own, first = ids.reserve(count)
    now = date()
    for place in range(count):
        data = reads[place]
        at, size = <const unsigned char*> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)
        line = _line_end(at, 0, size)
        if line < 4 or _head_end(at, line, size) != size or memcmp(at, b"GET ", 4) or data[line + 2:] not in silent:
            continue
        keys.append(_KEY + data[4:line])
        places.append(place)
    found = get_turn(keys)
    # What is kept is answered; of all others what they ask for is noted, in the same three lists.
    size = 0
    for each in range(len(keys)):
        place, rendered = places[each], found[each]
        if rendered is not None:
            replies[place] = _join(rendered, own, first + place, now)
            continue
        data = reads[place]
        at = <const unsigned char*> PyBytes_AS_STRING(data)
        identifier = _read_name(at + 4, PyBytes_GET_SIZE(<bytes> keys[each]) - 1, <tuple> routes, &route)
        if identifier is None:
            continue
        asked.append((identifier, False, True))
        routes_asked.append(route)
        keys[size], places[size] = keys[each], places[each]
        size += 1
    if not size:
        return replies
    found = look_up_turn(asked)
    del keys[size:]
    admitted = admits_each(keys if None not in found else [keys[each] for each in range(size) if found[each] is not None])
    verdicts = iter(admitted)
    for each in range(size):
        raw = found[each]
        if raw is None:
            continue
        place, route, identifier = places[each], routes_asked[each], (<tuple> asked[each])[0]
        if next(verdicts):
            replies[place] = _join(render(route, raw, identifier, keys[each]), own, first + place, now)
            continue
        reply = _compose(renders[route], raw, identifier, own, first + place, now)
        if reply is None:
            reply = _join(render(route, raw, identifier, b""), own, first + place, now)
        replies[place] = reply
    return replies


cdef bytes _join(rendered, str own, unsigned long long number, bytes date):
    """The whole reply around what was rendered, under an id of our own."""
    cdef bytes begin, body
    cdef Growing whole
    begin, _, body = <tuple> rendered
    start(&whole)
    try:
        put_bytes(&whole, begin)
        _put_id(&whole, own, number)
        put_bytes(&whole, date)
        put_bytes(&whole, _HEAD_END)
        put_bytes(&whole, body)
        return finish(&whole)
    finally:
        release(&whole)


cdef int _put_id(Growing* into, str own, unsigned long long number) except -1:
    """As `compose_id`."""
    cdef Py_ssize_t size
    cdef const char* at = PyUnicode_AsUTF8AndSize(own, &size)
    put(into, at, size)
    return put_hexadecimal(into, number, 16)


cdef Py_ssize_t _line_end(const unsigned char* at, Py_ssize_t begun, Py_ssize_t size) noexcept:
    """Where the first line end from `begun` on begins; -1 if there is none."""
    cdef const unsigned char* found
    while begun < size:
        found = <const unsigned char*> memchr(at + begun, c"\r", size - begun)
        if found == NULL:
            return -1
        begun = found - at
        if begun + 1 < size and at[begun + 1] == c"\n":
            return begun
        begun += 1
    return -1


cdef Py_ssize_t _head_end(const unsigned char* at, Py_ssize_t line, Py_ssize_t size) noexcept:
    """Behind the first empty line from the line end at `line` on; -1 if there is none."""
    cdef Py_ssize_t following
    while line >= 0:
        following = _line_end(at, line + 2, size)
        if following == line + 2:
            return following + 2
        line = following
    return -1


cdef str _read_name(const unsigned char* at, Py_ssize_t size, tuple routes, int* place):
    """What a request line asks for from its target on, and below which route; None if it is not nothing but a path below one."""
    cdef char decoded[MAX_LINE_BYTES]
    cdef bytes route
    cdef int each
    cdef Py_ssize_t length
    if size > MAX_LINE_BYTES - 4 or not ends_plainly(at, size):
        return None
    size -= VERSION_BYTES
    for each in range(<int> len(routes)):
        route = routes[each]
        length = len(route)
        if length <= size and memcmp(at, PyBytes_AS_STRING(route), length) == 0:
            place[0] = each
            size = decode_path(at + length, size - length, decoded)
            if size < 0:
                return None
            try:
                return PyUnicode_DecodeUTF8(decoded, size, NULL)
            except UnicodeDecodeError:
                return None
    return None


cdef bytes _compose(render, bytes raw, str identifier, str own, unsigned long long number, bytes date):
    """The whole reply; None if it is not one of ours, or depends on the second in which it is asked for."""
    cdef Growing body, whole
    cdef Record record
    cdef long long ttl_s = -1
    start(&body)
    start(&whole)
    try:
        if not read_shown(raw, &record) or not record.public_count:
            return None
        if render is render_handle:
            ttl_s = _put_handle(&body, raw, &record, identifier, NO_CLOCK)
        elif render is render_resolution:
            ttl_s = _put_resolution(&body, raw, &record, identifier, NO_CLOCK)
        if ttl_s < 0:
            return None
        put_bytes(&whole, _BEGIN)
        _put_tag(&whole, &record, ttl_s, &body)
        put_bytes(&whole, _TYPE)
        put_decimal(&whole, body.size)
        put_bytes(&whole, _END)
        _put_id(&whole, own, number)
        put_bytes(&whole, date)
        put_bytes(&whole, _HEAD_END)
        put(&whole, body.at, body.size)
        return finish(&whole)
    finally:
        release(&body)
        release(&whole)


def render_handle(bytes raw not None, str asked not None, long long now_s):
    """As `resolver.listeners.http.public_replies.render_handle`."""
    cdef Growing into
    cdef Record record
    cdef long long ttl_s
    start(&into)
    try:
        if read_shown(raw, &record) and record.public_count:
            ttl_s = _put_handle(&into, raw, &record, asked, now_s)
            if ttl_s >= 0:
                return _finish(&into, &record, ttl_s)
    except _DAMAGE:
        pass  # which of several faults is named, plain Python decides
    finally:
        release(&into)
    return pure(_PURE, "render_handle")(raw, asked, now_s)


def render_resolution(bytes raw not None, str asked not None, long long now_s):
    """As `resolver.listeners.http.public_replies.render_resolution`."""
    cdef Growing into
    cdef Record record
    cdef long long ttl_s
    start(&into)
    try:
        if read_shown(raw, &record) and record.public_count:
            ttl_s = _put_resolution(&into, raw, &record, asked, now_s)
            if ttl_s >= 0:
                return _finish(&into, &record, ttl_s)
    except _DAMAGE:
        pass  # which of several faults is named, plain Python decides
    finally:
        release(&into)
    return pure(_PURE, "render_resolution")(raw, asked, now_s)


cdef long long _put_handle(Growing* into, bytes raw, Record* record, str asked, long long now_s) except -2:
    """The document, and for how many seconds it holds; -1 if something in it is not as we make it."""
    cdef long long ttl_s
    cdef Growing unseen
    # Names that this document does not show are to be text all the same.
    start(&unseen)
    try:
        if not (
            _put_part(&unseen, &record.spelling) and _put_part(&unseen, &record.registrant)
            and _put_part(&unseen, &record.template) and _put_aliases(&unseen, record)
        ):
            return -1
    finally:
        release(&unseen)
    put_bytes(into, _CODE)
    put(into, b'"handle":', 9)
    if not _put_text(into, asked):
        return -1
    put(into, b',"values":[', 11)
    ttl_s = _put_values(into, raw, record, now_s)
    put(into, b"]}", 2)
    return ttl_s


cdef long long _put_resolution(Growing* into, bytes raw, Record* record, str asked, long long now_s) except -2:
    """As `_put_handle`."""
    cdef long long ttl_s
    put_bytes(into, _CODE)
    put_bytes(into, _HTTP_STATUS)
    if not _put_text(into, asked):
        return -1
    put(into, b',"identifier":', 14)
    if record.is_copy and not record.spelling.size:
        _put_text(into, asked)
    elif not _put_part(into, &record.spelling):
        return -1
    put(into, b',"state":"active","version":', 28)
    put_decimal(into, record.version)
    put(into, b',"values":[', 11)
    ttl_s = _put_values(into, raw, record, now_s)
    if ttl_s < 0:
        return -1
    put(into, b'],"aliases":[', 13)
    if not _put_aliases(into, record):
        return -1
    put(into, b'],"template":', 13)
    if not _put_part(into, &record.template):
        return -1
    put(into, b',"registrant":', 14)
    if not _put_part(into, &record.registrant):
        return -1
    if record.is_copy:
        put_bytes(into, _COPY)
        put_decimal(into, record.age_s)
        put(into, b',"ttl_s":', 9)
    else:
        put_bytes(into, _SOURCE)
    put_decimal(into, ttl_s)
    put_byte(into, c'}')
    return ttl_s


cdef bint _put_part(Growing* into, Part* part) except -1:
    """A name; False if it is no UTF-8."""
    return put_string(into, part.at, part.size) != NO_UTF8


cdef bint _put_text(Growing* into, str text) except -1:
    """A name; False if it is not to be had in UTF-8: half a surrogate pair is nothing that UTF-8 has."""
    cdef Py_ssize_t size
    cdef const char* at
    try:
        at = PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError:
        return False
    put_string(into, <const unsigned char*> at, size)
    return True


cdef bint _put_aliases(Growing* into, Record* record) except -1:
    cdef Py_ssize_t at = record.aliases
    cdef Part name
    cdef int place
    for place in range(record.alias_count):
        if place:
            put_byte(into, c',')
        name.at, name.size = record.raw + at + 2, uint16(record.raw + at)
        if not _put_part(into, &name):
            return False
        at += 2 + name.size
    return True


cdef long long _put_values(Growing* into, bytes raw, Record* record, long long now_s) except -2:
    """The public values, parted by commas, and their least TTL in seconds; -1 if one is not as we make them."""
    cdef PackedValue value
    cdef int place
    cdef long long least_ttl_s = 1LL << 32, ttl_s
    for place in range(record.public_count):
        if place:
            put_byte(into, c',')
        if read_value(record, place, &value):
            if not put_common(into, &value):
                put_bytes(into, render_packed(raw[value.begin:value.end]).encode())
            ttl_s = value.ttl
            if value.is_absolute and now_s == NO_CLOCK:
                return -1
            if value.is_absolute:
                ttl_s = ttl_s - now_s if ttl_s > now_s else 0
        else:
            return -1
        if ttl_s < least_ttl_s:
            least_ttl_s = ttl_s
    return record.ttl_s if record.is_copy else least_ttl_s


cdef Py_ssize_t _put_tag(Growing* into, Record* record, long long ttl_s, Growing* body) except -1:
    """How old a body is, for how long it may be kept, and its tag, as `keep` says it; where in `into` the tag stands."""
    cdef unsigned int checksum = crc32(PyMemoryView_FromMemory(body.at, body.size, PyBUF_READ))
    cdef Py_ssize_t at
    if record.age_s:
        put(into, b"Age: ", 5)
        put_decimal(into, record.age_s)
        put(into, b"\r\n", 2)
    put(into, b"Cache-Control: public, ", 23)
    if ttl_s:
        put(into, b"max-age=", 8)
        put_decimal(into, ttl_s + record.age_s)
    else:
        put(into, b"no-cache", 8)
    put(into, b"\r\nETag: ", 8)
    at = into.size
    put_byte(into, c'"')
    put_decimal(into, record.version)
    put_byte(into, c'-')
    put_hexadecimal(into, body.size, 1)
    put_byte(into, c'-')
    put_hexadecimal(into, checksum, 8)
    put_byte(into, c'"')
    return at


cdef _finish(Growing* body, Record* record, long long ttl_s):
    """The head for a body, made as `compose_head` makes it of what `keep` says."""
    cdef Growing into
    cdef Py_ssize_t at
    cdef str tag
    start(&into)
    try:
        put_bytes(&into, _BEGIN)
        at = _put_tag(&into, record, ttl_s, body)
        tag = PyUnicode_DecodeASCII(into.at + at, into.size - at, NULL)
        put_bytes(&into, _TYPE)
        put_decimal(&into, body.size)
        put_bytes(&into, _END)
        return Rendered(finish(&into), tag, finish(body))
    finally:
        release(&into)
