"""One connection of HTTP/2 as its server sees it, without I/O (RFC 9113).

    feed(bytes) -> next_event() until None -> respond(...), or send_* -> take_output() -> bytes

`next_event` raises `ConnectionFault` once, after it has put a GOAWAY into the output: nothing that follows can be read. A turn
(`begin_turn`) is bounded in frames and in bytes of output, so that one connection cannot hold up the others and a peer that
does not read cannot make us compose what it asks for; `is_behind` says that there is more to do.

Length: the receiving half is one table of frames, each taken by one short function; apart they would only be harder to follow.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from proto.wire.http2.blocks import BlockReader
from proto.wire.http2.codes import (
    ACK,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW_BYTES,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    GREATEST_MAX_FRAME_BYTES,
    HAS_PRIORITY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LEAST_MAX_FRAME_BYTES,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    MAX_STREAM,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ConnectionFault,
    ErrorCode,
    StreamFault,
)
from proto.wire.http2.events import Data, Event, Rejected, Request, Reset, Sent
from proto.wire.http2.fields import UNKNOWN_LENGTH, Fields, RequestHead, check_trailers, read_request
from proto.wire.http2.frames import (
    HEAD_BYTES,
    NUMBER,
    PING_BYTES,
    SETTING,
    SETTINGS_ACK,
    compose_goaway,
    compose_ping,
    compose_reset,
    compose_settings,
    compose_window_update,
    read_call,
    read_head,
)
from proto.wire.http2.limits import (
    BLOCK_BYTES_PER_FRAME,
    CONNECTION_WINDOW_BYTES,
    MAX_ABANDONED,
    MAX_BLOCK_BYTES,
    MAX_CONTINUATIONS,
    MAX_FRAME_BYTES,
    MAX_HEADER_LIST_BYTES,
    MAX_SETTINGS_ENTRIES,
    STREAM_WINDOW_BYTES,
    WINDOW_UPDATES_PER_PART,
    Http2Limits,
)
from proto.wire.http2.outbox import Outbox
from proto.wire.http2.response import Response, with_tail
from proto.wire.http2.stream import Stream

_OUR_SETTINGS: Final = (
    (MAX_HEADER_LIST_SIZE, MAX_HEADER_LIST_BYTES),
    (INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES),
)
_PRIORITY_BYTES: Final = 5
_TOO_MANY_UPDATES: Final = "too many increments of windows"
_NONE: Final = 0

T = TypeVar("T")

_Meaning = tuple[T, int]
"""What a header block means, and the content length that it tells."""


class ServerConnection(Generic[T]):
    """The server's half of a connection. `read_head` makes of a request's head what events shall carry; it must be pure.

    It may raise `StreamFault`, which rejects the request.
    """

    __slots__ = (
        "_abandoned", "_at", "_block", "_block_ends", "_block_frames", "_block_stream", "_current", "_data", "_frames_left",
        "_happened", "_held", "_is_begun", "_is_retiring", "_known", "_last", "_limits", "_outbox", "_read_head", "_reader",
        "_spent", "_streams", "_unread", "_updates_paid", "is_behind", "is_leaving",
    )  # fmt: skip

    def __init__(self, read_head: Callable[[RequestHead], T], limits: Http2Limits) -> None:
        self._read_head = read_head
        self._limits = limits
        self._outbox = Outbox(limits.max_turn_bytes)
        self._data = b""
        self._at = 0
        self._is_begun = False  # the client's preface was there
        self._streams: dict[int, Stream] = {}
        self._last = 0  # the greatest stream that the client has opened
        self._current = _NONE  # one that was read whole, and is remembered by nothing else yet
        self._held: dict[int, None] = _NOTHING  # such ones of which their numbers are all that is remembered
        self._abandoned: dict[int, None] = _NOTHING  # ended by us while the client might still send on them
        self._unread = CONNECTION_WINDOW_BYTES
        self._reader: BlockReader[_Meaning[T]] | None = None
        self._known: dict[bytes, _Meaning[T]] = {}
        self._block = b""  # a header block that goes on
        self._block_stream = _NONE
        self._block_frames = 0
        self._block_ends = False
        self._spent: dict[int, int] = {}  # how many frames of a kind, in this interval
        self._updates_paid = 0  # increments beyond those of an interval
        self._happened: deque[Event[T]] = _NO_EVENTS
        self._frames_left = limits.max_turn_frames
        self._is_retiring = False
        self.is_behind = False
        """Whether the last turn left something to do that waits for nothing but the next one."""
        self.is_leaving = False
        """Whether the client has said that it opens no more streams."""
        self._outbox.put(compose_settings(((MAX_CONCURRENT_STREAMS, limits.max_streams), *_OUR_SETTINGS)))
        self._outbox.put(compose_window_update(0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES))

    @property
    def open_streams(self) -> int:
        """Streams that wait for something: more of a request, an answer, or room for one."""
        return len(self._streams) + len(self._held)

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left of what was fed."""
        return self._at >= len(self._data)

    @property
    def blocked(self) -> list[int]:
        """Streams of which data waits for room, or for the driver."""
        return self._outbox.blocked

    @property
    def is_begun(self) -> bool:
        """Whether the client has said that it speaks HTTP/2."""
        return self._is_begun

    def feed(self, data: bytes) -> None:
        """Add bytes as they arrived."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def begin_turn(self) -> None:
        self._frames_left = self._limits.max_turn_frames
        self.is_behind = False

    def renew(self) -> None:
        """A new interval begins: what may be asked for again is counted from zero."""
        if self._spent:
            self._spent.clear()

    def take_output(self) -> list[bytes]:
        """What is to be written."""
        return self._outbox.take()

    def next_event(self) -> Event[T] | None:
        """The next thing that happens, or None: until more is fed, or `is_behind`. Raises `ConnectionFault`."""
        if self._current:
            self._settle(self._current)
        if self._happened:
            return self._happened.popleft()
        try:
            event = self._next()
            if event is None and self._streams:
                self._flush()
                self.is_behind = self.is_behind or self._outbox.can_go_on
                return self._happened.popleft() if self._happened else None
            return event
        except ConnectionFault as fault:
            self.fail(fault)
            raise

    # What a server says.

    def respond(self, number: int, response: Response, tail: bytes) -> None:
        """Answer a stream, whole. Of a stream that is gone nothing is said."""
        if len(tail) != response.tail_bytes:
            response = with_tail(response, tail)
        if self._is_new(number):
            if self._outbox.put_at_once(number, response, tail):
                self._let_go(number)
                return
            self._settle(number)
        stream = self._streams.get(number)
        if stream is None:
            return
        if response.data_bytes:
            self._outbox.put_headers(number, response.head, ends=False)
            self._outbox.enqueue(number, stream, response.data)
        self._end(number, stream, response.trailers + tail)

    def respond_at_once(self, number: int, frames: bytes, data_bytes: int) -> bool:
        """Answer the stream that was read last, or one that is held, with all frames of its answer, `data_bytes` of them data,
        if there is room. False: nothing was done.
        """
        if not self._is_new(number) or not self._outbox.put_frames(frames, data_bytes):
            return False
        self._let_go(number)
        return True

    def hold(self, number: int) -> bool:
        """Go on without answering the stream that was read last, which is to be answered before long: it costs less to
        remember than one that has to wait. False if it is not the one, or if others have answers for which there is no room.
        """
        if number != self._current or self._outbox.is_blocked:
            return False
        if self._held is _NOTHING:
            self._held = {}
        self._held[number] = None
        self._current = _NONE
        return True

    def send_headers(self, number: int, block: bytes) -> None:
        """Begin an answer that comes in parts."""
        if self._is_new(number):
            self._settle(number)
        if number in self._streams:
            self._outbox.put_headers(number, block, ends=False)

    def send_data(self, number: int, data: bytes) -> None:
        """A part of an answer; what waits already is told by `waiting`."""
        stream = self._streams.get(number)
        if stream is not None:
            self._outbox.enqueue(number, stream, data)
            self._flush()

    def send_trailers(self, number: int, block: bytes) -> None:
        """End an answer that came in parts."""
        stream = self._streams.get(number)
        if stream is not None:
            self._end(number, stream, block)

    def waiting(self, number: int) -> int:
        """Bytes of an answer for which the peer has given no room yet."""
        stream = self._streams.get(number)
        return stream.waiting if stream is not None else 0

    def reset(self, number: int, code: ErrorCode) -> None:
        """End a stream without an answer."""
        if self._is_new(number):
            self._settle(number)
        if number in self._streams:
            self._forget(number, code)

    def ping(self, payload: bytes) -> None:
        """Ask for a sign of life: any frame is one."""
        self._outbox.put(compose_ping(payload))

    def retire(self) -> None:
        """Take no more streams; what has begun is answered."""
        if not self._is_retiring:
            self._is_retiring = True
            self._outbox.put(compose_goaway(self._last, ErrorCode.NO_ERROR, "this server takes no more calls here"))

    def fail(self, fault: ConnectionFault) -> None:
        """Say why the connection ends; nothing that was fed is looked at any more."""
        self._data, self._at = b"", 0
        self._outbox.put(compose_goaway(self._last, fault.code, fault.why))

    def stalled(self, intervals: int) -> list[int]:
        """Streams of whose answer the peer has taken nothing for so many intervals; to be asked once in each."""
        return self._outbox.stalled(intervals)

    # Frames.

    def _next(self) -> Event[T] | None:
        if not self._is_begun and not self._take_preface():
            return None
        data = self._data
        end = len(data)
        while end - self._at >= HEAD_BYTES:
            if self._frames_left <= 0 or self._outbox.is_full:
                self.is_behind = True
                return None
            self._frames_left -= 1
            call = read_call(data, self._at) if self._known else None
            request = self._take_call(*call) if call is not None else None
            if request is not None:
                return request
            size, kind, flags, number = read_head(data, self._at)
            begin = self._at + HEAD_BYTES
            after = begin + size
            if size > MAX_FRAME_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame is too large")
            if after > end:
                return None
            self._at = after
            if kind == HEADERS and flags == END_HEADERS and self._is_next(number):
                event = self._open(number, data[begin:after], False)
            else:
                event = self._take(kind, flags, number, data[begin:after])
            if event is not None:
                return event
            if self._happened:
                return self._happened.popleft()
        if self._at == end:
            self._data, self._at = b"", 0
        return None

    def _take_call(self, number: int, block: bytes, body: bytes, after: int) -> Request[T] | None:
        """A request that is there whole, with a header block that is known; None, and nothing taken, if it is not so simple."""
        meaning = self._known.get(block)
        if meaning is None or not self._is_next(number) or len(self._streams) + len(self._held) >= self._limits.max_streams:
            return None
        head, awaited = meaning
        if awaited not in (len(body), UNKNOWN_LENGTH):
            return None
        self._at, self._last, self._current = after, number, number
        self._count_unread(len(body))
        return Request(number, head, body, True)

    def _take_preface(self) -> bool:
        size = len(PREFACE)
        if self._data[:size] != PREFACE[: len(self._data)]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "this is no HTTP/2")
        if len(self._data) < size + HEAD_BYTES:
            return False
        if self._data[size + 3] != SETTINGS or self._data[size + 4] & ACK:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a connection begins with settings")
        self._at, self._is_begun = size, True
        return True

    def _is_next(self, number: int) -> bool:
        """Whether a stream may be opened, in the state in which connections nearly always are."""
        return number > self._last and number & 1 == 1 and not self._block_stream and not self._is_retiring

    def _open(self, number: int, block: bytes, ends: bool) -> Event[T] | None:
        """A request's head is there; its body is taken along if it is one frame and behind it."""
        meaning = self._known.get(block)
        self._last = number
        if meaning is None:
            try:
                meaning = self._understand(block)
            except StreamFault as fault:
                return self._reject(number, fault)
        if self.open_streams >= self._limits.max_streams:
            return self._reject(number, StreamFault(ErrorCode.REFUSED_STREAM, "too many streams are open"))
        head, awaited = meaning
        body = b""
        if not ends:
            data, at = self._data, self._at
            if len(data) - at >= HEAD_BYTES:
                size, kind, flags, same = read_head(data, at)
                begin = at + HEAD_BYTES
                if (
                    kind == DATA and flags == END_STREAM and same == number and begin + size <= len(data)
                    and size <= MAX_FRAME_BYTES and awaited in (size, UNKNOWN_LENGTH)
                ):  # fmt: skip
                    self._at = begin + size
                    body, ends, awaited = data[begin : begin + size], True, UNKNOWN_LENGTH
                    self._count_unread(size)
        if ends:
            if awaited > 0:
                return self._reject(number, StreamFault(ErrorCode.PROTOCOL_ERROR, "the body is shorter than was told"))
            self._current = number
        else:
            self._streams[number] = Stream(STREAM_WINDOW_BYTES, self._outbox.initial_window, awaited)
        return Request(number, head, body, ends)

    def _understand(self, block: bytes) -> "_Meaning[T]":
        """Raises `StreamFault`, `ConnectionFault`."""
        fields = self._decode(block)
        head = read_request(fields)
        meaning = self._read_head(head), head.content_length
        if self._reader is not None:
            self._reader.remember(block, fields, meaning)
        return meaning

    def _decode(self, block: bytes) -> Fields:
        """Raises `ConnectionFault`."""
        if self._reader is None:
            self._reader = BlockReader()
            self._known = self._reader.known
        self._frames_left -= len(block) // BLOCK_BYTES_PER_FRAME
        return self._reader.decode(block)

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> Event[T] | None:
        """A frame that is not the head of a request as nearly all are."""
        if self._block_stream and (kind != CONTINUATION or number != self._block_stream):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        if number in self._held:
            self._settle(number)
        take = _TAKERS.get(kind)
        if take is None:
            self._spend_idle()
            return None
        event: Event[T] | None = take(self, flags, number, payload)
        return event

    def _take_data(self, flags: int, number: int, payload: bytes) -> Event[T] | None:
        size = len(payload)
        self._count_unread(size)
        stream = self._streams.get(number)
        if stream is None or not stream.is_receiving:
            self._check_late(number, stream)
            return None
        stream.unread -= size
        if flags & PADDED:
            payload = _strip_padding(payload)
        ends = bool(flags & END_STREAM)
        if not payload and not ends:
            self._spend_idle()
        if stream.awaited != UNKNOWN_LENGTH:
            stream.awaited -= len(payload)
            if stream.awaited < 0 or (ends and stream.awaited):
                return self._reject(number, StreamFault(ErrorCode.PROTOCOL_ERROR, "the body is not as long as was told"))
        stream.is_receiving = not ends
        if not ends and stream.unread < STREAM_WINDOW_BYTES // 2:
            self._outbox.put(compose_window_update(number, STREAM_WINDOW_BYTES - stream.unread))
            stream.unread = STREAM_WINDOW_BYTES
        return Data(number, payload, ends)

    def _count_unread(self, size: int) -> None:
        """Take bytes off the connection's window, and give room again when half of it is used.

        So nobody can overrun it, nor that of a stream: what comes is handed on at once, and who must be slowed down is not
        read from.
        """
        self._unread -= size
        if self._unread < CONNECTION_WINDOW_BYTES // 2:
            self._outbox.put(compose_window_update(0, CONNECTION_WINDOW_BYTES - self._unread))
            self._unread = CONNECTION_WINDOW_BYTES

    def _check_late(self, number: int, stream: Stream | None) -> None:
        """Data that nobody takes: it crossed the end of its stream, or has no business to be here (RFC 9113 5.1)."""
        if number > self._last or not number & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "data on a stream that was never opened")
        if stream is not None or number not in self._abandoned:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "data behind the end of its stream")
        self._spend_idle()

    def _take_headers(self, flags: int, number: int, payload: bytes) -> Event[T] | None:
        if not number & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client opens streams with odd numbers")
        if flags & PADDED:
            payload = _strip_padding(payload)
        if flags & HAS_PRIORITY:
            if len(payload) < _PRIORITY_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a priority is cut short")
            payload = payload[_PRIORITY_BYTES:]
        ends = bool(flags & END_STREAM)
        if flags & END_HEADERS:
            return self._take_block(number, payload, ends)
        self._block, self._block_stream, self._block_ends, self._block_frames = payload, number, ends, 0
        return None

    def _take_continuation(self, flags: int, number: int, payload: bytes) -> Event[T] | None:
        if not self._block_stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block goes on that has not begun")
        self._block += payload
        self._block_frames += 1
        if self._block_frames > MAX_CONTINUATIONS or len(self._block) > MAX_BLOCK_BYTES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block has too many parts, or bytes")
        if not flags & END_HEADERS:
            return None
        block, self._block, self._block_stream = self._block, b"", _NONE
        return self._take_block(number, block, self._block_ends)

    def _take_block(self, number: int, block: bytes, ends: bool) -> Event[T] | None:
        """A header block that is whole: a request's head, its trailers, or what nobody wants any more."""
        if self._is_next(number):
            return self._open(number, block, ends)
        fields = self._decode(block)
        stream = self._streams.get(number)
        if stream is not None and stream.is_receiving:
            try:
                check_trailers(fields)
                if not ends or stream.awaited > 0:
                    raise StreamFault(ErrorCode.PROTOCOL_ERROR, "trailers come last, and behind the whole body")
            except StreamFault as fault:
                return self._reject(number, fault)
            stream.is_receiving = False
            return Data(number, b"", True)
        if number > self._last:
            # Opened behind our GOAWAY, or before the client saw it: it knows that it was not taken.
            self._last = number
            self._abandon(number)
        elif number not in self._abandoned:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "headers behind the end of their stream")
        self._spend_idle()
        return None

    def _take_priority(self, _flags: int, number: int, payload: bytes) -> Event[T] | None:
        if not number or len(payload) != _PRIORITY_BYTES:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR if number else ErrorCode.PROTOCOL_ERROR, "a priority of nothing")
        self._spend_idle()
        return None

    def _take_reset(self, _flags: int, number: int, payload: bytes) -> Event[T] | None:
        if len(payload) != NUMBER.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a reset has four bytes")
        if not number or number > self._last:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a reset of a stream that was never opened")
        self._spend(RST_STREAM, self._limits.max_resets, "too many streams are given up")
        if self._streams.pop(number, None) is None:
            return None
        self._outbox.drop(number)
        return Reset(number, NUMBER.unpack(payload)[0])

    def _take_settings(self, flags: int, number: int, payload: bytes) -> Event[T] | None:
        if number:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "settings are of the connection")
        count, rest = divmod(len(payload), SETTING.size)
        if rest or (flags & ACK and count):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "settings of an odd size")
        self._spend(SETTINGS, self._limits.max_settings, "too many settings")
        if count > MAX_SETTINGS_ENTRIES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many settings at once")
        if not flags & ACK:
            for name, value in SETTING.iter_unpack(payload):
                self._set(name, value)
            self._outbox.put(SETTINGS_ACK)
        return None

    def _set(self, name: int, value: int) -> None:
        """What the peer wants. The others limit what we do not do, such as sending frames above the least size."""
        if name == HEADER_TABLE_SIZE:
            self._outbox.limit_table(value)
        if name == ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a flag is 0 or 1")
        if name == MAX_FRAME_SIZE and not LEAST_MAX_FRAME_BYTES <= value <= GREATEST_MAX_FRAME_BYTES:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "frames of a size that cannot be")
        if name == INITIAL_WINDOW_SIZE:
            if value > MAX_STREAM:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the window of streams is too wide")
            change = value - self._outbox.initial_window
            self._outbox.initial_window = value
            for stream in self._streams.values():
                stream.window += change
                if stream.window > MAX_STREAM:
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the window of a stream is too wide")

    def _take_push(self, _flags: int, _number: int, _payload: bytes) -> Event[T] | None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client promises nothing")

    def _take_ping(self, flags: int, number: int, payload: bytes) -> Event[T] | None:
        if number or len(payload) != PING_BYTES:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR if number else ErrorCode.FRAME_SIZE_ERROR, "a ping has eight bytes")
        self._spend(PING, self._limits.max_pings, "too_many_pings")
        if not flags & ACK:
            self._outbox.put(compose_ping(payload, ACK))
        return None

    def _take_goaway(self, _flags: int, number: int, payload: bytes) -> Event[T] | None:
        if number or len(payload) < 2 * NUMBER.size:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR if number else ErrorCode.FRAME_SIZE_ERROR, "a farewell is cut short")
        self.is_leaving = True
        return None

    def _take_window_update(self, _flags: int, number: int, payload: bytes) -> Event[T] | None:
        if len(payload) != NUMBER.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "an increment has four bytes")
        self._count_update()
        increment = NUMBER.unpack(payload)[0] & MAX_STREAM
        if not number:
            if not increment:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "an increment of nothing")
            self._outbox.widen(increment)
            return None
        if number > self._last or not number & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "room for a stream that was never opened")
        stream = self._streams.get(number)
        if stream is None:
            return None
        stream.window += increment
        if not increment:
            return self._reject(number, StreamFault(ErrorCode.PROTOCOL_ERROR, "an increment of nothing"))
        if stream.window > MAX_STREAM:
            return self._reject(number, StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "the window of the stream is too wide"))
        return None

    # Streams.

    def _is_new(self, number: int) -> bool:
        """Whether a stream was read whole, and nothing has happened to it since."""
        return number == self._current or number in self._held

    def _let_go(self, number: int) -> None:
        """A new stream is answered, or remembered otherwise."""
        if number == self._current:
            self._current = _NONE
        else:
            del self._held[number]

    def _settle(self, number: int) -> None:
        """Remember a new stream for longer: it is not answered at once."""
        self._let_go(number)
        self._streams[number] = Stream(STREAM_WINDOW_BYTES, self._outbox.initial_window, is_receiving=False)

    def _end(self, number: int, stream: Stream, block: bytes) -> None:
        """Send the last block as soon as everything before it has gone."""
        if stream.waiting:
            stream.trailers = block
            self._flush()
            return
        self._outbox.put_headers(number, block, ends=True)
        self._close(number, stream)

    def _flush(self) -> None:
        for number in self._outbox.flush():
            stream = self._streams[number]
            if stream.trailers is not None:
                self._outbox.put_headers(number, stream.trailers, ends=True)
                self._close(number, stream)
            self._happen(Sent(number))

    def _close(self, number: int, stream: Stream) -> None:
        """Our half is done. If the client's is not, it need not go on (RFC 9113 8.1)."""
        if stream.is_receiving:
            self._forget(number, ErrorCode.NO_ERROR)
        else:
            del self._streams[number]

    def _reject(self, number: int, fault: StreamFault) -> Event[T]:
        self._spend(RST_STREAM, self._limits.max_resets, "too many streams had to be reset")
        self._forget(number, fault.code)
        return Rejected(number, fault.code, fault.why)

    def _forget(self, number: int, code: ErrorCode) -> None:
        self._outbox.put(compose_reset(number, code))
        self._outbox.drop(number)
        self._streams.pop(number, None)
        self._abandon(number)

    def _abandon(self, number: int) -> None:
        if self._abandoned is _NOTHING:
            self._abandoned = {}
        elif len(self._abandoned) >= MAX_ABANDONED:
            del self._abandoned[next(iter(self._abandoned))]
        self._abandoned[number] = None

    def _happen(self, event: Event[T]) -> None:
        if self._happened is _NO_EVENTS:
            self._happened = deque()
        self._happened.append(event)

    def _spend(self, kind: int, limit: int, why: str) -> None:
        """Count a frame of which a peer may send only so many in one interval."""
        self._spent[kind] = spent = self._spent.get(kind, 0) + 1
        if spent > limit:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, why)

    def _count_update(self) -> None:
        """Count an increment. Who is sent much gives room often, as fast as answers go out; so those above the limit are paid
        for by what was said to the peer, at any time before: it may be far behind in reading."""
        if self._spent.get(WINDOW_UPDATE, 0) < self._limits.max_window_updates:
            self._spend(WINDOW_UPDATE, self._limits.max_window_updates, _TOO_MANY_UPDATES)
        elif self._updates_paid >= WINDOW_UPDATES_PER_PART * self._outbox.said:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, _TOO_MANY_UPDATES)
        else:
            self._updates_paid += 1

    def _spend_idle(self) -> None:
        self._spend(PRIORITY, self._limits.max_idle_frames, "too many frames that bring nothing")


def _strip_padding(payload: bytes) -> bytes:
    """RFC 9113 6.1."""
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "more padding than there is")
    return payload[1 : len(payload) - payload[0]]


# Most connections never need one of their own; these stay empty.
_NOTHING: Final[dict[int, None]] = {}
_NO_EVENTS: Final[deque[Any]] = deque(maxlen=0)

_TAKERS: Final[dict[int, Callable[..., Any]]] = {
    DATA: ServerConnection._take_data,
    HEADERS: ServerConnection._take_headers,
    PRIORITY: ServerConnection._take_priority,
    RST_STREAM: ServerConnection._take_reset,
    SETTINGS: ServerConnection._take_settings,
    PUSH_PROMISE: ServerConnection._take_push,
    PING: ServerConnection._take_ping,
    GOAWAY: ServerConnection._take_goaway,
    WINDOW_UPDATE: ServerConnection._take_window_update,
    CONTINUATION: ServerConnection._take_continuation,
}
