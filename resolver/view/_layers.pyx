# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.view.layers`, compiled: what is stored under a name, in the overlay or below it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.string cimport memcpy

from proto.keys import record_key

cdef bytes _HEAD = record_key("")


def find_record(str name not None, tuple layers not None, get):
    """As `resolver.view.layers.find_record`."""
    cdef bytes key = _key(name)
    value = _overlaid(key, layers)
    if value is None:
        return get(key)
    return value or None


def find_records(names, tuple layers not None, get_many):
    """As `resolver.view.layers.find_records`."""
    cdef list keys = [_key(name) for name in names], found, below
    cdef Py_ssize_t place, at = 0
    for layer in layers:
        if len(<dict?> layer):
            break
    else:
        return get_many(keys) if keys else []
    found = [_overlaid(key, layers) for key in keys]
    below = [key for key, value in zip(keys, found) if value is None]
    if below:
        below = list(get_many(below))
    for place in range(len(found)):
        value = found[place]
        if value is None:
            found[place] = below[at]
            at += 1
        elif not value:
            found[place] = None
    return found


cdef bytes _key(str name):
    cdef Py_ssize_t size, head = PyBytes_GET_SIZE(_HEAD)
    cdef const char* text = PyUnicode_AsUTF8AndSize(name, &size)
    cdef bytes key = PyBytes_FromStringAndSize(NULL, head + size)
    cdef char* at = PyBytes_AS_STRING(key)
    memcpy(at, PyBytes_AS_STRING(_HEAD), head)
    memcpy(at + head, text, size)
    return key


cdef _overlaid(bytes key, tuple layers):
    """What the first layer that knows the key says (empty: nothing there); None if none knows it."""
    cdef PyObject* value
    for layer in layers:
        value = PyDict_GetItemWithError(<dict?> layer, key)
        if value != NULL:
            return <object> value
    return None
