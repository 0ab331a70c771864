# cython: language_level=3, binding=True, embedsignature=False
"""`proto.wire.http.plain`, compiled: what a request line asks for that is nothing but a path below a route."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcmp

from proto.wire.http.request_line cimport HAS_QUERY, MAX_LINE_BYTES, NOT_PLAIN, VERSION_BYTES, decode_path, ends_plainly

from proto.compiled import pure


def parse_name(bytes line not None, tuple routes not None):
    """As `proto.wire.http.plain.parse_name`. A query, however empty, is left to plain Python."""
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(line)
    cdef char decoded[MAX_LINE_BYTES]
    cdef Py_ssize_t size = PyBytes_GET_SIZE(line), begin, end, place
    cdef bytes route
    if size > MAX_LINE_BYTES or size < VERSION_BYTES + 5 or not ends_plainly(at, size):
        return None
    begin = 4 if memcmp(at, b"GET ", 4) == 0 else 5 if memcmp(at, b"HEAD ", 5) == 0 else 0
    end = size - VERSION_BYTES
    if not begin or begin >= end:
        return None
    for place in range(len(routes)):
        route = routes[place]
        if len(route) <= end - begin and memcmp(at + begin, PyBytes_AS_STRING(route), len(route)) == 0:
            begin += len(route)
            size = decode_path(at + begin, end - begin, decoded)
            if size == NOT_PLAIN:
                return None
            if size == HAS_QUERY:
                break
            try:
                return place, PyUnicode_DecodeUTF8(decoded, size, NULL)
            except UnicodeDecodeError:
                return None
    return pure("proto.wire.http.plain", "parse_name")(line, routes)
