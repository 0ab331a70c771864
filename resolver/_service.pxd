# What other compiled modules take from `resolver._service`.


cdef class Last:
    """The prefix that was looked for last, and the home it has (None: it does not answer from here)."""
    cdef unsigned char[64] prefix
    cdef Py_ssize_t size  # 0: none yet
    cdef bint folds_suffix
    cdef object home


cdef tuple find_place(str identifier, homing, Last last)
