# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.chain.plain`, compiled: look-ups, but for what reads the store."""

from proto._packing cimport does_show_all
from resolver._service cimport Last, find_place

from resolver.service import Homes

cdef bytes _ABSENT = b""
cdef object _FOREIGN = object()  # in place of a home


def find_alone(
    str identifier not None, wants_private, takes_copy, homing, read, copied, found_by_prefix, missed_by_prefix
):
    """As `resolver.chain.plain.find_alone`."""
    cdef tuple where = find_place(identifier, homing, Last())
    cdef bytes raw
    if where is None:
        return None
    if where[1] is None:
        return copied([where[0]])[0] if takes_copy else None
    raw = read(where[0]) or _ABSENT
    if raw and not does_show_all(raw, wants_private):
        return None
    _count(found_by_prefix if raw else missed_by_prefix, where[1], 1)
    return raw


def find_plainly(
    identifiers, wants_private, takes_copy, homing, read, copied, found_by_prefix, missed_by_prefix
):
    """As `resolver.chain.plain.find_plainly`."""
    cdef list asked = list(identifiers), wanted = list(wants_private), takes = list(takes_copy)
    cdef list homes = [], names = [], foreign = [], found = [], stored = [], copies = []
    cdef Py_ssize_t place, at = 0, copy_at = 0, count = len(asked), with_record = 0, absent = 0, with_copy = 0, run = 0
    cdef Last last = Last()
    cdef tuple where
    cdef bytes raw
    cdef bint is_absent, run_is_absent = False
    if len(wanted) != count or len(takes) != count:
        raise ValueError("not as many wants as identifiers")
    homing = Homes(homing).__getitem__
    for each in asked:
        where = find_place(<str?> each, homing, last)
        if where is None:
            homes.append(None)
        elif where[1] is not None:
            names.append(where[0])
            homes.append(where[1])
        elif takes[len(homes)]:
            foreign.append(where[0])
            homes.append(_FOREIGN)
        else:
            homes.append(None)
    if names:
        stored = list(read(names))
    if foreign:
        copies = list(copied(foreign))
    if len(stored) != len(names) or len(copies) != len(foreign):
        raise ValueError("not as many records as names")
    for place in range(count):
        raw = None
        if homes[place] is _FOREIGN:
            raw = copies[copy_at]
            copy_at += 1
        elif homes[place] is not None:
            raw = stored[at] or _ABSENT
            at += 1
            if raw and not does_show_all(raw, wanted[place]):
                raw = None
        found.append(raw)
    # Counted when nothing can go wrong any more, once for each run of the same home and outcome.
    home = None
    for place in range(count):
        raw = found[place]
        if raw is None:
            continue
        if homes[place] is _FOREIGN:
            with_copy += 1
            continue
        is_absent = not raw
        if run and (homes[place] is not home or is_absent != run_is_absent):
            _count(missed_by_prefix if run_is_absent else found_by_prefix, home, run)
            run = 0
        home, run_is_absent = homes[place], is_absent
        run += 1
        if is_absent:
            absent += 1
        else:
            with_record += 1
    if run:
        _count(missed_by_prefix if run_is_absent else found_by_prefix, home, run)
    return found, with_record, absent, with_copy


cdef int _count(by_prefix, home, Py_ssize_t run) except -1:
    counter = by_prefix[home.name]
    counter.n += run
    return 0
