"""The store: the port that every driver implements, and the frozen values that pass through it."""


class Unusable(Exception):
    """A data folder cannot be used as it is; the message says why, for people. Nothing was changed."""
