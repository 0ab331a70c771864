# What other compiled modules take from `proto._packing`.


cdef bint does_show_all(bytes raw, wants_private) except -1

cdef bytes show(bytes packed, long long age_s, long long ttl_s, long long holds_ms, long long passed_s)
