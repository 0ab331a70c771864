"""Clients that send byte by byte, and clients that read nothing: the first are answered, the others harm nobody."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proto.v1 import registry_pb2, resolver_pb2
from proto.wire.dns.pieces import PIECE_BYTES
from tests.support.dns import asked, framed
from tests.support.edges import HOST, Edges, code_of, connect, rcode_of, read_message
from tests.support.handle import question
from tests.support.harm import SAMPLE, Harm
from tests.support.http import compose_request, parse_answer
from tests.support.http2 import compose_call, compose_calls, compose_data
from tests.support.node import DEADLINE_S

pytestmark = pytest.mark.slow

HOME = "88.118.1002"
LARGE = f"{HOME}/LARGE"
LARGE_BYTES = 250_000
RESOLVE, BATCH = "/biaojie.v1.Resolver/Resolve", "/biaojie.v1.Resolver/BatchResolve"
GET = "/biaojie.v1.Registry/GetIdentifier"

# Long enough for the kernel to send each piece by itself; the parsers do not mind if it does not.
PAUSE_S = 0.0005
# Deaf clients of one kind, and what each of them asks for if it is let.
DEAF = 24
ASKED_BYTES = 500_000_000
# What all of them together may cost one process, at its worst. Allocators give back late and libraries copy, so this is no
# fine measure; without bounds it would be a gigabyte and more.
GROWTH_BYTES = 300_000_000
# The node has settled when it took in nothing more and grew no more for so many rounds of questions by others.
QUIET_ROUNDS = 20


@pytest.fixture(autouse=True, scope="module")
def large_record(edges: Edges) -> None:
    values = [{"index": 1, "type": "BLOB", "data": {"format": "string", "value": "x" * LARGE_BYTES}}]
    assert edges.registry.ask("PUT", f"/api/v1/identifiers/{LARGE}", {"values": values}) in ("200", "201")


def send_slowly(connection: socket.socket, raw: bytes) -> None:
    for place in range(len(raw)):
        connection.sendall(raw[place : place + 1])
        time.sleep(PAUSE_S)


def test_a_handle_question_byte_by_byte(edges: Edges, harm: Harm) -> None:
    with connect(edges.handle.port) as connection:
        for request in (1, 2):
            send_slowly(connection, question(SAMPLE, request))
            answer = read_message(connection)
            assert (code_of(answer), int.from_bytes(answer[8:12])) == ("1", request)
    harm.check_none(refused=0)


def test_handle_questions_split_at_every_byte(edges: Edges, harm: Harm) -> None:
    first, second = question(SAMPLE, 1), question(SAMPLE, 2)
    both = first + second
    with connect(edges.handle.port) as connection:
        for cut in range(1, len(both)):
            connection.sendall(both[:cut])
            time.sleep(PAUSE_S)
            connection.sendall(both[cut:])
            answers = read_message(connection), read_message(connection)
            assert [(code_of(each), int.from_bytes(each[8:12])) for each in answers] == [("1", 1), ("1", 2)], cut
    harm.check_none(refused=0)


def test_dns_questions_byte_by_byte(edges: Edges, harm: Harm) -> None:
    with connect(edges.dns.port) as connection, connection.makefile("rb") as stream:
        for ident in (1, 2):
            send_slowly(connection, framed(asked(SAMPLE, ident=ident).to_wire()))
            answer = stream.read(int.from_bytes(stream.read(2)))
            assert (rcode_of(answer), int.from_bytes(answer[:2])) == ("NOERROR", ident)
    harm.check_none(refused=0)


def test_http_requests_byte_by_byte(edges: Edges, harm: Harm) -> None:
    body = b'{"values":[{"index":1,"type":"NOTE","data":{"format":"string","value":"\xe5\x8f\x98"}}]}'
    headers = {"Authorization": f"Bearer {edges.token}", "Content-Type": "application/json", "Content-Length": str(len(body))}
    for port, raw, status in (
        (edges.resolver.port, compose_request("GET", f"/api/handles/{SAMPLE}"), 200),
        (edges.registry.port, compose_request("PUT", f"/api/v1/identifiers/{HOME}/变", headers, body), 201),
        (edges.node.ports["node.metrics_port"], compose_request("GET", "/healthz"), 200),
    ):
        with connect(port) as connection:
            send_slowly(connection, raw)
            assert parse_answer(connection.makefile("rb").read()).status == status
    harm.check_none(refused=0)


def test_a_grpc_call_byte_by_byte(edges: Edges, harm: Harm) -> None:
    message = resolver_pb2.ResolveRequest(identifier=SAMPLE).SerializeToString()
    with connect(edges.resolver_grpc.port) as connection:
        send_slowly(connection, compose_call(RESOLVE) + compose_data(b"\0" + len(message).to_bytes(4) + message, ends=True))
        said = b""
        while b"grpc-status\x010" not in said:
            more = connection.recv(65_536)
            assert more, said
            said += more
    assert SAMPLE.encode() in said
    harm.check_none(refused=0)


# What a deaf client keeps sending to which port, as often as it is let.
Stubborn = Callable[[Edges], tuple[int, bytes]]


def deaf_to_handle(edges: Edges) -> tuple[int, bytes]:
    return edges.handle.port, question(LARGE) * (ASKED_BYTES // LARGE_BYTES)


def deaf_to_dns(edges: Edges) -> tuple[int, bytes]:
    return edges.dns.port, framed(asked(LARGE, piece=0).to_wire()) * (ASKED_BYTES // PIECE_BYTES)


def deaf_to_http(edges: Edges) -> tuple[int, bytes]:
    one = compose_request("GET", f"/api/handles/{LARGE}", {"connection": "keep-alive"})
    return edges.resolver.port, one * (ASKED_BYTES // LARGE_BYTES)


def deaf_to_batches(edges: Edges) -> tuple[int, bytes]:
    body = b'{"identifiers":[' + b",".join([f'"{LARGE}"'.encode()] * 1_000) + b"]}"
    head = {"connection": "keep-alive", "content-type": "application/json", "content-length": str(len(body))}
    return edges.resolver.port, compose_request("POST", "/api/v1/resolve", head, body) * 2


def deaf_to_the_registry(edges: Edges) -> tuple[int, bytes]:
    head = {"connection": "keep-alive", "authorization": f"Bearer {edges.token}"}
    return edges.registry.port, compose_request("GET", f"/api/v1/identifiers/{LARGE}", head) * (ASKED_BYTES // LARGE_BYTES)


def deaf_to_exports(edges: Edges) -> tuple[int, bytes]:
    head = {"connection": "keep-alive", "authorization": f"Bearer {edges.token}"}
    return edges.registry.port, compose_request("GET", "/api/v1/export?prefix=88.118.1001", head) * 20


def deaf_to_grpc(edges: Edges) -> tuple[int, bytes]:
    message = resolver_pb2.ResolveRequest(identifier=LARGE).SerializeToString()
    return edges.resolver_grpc.port, compose_calls(RESOLVE, message, 128)


def deaf_to_grpc_batches(edges: Edges) -> tuple[int, bytes]:
    message = resolver_pb2.BatchResolveRequest(identifiers=[LARGE] * 17).SerializeToString()
    return edges.resolver_grpc.port, compose_calls(BATCH, message, 128)


def deaf_to_the_registry_s_grpc(edges: Edges) -> tuple[int, bytes]:
    message = registry_pb2.GetIdentifierRequest(identifier=LARGE).SerializeToString()
    return edges.registry_grpc.port, compose_calls(GET, message, 128, authorization=f"Bearer {edges.token}")


# With how many clients: one of gRPC has many calls, and may hold 16 MiB of answers.
STUBBORN = [
    (deaf_to_handle, DEAF), (deaf_to_dns, DEAF), (deaf_to_http, DEAF), (deaf_to_batches, DEAF), (deaf_to_the_registry, DEAF),
    (deaf_to_exports, DEAF), (deaf_to_grpc, 4), (deaf_to_grpc_batches, 4), (deaf_to_the_registry_s_grpc, 4),
]  # fmt: skip


@pytest.mark.parametrize(("stubborn", "count"), STUBBORN, ids=lambda value: getattr(value, "__name__", str(value)))
def test_clients_that_read_nothing(edges: Edges, harm: Harm, stubborn: Stubborn, count: int) -> None:
    pids = edges.node.pids()
    before = {pid: forget_peak(pid) for pid in pids}
    port, raw = stubborn(edges)
    quiet, most = 0, 0
    with deaf(port, raw, count) as push:
        with held_up(edges):
            push()  # what the kernel holds for them comes to the node in one piece
        deadline = time.monotonic() + DEADLINE_S
        while quiet < QUIET_ROUNDS and time.monotonic() < deadline:
            is_sent = push()
            ask_everywhere(edges)
            growth = max(peak_bytes(pid) - size for pid, size in before.items())
            assert growth < GROWTH_BYTES
            quiet = 0 if is_sent or growth > most else quiet + 1
            most = max(most, growth)
        assert quiet == QUIET_ROUNDS, "the node goes on taking in what it cannot answer"
    harm.check_none()


@contextmanager
def held_up(edges: Edges) -> Iterator[None]:
    """Nothing is read for a moment."""
    pids = edges.node.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def deaf(port: int, raw: bytes, count: int) -> Iterator[Callable[[], bool]]:
    """Clients that send all the time and never read; the function sends what the other side takes, and says if it did."""
    clients: list[tuple[socket.socket, list[memoryview]]] = []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect((HOST, port))
        client.setblocking(False)
        clients.append((client, [memoryview(raw)]))

    def push() -> bool:
        is_sent = False
        for client, left in clients:
            try:
                while left[0]:
                    left[0] = left[0][client.send(left[0]) :]
                    is_sent = True
            except BlockingIOError:
                continue
            except OSError:
                left[0] = left[0][:0]  # it was cut off
        return is_sent

    yield push
    for client, _ in clients:
        client.close()


def ask_everywhere(edges: Edges) -> None:
    """Others are answered, whatever the process they reach has to do with the deaf."""
    assert edges.resolver.ask("GET", f"/api/handles/{SAMPLE}") == "200"
    assert edges.handle.tcp(question(SAMPLE)) == "1"
    assert edges.handle.udp(question(SAMPLE)) == "1"
    assert edges.dns.udp(asked(SAMPLE).to_wire()) == "NOERROR"
    assert edges.resolver_grpc.ask("Resolve", resolver_pb2.ResolveRequest(identifier=SAMPLE)) == "OK"
    assert edges.registry.ask("GET", f"/api/v1/identifiers/{SAMPLE}") == "200"


def forget_peak(pid: int) -> int:
    """The bytes a process has now; its peak is measured from here on (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_bytes(pid)


def peak_bytes(pid: int) -> int:
    """The most bytes of memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1_024 for line in lines if line.startswith("VmHWM:"))
