"""The edges of a running node as strangers meet them: any bytes in; what came back, by its name, out.

A name is what the protocol calls it: `400 invalid_identifier` over HTTP, `INVALID_ARGUMENT INVALID_IDENTIFIER` over gRPC, the
response code alone over Handle and DNS; `200`, `OK`, `1` and `NOERROR` are answers.
"""

import json
import socket
from collections.abc import Iterable, Sequence
from typing import Final

import dns.message
import dns.rcode
import grpc
from google.protobuf.message import Message

from tests.support.http import Answer, compose_request, parse_answer
from tests.support.node import RunningNode

HOST: Final = "127.0.0.1"
WAIT_S: Final = 30.0
ENVELOPE_BYTES: Final = 20
# As much as any test sends in one message; the node's own limits are what is tested.
_UNBOUNDED: Final = (("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 1 << 20))


class Edges:
    """All edges of one node. `token` is the operator's key."""

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        self.token = node.token
        self.resolver = HttpEdge(node.ports["resolver.http_port"])
        self.registry = HttpEdge(node.ports["registry.http_port"], Authorization=f"Bearer {self.token}")
        self.resolver_grpc = GrpcEdge(node.ports["resolver.grpc_port"], "biaojie.v1.Resolver")
        self.registry_grpc = GrpcEdge(node.ports["registry.grpc_port"], "biaojie.v1.Registry", self.token)
        self.handle = HandleEdge(node.ports["resolver.handle_port"])
        self.dns = DnsEdge(node.ports["resolver.dns_port"])

    def close(self) -> None:
        self.resolver_grpc.close()
        self.registry_grpc.close()


class HttpEdge:
    """One HTTP port; `headers` go with every request."""

    def __init__(self, port: int, **headers: str) -> None:
        self.port = port
        self._headers = headers

    def send(self, method: str, target: str, body: bytes | object = b"", **headers: str) -> Answer:
        """One request. Underscores in names of headers stand for hyphens; a header that is empty is left out."""
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        fields = {"Content_Type": "application/json", "Content_Length": str(len(raw))} if raw else {}
        kept = {name: value for name, value in {**self._headers, **fields, **headers}.items() if value}
        return self.talk(compose_request(method, target, kept), raw)

    def ask(self, method: str, target: str, body: bytes | object = b"", **headers: str) -> str:
        return name_of(self.send(method, target, body, **headers))

    def talk(self, *pieces: bytes, ends: bool = False) -> Answer:
        """Send pieces one after the other, maybe end our half; the one answer. Raises `ConnectionError` without one."""
        with connect(self.port) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                if ends:
                    connection.shutdown(socket.SHUT_WR)
            except ConnectionError:
                pass  # it has said what it has to say, and takes no more
            said = read_to_end(connection)
        if not said:
            raise ConnectionError("closed without an answer")
        return parse_answer(said)

    def say(self, *pieces: bytes, ends: bool = False) -> str:
        return name_of(self.talk(*pieces, ends=ends))


class GrpcEdge:
    """One service on a gRPC port."""

    def __init__(self, port: int, service: str, token: str = "") -> None:
        self.port = port
        self._service = service
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._channel = grpc.insecure_channel(f"{HOST}:{port}", options=_UNBOUNDED)

    def close(self) -> None:
        self._channel.close()

    def call(self, method: str, message: Message | bytes, **metadata: str) -> bytes:
        """One call with one message. Raises `grpc.RpcError`."""
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(f"/{self._service}/{method}")
        return call(raw, metadata=self._all(metadata), timeout=WAIT_S, wait_for_ready=True)

    def ask(self, method: str, message: Message | bytes, **metadata: str) -> str:
        try:
            self.call(method, message, **metadata)
        except grpc.RpcError as error:
            return name_of_failure(error)
        return "OK"

    def stream(self, method: str, messages: Iterable[bytes]) -> Sequence[bytes]:
        """A call with a stream of messages; all that came back. Raises `grpc.RpcError`."""
        call: grpc.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(f"/{self._service}/{method}")
        return list(call(iter(messages), metadata=self._metadata, timeout=WAIT_S))

    def ask_stream(self, method: str, messages: Iterable[bytes]) -> str:
        try:
            self.stream(method, messages)
        except grpc.RpcError as error:
            return name_of_failure(error)
        return "OK"

    def _all(self, metadata: dict[str, str]) -> tuple[tuple[str, str], ...]:
        return (*self._metadata, *((name.replace("_", "-"), value) for name, value in metadata.items()))


class HandleEdge:
    """The Handle port, over TCP and over UDP."""

    def __init__(self, port: int) -> None:
        self.port = port

    def tcp(self, *pieces: bytes, ends: bool = False) -> str:
        """Send pieces one after the other, maybe end our half; the code of the first answer."""
        with connect(self.port) as connection:
            for piece in pieces:
                connection.sendall(piece)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            return code_of(read_message(connection))

    def udp(self, *packets: bytes) -> str:
        """Send packets; the code of the first that comes back."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(WAIT_S)
            client.connect((HOST, self.port))
            for packet in packets:
                client.send(packet)
            return code_of(client.recv(65_535))


class DnsEdge:
    """The DNS port, over TCP and over UDP."""

    def __init__(self, port: int) -> None:
        self.port = port

    def tcp(self, *pieces: bytes, ends: bool = False) -> str:
        """Send pieces one after the other, maybe end our half; the response code of the first answer, empty for none."""
        with connect(self.port) as connection:
            for piece in pieces:
                connection.sendall(piece)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as stream:
                raw = stream.read(int.from_bytes(stream.read(2)))
        return rcode_of(raw) if raw else ""

    def udp(self, *packets: bytes) -> str:
        """Send packets; the response code of the first that comes back."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(WAIT_S)
            client.connect((HOST, self.port))
            for packet in packets:
                client.send(packet)
            return rcode_of(client.recv(65_535))


def connect(port: int) -> socket.socket:
    """A connection that sends every piece in a segment of its own."""
    connection = socket.create_connection((HOST, port), timeout=WAIT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the other side closes, in whatever way."""
    said = bytearray()
    try:
        while more := connection.recv(65_536):
            said += more
    except ConnectionResetError:
        pass
    return bytes(said)


def read_message(connection: socket.socket) -> bytes:
    """One Handle message. Raises `ConnectionError` if the other side closes before its end."""
    said = b""
    wanted = ENVELOPE_BYTES
    while len(said) < wanted:
        more = connection.recv(wanted - len(said))
        if not more:
            raise ConnectionError("closed within a message")
        said += more
        if len(said) >= ENVELOPE_BYTES:
            wanted = ENVELOPE_BYTES + int.from_bytes(said[16:20])
    return said


def name_of(answer: Answer) -> str:
    if answer.status < 400:
        return str(answer.status)
    assert answer.headers["content-type"].startswith("application/problem+json"), answer
    problem = answer.json()
    assert problem["status"] == answer.status
    return f"{answer.status} {problem['reason']}"


def name_of_failure(error: grpc.RpcError) -> str:
    assert isinstance(error, grpc.Call)
    trailing = dict(error.trailing_metadata() or ())
    return f"{error.code().name} {trailing.get('biaojie-reason', '-')}"


def code_of(message: bytes) -> str:
    return str(int.from_bytes(message[ENVELOPE_BYTES + 4 : ENVELOPE_BYTES + 8]))


def rcode_of(message: bytes) -> str:
    return dns.rcode.to_text(dns.message.from_wire(message).rcode())
