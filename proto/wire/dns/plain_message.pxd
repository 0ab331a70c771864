# A plain question as compiled functions read it (`proto.wire.dns.plain` says what is plain; included, no module of its own).
#
# Nothing is read that was not found to lie within the message.

from proto.packed_record cimport uint16

cdef enum:
    HEADER_BYTES = 12
    KIND_BYTES = 4
    OPT_BYTES = 11
    MAX_NAME_BYTES = 255
    MAX_LABEL_BYTES = 63
    RESPONSE_OR_OPERATION = 0xF8  # of the first octet of flags
    RECURSION_DESIRED = 0x01  # of the first
    CHECKING_DISABLED = 0x10  # of the second
    DNSSEC_OK = 0x80  # of the first octet of an OPT record's flags
    OPT_TYPE = 41
    NAPTR = 35
    URI = 256
    IN = 1


cdef struct Message:
    const unsigned char* at
    Py_ssize_t name_size  # from HEADER_BYTES on; not looked into
    int kind
    int has_opt
    int dnssec_ok


cdef inline bint read_message(bytes raw, Message* message) noexcept:
    """Whether a message is a plain question but for its name, of which only the end is known."""
    cdef const unsigned char* at = <const unsigned char*> <const char*> raw
    cdef Py_ssize_t end = len(raw)
    cdef const unsigned char* opt
    cdef const unsigned char* kind
    if end < HEADER_BYTES + KIND_BYTES + 1:
        return False
    if at[2] & RESPONSE_OR_OPERATION or uint16(at + 4) != 1 or uint16(at + 6) or uint16(at + 8) or uint16(at + 10) > 1:
        return False
    message.at = at
    message.has_opt = message.dnssec_ok = False
    if at[11]:
        end -= OPT_BYTES
        if end < HEADER_BYTES + KIND_BYTES + 1:
            return False
        opt = at + end
        if opt[0] or uint16(opt + 1) != OPT_TYPE or opt[6] or uint16(opt + 9):
            return False
        message.has_opt, message.dnssec_ok = True, opt[7] & DNSSEC_OK != 0
    kind = at + end - KIND_BYTES
    message.kind = uint16(kind)
    message.name_size = end - KIND_BYTES - HEADER_BYTES
    return message.kind in (NAPTR, URI) and uint16(kind + 2) == IN and message.name_size <= MAX_NAME_BYTES
