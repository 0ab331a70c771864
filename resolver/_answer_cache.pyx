# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.answer_cache`, compiled: which keys have been asked for often enough."""


def note_sights(keys, dict seen not None, dict seen_before not None, Py_ssize_t enough):
    """As `resolver.answer_cache.note_sights`."""
    cdef list admitted = []
    cdef Py_ssize_t count
    cdef bint is_enough
    for key in keys:
        sight = hash(key)
        count = seen.get(sight, 0)
        is_enough = count >= enough or count + <Py_ssize_t> seen_before.get(sight, 0) >= enough
        if not is_enough:
            seen[sight] = count + 1
        admitted.append(is_enough)
    return admitted
