"""DNS questions and answers for tests, composed and read by dnspython, which is not ours; and the records they are about."""

import asyncio
import struct
from typing import Any, Final

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from proto.errors import Reason, Refusal
from proto.model.identifier import SuffixRule
from proto.model.prefix import PrefixState
from proto.model.record import State
from proto.model.value import Value
from proto.wire.dns import codes
from proto.wire.dns.identifier_name import name_of
from proto.wire.dns.pieces import parse_piece
from proto.wire.handle.value import parse_value
from tests.support.packets import UdpClient
from tests.support.reader import DictReader

WAIT_S: Final = 20.0
"""How long a test waits for what must come; only a failing test waits that long."""

ZONE: Final = (b"id", b"internal")

HOME: Final = "88.118.1001"
WHOLE: Final = f"{HOME}/whole"
LARGE: Final = f"{HOME}/large"
HUGE: Final = f"{HOME}/HUGE"
"""Larger than a datagram, and than one message over TCP."""
HUGE_OCTETS: Final = 130_000


def furnish(reader: DictReader) -> DictReader:
    """Put in what the tests ask for: one record for each row of the table of answers, and odd ones."""
    for prefix in ("88.118", HOME):
        reader.put_prefix(prefix)
    reader.put_prefix("88.118.1002", PrefixState.SUSPENDED)
    reader.put_prefix("88.200.1", suffix_rule=SuffixRule.EXACT)
    url = Value(1, "URL", b"https://example.cn/1", ttl=600)
    mirror = Value(3, "URL.MIRROR", "http://example.org/变压器".encode())
    reader.put_record(WHOLE, url, Value(2, "TITLE", "变压器".encode()), mirror, aliases=(f"{HOME}/CODE-1",), version=7)
    reader.put_record(f"{HOME}/S20-M-630", url)
    reader.put_record(f"{HOME}/变压器", url)
    reader.put_record(f"{HOME}/no-url", Value(1, "NOTE", b"a note"))
    reader.put_record(f"{HOME}/odd-urls", *odd_urls())
    reader.put_record(f"{HOME}/hidden", Value(1, "NOTE", b"a note", audience="private"))
    reader.put_record(f"{HOME}/suspended", url, state=State.SUSPENDED)
    reader.put_record(f"{HOME}/retired", state=State.RETIRED, version=3)
    reader.put_record(LARGE, Value(1, "META", b"x" * 3_000))
    reader.put_record(HUGE, Value(1, "META", b"x" * HUGE_OCTETS), version=9)
    reader.put_record(f"0.NA/{HOME}", url)
    reader.put_record("88.200.1/Exact", url)
    return reader


def odd_urls() -> list[Value]:
    """Values of type URL that do not fit a record of some kind, or none, before one that does."""
    data = (
        b"no address",
        b"\xff://x",
        b"https://example.cn/" + b"x" * 400,
        b"https://" + b"x" * 3_000,
        b"https://example.cn/!a b",
    )
    return [Value(index, "URL", each) for index, each in enumerate(data, 1)]


def question(
    name: str | dns.name.Name, kind: str = "TXT", ident: int = 7, *, edns: bool = True, flags: int = 0, life_cycle: bool = False
) -> dns.message.Message:
    """A query for a name."""
    options: list[dns.edns.Option] = (
        [dns.edns.GenericOption(dns.edns.OptionType.make(codes.LIFE_CYCLE), b"")] if life_cycle else []
    )
    made = dns.message.make_query(name, kind, use_edns=0 if edns else -1, payload=1232, options=options, flags=flags)
    made.id = ident
    return made


def asked(identifier: str, kind: str = "TXT", ident: int = 7, piece: int | None = None, **more: Any) -> dns.message.Message:
    """A query for the name of an identifier."""
    return question(dns.name.Name((*name_of(identifier, ZONE, piece), b"")), kind, ident, **more)


def read(query: dns.message.Message, raw: bytes | None) -> dns.message.Message:
    """The answer, which must belong to the query and be read to its last octet."""
    assert raw is not None
    answer = dns.message.from_wire(raw)
    assert query.is_response(answer)
    return answer


def ask_for_values(identifier: str, host: str, port: int) -> tuple[dns.rcode.Rcode, str, list[Value]]:
    """The response code, the identifier that is told of, and its values, over UDP and over TCP if need be.

    What cannot be said in DNS cannot be asked: where an identifier has no name, that counts as its refusal.
    """
    strings: list[tuple[bytes, ...]] = []
    pieces = 1
    while len(strings) < pieces:
        try:
            query = asked(identifier, piece=len(strings))
        except Refusal as refusal:
            return {Reason.INVALID_IDENTIFIER: dns.rcode.FORMERR}[refusal.reason], identifier, []
        answer, _ = dns.query.udp_with_fallback(query, host, WAIT_S, port)
        if not answer.answer:
            return answer.rcode(), identifier, []
        strings.append(answer.answer[-1][0].strings)
        pieces = parse_piece(strings[-1]).pieces
    told = [parse_piece(each) for each in strings]
    octets, values = b"".join(piece.octets for piece in told), []
    while octets:
        value, end = parse_value(octets, 0)
        values.append(value)
        octets = octets[end:]
    return answer.rcode(), told[0].summary.identifier, values


def records(answer: dns.message.Message) -> list[tuple[str, str, int, str]]:
    """The answer's records: owner, type, TTL, data."""
    return [
        (rrset.name.to_text(), dns.rdatatype.to_text(rrset.rdtype), rrset.ttl, record.to_text())
        for rrset in answer.answer
        for record in rrset
    ]


def authority(answer: dns.message.Message) -> list[str]:
    """Types in the authority section."""
    return [dns.rdatatype.to_text(rrset.rdtype) for rrset in answer.authority]


def told(answer: dns.message.Message) -> bytes | None:
    """The data of the life-cycle option."""
    for option in answer.options:
        if isinstance(option, dns.edns.GenericOption) and option.otype == codes.LIFE_CYCLE:
            return option.data
    return None


def framed(message: bytes) -> bytes:
    """A message as TCP carries it."""
    return struct.pack(">H", len(message)) + message


def unframed(stream: bytes) -> list[bytes]:
    """All messages of a stream, which must end with the last of them."""
    messages = []
    while stream:
        end = 2 + int.from_bytes(stream[:2])
        assert len(stream) >= end
        messages.append(stream[2:end])
        stream = stream[end:]
    return messages


class Caller:
    """A client on one TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, host: str, port: int, limit: int = 2**20) -> "Caller":
        return cls(*await asyncio.open_connection(host, port, limit=limit))

    def send(self, *messages: bytes) -> None:
        self.writer.write(b"".join(map(framed, messages)))

    async def answer(self) -> bytes:
        """The next answer."""
        async with asyncio.timeout(WAIT_S):
            size = int.from_bytes(await self.reader.readexactly(2))
            return await self.reader.readexactly(size)

    async def ask(self, query: dns.message.Message) -> dns.message.Message:
        self.send(query.to_wire())
        return read(query, await self.answer())

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(WAIT_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


class PacketCaller(UdpClient):
    """A client on one UDP socket."""

    async def ask(self, query: dns.message.Message) -> dns.message.Message:
        return read(query, await self.exchange(query.to_wire()))
