"""The generators of load tests notice what is wrong: a figure of wrong answers would be worse than none."""

import itertools
import socket
import threading
import time
from collections import Counter
from itertools import islice

import dns.message
import dns.rcode
import dns.rrset
import hpack
import pytest

from load_tests.alternation import Comparison, Speed
from load_tests.generator.dns import DnsDatagrams
from load_tests.generator.expectation import constant, registered
from load_tests.generator.handle import ENVELOPE_BYTES, HandleDatagrams, HandleDialogue
from load_tests.generator.http import HttpDialogue
from load_tests.generator.http2 import GrpcDialogue
from load_tests.generator.loop import HOST, LOST_S, Dialogue, Lines, WrongAnswerError, random_times
from load_tests.protocols import BATCH, batches_of, resolve_request, whole_batch
from load_tests.records import MARK, mark_of, name_of
from load_tests.workloads import half_absent, hot, uniform, zipf
from proto.v1 import resolver_pb2
from proto.wire.handle.codes import OpCode, ResponseCode
from proto.wire.handle.envelope import envelope_for
from proto.wire.handle.message import Message, compose_message
from proto.wire.handle.resolution import parse_resolution_request

KNOWN = 10


def http_reply(number: int, status: str = "200 OK") -> bytes:
    body = mark_of(number)
    return f"HTTP/1.1 {status}\r\nServer: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def handle_reply(number: int, request: int, code: int = ResponseCode.SUCCESS) -> bytes:
    envelope = envelope_for((2, 3), request, 0)
    return compose_message(Message(envelope, OpCode.RESOLUTION, code, 0, 0, 0, 0, mark_of(number)))


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def grpc_reply(message: bytes | None, status: str = "0") -> bytes:
    encode = hpack.Encoder().encode
    trailers = frame(1, 5, encode([("grpc-status", status)]))
    if message is None:
        return trailers
    head = frame(1, 4, encode([(":status", "200")]))
    return head + frame(0, 0, b"\0" + len(message).to_bytes(4, "big") + message) + trailers


def grpc() -> GrpcDialogue:
    return GrpcDialogue("/biaojie.v1.Resolver/Resolve", resolve_request, registered(KNOWN))


CASES = [
    (HttpDialogue(registered(KNOWN)), http_reply(3)),
    (HandleDialogue(registered(KNOWN)), handle_reply(3, 1)),
    (grpc(), frame(4, 0, b"") + frame(6, 0, b"12345678") + grpc_reply(mark_of(3))),
]


@pytest.mark.parametrize(("dialogue", "reply"), CASES, ids=["http", "handle", "grpc"])
def test_a_reply_is_whole_at_its_last_byte_however_it_is_cut(dialogue: Dialogue, reply: bytes) -> None:
    for cut in range(1, len(reply)):
        if isinstance(dialogue, HandleDialogue):
            reply = handle_reply(3, cut)
        dialogue.ask(3)
        assert not dialogue.hear(reply[:cut])
        assert dialogue.hear(reply[cut:])


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        (3, http_reply(4)),
        (3, http_reply(3, "404 Not Found")),
        (3, http_reply(3, "500 Internal Server Error")),
        (KNOWN, http_reply(KNOWN)),
        (3, http_reply(3) + http_reply(3)),
        (3, http_reply(3).replace(b"Content-Length", b"Content-Langth")),
    ],
    ids=["another", "lost", "failed", "absent", "two", "endless"],
)
def test_a_wrong_http_answer_is_noticed(asked: int, reply: bytes) -> None:
    dialogue = HttpDialogue(registered(KNOWN))
    dialogue.ask(asked)
    with pytest.raises(WrongAnswerError):
        dialogue.hear(reply)


@pytest.mark.parametrize("transport", [HandleDialogue, HandleDatagrams])
@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        (3, handle_reply(4, 1)),
        (3, handle_reply(3, 1, ResponseCode.IDENTIFIER_NOT_FOUND)),
        (3, handle_reply(3, 1, ResponseCode.TOO_BUSY)),
        (KNOWN, handle_reply(KNOWN, 1)),
    ],
    ids=["another", "lost", "busy", "absent"],
)
def test_a_wrong_handle_answer_is_noticed(transport: type[HandleDialogue | HandleDatagrams], asked: int, reply: bytes) -> None:
    dialogue = transport(registered(KNOWN))
    dialogue.ask(asked)
    with pytest.raises(WrongAnswerError):
        dialogue.hear(reply)


def test_an_answer_to_an_earlier_request_is_wrong_over_tcp_and_passed_over_by_udp() -> None:
    stream, datagrams = HandleDialogue(registered(KNOWN)), HandleDatagrams(registered(KNOWN))
    for dialogue in (stream, datagrams):
        dialogue.ask(2)
        dialogue.ask(3)
    with pytest.raises(WrongAnswerError):
        stream.hear(handle_reply(2, 1))
    assert not datagrams.hear(handle_reply(2, 1))
    assert datagrams.hear(handle_reply(3, 2))


def test_a_datagram_answer_in_several_packets_is_put_together() -> None:
    dialogue = HandleDatagrams(registered(KNOWN))
    dialogue.ask(3)
    whole = handle_reply(3, 1)
    head, content = whole[:ENVELOPE_BYTES], whole[ENVELOPE_BYTES:]
    second = head[:12] + (1).to_bytes(4, "big") + head[16:]
    assert not dialogue.hear(second + content[30:])
    assert dialogue.hear(head + content[:30])


def dns_reply(dialogue: DnsDatagrams, number: int, rcode: str = "NOERROR") -> bytes:
    """What dnspython makes of a question, with an address for a record."""
    query = dns.message.from_wire(dialogue.ask(number))
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.from_text(rcode))
    uri = mark_of(number).decode()
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "NAPTR", f'100 1 "u" "x" "!.*!{uri}!" .'))
    return reply.to_wire()


def test_a_dns_question_is_for_the_name_of_a_record() -> None:
    query = dns.message.from_wire(DnsDatagrams(registered(KNOWN)).ask(3))
    assert query.question[0].to_text() == "p000000003._.1001.118.88.id.internal. IN NAPTR"
    assert (query.edns, query.payload) == (0, 1232)


def test_a_dns_answer_is_looked_at_and_one_to_an_earlier_question_passed_over() -> None:
    dialogue = DnsDatagrams(registered(KNOWN))
    earlier = dns_reply(dialogue, 2)
    later = dns_reply(dialogue, 3)
    assert not dialogue.hear(earlier)
    assert dialogue.hear(later)


@pytest.mark.parametrize(
    ("asked", "told", "rcode"), [(3, 4, "NOERROR"), (3, 3, "NXDOMAIN"), (3, 3, "REFUSED"), (99, 99, "NOERROR")]
)
def test_a_wrong_dns_answer_is_noticed(asked: int, told: int, rcode: str) -> None:
    other, dialogue = DnsDatagrams(registered(KNOWN)), DnsDatagrams(registered(KNOWN))
    dialogue.ask(asked)
    with pytest.raises(WrongAnswerError):
        dialogue.hear(dns_reply(other, told, rcode))


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        (3, grpc_reply(mark_of(4))),
        (3, grpc_reply(None, "5")),
        (3, grpc_reply(None, "14")),
        (KNOWN, grpc_reply(mark_of(KNOWN))),
        (3, frame(3, 0, bytes(4))),
        (3, frame(7, 0, bytes(8), 0)),
        (3, frame(0, 0, b"\0\0\0\0\x09x") + grpc_reply(None)),
    ],
    ids=["another", "lost", "unavailable", "absent", "reset", "goaway", "short"],
)
def test_a_wrong_grpc_answer_is_noticed(asked: int, reply: bytes) -> None:
    dialogue = grpc()
    dialogue.ask(asked)
    with pytest.raises(WrongAnswerError):
        dialogue.hear(reply)


def test_a_ping_is_answered_with_the_next_question() -> None:
    dialogue = grpc()
    dialogue.ask(1)
    assert dialogue.hear(frame(6, 0, b"12345678") + grpc_reply(mark_of(1)))
    assert dialogue.ask(2).startswith(frame(6, 1, b"12345678", 0))


def test_questions_are_what_stock_clients_send() -> None:
    assert resolver_pb2.ResolveRequest.FromString(resolve_request(7)) == resolver_pb2.ResolveRequest(identifier=name_of(7))
    question = HandleDialogue(registered(KNOWN)).ask(123_456_789)
    assert parse_resolution_request(question[ENVELOPE_BYTES + 24 : -4]).identifier == name_of(123_456_789)
    batches = [resolver_pb2.BatchResolveRequest.FromString(batch) for batch in batches_of(1_000, seed=1, batches=3)]
    assert len(batches) == 3
    assert {len(batch.identifiers) for batch in batches} == {BATCH}


def test_a_batch_that_lacks_a_record_is_noticed() -> None:
    whole_batch(1, True, MARK * BATCH)
    with pytest.raises(WrongAnswerError):
        whole_batch(1, True, MARK * (BATCH - 1))


def test_a_peer_that_serves_no_constant_is_noticed() -> None:
    constant(b"x")(1, True, b"x")
    with pytest.raises(WrongAnswerError):
        constant(b"x")(1, True, b"y")


class Echo(Dialogue):
    """Anything that comes is an answer."""

    def greet(self) -> bytes:
        return b""

    def ask(self, number: int) -> bytes:
        return number.to_bytes(4, "big")

    def hear(self, data: bytes) -> bool:
        return True


def test_a_server_that_stalls_to_the_end_is_waited_for_and_all_that_fell_due_is_counted() -> None:
    stall_s = 0.4

    def serve(server: socket.socket) -> None:
        with server.accept()[0] as client:
            question = client.recv(4)
            time.sleep(stall_s)
            while question:
                client.sendall(question)
                question = client.recv(4)

    with socket.create_server((HOST, 0)) as server:
        serving = threading.Thread(target=serve, args=(server,), daemon=True)
        serving.start()
        with Lines(server.getsockname()[1], Echo, 1) as lines:
            latencies = lines.open_loop(itertools.count(), rate=500, seconds=0.2, seed=1)
        serving.join()
    due_s = [*random_times(500, 0.2, 1)]
    assert len(latencies) == len(due_s)
    # The line was taken by the first: what fell due behind it had waited since its own time.
    for waited_s, behind_s in zip(latencies, due_s, strict=True):
        assert waited_s >= stall_s - (behind_s - due_s[0])


def test_a_datagram_that_is_lost_is_asked_for_again_and_counted_from_when_it_was_due() -> None:
    def serve(server: socket.socket) -> None:
        lost = b""
        while True:
            question, client = server.recvfrom(4)
            if client == server.getsockname():
                return
            if question and not lost:
                lost = question
            elif question:  # a greeting is nothing over datagrams
                server.sendto(question, client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST, 0))
        serving = threading.Thread(target=serve, args=(server,), daemon=True)
        serving.start()
        with Lines(server.getsockname()[1], Echo, 2, datagrams=True) as lines:
            latencies = lines.open_loop(itertools.count(), rate=100, seconds=0.2, seed=1)
        server.sendto(b"end!", server.getsockname())
        serving.join()
    assert len(latencies) == len([*random_times(100, 0.2, 1)])
    assert max(latencies) >= LOST_S


def test_workloads_ask_for_what_they_say() -> None:
    drawn = {make: Counter(islice(make(1_000, 1), 20_000)) for make in (uniform, zipf, hot, half_absent)}
    assert all(0 <= number < 1_000 for make in (uniform, zipf, hot) for number in drawn[make])
    assert len(drawn[uniform]) == 1_000
    # The first of a thousand is asked for in 1 / H(1000, 0.99) = 13 % of look-ups.
    assert 0.11 < drawn[zipf].most_common(1)[0][1] / 20_000 < 0.15
    assert 0.88 < drawn[hot].most_common(1)[0][1] / 20_000 < 0.92
    assert 0.47 < sum(count for number, count in drawn[half_absent].items() if number >= 1_000) / 20_000 < 0.53


def test_a_comparison_tells_the_median_of_its_rounds() -> None:
    rounds = tuple((Speed(rate, 2 * rate), Speed(100.0, 100.0)) for rate in (30.0, 50.0, 40.0))
    compared = Comparison(rounds)
    assert (compared.ratio.median, compared.ratio.spread, compared.per_s) == (0.4, (0.3, 0.5), 40.0)
    assert (compared.processor_ratio.median, compared.cost.median, compared.per_processor_s) == (0.8, 1.25, 80.0)
