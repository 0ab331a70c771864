"""What happens on a connection of HTTP/2, as values."""

from typing import Generic, NamedTuple, TypeAlias, TypeVar

from proto.wire.http2.codes import ErrorCode

T = TypeVar("T")


class Request(NamedTuple, Generic[T]):
    """A stream begins. `data` is what of its body came along with its head; all of it if it `ends`."""

    stream: int
    head: T
    data: bytes
    ends: bool


class Data(NamedTuple):
    """More of a request's body; the last of it if it `ends`."""

    stream: int
    data: bytes
    ends: bool


class Reset(NamedTuple):
    """The peer has given a stream up: nobody waits for its answer."""

    stream: int
    code: int


class Rejected(NamedTuple):
    """A stream was reset because of what the peer sent. It may have been begun before, or not."""

    stream: int
    code: ErrorCode
    why: str


class Sent(NamedTuple):
    """All of an answer that had to wait for room has been handed to the driver."""

    stream: int


Event: TypeAlias = Request[T] | Data | Reset | Rejected | Sent
