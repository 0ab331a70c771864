"""What waits to be sent on one connection: bytes for the driver, and data for which the peer has given no room yet.

Headers, trailers and control frames go out at once. Data goes as far as both windows, the connection's and the stream's,
allow (RFC 9113 5.2), a frame of each stream in turn, so that a large answer does not hold up the others.

Our header blocks use no dynamic table. But its size is for the encoder to tell: a peer that gives it less room than it has is
owed an update at the beginning of the next block (RFC 9113 4.3.1). It gets one to zero, which is at most what any setting
allows, those between included (RFC 7541 4.2), and after which none is owed ever again. So no answer that is composed beforehand
needs to know of tables: while an update is owed, answers go the long way, on which a block is put into its frame here.
"""

from proto.wire.http2.blocks import EMPTY_TABLE
from proto.wire.http2.codes import DEFAULT_TABLE_BYTES, DEFAULT_WINDOW_BYTES, MAX_STREAM, ConnectionFault, ErrorCode
from proto.wire.http2.frames import NUMBER, compose_data, compose_headers
from proto.wire.http2.limits import MAX_FRAME_BYTES
from proto.wire.http2.response import Response
from proto.wire.http2.stream import Stream


class Outbox:
    """The sending half of a connection. `max_bytes` bound what is composed of waiting data before it is taken."""

    __slots__ = (
        "_blocked", "_max_bytes", "_owes_update", "_table_bytes", "_taken", "initial_window", "parts", "size", "window",
    )  # fmt: skip

    def __init__(self, max_bytes: int) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        """Bytes in `parts`."""
        self.window = DEFAULT_WINDOW_BYTES
        self.initial_window = DEFAULT_WINDOW_BYTES
        self._max_bytes = max_bytes
        self._table_bytes = DEFAULT_TABLE_BYTES  # the size that the peer knows of, or is owed
        self._owes_update = False
        self._taken = 0
        self._blocked: dict[int, Stream] = {}  # with data that waits, in turn

    @property
    def said(self) -> int:
        """How many parts were put here."""
        return self._taken + len(self.parts)

    @property
    def is_full(self) -> bool:
        return self.size >= self._max_bytes

    @property
    def is_blocked(self) -> bool:
        """Whether data waits."""
        return bool(self._blocked)

    @property
    def blocked(self) -> list[int]:
        """The streams of which data waits."""
        return list(self._blocked)

    @property
    def can_go_on(self) -> bool:
        """Whether data waits for nothing but the driver."""
        return self.window > 0 and any(stream.window > 0 for stream in self._blocked.values())

    def take(self) -> list[bytes]:
        """What is to be written now."""
        parts, self.parts, self.size = self.parts, [], 0
        self._taken += len(parts)
        return parts

    def put(self, frame: bytes) -> None:
        self.parts.append(frame)
        self.size += len(frame)

    def limit_table(self, size: int) -> None:
        """The peer lets our blocks have a table of at most so many bytes."""
        if size < self._table_bytes:
            self._table_bytes, self._owes_update = 0, True

    def put_headers(self, number: int, block: bytes, *, ends: bool) -> None:
        """A header block; an update that is owed goes in front of it."""
        if self._owes_update:
            block, self._owes_update = EMPTY_TABLE + block, False
        self.put(compose_headers(number, block, ends=ends))

    def put_at_once(self, number: int, response: Response, tail: bytes) -> bool:
        """Send a whole answer on a stream that is new, if there is room for it; whether there was."""
        size = response.data_bytes
        if not 0 < size <= MAX_FRAME_BYTES or size > self.window or size > self.initial_window or self._owes_update:
            return False
        self.window -= size
        self.size += response.size
        stream = NUMBER.pack(number)
        first, second, third, last = response.parts
        self.parts += (first, stream, second, stream, third, stream, last, tail)
        return True

    def put_frames(self, frames: bytes, data_bytes: int) -> bool:
        """Send a whole answer on a stream that is new, composed already, if there is room for it; whether there was."""
        if self._owes_update:
            return False
        if data_bytes and (data_bytes > MAX_FRAME_BYTES or data_bytes > self.window or data_bytes > self.initial_window):
            return False
        self.window -= data_bytes
        self.size += len(frames)
        self.parts.append(frames)
        return True

    def enqueue(self, number: int, stream: Stream, data: bytes) -> None:
        """Data that goes as soon as it may, behind what waits already on its stream."""
        stream.pending = stream.pending[stream.sent :] + data if stream.waiting else data
        stream.sent = 0
        self._blocked[number] = stream

    def drop(self, number: int) -> None:
        """What waits on a stream is not wanted any more."""
        self._blocked.pop(number, None)

    def flush(self) -> list[int]:
        """Send what may be sent; the streams of which nothing waits any more."""
        emptied: list[int] = []
        is_moving = True
        while is_moving and self._blocked and self.window > 0:
            is_moving = False
            for number, stream in tuple(self._blocked.items()):
                size = min(stream.waiting, stream.window, self.window, MAX_FRAME_BYTES)
                if size <= 0 or self.size >= self._max_bytes:
                    continue
                is_moving = True
                self._send(number, stream, size)
                if not stream.waiting:
                    stream.pending, stream.sent = b"", 0
                    del self._blocked[number]
                    emptied.append(number)
        return emptied

    def stalled(self, intervals: int) -> list[int]:
        """The streams of which nothing has gone for so many intervals; to be asked once in each."""
        for stream in self._blocked.values():
            stream.stalls += 1
        return [number for number, stream in self._blocked.items() if stream.stalls > intervals]

    def widen(self, increment: int) -> None:
        """The peer gives room to the connection."""
        self.window += increment
        if self.window > MAX_STREAM:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the window of the connection is too wide")

    def _send(self, number: int, stream: Stream, size: int) -> None:
        self.put(compose_data(number, stream.pending[stream.sent : stream.sent + size]))
        stream.sent += size
        stream.window -= size
        stream.stalls = 0
        self.window -= size
