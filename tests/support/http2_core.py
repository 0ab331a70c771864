"""The core of HTTP/2 as a test drives it: bytes in, events out; and what it says, as frames."""

from collections.abc import Sequence

from proto.wire.http2.connection import ServerConnection
from proto.wire.http2.events import Data, Event, Rejected, Request, Reset, Sent
from proto.wire.http2.fields import RequestHead
from proto.wire.http2.limits import Http2Limits
from proto.wire.http2.response import Response
from tests.support.http2 import Frame, parse_frames

TAIL = b"\x03end"


class Core:
    """A connection whose heads are what they are."""

    def __init__(self, limits: Http2Limits | None = None) -> None:
        self.connection: ServerConnection[RequestHead] = ServerConnection(lambda head: head, limits or Http2Limits())
        self.said = b""

    def say(self, raw: bytes, piece: int | None = None) -> list[Event[RequestHead]]:
        """Feed bytes, whole or in pieces, and take all that happens. Raises `ConnectionFault`."""
        events = []
        for start in range(0, len(raw), piece or len(raw) or 1):
            self.connection.feed(raw[start : start + (piece or len(raw))])
            events += self.go_on()
        return events

    def go_on(self) -> list[Event[RequestHead]]:
        """Turns until nothing is left to do."""
        events = []
        while True:
            self.connection.begin_turn()
            while (event := self.connection.next_event()) is not None:
                events.append(event)
            self.said += b"".join(self.connection.take_output())
            if not self.connection.is_behind:
                return events

    def hear(self) -> list[Frame]:
        """What it has said since the last time."""
        self.said += b"".join(self.connection.take_output())
        raw, self.said = self.said, b""
        frames = parse_frames(raw)
        assert sum(9 + len(frame.payload) for frame in frames) == len(raw), "it says whole frames"
        return frames

    def answer(self, stream: int, data: bytes) -> None:
        self.connection.respond(stream, Response(b"\x88", data, b"\x00\x01t", len(TAIL)), TAIL)


def told(events: Sequence[Event[RequestHead]]) -> dict[int, tuple[bytes, bytes, bool]]:
    """What was asked on each stream, however it came: path, data, and whether it is all."""
    asked: dict[int, tuple[bytes, bytes, bool]] = {}
    for event in events:
        if isinstance(event, Request):
            asked[event.stream] = event.head.path, event.data, event.ends
        elif isinstance(event, Data):
            path, data, _ = asked[event.stream]
            asked[event.stream] = path, data + event.data, event.ends
        else:
            assert isinstance(event, Reset | Rejected | Sent)
    return asked
