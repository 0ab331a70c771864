# What other compiled modules take from `resolver._service`.


cdef class Last:
    """The prefix that was looked for last, and the home it has (None: it does not answer from here, or is foreign)."""
    cdef unsigned char[64] prefix
    cdef Py_ssize_t size  # 0: none yet
    cdef bint folds_suffix
    cdef object home
    cdef bint is_foreign  # it has no home here at all


cdef tuple find_place(str identifier, homing, Last last)
