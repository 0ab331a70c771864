"""A call as its header block begins it (gRPC over HTTP/2, "Requests"). Pure, so that it may be remembered with the block.

What is wrong with a call is told in the call's own words: as a status, if it is gRPC at all.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from proto.errors import Reason, Refusal
from proto.wire.grpc.message import ENCODINGS, IDENTITY
from proto.wire.grpc.metadata import CallHead, check_metadata, parse_head
from proto.wire.http2.fields import RequestHead

CONTENT_TYPE: Final = b"application/grpc"

# Beside these, what begins with `grpc-` is the protocol's own, and no metadata.
_RESERVED: Final = frozenset((b"te", b"content-type", b"content-length"))
_RESERVED_PREFIX: Final = b"grpc-"
_BINARY: Final = b"-bin"

_TIMEOUT: Final = re.compile("([0-9]{1,8})([HMSmun])")
_UNIT_S: Final = {"H": 3_600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

_STATUS_REASONS: Final = {
    HTTPStatus.METHOD_NOT_ALLOWED: Reason.UNSUPPORTED_OPERATION,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Reason.UNSUPPORTED_CONTENT_TYPE,
}

_NO_ID: Final = ""
_SILENT: Final = CallHead(_NO_ID)


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call before its first message.

    `head.request_id` is empty if the client brings none that is accepted. `status` is 200 if this is gRPC over a POST; a call
    with a `refusal` is not to be answered otherwise.
    """

    path: str
    head: CallHead
    encoding: str = IDENTITY
    timeout_s: float | None = None
    refusal: Refusal | None = None
    status: HTTPStatus = HTTPStatus.OK
    is_silent: bool = False
    """Whether it says nothing that an answer depends on which is there at once."""


def parse_call(request: RequestHead) -> Call:
    """The call that a request makes. Never raises."""
    path = request.path.decode(errors="replace")
    status = _status_of(request)
    if status is not HTTPStatus.OK:
        why = f"{status.phrase}: gRPC is a POST of {CONTENT_TYPE.decode()}"
        return Call(path, CallHead(_NO_ID), refusal=Refusal(_STATUS_REASONS[status], why), status=status)
    metadata: list[tuple[str, str | bytes]] = []
    own: dict[bytes, str] = {}
    refusal: Refusal | None = None
    for name, value in request.fields:
        if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
            own[name] = value.decode(errors="replace")
            continue
        try:
            metadata.append((name.decode(), _parse_binary(value) if name.endswith(_BINARY) else value.decode("latin-1")))
        except binascii.Error:
            refusal = Refusal(Reason.INVALID_ARGUMENT, "the value is not base64", name.decode())
    head = parse_head(metadata, _no_id)
    encoding = own.get(b"grpc-encoding", IDENTITY)
    timeout_s: float | None = None
    try:
        timeout_s = parse_timeout(own[b"grpc-timeout"]) if b"grpc-timeout" in own else None
        check_metadata(metadata)
        if encoding not in ENCODINGS:
            why = f"messages cannot be compressed with it: {', '.join(ENCODINGS)} are supported"
            raise Refusal(Reason.UNSUPPORTED_OPERATION, why, "grpc-encoding")
    except Refusal as raised:
        refusal = refusal or raised
    is_silent = refusal is None and encoding == IDENTITY and head == _SILENT and (timeout_s is None or timeout_s > 0)
    return Call(path, head, encoding, timeout_s, refusal, is_silent=is_silent)


def parse_timeout(text: str) -> float:
    """The seconds of a `grpc-timeout`. Raises `Refusal(INVALID_ARGUMENT)`."""
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise Refusal(Reason.INVALID_ARGUMENT, "a number of at most eight digits and its unit are wanted", "grpc-timeout")
    return int(match[1]) * _UNIT_S[match[2]]


def _status_of(request: RequestHead) -> HTTPStatus:
    if request.method != b"POST":
        return HTTPStatus.METHOD_NOT_ALLOWED
    for name, value in request.fields:
        if name == b"content-type":
            is_grpc = value.startswith(CONTENT_TYPE) and value[len(CONTENT_TYPE) :][:1] in (b"", b"+", b";")
            return HTTPStatus.OK if is_grpc else HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def _parse_binary(value: bytes) -> bytes:
    """Base64 with or without padding. Raises `binascii.Error`."""
    return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)


def _no_id() -> str:
    return _NO_ID
