# cython: language_level=3, binding=True, embedsignature=False
"""`resolver.answer_cache`, compiled: which keys have been asked for before."""


def note_sights(keys, set seen not None, set seen_before not None):
    """As `resolver.answer_cache.note_sights`."""
    cdef list again = []
    cdef bint is_seen
    for key in keys:
        sight = hash(key)
        is_seen = sight in seen or sight in seen_before
        if not is_seen:
            seen.add(sight)
        again.append(is_seen)
    return again
