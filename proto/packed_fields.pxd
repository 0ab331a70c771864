# The fields of a protobuf message where they stand: numbers, and parts of so many bytes (included, no module of its own).

from proto.packed_record cimport Part


cdef struct Cursor:
    const unsigned char* at
    const unsigned char* end


cdef inline bint take_varint(Cursor* fields, unsigned long long* number) noexcept:
    """A number of up to nine bytes: none of ours is longer. False if it is not all there."""
    cdef int shift
    cdef unsigned char byte
    number[0] = 0
    for shift in range(0, 63, 7):
        if fields.at >= fields.end:
            return False
        byte = fields.at[0]
        fields.at += 1
        number[0] |= <unsigned long long> (byte & 0x7F) << shift
        if byte < 0x80:
            return True
    return False


cdef inline bint take_part(Cursor* fields, Part* part) noexcept:
    """So many bytes as a number before them says. False if they are not all there."""
    cdef unsigned long long size
    if not take_varint(fields, &size) or size > <unsigned long long> (fields.end - fields.at):
        return False
    part.at, part.size = fields.at, <Py_ssize_t> size
    fields.at += part.size
    return True
