"""DNS over UDP as resolvers speak it: one NAPTR question for a record."""

from typing import Final

from load_tests.generator.expectation import Expectation
from load_tests.generator.loop import WrongAnswerError
from load_tests.records import name_of
from node.config import Config
from proto.wire.dns.codes import HEADER_BYTES, IN, Rcode, RRType
from proto.wire.dns.edns import Edns, compose_opt
from proto.wire.dns.identifier_name import name_of as dns_name_of
from proto.wire.dns.name import compose_name, parse_written_name

ZONE: Final = parse_written_name(Config().resolver.dns_zone)
_MAX_ID: Final = 0xFFFF
# One question and an OPT record; no recursion is desired of a server that knows everything itself.
_HEAD: Final = b"\0\0\0\1\0\0\0\0\0\1"
_DIGITS: Final = slice(2, 11)  # of the name, behind its first label's length and a letter


class DnsDatagrams:
    """A question is prepared bytes with another id and another number in its name."""

    def __init__(self, expect: Expectation) -> None:
        self._expect = expect
        self._asked = self._ident = 0
        name = compose_name(dns_name_of(name_of(0), ZONE))
        self._before = _HEAD + name[: _DIGITS.start]
        self._after = name[_DIGITS.stop :] + RRType.NAPTR.to_bytes(2) + IN.to_bytes(2) + compose_opt(Edns())

    def greet(self) -> bytes:
        return b""

    def ask(self, number: int) -> bytes:
        self._asked = number
        self._ident = ident = self._ident % _MAX_ID + 1
        return b"".join((ident.to_bytes(2), self._before, b"%09d" % number, self._after))

    def hear(self, data: bytes) -> bool:
        if int.from_bytes(data[:2]) != self._ident:
            return False  # the answer to a question that was asked again
        rcode = data[3] & 0x0F
        if rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
            raise WrongAnswerError(f"record {self._asked}: response code {rcode}")
        self._expect(self._asked, rcode == Rcode.NOERROR, data[HEADER_BYTES:])
        return True
