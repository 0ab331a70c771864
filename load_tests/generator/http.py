"""HTTP/1.1 as a client of the Handle JSON API speaks it, on a connection kept open."""

from typing import Final

from load_tests.generator.expectation import Expectation
from load_tests.generator.loop import WrongAnswerError
from load_tests.records import PREFIX

PATH: Final = f"/api/handles/{PREFIX}/p%09d"
_QUESTION: Final = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
_LENGTH: Final = b"\r\ncontent-length: "


class HttpDialogue:
    """A look-up by one GET. Replies must carry Content-Length."""

    def __init__(self, expect: Expectation) -> None:
        self._expect = expect
        self._asked = 0
        self._heard = b""

    def greet(self) -> bytes:
        return b""

    def ask(self, number: int) -> bytes:
        self._asked = number
        return _QUESTION % number

    def hear(self, data: bytes) -> bool:
        heard = self._heard + data if self._heard else data
        head_end = heard.find(b"\r\n\r\n")
        if head_end < 0 or len(heard) < (whole := head_end + 4 + _content_length(heard[:head_end])):
            self._heard = heard
            return False
        if len(heard) > whole:
            raise WrongAnswerError(f"more than one reply to one question: {heard[whole:][:200]!r}")
        self._heard = b""
        status = heard[9:12]
        if status not in (b"200", b"404"):
            raise WrongAnswerError(f"record {self._asked}: {heard[:400]!r}")
        self._expect(self._asked, status == b"200", heard[head_end + 4 :])
        return True


def _content_length(head: bytes) -> int:
    start = head.lower().find(_LENGTH)
    if start < 0:
        raise WrongAnswerError(f"a reply without Content-Length: {head!r}")
    start += len(_LENGTH)
    end = head.find(b"\r", start)
    return int(head[start : end if end >= 0 else len(head)])
