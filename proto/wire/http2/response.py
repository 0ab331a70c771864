"""A whole answer, composed once for any stream of any connection: only the stream's number and a tail are put in later.

The tail is the end of the last header block: what is different each time (a request's id). It has a fixed length, so that
every frame's length is known beforehand; an answer with another tail is composed anew.
"""

from proto.wire.http2.frames import compose_answer


class Response:
    """Headers, data and trailers; or, with no data, a header block that ends the stream (`trailers` alone).

    The last block is `trailers` and a tail of `tail_bytes`. Blocks must fit one frame.
    """

    __slots__ = ("data_bytes", "head", "parts", "size", "tail_bytes", "trailers")

    def __init__(self, head: bytes, data: bytes, trailers: bytes, tail_bytes: int) -> None:
        self.head = head
        self.trailers = trailers
        self.tail_bytes = tail_bytes
        self.data_bytes = size = len(data)
        self.size = len(head) + size + len(trailers) + tail_bytes
        self.parts = compose_answer(head, data, trailers, tail_bytes)
        """What stands before, between and behind the three stream numbers if the data fits one frame."""

    @property
    def data(self) -> bytes:
        return self.parts[2][: self.data_bytes]


def with_tail(response: Response, tail: bytes) -> Response:
    """The same answer for a tail of another length."""
    return Response(response.head, response.data, response.trailers, len(tail))
