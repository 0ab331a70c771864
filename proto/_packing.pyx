# cython: language_level=3, binding=True, embedsignature=False
"""`proto.packing`, compiled: what of a stored record is asked with every look-up."""

from proto.packed_record cimport HEAD_BYTES, PackedValue, Record, read_record, read_value, uint16

from proto.compiled import pure

cdef enum:
    RECORD_FORMAT = 1
    ACTIVE = 0
    RETIRED = 2


def shows_all(bytes raw not None, wants_private):
    """As `proto.packing.shows_all`."""
    return does_show_all(raw, wants_private)


cdef bint does_show_all(bytes raw, wants_private) except -1:
    cdef const unsigned char* at = <const unsigned char*> <const char*> raw
    cdef int count
    if len(raw) < HEAD_BYTES or at[9] > RETIRED:
        return pure("proto.packing", "shows_all")(raw, wants_private)
    count = uint16(at + 12)
    return at[0] == RECORD_FORMAT and at[9] == ACTIVE and count > 0 and (not wants_private or count == uint16(at + 10))


def has_absolute_ttl(bytes raw not None):
    """As `proto.packing.has_absolute_ttl`."""
    cdef Record record
    cdef PackedValue value
    cdef int place
    if read_record(raw, &record) and record.state <= RETIRED and record.aliases == record.table:
        for place in range(record.public_count):
            if not read_value(&record, place, &value):
                break
            if value.is_absolute:
                return True
        else:
            return False
    return pure("proto.packing", "has_absolute_ttl")(raw)
