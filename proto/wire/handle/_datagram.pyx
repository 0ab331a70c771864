# cython: language_level=3, binding=True, embedsignature=False
"""`proto.wire.handle.datagram`, compiled: cutting a message into packets."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

cdef enum:
    ENVELOPE_BYTES = 20
    PACKET_BYTES = 512
    PART_BYTES = PACKET_BYTES - ENVELOPE_BYTES
    FLAGS = 2  # in the envelope
    SEQUENCE = 12
    TRUNCATED = 0x20


def split_message(bytes message not None, mark_truncated=False):
    """As `proto.wire.handle.datagram.split_message`."""
    cdef Py_ssize_t size = len(message), start = ENVELOPE_BYTES, part
    cdef const char* at = PyBytes_AS_STRING(message)
    cdef bint marks = mark_truncated
    cdef unsigned int number = 0
    cdef bytes packet
    cdef char* into
    cdef list packets
    if size <= PACKET_BYTES:
        return [message]
    packets = []
    while start < size:
        part = min(<Py_ssize_t> PART_BYTES, size - start)
        packet = PyBytes_FromStringAndSize(NULL, ENVELOPE_BYTES + part)
        into = PyBytes_AS_STRING(packet)
        memcpy(into, at, ENVELOPE_BYTES)
        if marks and start + PART_BYTES < size:
            into[FLAGS] |= TRUNCATED
        into[SEQUENCE], into[SEQUENCE + 1] = <char> (number >> 24), <char> (number >> 16 & 0xFF)
        into[SEQUENCE + 2], into[SEQUENCE + 3] = <char> (number >> 8 & 0xFF), <char> (number & 0xFF)
        memcpy(into + ENVELOPE_BYTES, at + start, part)
        packets.append(packet)
        number += 1
        start += PART_BYTES
    return packets
