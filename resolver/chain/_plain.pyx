# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.chain.plain`, compiled: look-ups, but for what reads the store."""

from proto._packing cimport does_show_all
from resolver._service cimport Last, find_place

from resolver.service import Homes

cdef bytes _ABSENT = b""


def find_alone(str identifier not None, wants_private, homing, read, found_by_prefix, missed_by_prefix):
    """As `resolver.chain.plain.find_alone`."""
    cdef tuple where = find_place(identifier, homing, Last())
    cdef bytes raw
    if where is None:
        return None
    raw = read(where[0]) or _ABSENT
    if raw and not does_show_all(raw, wants_private):
        return None
    _count(found_by_prefix if raw else missed_by_prefix, where[1], 1)
    return raw


def find_plainly(identifiers, wants_private, homing, read, found_by_prefix, missed_by_prefix):
    """As `resolver.chain.plain.find_plainly`."""
    cdef list asked = list(identifiers), wanted = list(wants_private), homes = [], names = [], found = [], stored
    cdef Py_ssize_t place, at = 0, count = len(asked), with_record = 0, absent = 0, run = 0
    cdef Last last = Last()
    cdef tuple where
    cdef bytes raw
    cdef bint is_absent, run_is_absent = False
    if len(wanted) != count:
        raise ValueError("not as many wants as identifiers")
    homing = Homes(homing).__getitem__
    for each in asked:
        where = find_place(<str?> each, homing, last)
        if where is None:
            homes.append(None)
        else:
            names.append(where[0])
            homes.append(where[1])
    stored = list(read(names))
    if len(stored) != len(names):
        raise ValueError("not as many records as names")
    for place in range(count):
        raw = None
        if homes[place] is not None:
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
    return found, with_record, absent


cdef int _count(by_prefix, home, Py_ssize_t run) except -1:
    counter = by_prefix[home.name]
    counter.n += run
    return 0
