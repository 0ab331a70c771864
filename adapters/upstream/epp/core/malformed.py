"""What a peer sent that cannot be EPP: whatever it was meant to say, nothing was understood."""


class Malformed(ValueError):
    """A frame or document that cannot be read; the sentence says why. The connection is of no use after it."""
