# What other compiled modules take from `proto._packing`.


cdef bint does_show_all(bytes raw, wants_private) except -1
