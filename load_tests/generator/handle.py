"""The Handle protocol as stock clients speak it: one resolution, asked over a connection kept open or by datagram."""

import struct
from typing import Final

from load_tests.generator.expectation import Expectation
from load_tests.generator.loop import WrongAnswerError
from load_tests.records import name_of
from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode, ResponseCode
from proto.wire.handle.envelope import envelope_for
from proto.wire.handle.message import Message, compose_message
from proto.wire.handle.resolution import ResolutionRequest, compose_resolution_request

ENVELOPE_BYTES: Final = 20
_HEAD: Final = struct.Struct(">4B4I")
_REQUEST_ID: Final = slice(8, 12)
_MAX_REQUEST: Final = 0x7FFF_FFFF
# What Handle.Net's client opens with.
STOCK_VERSION: Final = (2, 3)
_STOCK_FLAGS: Final = codes.RECURSIVE | codes.CACHE_CERTIFY | codes.PUBLIC_ONLY
NEVER_EXPIRES: Final = 0x7FFF_FFFF


class _HandleDialogue:
    """Both transports: a question is prepared bytes with another request id and name."""

    def __init__(self, expect: Expectation) -> None:
        self._expect = expect
        self._asked = self._request = 0
        self._before, self._between, self._after = _prepared()

    def greet(self) -> bytes:
        return b""

    def ask(self, number: int) -> bytes:
        self._asked = number
        self._request = request = self._request % _MAX_REQUEST + 1
        name = b"%09d" % number
        return b"".join((self._before, request.to_bytes(4, "big"), self._between, name, self._after))

    def _check(self, request: int, content: bytes) -> None:
        code = int.from_bytes(content[4:8], "big")
        if request != self._request or code not in (ResponseCode.SUCCESS, ResponseCode.IDENTIFIER_NOT_FOUND):
            raise WrongAnswerError(f"record {self._asked}, request {self._request}: {request}, code {code}")
        self._expect(self._asked, code == ResponseCode.SUCCESS, content)


class HandleDialogue(_HandleDialogue):
    """Over TCP."""

    def __init__(self, expect: Expectation) -> None:
        super().__init__(expect)
        self._heard = b""

    def hear(self, data: bytes) -> bool:
        heard = self._heard + data if self._heard else data
        if len(heard) < ENVELOPE_BYTES or len(heard) < ENVELOPE_BYTES + _HEAD.unpack_from(heard)[-1]:
            self._heard = heard
            return False
        self._heard = b""
        self._check(_HEAD.unpack_from(heard)[5], heard[ENVELOPE_BYTES:])
        return True


class HandleDatagrams(_HandleDialogue):
    """Over UDP; answers of several packets are put together in the order of their sequence numbers."""

    def __init__(self, expect: Expectation) -> None:
        super().__init__(expect)
        self._parts: dict[int, bytes] = {}

    def hear(self, data: bytes) -> bool:
        *_, request, sequence, length = _HEAD.unpack_from(data)
        if request != self._request:
            return False  # the answer to a question that was asked again
        self._parts[sequence] = data[ENVELOPE_BYTES:]
        if sum(map(len, self._parts.values())) < length:
            return False
        content = b"".join(self._parts[place] for place in sorted(self._parts))
        self._parts.clear()
        self._check(request, content)
        return True


class OneHandle(HandleDatagrams):
    """Over UDP, always the same identifier: what can be asked of a server that others filled."""

    def __init__(self, identifier: str, expect: Expectation) -> None:
        super().__init__(expect)
        whole = _question(identifier)
        self._before, self._after = whole[: _REQUEST_ID.start], whole[_REQUEST_ID.stop :]

    def ask(self, number: int) -> bytes:
        self._asked = number
        self._request = request = self._request % _MAX_REQUEST + 1
        return self._before + request.to_bytes(4, "big") + self._after


def _prepared() -> tuple[bytes, bytes, bytes]:
    """A question for a record in three pieces: before the request id, up to the number in the name, after it."""
    whole = _question(name_of(0))
    start = whole.index(name_of(0).encode()) + len(name_of(0)) - 9
    return whole[: _REQUEST_ID.start], whole[_REQUEST_ID.stop : start], whole[start + 9 :]


def _question(identifier: str) -> bytes:
    body = compose_resolution_request(ResolutionRequest(identifier))
    envelope = envelope_for(STOCK_VERSION, 0, 0)
    message = Message(
        envelope, OpCode.RESOLUTION, ResponseCode.REQUEST, _STOCK_FLAGS, codes.UNKNOWN_SERIAL, 0, NEVER_EXPIRES, body
    )
    return compose_message(message)
