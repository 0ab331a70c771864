"""Replays recorded questions of stock Handle clients and compares what the answers mean; knows nothing of our code.

`exchanges` reads a recording, `ask_tcp` and `ask_udp` send a recorded question to any server, byte for byte, and
`meaning` reads an answer: what a client would make of it, without times, serials and the like. `registrations` tells
what a server that homes `88.118.1` must hold to give the recorded answers.
"""

import hashlib
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RECORDINGS: Final = Path(__file__).resolve().parent.parent / "data" / "handle"
RESOLUTIONS: Final = (
    "hs90_resolve", "hs90_resolve_big", "hs90_resolve_cert", "hs90_resolve_foreign", "hs90_resolve_notfound",
    "hs90_resolve_restricted", "idp_resolve",
)  # fmt: skip

ENVELOPE_BYTES: Final = 20
HEADER: Final = struct.Struct(">IIIHBBII")
PART_BYTES: Final = 492
RESOLUTION: Final = 1
GET_SITE_INFO: Final = 2
SUCCESS: Final = 1
AUTHENTICATION_NEEDED: Final = 402
RETURN_DIGEST: Final = 0x0080_0000
ATTEMPTS: Final = 5


@dataclass(frozen=True)
class Exchange:
    """A question and the recorded answer to it, envelopes included."""

    name: str
    op: int
    question: bytes
    answer: bytes


@dataclass(frozen=True)
class RecordedValue:
    """One value as it is on the wire."""

    index: int
    type: str
    data: bytes
    ttl: int
    permissions: int
    timestamp: int


@dataclass(frozen=True)
class Meaning:
    """What an answer says. `values` are (index, type, data, TTL, permissions); `transports` those of the site's servers."""

    op: int
    code: int
    request: int
    identifier: str = ""
    values: tuple[tuple[int, str, bytes, int, int], ...] = ()
    has_challenge: bool = False
    transports: frozenset[int] = frozenset()


def exchanges(name: str) -> list[Exchange]:
    """The exchanges of one recording, paired by connection and request id, in the order of the questions."""
    questions: dict[tuple[int, int], dict[str, str]] = {}
    answers: dict[tuple[int, int], bytes] = {}
    for line in (RECORDINGS / f"{name}.jsonl").read_text().splitlines():
        message = json.loads(line)
        key = (message["conn"], message["req"])
        if message["dir"] == ">":
            questions[key] = message
        else:
            answers[key] = bytes.fromhex(message["envelope"] + message["message"])
    paired = []
    for key, message in questions.items():
        question = bytes.fromhex(message["envelope"] + message["message"])
        paired.append(Exchange(f"{name}-{message['op'].lower()}", int.from_bytes(question[20:24]), question, answers[key]))
    return paired


def resolutions() -> list[Exchange]:
    """Every exchange of the recorded resolutions."""
    return [exchange for name in RESOLUTIONS for exchange in exchanges(name)]


def records() -> dict[str, tuple[RecordedValue, ...]]:
    """The records whose values were answered, by identifier."""
    held: dict[str, tuple[RecordedValue, ...]] = {}
    for exchange in resolutions():
        _, code, _, body = _split(exchange.answer)
        if exchange.op == RESOLUTION and code == SUCCESS:
            identifier, at = _string(body, 0)
            held[identifier.decode()] = tuple(_values(body, at))
    return held


def registrations() -> dict[str, list[dict[str, object]]]:
    """What to register for that, as values of the Handle JSON API, and the administrator whose secret may not be read."""
    held: dict[str, list[dict[str, object]]] = {
        identifier: [
            {"index": v.index, "type": v.type, "data": {"format": "hex", "value": v.data.hex()}, "ttl": v.ttl} for v in values
        ]
        for identifier, values in records().items()
    }
    held["88.118.1/ADMIN"] = [
        {"index": 300, "type": "URL", "data": {"format": "string", "value": "https://example.com/"}},
        {"index": 301, "type": "NOTE", "data": {"format": "string", "value": "not for everybody"}, "audience": "private"},
    ]
    return held


def meaning(question: bytes, answer: bytes) -> Meaning:
    """What a client makes of the answer to its question."""
    op, code, flags, body = _split(answer)
    request = int.from_bytes(answer[8:12])
    if flags & RETURN_DIGEST:
        digest = hashlib.sha256(_signed(question)).digest()
        assert body[:33] == b"\x03" + digest, "the answer is not to this question"
        body = body[33:]
    if code == AUTHENTICATION_NEEDED:
        nonce, _ = _string(body, 0)
        return Meaning(op, code, request, has_challenge=len(nonce) == 16 and int.from_bytes(answer[4:8]) > 0)
    if code != SUCCESS:
        return Meaning(op, code, request)
    if op == GET_SITE_INFO:
        return Meaning(op, code, request, transports=frozenset(_transports(body)))
    identifier, at = _string(body, 0)
    values = tuple((v.index, v.type, v.data, v.ttl, v.permissions) for v in _values(body, at))
    return Meaning(op, code, request, identifier.decode(), values)


def ask_tcp(host: str, port: int, *questions: bytes, timeout_s: float = 10.0) -> list[bytes]:
    """Send all questions in one go over one connection; their answers, in order."""
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        connection.sendall(b"".join(questions))
        return [_receive(connection) for _ in questions]


def ask_udp(host: str, port: int, question: bytes, timeout_s: float = 10.0) -> bytes:
    """Ask over UDP as stock clients do: packets of at most 512 bytes, the answer put together by packet number."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][0]
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.connect((host, port))
        client.settimeout(timeout_s / ATTEMPTS)
        for _ in range(ATTEMPTS):
            for packet in packets(question):
                client.send(packet)
            try:
                return _gather(client, question[8:12])
            except TimeoutError:
                continue
    raise TimeoutError("no answer over UDP")


def packets(message: bytes) -> list[bytes]:
    """A message as datagrams: the envelope, with its number, before each part."""
    envelope, payload = message[:ENVELOPE_BYTES], message[ENVELOPE_BYTES:]
    return [
        envelope[:12] + struct.pack(">I", number) + envelope[16:] + payload[start : start + PART_BYTES]
        for number, start in enumerate(range(0, len(payload), PART_BYTES))
    ]


def _receive(connection: socket.socket) -> bytes:
    envelope = _receive_exactly(connection, ENVELOPE_BYTES)
    return envelope + _receive_exactly(connection, int.from_bytes(envelope[16:20]))


def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        more = connection.recv(size - len(received))
        if not more:
            raise ConnectionError("the server closed the connection")
        received += more
    return received


def _gather(client: socket.socket, request: bytes) -> bytes:
    parts: dict[int, bytes] = {}
    while True:
        packet = client.recv(65_535)
        if packet[8:12] != request:
            continue
        assert len(packet) <= 512, "a stock client reads 512 bytes of a packet"
        assert not packet[2] & 0x20, "stock servers mark no packet of version 2 as truncated"
        length = int.from_bytes(packet[16:20])
        parts[int.from_bytes(packet[12:16])] = packet[ENVELOPE_BYTES:]
        if sum(map(len, parts.values())) >= length:
            assert sorted(parts) == list(range(len(parts)))
            return packet[:12] + bytes(4) + packet[16:20] + b"".join(parts[number] for number in sorted(parts))


def _split(message: bytes) -> tuple[int, int, int, bytes]:
    op, code, flags, _, _, _, _, size = HEADER.unpack_from(message, ENVELOPE_BYTES)
    start = ENVELOPE_BYTES + HEADER.size
    return op, code, flags, message[start : start + size]


def _signed(message: bytes) -> bytes:
    size = HEADER.unpack_from(message, ENVELOPE_BYTES)[-1]
    return message[ENVELOPE_BYTES : ENVELOPE_BYTES + HEADER.size + size]


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 4 + int.from_bytes(data[at : at + 4])
    return data[at + 4 : end], end


def _values(body: bytes, at: int) -> Iterator[RecordedValue]:
    count = int.from_bytes(body[at : at + 4])
    at += 4
    for _ in range(count):
        index, timestamp, _, ttl, permissions = struct.unpack_from(">IIBIB", body, at)
        kind, at = _string(body, at + 14)
        data, at = _string(body, at)
        references = int.from_bytes(body[at : at + 4])
        at += 4
        for _ in range(references):
            _, at = _string(body, at)
            at += 4
        yield RecordedValue(index, kind.decode(), data, ttl, permissions, timestamp)


def _transports(site: bytes) -> Iterator[int]:
    """The transports (0 UDP, 1 TCP, 2 HTTP) of all interfaces of an HS_SITE."""
    _, at = _string(site, 8)
    attributes = int.from_bytes(site[at : at + 4])
    at += 4
    for _ in range(2 * attributes):
        _, at = _string(site, at)
    servers = int.from_bytes(site[at : at + 4])
    at += 4
    for _ in range(servers):
        _, at = _string(site, at + 20)
        interfaces = int.from_bytes(site[at : at + 4])
        at += 4
        for _ in range(interfaces):
            yield site[at + 1]
            at += 6
    assert at == len(site), "a stock client refuses bytes after the last server"
