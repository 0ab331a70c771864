"""Serial numbers of zones (RFC 1982): 32 bits in a circle, in which half of the circle ahead is newer and the other half older.

A zone's serial has to move on with every change that is shown, by less than half the circle, and to be the same at every
server that shows the same. A position is all that: the sequence grows by one with each change. Where a history is left for a
higher epoch (a backup is restored, a replica takes over), the sequence may fall back; so an epoch is worth a quarter of the
circle, and the serial moves on although it does, as long as fewer than 2^30 changes are lost at once. A clock would do worse:
several changes fall into one second, and workers would disagree on which.
"""

from typing import Final

from proto.model.change import Position

SERIAL_BITS: Final = 32
_CIRCLE: Final = 1 << SERIAL_BITS
_HALF: Final = _CIRCLE >> 1
_EPOCH_BITS: Final = SERIAL_BITS - 2


def serial_of(position: Position) -> int:
    """The serial of a zone that shows everything up to `position`."""
    return ((position.epoch << _EPOCH_BITS) + position.sequence) % _CIRCLE


def is_newer(serial: int, than: int) -> bool:
    """Whether one serial comes after another (RFC 1982 3.2); of two that are opposite neither does."""
    return 0 < (serial - than) % _CIRCLE < _HALF
