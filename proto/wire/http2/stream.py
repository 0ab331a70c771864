"""What a connection remembers of one stream that is not answered at once."""

from proto.wire.http2.fields import UNKNOWN_LENGTH


class Stream:
    """One open stream. `unread` and `window` are what each side may still send; a window may be negative (RFC 9113 6.9.2)."""

    __slots__ = ("awaited", "is_receiving", "pending", "sent", "stalls", "trailers", "unread", "window")

    def __init__(self, unread: int, window: int, awaited: int = UNKNOWN_LENGTH, *, is_receiving: bool = True) -> None:
        self.unread = unread
        self.window = window
        self.awaited = awaited
        """Bytes of data that are still to come, if that was told."""
        self.is_receiving = is_receiving
        self.pending = b""
        self.sent = 0
        """How much of `pending` has gone."""
        self.trailers: bytes | None = None
        """The block that ends the stream, once it is known."""
        self.stalls = 0
        """For how many intervals nothing of `pending` has gone."""

    @property
    def waiting(self) -> int:
        """Bytes that wait for the peer to give room."""
        return len(self.pending) - self.sent
