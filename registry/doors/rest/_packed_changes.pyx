# cython: language_level=3, binding=True, embedsignature=False
"""`registry.doors.rest.packed_changes`, compiled: rows of records, read where they stand in a payload."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

import sys

from proto.growing cimport Growing, begin as start, finish, put, put_byte, put_bytes, put_decimal, release
from proto.handle_json.json_text cimport NO_UTF8, is_ascii, put_common, put_string, put_time, two_digits
from proto.packed_fields cimport Cursor, take_part, take_varint
from proto.packed_record cimport ENTRY_BYTES, PackedValue, Part, Record, read_record, read_value, uint64

from proto.compiled import pure
from proto.handle_json import render_packed
from proto.model.change import Table
from proto.model.record import State
from registry.policy.rules import Reach

if sys.byteorder != "little":
    raise ImportError("texts are written eight bytes at a time, the least first")

cdef str _PURE = "registry.doors.rest.packed_changes"
cdef unsigned long long _RECORD = Table.RECORD
cdef int _NOTHING = Reach.NOTHING, _WHOLE = Reach.WHOLE
cdef int _ACTIVE = State.ACTIVE
cdef bytes _ACTIVE_NAME = State.ACTIVE.name.lower().encode()
cdef list _STATES = [state.name.lower().encode() for state in State]
cdef int _STATE_COUNT = len(_STATES)

cdef enum:
    ROW = 0x0A
    # Of a row.
    TABLE = 0x08
    NAME = 0x12
    IMAGE = 0x1A
    VERSION = 0x20
    PRIOR_VERSION = 0x28
    STATE = 0x30
    PRIOR_STATE = 0x38
    # Audiences, and where an entry of the table of values says which.
    PUBLIC_CLASS = 0
    PRIVATE_CLASS = 1
    FIRST_GROUP_CLASS = 2
    CLASS_OFFSET = 8
    # A type has at most 255 bytes (`proto.handle_json.packed`), and so have the names of groups.
    MAX_TYPE_BYTES = 255
    MAX_GROUPS = 64  # as compiled code knows them; a record with more goes the long way
    CURSOR_FORMAT = 1
    CURSOR_CHARS = 18
    LAST_S = 4102444800  # 2100: no time that is written here is later


cdef struct Row:
    unsigned long long table
    Part name
    Part image
    unsigned long long version
    unsigned long long prior_version
    unsigned long long prior_state


def render_change(change not None, sights not None, str below not None):
    """As `registry.doors.rest.packed_changes.render_change`."""
    cdef Growing into
    cdef bytes document = None
    cdef list holders = []
    cdef int is_whole = True
    if not below:
        start(&into)
        try:
            if _put_head(&into, change) and _put_rows(&into, change.payload, sights, holders, &is_whole):
                if not holders:
                    return None
                put_byte(&into, c"]")
                if is_whole:
                    _put_who(&into, change)
                put_byte(&into, c"}")
                document = finish(&into)
        except UnicodeError:
            pass  # plain Python decides what becomes of it
        finally:
            release(&into)
    if document is None:
        return pure(_PURE, "render_change")(change, sights, below)
    return _rendered_change()(document, holders)


cdef object _rendered = None


cdef object _rendered_change():
    """`RenderedChange`, of the module that cannot be imported before this one."""
    global _rendered
    if _rendered is None:
        from registry.doors.rest.packed_changes import RenderedChange
        _rendered = RenderedChange
    return _rendered


cdef bint _put_head(Growing* into, change) except -1:
    """All before the rows; False if a number is not of the common kind."""
    cdef unsigned long long epoch, sequence, time_ms
    position = change.position
    if not (0 <= position.epoch < 1 << 32 and 0 <= position.sequence < 1 << 64 and 0 <= change.time_ms < 1 << 63):
        return False
    epoch, sequence, time_ms = position.epoch, position.sequence, change.time_ms
    put(into, b'{"position":"', 13)
    _put_cursor(into, epoch, sequence)
    put(into, b'","epoch":', 10)
    put_decimal(into, epoch)
    put(into, b',"sequence":', 12)
    put_decimal(into, sequence)
    put(into, b',"time":"', 9)
    if not _put_ms(into, time_ms):
        return False
    put(into, b'","rows":[', 10)
    return True


cdef int _put_cursor(Growing* into, unsigned long long epoch, unsigned long long sequence) except -1:
    """A position as `proto.model.change.Position.to_cursor`: 13 bytes in base64 for URLs (RFC 4648 5), without padding."""
    cdef unsigned char raw[15]
    cdef char text[20]
    cdef const char* letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    cdef int place
    cdef unsigned int three
    raw[0], raw[13], raw[14] = CURSOR_FORMAT, 0, 0
    for place in range(4):
        raw[1 + place] = epoch >> 8 * (3 - place) & 0xFF
    for place in range(8):
        raw[5 + place] = sequence >> 8 * (7 - place) & 0xFF
    for place in range(5):
        three = <unsigned int> raw[3 * place] << 16 | raw[3 * place + 1] << 8 | raw[3 * place + 2]
        text[4 * place] = letters[three >> 18]
        text[4 * place + 1] = letters[three >> 12 & 0x3F]
        text[4 * place + 2] = letters[three >> 6 & 0x3F]
        text[4 * place + 3] = letters[three & 0x3F]
    return put(into, text, CURSOR_CHARS)


cdef int _put_who(Growing* into, change) except -1:
    cdef bytes text
    for name, said in ((b',"actor":', change.actor), (b',"request_id":', change.request_id), (b',"traceparent":', change.traceparent)):
        if said:
            put_bytes(into, <bytes> name)
            text = (<str> said).encode("utf-8")
            put_string(into, <const unsigned char*> PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return 0


def render_rows(bytes payload not None, sights not None, str below not None):
    """As `registry.doors.rest.packed_changes.render_rows`."""
    cdef Growing into
    cdef bytes documents = None
    cdef list holders = []
    cdef int is_whole = True
    if not below:
        start(&into)
        try:
            if _put_rows(&into, payload, sights, holders, &is_whole):
                documents = finish(&into)
        except UnicodeError:
            pass  # which of several faults is named, plain Python decides
        finally:
            release(&into)
    if documents is None:
        return pure(_PURE, "render_rows")(payload, sights, below)
    return documents, holders, bool(is_whole)


cdef bint _put_rows(Growing* into, bytes payload, sights, list holders, int* is_whole) except -1:
    """False if there is something that is not of the common kind."""
    cdef Cursor rows
    cdef Part raw
    cdef Row row
    rows.at = <const unsigned char*> PyBytes_AS_STRING(payload)
    rows.end = rows.at + PyBytes_GET_SIZE(payload)
    while rows.at < rows.end:
        if rows.at[0] != ROW:
            return False
        rows.at += 1
        if not take_part(&rows, &raw) or not _read_row(&raw, &row) or row.table != _RECORD or not row.image.size:
            return False
        if not _put_row(into, &row, sights, holders, is_whole):
            return False
    return True


cdef bint _read_row(Part* raw, Row* row) noexcept:
    cdef Cursor fields
    cdef int tag
    cdef bint is_taken
    cdef unsigned long long state
    row.table = row.version = row.prior_version = row.prior_state = 0
    row.name.at, row.name.size = raw.at, 0
    row.image.at, row.image.size = raw.at, 0
    fields.at, fields.end = raw.at, raw.at + raw.size
    while fields.at < fields.end:
        tag = fields.at[0]
        fields.at += 1
        if tag == TABLE:
            is_taken = take_varint(&fields, &row.table)
        elif tag == NAME:
            is_taken = take_part(&fields, &row.name)
        elif tag == IMAGE:
            is_taken = take_part(&fields, &row.image)
        elif tag == VERSION:
            is_taken = take_varint(&fields, &row.version)
        elif tag == PRIOR_VERSION:
            is_taken = take_varint(&fields, &row.prior_version)
        elif tag == STATE:
            is_taken = take_varint(&fields, &state)
        elif tag == PRIOR_STATE:
            is_taken = take_varint(&fields, &row.prior_state)
        else:
            is_taken = False
        if not is_taken:
            return False
    return True


cdef bint _put_row(Growing* into, Row* row, sights, list holders, int* is_whole) except -1:
    cdef bytes image = PyBytes_FromStringAndSize(<const char*> row.image.at, row.image.size)
    cdef Record record
    cdef str registrant
    cdef int reach
    if not read_record(image, &record) or record.state >= _STATE_COUNT:
        return False
    registrant = record.registrant.at[:record.registrant.size].decode("utf-8")
    sight = sights[registrant]
    reach = sight.reach
    if reach == _NOTHING:
        return is_ascii(&row.name)  # text, or it is refused as plain Python refuses it
    if holders:
        put_byte(into, c",")
    put(into, b'{"kind":"record","name":', 24)
    if put_string(into, row.name.at, row.name.size) == NO_UTF8:
        return False
    put(into, b',"version":', 11)
    put_decimal(into, row.version)
    put(into, b',"prior_version":', 17)
    put_decimal(into, row.prior_version)
    if row.prior_version:
        if row.prior_state >= <unsigned long long> _STATE_COUNT:
            return False
        put(into, b',"prior_state":"', 16)
        put_bytes(into, <bytes> _STATES[<int> row.prior_state])
        put_byte(into, c'"')
    put(into, b',"record":', 10)
    if not _put_record(into, &record, reach == _WHOLE, sight.groups):
        return False
    put_byte(into, c"}")
    holders.append(registrant)
    if reach != _WHOLE:
        is_whole[0] = False
    return True


cdef bint _put_record(Growing* into, Record* record, bint is_whole, groups) except -1:
    cdef int place
    cdef Py_ssize_t at
    cdef Part alias
    put(into, b'{"identifier":', 14)
    if put_string(into, record.spelling.at, record.spelling.size) == NO_UTF8:
        return False
    put(into, b',"state":"', 10)
    put_bytes(into, <bytes> _STATES[record.state])
    put(into, b'","version":', 12)
    put_decimal(into, record.version)
    put(into, b',"values":[', 11)
    if not _put_values(into, record, is_whole, groups):
        return False
    put(into, b'],"registrant":', 15)
    if put_string(into, record.registrant.at, record.registrant.size) == NO_UTF8:
        return False
    put(into, b',"template":', 12)
    if put_string(into, record.template.at, record.template.size) == NO_UTF8:
        return False
    put(into, b',"aliases":[', 12)
    at = record.aliases
    for place in range(record.alias_count):
        alias.at, alias.size = record.raw + at + 2, record.raw[at] << 8 | record.raw[at + 1]
        if place:
            put_byte(into, c",")
        if put_string(into, alias.at, alias.size) == NO_UTF8:
            return False
        at += 2 + alias.size
    put(into, b'],"created":"', 13)
    if not _put_ms(into, uint64(record.raw + 14)):
        return False
    put(into, b'","changed":"', 13)
    if not _put_ms(into, uint64(record.raw + 22)):
        return False
    put(into, b'"}', 2)
    return True


cdef bint _put_values(Growing* into, Record* record, bint is_whole, groups) except -1:
    """The values that are open. Those that are not are looked at as well: a record is sound as a whole, or plain Python's."""
    cdef Part names[MAX_GROUPS]
    cdef PackedValue value
    cdef int place, audience, group_count = record.raw[37]
    cdef Py_ssize_t at = record.table
    cdef Part name
    cdef bint is_open, is_first = True
    cdef bytes text
    if group_count > MAX_GROUPS or not _find_groups(record, names, group_count):
        return False
    for place in range(record.value_count):
        if not read_value(record, place, &value) or value.kind.size > MAX_TYPE_BYTES or not is_ascii(&value.kind):
            return False
        audience = record.raw[record.table + ENTRY_BYTES * place + CLASS_OFFSET]
        is_open = is_whole
        if audience == PUBLIC_CLASS:
            name.at, name.size = b"public", 6
            is_open = is_whole or record.state == _ACTIVE
        elif audience == PRIVATE_CLASS:
            name.at, name.size = b"private", 7
        elif audience - FIRST_GROUP_CLASS < group_count:
            name = names[audience - FIRST_GROUP_CLASS]
            if not is_whole and record.state == _ACTIVE and groups:
                is_open = name.at[:name.size].decode("utf-8") in groups
        else:
            return False
        if not is_open:
            continue
        if not is_first:
            put_byte(into, c",")
        is_first = False
        if not put_common(into, &value):
            text = render_packed(record.raw[value.begin:value.end]).encode(errors="replace")
            put_bytes(into, text)
        into.size -= 1  # the brace: one member more
        put(into, b',"audience":', 12)
        put_string(into, name.at, name.size)
        put_byte(into, c"}")
    return True


cdef bint _find_groups(Record* record, Part* names, int count) noexcept:
    """The names of groups, which stand before the table of values; False if one is not in ASCII."""
    cdef Py_ssize_t at = record.aliases
    cdef int place
    for place in range(record.alias_count):
        at += 2 + (record.raw[at] << 8 | record.raw[at + 1])
    for place in range(count):
        names[place].at, names[place].size = record.raw + at + 1, record.raw[at]
        if not is_ascii(&names[place]):
            return False
        at += 1 + names[place].size
    return True


cdef bint _put_ms(Growing* into, unsigned long long time_ms) except -1:
    """Milliseconds since 1970, as `registry.doors.rest.documents.render_ms`; False if they are not of the common kind."""
    cdef unsigned int left = time_ms % 1000
    cdef unsigned long long second = time_ms // 1000
    cdef char end[5]
    if second >= LAST_S:
        return False
    put_time(into, <unsigned int> second)
    end[0] = c"."
    end[1] = <char> (48 + left // 100)
    two_digits(end + 2, left % 100)
    end[4] = c"Z"
    into.size -= 1  # the Z
    put(into, end, 5)
    return True
