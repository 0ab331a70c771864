"""What must hold for any Handle message: composing and parsing are opposites, and cuts change nothing."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from proto.model.answer import Source
from proto.model.record import State
from proto.model.value import Reference
from proto.wire.handle import codes
from proto.wire.handle.codes import OpCode
from proto.wire.handle.datagram import Reassembly, split_message
from proto.wire.handle.envelope import ENVELOPE_BYTES, Envelope, compose_envelope, parse_envelope
from proto.wire.handle.message import Message, compose_message, compose_payload, compose_reply, parse_message
from proto.wire.handle.plain import asked_by, compose_plain_reply, parse_plain
from proto.wire.handle.resolution import (
    ErrorResponse,
    ReferralResponse,
    ResolutionRequest,
    compose_error_body,
    compose_referral_body,
    compose_resolution_request,
    parse_error_body,
    parse_referral_body,
    parse_resolution_request,
)
from proto.wire.handle.stream import StreamParser
from proto.wire.handle.trailer import LifeCycle, compose_trailer, parse_trailer
from proto.wire.handle.typed import (
    AdminData,
    InterfaceInfo,
    ReferenceList,
    ServerInfo,
    SiteInfo,
    compose_admin,
    compose_site,
    compose_vlist,
    parse_admin,
    parse_site,
    parse_vlist,
)

BYTE = st.integers(0, 0xFF)
SHORT = st.integers(0, 0xFFFF)
WORD = st.integers(0, 0xFFFF_FFFF)
TEXT = st.text(max_size=40)
BLOB = st.binary(max_size=200)

ENVELOPES = st.builds(Envelope, st.sampled_from((2, 3)), BYTE, st.integers(0, 3), BYTE, WORD, WORD, st.just(0), st.just(0))
MESSAGES = st.builds(
    Message, ENVELOPES, WORD, WORD, WORD, SHORT, BYTE, WORD, st.binary(max_size=2_000), st.one_of(st.none(), BLOB)
)
REFERENCES = st.lists(st.builds(Reference, TEXT, WORD), max_size=8).map(tuple)
IPV4 = st.ip_addresses(v=4).map(str)
# The first /96 of IPv6 is what an IPv4 address looks like on this wire.
IPV6 = st.ip_addresses(v=6).filter(lambda address: address.packed[:12] != bytes(12)).map(str)
INTERFACES = st.lists(st.builds(InterfaceInfo, BYTE, BYTE, WORD), max_size=4).map(tuple)
SERVERS = st.lists(st.builds(ServerInfo, WORD, st.one_of(IPV4, IPV6), BLOB, INTERFACES), max_size=3).map(tuple)
ATTRIBUTES = st.lists(st.tuples(TEXT, TEXT), max_size=4).map(tuple)
SITES = st.builds(SiteInfo, st.tuples(BYTE, BYTE), SHORT, st.booleans(), st.booleans(), BYTE, BLOB, ATTRIBUTES, SERVERS)


def same(left: Message, right: Message) -> bool:
    """Whether two messages mean the same, whatever was computed of them."""
    return compose_payload(left) == compose_payload(right) and left.envelope[:7] == right.envelope[:7]


@given(MESSAGES)
def test_messages(message: Message) -> None:
    raw = compose_message(message)
    envelope = parse_envelope(raw)
    assert envelope.length == len(raw) - ENVELOPE_BYTES
    read = parse_message(envelope, raw[ENVELOPE_BYTES:])
    assert same(read, message)
    assert compose_message(read) == raw


@given(MESSAGES, WORD, st.lists(BLOB, max_size=4), SHORT, WORD, WORD)
def test_every_reply_reads_and_answers_its_request(
    request: Message, code: int, body: list[bytes], serial: int, expiration: int, session: int
) -> None:
    raw = compose_reply(request, code, body, serial=serial, expiration=expiration, session=session)
    reply = parse_message(parse_envelope(raw), raw[ENVELOPE_BYTES:])
    assert compose_message(reply) == raw
    assert (reply.envelope.request, reply.op, reply.code, reply.serial) == (request.envelope.request, request.op, code, serial)
    assert reply.body.endswith(b"".join(body))


@given(st.lists(MESSAGES, min_size=1, max_size=5), st.data())
def test_a_stream_cut_anywhere_carries_the_same_messages(messages: list[Message], data: st.DataObject) -> None:
    stream = b"".join(map(compose_message, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parser, taken = StreamParser(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        parser.feed(stream[start:end])
        while received := parser.next_message():
            taken.append(compose_envelope(received[0]) + received[1])
    assert b"".join(taken) == stream
    assert len(taken) == len(messages)
    assert parser.buffered == 0


@given(MESSAGES, st.binary(max_size=3_000), st.randoms(use_true_random=False), st.booleans())
def test_datagrams_in_any_order_are_the_same_message(message: Message, body: bytes, order: object, marked: bool) -> None:
    message.body = body
    raw = compose_message(message)
    packets = split_message(raw, marked)
    order.shuffle(packets)  # type: ignore[attr-defined] # hypothesis declares no type for its randoms
    reassembly = Reassembly()
    received = [reassembly.accept(packet, "client", 0.0) for packet in packets]
    assert received[:-1] == [None] * (len(packets) - 1)
    assert received[-1] is not None
    assert received[-1][1] == raw[ENVELOPE_BYTES:]
    assert len(reassembly) == 0


@given(st.builds(ResolutionRequest, TEXT, st.lists(WORD, max_size=5).map(tuple), st.lists(TEXT, max_size=5).map(tuple), BLOB))
def test_questions(request: ResolutionRequest) -> None:
    assert parse_resolution_request(compose_resolution_request(request)) == request


@given(TEXT, BLOB)
def test_errors(message: str, rest: bytes) -> None:
    assert parse_error_body(compose_error_body(message) + rest) == ErrorResponse(message, rest)


@given(TEXT)
def test_referrals(service: str) -> None:
    referral = ReferralResponse(service, ())
    assert parse_referral_body(compose_referral_body(referral)) == referral


AUTHORITATIVE_LIFE_CYCLES = st.builds(
    LifeCycle, st.sampled_from(State), st.integers(0, 2**64 - 1), TEXT, st.just(Source.AUTHORITATIVE), st.just(0)
)
COPIED_LIFE_CYCLES = st.builds(
    LifeCycle, st.sampled_from(State), st.integers(0, 2**64 - 1), TEXT, st.sampled_from([Source.CACHED, Source.STALE]), WORD
)


@given(AUTHORITATIVE_LIFE_CYCLES | COPIED_LIFE_CYCLES)
def test_trailers(life_cycle: LifeCycle) -> None:
    assert parse_trailer(compose_trailer(life_cycle)) == life_cycle


@given(st.builds(AdminData, SHORT, TEXT, WORD))
def test_administrators(admin: AdminData) -> None:
    assert parse_admin(compose_admin(admin)) == admin
    assert parse_admin(compose_admin(admin) + b"\0\0") == admin


@given(REFERENCES)
def test_groups(references: tuple[Reference, ...]) -> None:
    group = ReferenceList(references)
    assert parse_vlist(compose_vlist(group)) == group


@given(SITES)
def test_sites(site: SiteInfo) -> None:
    assert parse_site(compose_site(site)) == site
    assert all(ipaddress.ip_address(server.address) for server in site.servers)


IDENTIFIERS = st.one_of(TEXT, st.just("88.118.1/x"))
PACKETS = st.builds(
    lambda envelope, flags, recursion, expiration, identifier, rest, credential: compose_message(
        Message(
            envelope, OpCode.RESOLUTION, 0, flags, 1, recursion, expiration,
            compose_resolution_request(ResolutionRequest(identifier, rest=rest)), credential,
        )
    ),
    st.one_of(ENVELOPES, st.builds(Envelope, st.just(2), BYTE, st.integers(0, 3), BYTE, WORD, WORD, st.just(0), st.just(0))),
    st.one_of(WORD, st.sampled_from((0, codes.PUBLIC_ONLY, codes.PUBLIC_ONLY | codes.RECURSIVE))),
    BYTE, WORD, IDENTIFIERS, st.sampled_from((b"", b"", bytes(4))), st.sampled_from((b"", b"", None, b"x")),
)  # fmt: skip


def is_plain(message: Message) -> bool:
    """By its parts, what `parse_plain` says of the whole."""
    request = parse_resolution_request(message.body)
    closer = codes.RETURN_DIGEST | codes.LIFE_CYCLE
    whole = message.envelope.sequence == 0 and message.credential == b"" and not request.rest
    return message.envelope.major == 2 and whole and not message.flags & closer


# What a reply adds to the flags that it echoes; a digest is not among it.
ADDED = WORD.map(lambda flags: flags & ~codes.RETURN_DIGEST)


@given(PACKETS, WORD, st.lists(BLOB, max_size=3), WORD, ADDED, st.binary(max_size=3))
def test_a_plain_question_is_read_and_answered_as_any_other(
    packet: bytes, code: int, body: list[bytes], expiration: int, flags: int, more: bytes
) -> None:
    message = parse_message(parse_envelope(packet), packet[ENVELOPE_BYTES:])
    question = parse_plain(packet)
    assert (question is not None) == is_plain(message)
    if question is None:
        return
    assert question.identifier + bytes(8) == message.body
    assert asked_by(packet) == message.flags.to_bytes(4) + message.body
    plain = compose_plain_reply(question, code, body, serial=1, expiration=expiration, flags=flags)
    session = message.envelope.session
    assert plain == compose_reply(message, code, body, serial=1, session=session, expiration=expiration, flags=flags)
    for broken in (packet + more, packet[: -len(more)]) if more else ():
        assert parse_plain(broken) is None


@given(st.binary(max_size=80))
def test_garbage_is_not_plain(raw: bytes) -> None:
    if parse_plain(raw) is not None:
        assert parse_message(parse_envelope(raw), raw[ENVELOPE_BYTES:]).op == OpCode.RESOLUTION
