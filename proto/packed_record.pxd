# A packed record as compiled functions read it (`proto.packing` says what stands where; included, no module of its own).
#
# Nothing is read that was not found to lie within the bytes. A record or a value that is not as `proto.packing` makes it gives
# False, and its reader then leaves it to plain Python: what a damaged record comes to is decided there alone.

cdef enum:
    RECORD = 1  # formats
    COPY = 3
    HEAD_BYTES = 38
    TOLD = 14  # of a copy: its age, its TTL, and for how long both are true
    ENTRY_BYTES = 11
    FIXED_BYTES = 18  # of a value, up to its type
    LENGTH_BYTES = 4


cdef struct Part:
    const unsigned char* at
    Py_ssize_t size


cdef struct Record:
    const unsigned char* raw
    Py_ssize_t size
    unsigned long long version
    int state
    int value_count
    int public_count
    int alias_count
    bint is_copy
    unsigned int age_s  # of a copy, as it is shown
    unsigned int ttl_s
    Part spelling
    Part registrant
    Part template
    Py_ssize_t aliases  # where they begin
    Py_ssize_t table


cdef struct PackedValue:
    unsigned int index
    unsigned int timestamp
    int is_absolute  # the TTL
    unsigned int ttl
    int permissions
    Part kind
    Part data
    Py_ssize_t begin  # the whole value in the record's bytes
    Py_ssize_t end


cdef inline unsigned int uint16(const unsigned char* at) noexcept:
    return at[0] << 8 | at[1]


cdef inline unsigned int uint32(const unsigned char* at) noexcept:
    return <unsigned int> at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]


cdef inline unsigned long long uint64(const unsigned char* at) noexcept:
    return <unsigned long long> uint32(at) << 32 | uint32(at + 4)


cdef inline bint read_record(bytes raw, Record* record):
    """Read the head of a record of format 1, and find its table of values."""
    return len(raw) >= HEAD_BYTES and (<const unsigned char*> <const char*> raw)[0] == RECORD and read_shown(raw, record)


cdef inline bint read_shown(bytes raw, Record* record):
    """The same of a record or of a copy that is shown: of what answers are composed from."""
    cdef const unsigned char* at = <const unsigned char*> <const char*> raw
    cdef Py_ssize_t size = len(raw), place
    cdef int count, group_count
    if size < HEAD_BYTES or at[0] not in (RECORD, COPY):
        return False
    record.raw, record.size = at, size
    record.is_copy = at[0] == COPY
    record.age_s = uint32(at + TOLD) if record.is_copy else 0
    record.ttl_s = uint32(at + TOLD + 4) if record.is_copy else 0
    record.version = uint64(at + 1)
    record.state = at[9]
    record.value_count, record.public_count = uint16(at + 10), uint16(at + 12)
    record.alias_count, group_count = at[36], at[37]
    record.spelling.at, record.spelling.size = at + HEAD_BYTES, uint16(at + 30)
    record.registrant.at, record.registrant.size = record.spelling.at + record.spelling.size, uint16(at + 32)
    record.template.at, record.template.size = record.registrant.at + record.registrant.size, uint16(at + 34)
    # Three lengths of 16 bits: no pointer above leaves the reach of its array by more than 192 KiB, and none is read before this.
    place = HEAD_BYTES + record.spelling.size + record.registrant.size + record.template.size
    record.aliases = place
    for count in range(record.alias_count):
        if place + 2 > size:
            return False
        place += 2 + uint16(at + place)
    for count in range(group_count):
        if place + 1 > size:
            return False
        place += 1 + at[place]
    record.table = place
    return record.public_count <= record.value_count and place + ENTRY_BYTES * record.value_count <= size


cdef inline bint read_value(Record* record, int place, PackedValue* value) noexcept:
    """Read the value at a place of the table; False also for one that refers to others."""
    cdef const unsigned char* raw = record.raw
    cdef Py_ssize_t entry = record.table + ENTRY_BYTES * place, begin, end, at
    cdef Py_ssize_t kind_size, data_size
    if place < 0 or place >= record.value_count:
        return False
    begin = uint32(raw + entry + 4)
    end = uint32(raw + entry + ENTRY_BYTES + 4) if place + 1 < record.value_count else record.size
    kind_size = uint16(raw + entry + 9)
    # Beside its fixed part a value has its type, the length of its data, the data, and how many references it has.
    if end > record.size or end - begin < FIXED_BYTES + kind_size + 2 * LENGTH_BYTES:
        return False
    at = begin + FIXED_BYTES
    if uint32(raw + at - LENGTH_BYTES) != kind_size:
        return False
    value.kind.at, value.kind.size = raw + at, kind_size
    at += kind_size
    data_size = uint32(raw + at)
    at += LENGTH_BYTES
    if data_size != end - at - LENGTH_BYTES or uint32(raw + end - LENGTH_BYTES):
        return False
    value.data.at, value.data.size = raw + at, data_size
    value.index, value.timestamp = uint32(raw + begin), uint32(raw + begin + 4)
    value.is_absolute, value.ttl, value.permissions = raw[begin + 8], uint32(raw + begin + 9), raw[begin + 13]
    value.begin, value.end = begin, end
    return True
