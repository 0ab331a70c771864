"""Bytes that are no request, through every edge of a running node: one table of what is sent and what it is called.

Limits, headers, content types, encodings, lengths that cannot be, halves. What no protocol can answer (a packet without an
envelope, a client that is gone) is at least counted.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from proto.errors import Reason
from proto.limits import MAX_BATCH_ROWS, MAX_MESSAGE_BYTES, MAX_RESOLVE_BATCH
from proto.v1 import registry_pb2, resolver_pb2
from proto.wire.grpc.metadata import MAX_METADATA_BYTES
from registry.doors.grpc.calls import MAX_REQUEST_BYTES
from registry.doors.grpc.door import TRANSPORT_MESSAGE_BYTES as DOOR_TRANSPORT_BYTES
from registry.doors.rest.limits import MAX_RECORD_BODY_BYTES
from resolver.listeners.http.limits import MAX_BODY_BYTES, MAX_HEADER_FIELD_BYTES, MAX_HEADERS, MAX_REQUEST_LINE_BYTES
from tests.support.dns import asked, framed
from tests.support.dns import question as dns_question
from tests.support.edges import HOST, Edges, HttpEdge, code_of, connect, read_message, read_to_end
from tests.support.handle import operation, question
from tests.support.harm import SAMPLE, Harm
from tests.support.http2 import compose_call, compose_data

pytestmark = pytest.mark.slow

HOME = "88.118.1002"
ONE = f"/api/v1/identifiers/{HOME}/X"
IMPORT = f"/api/v1/jobs/import?prefix={HOME}&file_name=x.csv"
SHOWN = f"/api/handles/{SAMPLE}"
BATCH = "/api/v1/resolve"
JSON = "application/json"
RESOLVE, REGISTER = "/biaojie.v1.Resolver/Resolve", "/biaojie.v1.Registry/Register"
QUESTION = question(SAMPLE, 0x4711)
# Where the parts of that question begin: see proto.wire.handle.
LENGTH, OP, CODE, BODY_LENGTH, NAME_LENGTH, NAME = 16, 20, 24, 40, 44, 48
TWO_31 = (2**31).to_bytes(4)
# Its last eleven octets are its OPT record, without options.
DNS_QUESTION = asked(SAMPLE).to_wire()
ASKS_TXT = b"\0\x10\0\1"


@dataclass(frozen=True)
class Case:
    """What is sent, how its refusal is named over there, and the reason that is counted."""

    what: str
    ask: Callable[[Edges], str]
    named: str
    reason: Reason


def head(method: str, target: str, *fields: str, token: str = "") -> bytes:
    """A request up to its body, for a connection that ends with the answer."""
    lines = ("Host: test", "Connection: close", *fields, *([f"Authorization: Bearer {token}"] if token else ()))
    return f"{method} {target} HTTP/1.1\r\n".encode() + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def put(edges: Edges, *fields: str) -> bytes:
    return head("PUT", ONE, f"Content-Type: {JSON}", *fields, token=edges.token)


def post(*fields: str) -> bytes:
    return head("POST", BATCH, f"Content-Type: {JSON}", *fields)


def changed(at: int, raw: bytes) -> bytes:
    """The question with other bytes in one place."""
    return QUESTION[:at] + raw + QUESTION[at + len(raw) :]


def draft_with(raw: bytes) -> bytes:
    """A RegisterRequest whose draft has these bytes as its identifier."""
    inner = b"\x0a" + bytes((len(raw),)) + raw
    return b"\x0a" + bytes((len(inner),)) + inner


HTTP = [
    Case("a longer line than the limit", lambda e: e.resolver.ask("GET", f"{SHOWN}?{'x' * MAX_REQUEST_LINE_BYTES}"),
         "414 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("a longer header", lambda e: e.resolver.ask("GET", SHOWN, X="x" * (MAX_HEADER_FIELD_BYTES + 1)),
         "431 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("a much longer header", lambda e: e.registry.ask("GET", ONE, X="x" * 1_000_000),
         "431 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("more headers", lambda e: e.registry.ask("GET", ONE, **{f"X{n}": "x" for n in range(MAX_HEADERS + 1)}),
         "431 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("a longer header to the supervisor", lambda e: supervisor(e).ask("GET", "/metrics", X="x" * 100_000),
         "431 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("a larger batch", lambda e: e.resolver.ask("POST", BATCH, b" " * (MAX_BODY_BYTES + 1)),
         "413 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("a larger record", lambda e: e.registry.ask("PUT", ONE, b" " * (MAX_RECORD_BODY_BYTES + 1)),
         "413 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("a larger record in chunks", lambda e: e.registry.say(
        put(e, "Transfer-Encoding: chunked"), *[b"40000\r\n" + b" " * 0x40000 + b"\r\n"] * 9),
         "413 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("2^31 bytes announced", lambda e: e.resolver.say(post(f"Content-Length: {2**31}")),
         "413 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("2^31 bytes announced to the registry", lambda e: e.registry.say(put(e, f"Content-Length: {2**31}")),
         "413 message_too_large", Reason.MESSAGE_TOO_LARGE),
    Case("2^64 bytes announced", lambda e: e.resolver.say(post(f"Content-Length: {2**64}")),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("a chunk of 2^31 bytes", lambda e: e.registry.say(put(e, "Transfer-Encoding: chunked"), b"80000000\r\n{", ends=True),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("a chunk of no length", lambda e: e.registry.say(put(e, "Transfer-Encoding: chunked"), b"zz\r\n{"),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("half a request", lambda e: e.resolver.say(head("GET", SHOWN)[:-9], ends=True),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("half a request to the registry", lambda e: e.registry.say(put(e)[:-9], ends=True),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("half a request to the supervisor", lambda e: supervisor(e).say(head("GET", "/metrics")[:-9], ends=True),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("half a batch", lambda e: e.resolver.say(post("Content-Length: 99"), b'{"identifiers"', ends=True),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("half a record", lambda e: e.registry.say(put(e, "Content-Length: 99"), b'{"values"', ends=True),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("a hello of TLS", lambda e: e.resolver.say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("a Handle question", lambda e: e.registry.say(QUESTION), "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("nonsense to the supervisor", lambda e: supervisor(e).say(b"NONSENSE\r\n\r\n"),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("a method that is not served", lambda e: e.resolver.ask("PUT", SHOWN),
         "405 unsupported_operation", Reason.UNSUPPORTED_OPERATION),
    Case("a method that the registry does not serve", lambda e: e.registry.ask("PUT", "/api/v1/changes"),
         "405 unsupported_operation", Reason.UNSUPPORTED_OPERATION),
    Case("another content type", lambda e: e.resolver.ask("POST", BATCH, b"{}", Content_Type="text/plain"),
         "415 unsupported_content_type", Reason.UNSUPPORTED_CONTENT_TYPE),
    Case("another content type for the registry", lambda e: e.registry.ask("PUT", ONE, b"{}", Content_Type="text/xml"),
         "415 unsupported_content_type", Reason.UNSUPPORTED_CONTENT_TYPE),
    Case("JSON in GBK", lambda e: e.registry.ask("PUT", ONE, b"{}", Content_Type=f"{JSON}; charset=gbk"),
         "415 unsupported_content_type", Reason.UNSUPPORTED_CONTENT_TYPE),
    Case("a compressed body", lambda e: e.registry.ask("PUT", ONE, b"{}", Content_Encoding="gzip"),
         "415 unsupported_content_type", Reason.UNSUPPORTED_CONTENT_TYPE),
    Case("a picture as a table", lambda e: e.registry.ask("POST", IMPORT, b"\x89PNG", Content_Type="image/png"),
         "415 unsupported_content_type", Reason.UNSUPPORTED_CONTENT_TYPE),
    Case("broken UTF-8 in a path", lambda e: e.resolver.ask("GET", f"/api/handles/{HOME}/%FF%FE"),
         "400 invalid_encoding", Reason.INVALID_ENCODING),
    Case("broken UTF-8 in a path, raw", lambda e: e.resolver.say(head("GET", f"{SHOWN}\x01").replace(b"\x01", b"\xc3\x28")),
         "400 invalid_encoding", Reason.INVALID_ENCODING),
    Case("broken UTF-8 in a query", lambda e: e.resolver.ask("GET", f"{SHOWN}?type=%C3%28"),
         "400 invalid_encoding", Reason.INVALID_ENCODING),
    Case("broken UTF-8 in a batch", lambda e: e.resolver.ask("POST", BATCH, b'{"identifiers":["\xff"]}'),
         "400 invalid_encoding", Reason.INVALID_ENCODING),
    Case("broken UTF-8 in a path to the registry", lambda e: e.registry.ask("PUT", f"{ONE}%FF", b'{"values":[]}'),
         "400 invalid_encoding", Reason.INVALID_ENCODING),
    Case("broken UTF-8 in a record", lambda e: e.registry.ask(
        "PUT", ONE, b'{"values":[{"index":1,"type":"N","data":{"format":"string","value":"\xed\xa0\x80"}}]}'),
         "400 invalid_encoding", Reason.INVALID_ENCODING),
    Case("a batch that is no JSON", lambda e: e.resolver.ask("POST", BATCH, b'{"identifiers":[}'),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("a record that is no JSON", lambda e: e.registry.ask("PUT", ONE, b"{values: 1}"),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("a record of endless depth", lambda e: e.registry.ask("PUT", ONE, b'{"values":' + b"[" * 200_000),
         "400 malformed_message", Reason.MALFORMED_MESSAGE),
    Case("too many questions", lambda e: e.resolver.ask("POST", BATCH, {"identifiers": ["a/b"] * (MAX_RESOLVE_BATCH + 1)}),
         "413 batch_too_large", Reason.BATCH_TOO_LARGE),
    Case("too many rows", lambda e: e.registry.ask("POST", "/api/v1/identifiers", {
        "identifiers": [{"identifier": f"{HOME}/R", "values": []}] * (MAX_BATCH_ROWS + 1)}),
         "413 batch_too_large", Reason.BATCH_TOO_LARGE),
]  # fmt: skip

GRPC = [
    Case("no protobuf", lambda e: e.resolver_grpc.ask("Resolve", b"\xff\xff\xff"),
         "INVALID_ARGUMENT MALFORMED_MESSAGE", Reason.MALFORMED_MESSAGE),
    Case("no protobuf for the registry", lambda e: e.registry_grpc.ask("Register", b"\x0a\x7fab"),
         "INVALID_ARGUMENT MALFORMED_MESSAGE", Reason.MALFORMED_MESSAGE),
    Case("no protobuf in a stream", lambda e: e.registry_grpc.ask_stream("BatchRegister", [b"\x0a\x7fab"]),
         "INVALID_ARGUMENT MALFORMED_MESSAGE", Reason.MALFORMED_MESSAGE),
    Case("broken UTF-8", lambda e: e.resolver_grpc.ask("Resolve", b"\x0a\x02\xc3\x28"),
         "INVALID_ARGUMENT INVALID_ENCODING", Reason.INVALID_ENCODING),
    Case("broken UTF-8 for the registry", lambda e: e.registry_grpc.ask("Register", draft_with(b"\xc3\x28")),
         "INVALID_ARGUMENT INVALID_ENCODING", Reason.INVALID_ENCODING),
    Case("a larger question", lambda e: e.resolver_grpc.ask("Resolve", bytes(MAX_MESSAGE_BYTES + 1)),
         "RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE", Reason.MESSAGE_TOO_LARGE),
    Case("a larger draft", lambda e: e.registry_grpc.ask("Register", bytes(MAX_REQUEST_BYTES + 1)),
         "RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE", Reason.MESSAGE_TOO_LARGE),
    Case("a far larger question", lambda e: e.resolver_grpc.ask("Resolve", bytes(8 * 1024 * 1024)),
         "RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE", Reason.MESSAGE_TOO_LARGE),
    # What grpcio's transport refuses it names by its status alone, and we are told no more than that the call is over.
    Case("more than the registry's transport takes", lambda e: e.registry_grpc.ask("Register", bytes(DOOR_TRANSPORT_BYTES + 1)),
         "RESOURCE_EXHAUSTED -", Reason.MALFORMED_MESSAGE),
    Case("more metadata", lambda e: e.resolver_grpc.ask("Resolve", b"", x_long="x" * MAX_METADATA_BYTES),
         "RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE", Reason.MESSAGE_TOO_LARGE),
    Case("more metadata for the registry", lambda e: e.registry_grpc.ask("Register", b"", x_long="x" * MAX_METADATA_BYTES),
         "RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE", Reason.MESSAGE_TOO_LARGE),
    Case("another method", lambda e: e.resolver_grpc.ask("Register", b""),
         "UNIMPLEMENTED UNSUPPORTED_OPERATION", Reason.UNSUPPORTED_OPERATION),
    Case("another method of the registry", lambda e: e.registry_grpc.ask("Resolve", b""),
         "UNIMPLEMENTED UNSUPPORTED_OPERATION", Reason.UNSUPPORTED_OPERATION),
    Case("too many questions", lambda e: e.resolver_grpc.ask(
        "BatchResolve", resolver_pb2.BatchResolveRequest(identifiers=["a/b"] * (MAX_RESOLVE_BATCH + 1))),
         "INVALID_ARGUMENT BATCH_TOO_LARGE", Reason.BATCH_TOO_LARGE),
    Case("too many drafts", lambda e: e.registry_grpc.ask_stream("BatchRegister", [
        registry_pb2.BatchRegisterRequest(drafts=[registry_pb2.Draft()] * (MAX_BATCH_ROWS + 1)).SerializeToString()]),
         "INVALID_ARGUMENT BATCH_TOO_LARGE", Reason.BATCH_TOO_LARGE),
    Case("a message of 2^31 bytes", lambda e: frames(e.resolver_grpc.port, RESOLVE, b"\0" + TWO_31 + b"abc"),
         "8", Reason.MESSAGE_TOO_LARGE),
    Case("a draft of 2^31 bytes", lambda e: frames(e.registry_grpc.port, REGISTER, b"\0" + TWO_31 + b"abc", e.token),
         "8", Reason.MALFORMED_MESSAGE),
    Case("half a message", lambda e: frames(e.resolver_grpc.port, RESOLVE, b"\0\0\0\0\x20abc", ends=True),
         "3", Reason.MALFORMED_MESSAGE),
    Case("half a draft", lambda e: frames(e.registry_grpc.port, REGISTER, b"\0\0\0\0\x20abc", e.token, ends=True),
         "3", Reason.MALFORMED_MESSAGE),
    Case("no message", lambda e: frames(e.resolver_grpc.port, RESOLVE, b"", ends=True), "3", Reason.MALFORMED_MESSAGE),
]  # fmt: skip

HANDLE = [
    Case("half a message", lambda e: e.handle.tcp(QUESTION[: NAME + 3], ends=True), "4", Reason.MALFORMED_MESSAGE),
    Case("half an envelope", lambda e: e.handle.tcp(QUESTION[:7], ends=True), "4", Reason.MALFORMED_MESSAGE),
    Case("a message of 2^31 bytes", lambda e: e.handle.tcp(changed(LENGTH, TWO_31)), "4", Reason.MALFORMED_MESSAGE),
    Case("a message of 2^32 - 1 bytes", lambda e: e.handle.tcp(changed(LENGTH, b"\xff" * 4)), "4", Reason.MALFORMED_MESSAGE),
    Case("a message over the limit", lambda e: e.handle.tcp(changed(LENGTH, (MAX_MESSAGE_BYTES + 1).to_bytes(4))), "4",
         Reason.MALFORMED_MESSAGE),
    Case("a message without a header", lambda e: e.handle.tcp(changed(LENGTH, bytes(4))), "4", Reason.MALFORMED_MESSAGE),
    Case("a body of 2^31 bytes", lambda e: e.handle.tcp(changed(BODY_LENGTH, TWO_31)), "4", Reason.MALFORMED_MESSAGE),
    Case("a name of 2^31 bytes", lambda e: e.handle.tcp(changed(NAME_LENGTH, TWO_31)), "4", Reason.MALFORMED_MESSAGE),
    Case("2^31 filters", lambda e: e.handle.tcp(operation(1, b"\0\0\0\3a/b" + TWO_31 + bytes(4))), "4",
         Reason.MALFORMED_MESSAGE),
    Case("broken UTF-8", lambda e: e.handle.tcp(changed(NAME, b"\xc3\x28")), "102", Reason.INVALID_IDENTIFIER),
    Case("a write", lambda e: e.handle.tcp(changed(OP, (100).to_bytes(4))), "5", Reason.UNSUPPORTED_OPERATION),
    Case("an operation of nobody", lambda e: e.handle.tcp(changed(OP, b"\xff" * 4)), "5", Reason.UNSUPPORTED_OPERATION),
    Case("an answer", lambda e: e.handle.tcp(changed(CODE, (1).to_bytes(4))), "4", Reason.MALFORMED_MESSAGE),
    Case("a request of HTTP", lambda e: e.handle.tcp(head("GET", SHOWN)), "4", Reason.MALFORMED_MESSAGE),
    Case("a hello of TLS", lambda e: e.handle.tcp(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)), "4",
         Reason.MALFORMED_MESSAGE),
    Case("a compressed message", lambda e: e.handle.tcp(changed(2, b"\x80")), "4", Reason.MALFORMED_MESSAGE),
    Case("half a packet", lambda e: e.handle.udp(QUESTION[: NAME + 3]), "4", Reason.MALFORMED_MESSAGE),
    Case("a packet of a message of 2^31 bytes", lambda e: e.handle.udp(changed(LENGTH, TWO_31)), "4", Reason.MALFORMED_MESSAGE),
    Case("a packet with a body of 2^31 bytes", lambda e: e.handle.udp(changed(BODY_LENGTH, TWO_31)), "4",
         Reason.MALFORMED_MESSAGE),
    Case("broken UTF-8 in a packet", lambda e: e.handle.udp(changed(NAME, b"\xc3\x28")), "102", Reason.INVALID_IDENTIFIER),
    Case("a write in a packet", lambda e: e.handle.udp(changed(OP, (100).to_bytes(4))), "5", Reason.UNSUPPORTED_OPERATION),
    Case("the largest packet", lambda e: e.handle.udp(bytes(65_507)), "4", Reason.MALFORMED_MESSAGE),
    Case("no packet for an answer", lambda e: packet(e, b""), "", Reason.MALFORMED_MESSAGE),
    Case("a packet without an envelope", lambda e: packet(e, QUESTION[:19]), "", Reason.MALFORMED_MESSAGE),
    Case("an answer in a packet", lambda e: packet(e, changed(CODE, (1).to_bytes(4))), "", Reason.MALFORMED_MESSAGE),
]  # fmt: skip

DNS = [
    Case("a name that points to itself", lambda e: e.dns.udp(dns_message(b"\xc0\x0c" + ASKS_TXT)), "FORMERR",
         Reason.MALFORMED_MESSAGE),
    Case("a name that points to its beginning", lambda e: e.dns.udp(dns_message(b"\1a\xc0\x0c" + ASKS_TXT)), "FORMERR",
         Reason.MALFORMED_MESSAGE),
    Case("a name that points ahead", lambda e: e.dns.tcp(framed(dns_message(b"\xc0\x12" + ASKS_TXT))), "FORMERR",
         Reason.MALFORMED_MESSAGE),
    Case("a name without an end", lambda e: e.dns.udp(dns_message(b"\x3f" + b"x" * 63)), "FORMERR", Reason.MALFORMED_MESSAGE),
    Case("a name of 257 octets", lambda e: e.dns.udp(dns_message((b"\x3f" + b"x" * 63) * 4 + b"\0" + ASKS_TXT)), "FORMERR",
         Reason.MALFORMED_MESSAGE),
    Case("no question", lambda e: e.dns.udp(dns_message(b"", questions=0)), "FORMERR", Reason.MALFORMED_MESSAGE),
    Case("two questions", lambda e: e.dns.udp(dns_message(b"\0" + ASKS_TXT + b"\0" + ASKS_TXT, questions=2)), "FORMERR",
         Reason.MALFORMED_MESSAGE),
    Case("an option longer than its record", lambda e: e.dns.udp(DNS_QUESTION[:-2] + b"\0\4\0\x0a\xff\xff"), "FORMERR",
         Reason.MALFORMED_MESSAGE),
    Case("a record longer than its message", lambda e: e.dns.tcp(framed(DNS_QUESTION[:-2] + b"\xff\xff")), "FORMERR",
         Reason.MALFORMED_MESSAGE),
    Case("two extensions", lambda e: e.dns.udp(DNS_QUESTION[:11] + b"\2" + DNS_QUESTION[12:] + DNS_QUESTION[-11:]), "FORMERR",
         Reason.MALFORMED_MESSAGE),
    Case("a version of extensions that is not there", lambda e: e.dns.udp(DNS_QUESTION[:-5] + b"\1" + DNS_QUESTION[-4:]),
         "BADVERS", Reason.UNSUPPORTED_OPERATION),
    Case("an update", lambda e: e.dns.udp(DNS_QUESTION[:2] + b"\x28" + DNS_QUESTION[3:]), "NOTIMP",
         Reason.UNSUPPORTED_OPERATION),
    Case("a transfer", lambda e: e.dns.tcp(framed(dns_question("id.internal.", "AXFR").to_wire())), "REFUSED",
         Reason.PERMISSION_DENIED),
    Case("a name of others", lambda e: e.dns.udp(dns_question("example.cn.", "A").to_wire()), "REFUSED", Reason.NOT_HOMED),
    Case("a name that encodes no text", lambda e: e.dns.udp(dns_question("_vvv0._.118.88.id.internal.").to_wire()), "FORMERR",
         Reason.INVALID_IDENTIFIER),
    Case("half of a DNS message", lambda e: e.dns.tcp(framed(DNS_QUESTION)[:-7], ends=True), "FORMERR",
         Reason.MALFORMED_MESSAGE),
    Case("a length that is shorter than a header", lambda e: e.dns.tcp(b"\0\0" + DNS_QUESTION), "", Reason.MALFORMED_MESSAGE),
    Case("a length that no query has", lambda e: e.dns.tcp(b"\xff\xff" + DNS_QUESTION), "FORMERR", Reason.MESSAGE_TOO_LARGE),
    Case("HTTP to DNS", lambda e: e.dns.tcp(head("GET", SHOWN)), "FORMERR", Reason.MESSAGE_TOO_LARGE),
    Case("a Handle packet to DNS", lambda e: e.dns.udp(QUESTION), "FORMERR", Reason.MALFORMED_MESSAGE),
    Case("the largest packet to DNS", lambda e: e.dns.udp(bytes(65_507)), "FORMERR", Reason.MALFORMED_MESSAGE),
    Case("a packet shorter than a header", lambda e: e.dns.udp(b"x" * 11, DNS_QUESTION), "NOERROR", Reason.MALFORMED_MESSAGE),
    Case("a DNS answer", lambda e: e.dns.udp(DNS_QUESTION[:2] + b"\x80" + DNS_QUESTION[3:], DNS_QUESTION), "NOERROR",
         Reason.MALFORMED_MESSAGE),
]  # fmt: skip


@pytest.mark.parametrize("case", [*HTTP, *GRPC, *HANDLE, *DNS], ids=lambda case: case.what)
def test_it_is_refused_by_name_and_counted_once_and_harms_nobody(edges: Edges, harm: Harm, case: Case) -> None:
    assert case.ask(edges) == case.named
    # The transport of gRPC tells its client first, and us a moment later.
    edges.node.until(lambda: harm.refused(case.reason) == 1)
    harm.check_none(refused=1)


def test_what_was_read_before_a_broken_message_is_answered(edges: Edges, harm: Harm) -> None:
    with connect(edges.handle.port) as connection:
        connection.sendall(QUESTION + QUESTION + changed(LENGTH, TWO_31) + QUESTION)
        assert [code_of(read_message(connection)) for _ in range(3)] == ["1", "1", "4"]
        assert read_to_end(connection) == b"", "after a broken message nothing can be found in the stream"
    harm.check_none()
    assert harm.refused(Reason.MALFORMED_MESSAGE) == 1


def supervisor(edges: Edges) -> HttpEdge:
    return HttpEdge(edges.node.ports["node.metrics_port"])


def frames(port: int, path: str, data: bytes, token: str = "", *, ends: bool = False) -> str:
    """One call of gRPC made by hand; the number of the status with which it ends."""
    fields = {"authorization": f"Bearer {token}"} if token else {}
    with connect(port) as connection:
        connection.sendall(compose_call(path, **fields) + compose_data(data, ends))
        said = b""
        # The node's library writes this field without compression, when it writes it for the first time.
        while b"grpc-status" not in said or said.endswith(b"grpc-status"):
            more = connection.recv(65_536)
            if not more:
                raise ConnectionError(f"no status in {said!r}")
            said += more
    _, _, status = said.partition(b"grpc-status")
    return status[1 : 1 + status[0]].decode()


def dns_message(body: bytes, questions: int = 1) -> bytes:
    """A header without flags, and what stands behind it."""
    return b"\x12\x34\0\0" + questions.to_bytes(2) + bytes(6) + body


def packet(edges: Edges, raw: bytes) -> str:
    """Send a packet that must not be answered, and behind it a question, whose answer must be the first that comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.connect((HOST, edges.handle.port))
        client.send(raw)
        client.send(QUESTION)
        assert code_of(client.recv(65_535)) == "1"
    return ""
