# What other compiled modules take from `proto._packed_messages`.

from proto.growing cimport Growing


cdef bint put_response(Growing* into, bytes raw, str asked, long long now_s) except -1
