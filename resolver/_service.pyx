# cython: language_level=3, binding=True, embedsignature=False, auto_pickle=False
"""`resolver.service`, compiled: where an identifier in ASCII is stored that has a slash and names no prefix."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII
from libc.string cimport memcmp, memcpy

from proto.compiled import pure
from proto.limits import MAX_IDENTIFIER_BYTES as _MAX_IDENTIFIER_BYTES
from proto.limits import MAX_PREFIX_BYTES as _MAX_PREFIX_BYTES
from proto.model.identifier import PREFIX_OF_PREFIXES, SuffixRule
from proto.model.prefix import PrefixState

cdef object _APPROVED = PrefixState.APPROVED
cdef object _FOLD_ASCII = SuffixRule.FOLD_ASCII
cdef str _PREFIX_OF_PREFIXES = PREFIX_OF_PREFIXES

cdef enum:
    ROOM = 2048
    PREFIX_ROOM = 64

assert ROOM == _MAX_IDENTIFIER_BYTES and PREFIX_ROOM == _MAX_PREFIX_BYTES

# By byte: the same in small letters if it may stand in a label of a prefix; 0 if it may not.
cdef unsigned char[256] _LABEL
cdef int _place
cdef unsigned char _byte
for _place in range(256):
    _LABEL[_place] = 0
for _byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
    _LABEL[_byte] = _byte | 0x20 if 65 <= _byte <= 90 else _byte


def stored_under(str identifier not None, homing):
    """As `resolver.service.stored_under`."""
    return find_place(identifier, homing, Last())


cdef class Last:
    """The prefix that was looked for last: those of one turn, or of one batch, are mostly the same."""


cdef tuple find_place(str identifier, homing, Last last):
    """As `stored_under`, for one of many that are asked for before any prefix changes."""
    cdef Py_ssize_t size, prefix_size, place
    cdef const char* text
    cdef unsigned char name[ROOM]
    cdef unsigned char byte, folded
    cdef bint is_folded = False, is_label = False, is_foreign
    cdef str prefix
    if not identifier.isascii():
        return pure("resolver.service", "stored_under")(identifier, homing)
    text = PyUnicode_AsUTF8AndSize(identifier, &size)
    if size > ROOM:
        return None
    # The prefix: labels parted by dots, none of them empty.
    for place in range(size if size < PREFIX_ROOM + 1 else PREFIX_ROOM + 1):
        byte = text[place]
        if byte == c"/":
            break
        folded = _LABEL[byte]
        if not folded and (byte != c"." or not is_label):
            return pure("resolver.service", "stored_under")(identifier, homing)
        is_label = folded != 0
        is_folded |= folded != byte and is_label
        name[place] = folded if is_label else byte
    else:
        return pure("resolver.service", "stored_under")(identifier, homing)
    prefix_size = place
    if not is_label or prefix_size + 1 == size:
        return None
    # The suffix: visible characters and blanks.
    name[prefix_size] = c"/"
    for place in range(prefix_size + 1, size):
        byte = text[place]
        if byte < 0x20 or byte == 0x7F:
            return None
        name[place] = byte
    if prefix_size != last.size or memcmp(name, last.prefix, prefix_size):
        prefix = PyUnicode_DecodeASCII(<const char*> name, prefix_size, NULL)
        if prefix == _PREFIX_OF_PREFIXES:
            return pure("resolver.service", "stored_under")(identifier, homing)
        home = homing(prefix)
        is_foreign = home is None
        if home is not None and (home.state is not _APPROVED or home.delegation is not None):
            home = None
        memcpy(last.prefix, name, prefix_size)
        last.size, last.home, last.is_foreign = prefix_size, home, is_foreign
        last.folds_suffix = home is not None and home.suffix_rule is _FOLD_ASCII
    if last.home is None and not last.is_foreign:
        return None
    if last.folds_suffix:
        for place in range(prefix_size + 1, size):
            byte = name[place]
            if c"A" <= byte <= c"Z":
                name[place] = byte | 0x20
                is_folded = True
    return (PyUnicode_DecodeASCII(<const char*> name, size, NULL) if is_folded else identifier), last.home
