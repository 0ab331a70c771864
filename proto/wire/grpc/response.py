"""Answers of gRPC as responses of HTTP/2 (gRPC over HTTP/2, "Responses"), composed once for any stream and any request id.

The request id is the last field of the last block, so that only it is put in for each call.
"""

import base64
import re
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from proto.limits import MAX_REQUEST_ID_CHARS
from proto.v1 import model_pb2
from proto.wire.grpc.message import ENCODINGS, compose_message
from proto.wire.grpc.metadata import REQUEST_ID, compose_trailers
from proto.wire.http2.blocks import STATUS_200, begin_field, compose_field
from proto.wire.http2.response import Response

# A sentence for people; the failure beside it holds it whole.
MAX_STATUS_MESSAGE_BYTES: Final = 2_048
# Space to tilde without the percent sign stand for themselves ("Percent-Encoded").
_HALF_ESCAPE: Final = re.compile("%.?$")
_AS_IS: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

_TYPE: Final = compose_field(b"content-type", b"application/grpc")
HEAD: Final = STATUS_200 + _TYPE
"""The block that begins an answer with messages."""

# All of the field but the length of its value, which is not always the same.
_ID_NAME: Final = begin_field(REQUEST_ID.encode(), 0)[:-1]
_LENGTHS: Final = tuple(begin_field(b"", size)[2:] for size in range(MAX_REQUEST_ID_CHARS + 1))
_OK: Final = compose_field(b"grpc-status", b"0") + _ID_NAME
_ACCEPTED: Final = compose_field(b"grpc-accept-encoding", ",".join(ENCODINGS).encode())

# Of ids of our own making, 32 characters, one byte of length in front.
_TAIL_BYTES: Final = 1 + 32


def compose_tail(request_id: str) -> bytes:
    """What is put in for each call: the end of its last block. An accepted id is at most 128 visible ASCII characters."""
    raw = request_id.encode()
    return _LENGTHS[len(raw)] + raw


def answer_with(message: bytes) -> Response:
    """A call that succeeds with one message."""
    return Response(HEAD, compose_message(message), _OK, _TAIL_BYTES)


def fail_with(failure: model_pb2.Failure, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A call that fails, without messages ("Trailers-Only")."""
    return Response(b"", b"", _begin(status) + _TYPE + failure_block(failure), _TAIL_BYTES)


def success_block(request_id: str) -> bytes:
    """The trailers of a call that has sent its messages."""
    return _OK + compose_tail(request_id)


def failure_block(failure: model_pb2.Failure) -> bytes:
    """The fields that say how a call failed, up to the request id's value."""
    text = quote(failure.detail[:MAX_STATUS_MESSAGE_BYTES], safe=_AS_IS)[:MAX_STATUS_MESSAGE_BYTES]
    block = compose_field(b"grpc-status", str(failure.code).encode())
    block += compose_field(b"grpc-message", _HALF_ESCAPE.sub("", text).encode())
    if failure.field == "grpc-encoding":
        block += _ACCEPTED
    for name, value in compose_trailers("", failure)[1:]:
        raw = base64.b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode()
        block += compose_field(name.encode(), raw)
    return block + _ID_NAME


def _begin(status: HTTPStatus) -> bytes:
    return STATUS_200 if status is HTTPStatus.OK else compose_field(b":status", str(status.value).encode())
