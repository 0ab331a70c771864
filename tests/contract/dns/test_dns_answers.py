"""What the listener answers, in one table, as dnspython reads it; over UDP and over TCP the same."""

from typing import Final

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from proto.errors import Reason
from proto.model.record import State
from proto.model.value import Value
from proto.sm3 import sm3
from proto.wire.dns.identifier_name import name_of
from proto.wire.dns.pieces import parse_piece
from proto.wire.handle.trailer import parse_trailer
from proto.wire.handle.value import compose_value, parse_value
from tests.contract.dns.conftest import Serve, Served, both
from tests.support.dns import (
    HOME,
    HUGE,
    HUGE_OCTETS,
    LARGE,
    WHOLE,
    ZONE,
    asked,
    authority,
    question,
    read,
    records,
    told,
)

BELOW: Final = "_.1001.118.88.id.internal."
SOA: Final = "id.internal. hostmaster.id.internal. {serial} 3600 600 1209600 5"
NAPTR_1: Final = '100 1 "u" "x-identifier:https" "!.*!https://example.cn/1!" .'
NAPTR_2: Final = '100 2 "u" "x-identifier:http" "!.*!http://example.org/%E5%8F%98%E5%8E%8B%E5%99%A8!" .'
NAPTR_ODD: Final = '100 1 "u" "x-identifier:https" "|.*|https://example.cn/!a%20b|" .'
URI_2: Final = '2 1 "http://example.org/%E5%8F%98%E5%8E%8B%E5%99%A8"'
URI_ODD: Final = (f'1 1 "https://example.cn/{"x" * 400}"', '2 1 "https://example.cn/!a%20b"')
URI_1: Final = '1 1 "https://example.cn/1"'

Meaning = tuple[dns.rcode.Rcode, list[tuple[str, str, int, str]], list[str]]
"""Response code, answers, types in the authority section."""

NOTHING: Final[Meaning] = (dns.rcode.NOERROR, [], ["SOA"])
NO_SUCH_NAME: Final[Meaning] = (dns.rcode.NXDOMAIN, [], ["SOA"])
REFUSED: Final[Meaning] = (dns.rcode.REFUSED, [], [])
NOT_OFFERED: Final[Meaning] = (dns.rcode.NOTIMP, [], [])
BAD: Final[Meaning] = (dns.rcode.FORMERR, [], [])


def digest(*values: Value) -> str:
    return sm3(*map(compose_value, values)).hex()


def found(
    name: str, kind: str, *data: str, ttl: int = 600
) -> tuple[dns.rcode.Rcode, list[tuple[str, str, int, str]], list[str]]:
    """A name that has these records."""
    return dns.rcode.NOERROR, [(name, kind, ttl, each) for each in data], []


# Name asked for, type, and what is told.
TABLE: Final[list[tuple[str, str, Meaning]]] = [
    (f"whole.{BELOW}", "NAPTR", found(f"whole.{BELOW}", "NAPTR", NAPTR_1, NAPTR_2)),
    (f"whole.{BELOW}", "URI", found(f"whole.{BELOW}", "URI", URI_1, URI_2)),
    (f"S20-M-630.{BELOW}", "URI", found(f"S20-M-630.{BELOW}", "URI", URI_1)),
    (f"s20-m-630.{BELOW}", "NAPTR", found(f"s20-m-630.{BELOW}", "NAPTR", NAPTR_1)),
    (f"_acp30bad5kr36c0.{BELOW}", "URI", found(f"_acp30bad5kr36c0.{BELOW}", "URI", URI_1)),
    (f"_ACP30BAD5KR36C0.{BELOW}", "URI", found(f"_ACP30BAD5KR36C0.{BELOW}", "URI", URI_1)),
    (f"_sm7phpcehfipja0.{BELOW}", "URI", found(f"_sm7phpcehfipja0.{BELOW}", "URI", URI_1)),
    (f"odd-urls.{BELOW}", "NAPTR", found(f"odd-urls.{BELOW}", "NAPTR", NAPTR_ODD, ttl=86_400)),
    (f"odd-urls.{BELOW}", "URI", found(f"odd-urls.{BELOW}", "URI", *URI_ODD, ttl=86_400)),
    ("1001.118.88.id.internal.", "URI", found("1001.118.88.id.internal.", "URI", URI_1)),
    ("_70s2sc9h70n32c1g64._.na.0.id.internal.", "URI", found("_70s2sc9h70n32c1g64._.na.0.id.internal.", "URI", URI_1)),
    (f"whole.{BELOW}", "A", NOTHING),
    (f"whole.{BELOW}", "SOA", NOTHING),
    (f"whole.{BELOW}", "CNAME", NOTHING),
    (f"no-url.{BELOW}", "NAPTR", NOTHING),
    (f"no-url.{BELOW}", "URI", NOTHING),
    (f"hidden.{BELOW}", "TXT", NOTHING),
    (f"_record.hidden.{BELOW}", "TXT", NOTHING),
    (f"suspended.{BELOW}", "TXT", NOTHING),
    (f"suspended.{BELOW}", "URI", NOTHING),
    ("x._.1002.118.88.id.internal.", "TXT", NOTHING),
    (f"nothing.{BELOW}", "URI", NO_SUCH_NAME),
    (f"nothing.{BELOW}", "A", NO_SUCH_NAME),
    (f"retired.{BELOW}", "TXT", NO_SUCH_NAME),
    (f"_record.nothing.{BELOW}", "TXT", NO_SUCH_NAME),
    (f"_record-1.whole.{BELOW}", "TXT", NO_SUCH_NAME),
    (f"x.whole.{BELOW}", "TXT", NO_SUCH_NAME),
    ("_.id.internal.", "TXT", NO_SUCH_NAME),
    # What suffixes of this prefix compare by is every octet.
    ("exact._.1.200.88.id.internal.", "URI", NO_SUCH_NAME),
    ("_8ls62ork._.1.200.88.id.internal.", "URI", found("_8ls62ork._.1.200.88.id.internal.", "URI", URI_1)),
    # Names that exist because others lie below them.
    ("88.id.internal.", "A", NOTHING),
    ("118.88.id.internal.", "TXT", NOTHING),
    ("200.88.id.internal.", "TXT", NOTHING),
    ("7.118.88.id.internal.", "TXT", NOTHING),
    ("0.id.internal.", "TXT", NOTHING),
    ("na.0.id.internal.", "TXT", NOTHING),
    ("_.na.0.id.internal.", "TXT", NOTHING),
    (BELOW, "TXT", NOTHING),
    (f"__{'0' * 61}.{BELOW}", "TXT", NOTHING),
    ("id.internal.", "A", NOTHING),
    ("id.internal.", "NS", NOTHING),
    # What lives elsewhere, is none of ours, or is not given away.
    ("1000.10.id.internal.", "TXT", REFUSED),
    ("10.id.internal.", "TXT", REFUSED),
    ("_.1000.10.id.internal.", "TXT", REFUSED),
    ("182._.1000.10.id.internal.", "URI", REFUSED),
    ("example.cn.", "A", REFUSED),
    (".", "NS", REFUSED),
    ("xid.internal.", "A", REFUSED),
    ("id.internal.", "AXFR", REFUSED),
    ("id.internal.", "IXFR", REFUSED),
    ("id.internal.", "MAILA", NOT_OFFERED),
    # Identifiers that cannot be: without a suffix, with a control character, not in normal form, not UTF-8.
    (f"_.{BELOW}", "TXT", BAD),
    (f"_c44m4.{BELOW}", "TXT", BAD),
    (f"_cn682.{BELOW}", "TXT", BAD),
    (f"_vvv0.{BELOW}", "TXT", BAD),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "expected"), TABLE, ids=[f"{name} {kind}" for name, kind, _ in TABLE])
async def test_the_table(served: Served, name: str, kind: str, expected: Meaning) -> None:
    for answer in await both(served, question(name, kind)):
        assert (answer.rcode(), records(answer), authority(answer)) == expected
        assert bool(answer.flags & dns.flags.AA) is (answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN))
        assert not answer.flags & (dns.flags.TC | dns.flags.RA | dns.flags.AD)
        # Read and written by dnspython, it is still the same message: nothing in it was skipped or mended.
        assert dns.message.from_wire(answer.to_wire()) == answer
        if authority(answer) == ["SOA"]:
            (soa,) = answer.authority
            serial = (1 << 30) + served.reader.position.sequence
            assert (soa.name.to_text(), soa.ttl) == ("id.internal.", 5)
            assert soa[0].to_text() == SOA.format(serial=serial)


async def test_text_says_what_the_record_is(served: Served) -> None:
    values = [
        Value(1, "URL", b"https://example.cn/1", ttl=600),
        Value(2, "TITLE", "变压器".encode()),
        Value(3, "URL.MIRROR", "http://example.org/变压器".encode()),
    ]
    for kind in ("TXT", "ANY"):
        for answer in await both(served, asked(WHOLE, kind)):
            ((_, shown, ttl, data),) = records(answer)
            assert (shown, ttl) == ("TXT", 600)
            assert data == f'"id={WHOLE}" "version=7" "digest=sm3:{digest(*values)}"'


async def test_an_alias_leads_to_the_records_own_name(served: Served) -> None:
    own, alias = f"whole.{BELOW}", f"code-1.{BELOW}"
    link = (alias, "CNAME", 600, own)
    for kind, behind in (("URI", 2), ("NAPTR", 2), ("TXT", 1)):
        for answer in await both(served, question(alias, kind)):
            first, *rest = records(answer)
            assert first == link
            assert [(owner, type_, ttl) for owner, type_, ttl, _ in rest] == [(own, kind, 600)] * behind
    for kind in ("CNAME", "ANY"):
        for answer in await both(served, question(alias, kind)):
            assert (records(answer), authority(answer)) == ([link], [])
    for answer in await both(served, question(alias, "A")):
        assert (records(answer), authority(answer)) == ([link], ["SOA"])
    for answer in await both(served, question(f"_record.{alias}", "TXT")):
        assert [(owner, kind) for owner, kind, _, _ in records(answer)] == [
            (f"_record.{alias}", "CNAME"),
            (f"_record.{own}", "TXT"),
        ]


async def test_the_apex_has_a_serial_that_moves_on_with_every_change(served: Served) -> None:
    serials = []
    for _ in range(3):
        for answer in await both(served, question("ID.internal.", "SOA")):
            ((owner, kind, ttl, data),) = records(answer)
            assert (owner, kind, ttl) == ("ID.internal.", "SOA", 5)
            serials.append(int(data.split()[2]))
        served.reader.put_record(f"{HOME}/new")
    assert serials == sorted(serials)
    assert len(set(serials)) == 3


async def test_configured_servers_are_those_of_the_zone(serve: Serve) -> None:
    served = await serve(servers=((b"ns1", b"example", b"cn"), (b"ns2", b"example", b"cn")))
    for answer in await both(served, question("id.internal.", "NS")):
        assert sorted(records(answer)) == [("id.internal.", "NS", 86_400, f"ns{n}.example.cn.") for n in (1, 2)]
    for answer in await both(served, question("id.internal.", "SOA")):
        assert records(answer)[0][3].split()[0] == "ns1.example.cn."


async def test_values_come_whole_in_as_many_pieces_as_they_need(served: Served) -> None:
    caller = await served.caller()
    octets, summaries, number, pieces = b"", set(), 0, 1
    while number < pieces:
        answer = await caller.ask(asked(HUGE, piece=number))
        (rrset,) = answer.answer
        piece = parse_piece(rrset[0].strings)
        assert piece.number == number
        octets, pieces, number = octets + piece.octets, piece.pieces, number + 1
        summaries.add(piece.summary)
    ((identifier, version, told_digest),) = summaries
    assert (identifier, version, told_digest, pieces) == (HUGE, 9, sm3(octets), 3)
    value, end = parse_value(octets, 0)
    assert (value.type, len(value.data), end) == ("META", HUGE_OCTETS, len(octets))


@pytest.mark.parametrize("edns", [True, False])
async def test_what_does_not_fit_a_datagram_is_asked_for_over_tcp(served: Served, edns: bool) -> None:
    packets, stream = await served.packet_caller(), await served.caller()
    for identifier in (LARGE, HUGE):
        query = asked(identifier, piece=0, edns=edns)
        short = await packets.ask(query)
        assert (bool(short.flags & dns.flags.TC), short.rcode(), records(short)) == (True, dns.rcode.NOERROR, [])
        assert len(short.to_wire()) <= len(query.to_wire())
        whole = await stream.ask(query)
        assert not whole.flags & dns.flags.TC
        assert len(records(whole)) == 1


@pytest.mark.parametrize(("payload", "fits"), [(0, False), (512, False), (590, True), (1_232, True), (65_535, True)])
async def test_a_datagram_is_as_long_as_its_client_says_it_takes(served: Served, payload: int, fits: bool) -> None:
    served.reader.put_record(f"{HOME}/middling", Value(1, "URL", b"https://example.cn/" + b"x" * 450))
    query = asked(f"{HOME}/middling", "URI")
    query.use_edns(0, payload=payload)
    raw = await (await served.packet_caller()).exchange(query.to_wire())
    assert bool(read(query, raw).flags & dns.flags.TC) is not fits
    assert len(raw) <= max(payload, 512)


async def test_no_datagram_is_longer_than_what_passes_every_link(served: Served) -> None:
    query = asked(LARGE, piece=0)
    query.use_edns(0, payload=65_535)
    raw = await (await served.packet_caller()).exchange(query.to_wire())
    assert read(query, raw).flags & dns.flags.TC


async def test_the_question_comes_back_as_it_came(served: Served) -> None:
    for name in ("wHoLe._.1001.118.88.ID.InterNAL.", "WHOLE._.1001.118.88.id.internal."):
        for answer in await both(served, question(name, "URI", 4711, flags=dns.flags.RD | dns.flags.CD)):
            assert answer.id == 4711
            assert answer.question[0].name.to_text() == name
            assert answer.flags & (dns.flags.RD | dns.flags.CD) == dns.flags.RD | dns.flags.CD


async def test_extensions_are_spoken_with_those_who_do(served: Served) -> None:
    name = f"whole.{BELOW}"
    for answer in await both(served, question(name, "URI", edns=False)):
        assert answer.edns == -1
    secured = question(name, "URI")
    secured.use_edns(0, dns.flags.DO, 4_096)
    for answer in await both(served, secured):
        assert (answer.edns, answer.payload) == (0, 1_232)
        assert answer.ednsflags & dns.flags.DO
    newer = question(name, "URI")
    newer.use_edns(1)
    for answer in await both(served, newer):
        assert (answer.rcode(), answer.edns, records(answer)) == (dns.rcode.BADVERS, 0, [])
    assert served.refused(Reason.UNSUPPORTED_OPERATION) == 2


async def test_a_refusal_says_why(served: Served) -> None:
    for name, code, text in (
        ("182._.1000.10.id.internal.", 20, "prefix 10.1000 does not live here"),
        ("example.cn.", 20, "the name lies in no zone of this server"),
        (f"_vvv0.{BELOW}", 0, "not an identifier: its name encodes what is not UTF-8"),
        (f"retired.{BELOW}", 0, "it is retired"),
        (f"suspended.{BELOW}", 0, "the identifier is suspended"),
        ("x._.1002.118.88.id.internal.", 0, "the prefix is suspended"),
    ):
        for answer in await both(served, question(name, "TXT")):
            (error,) = answer.extended_errors()
            assert (error.code, error.text) == (code, text)
    assert (served.refused(Reason.NOT_HOMED), served.refused(Reason.INVALID_IDENTIFIER)) == (4, 2)


@pytest.mark.parametrize(
    ("identifier", "state", "version", "spelling"),
    [
        (WHOLE, State.ACTIVE, 7, WHOLE),
        (f"{HOME}/hidden", State.ACTIVE, 1, f"{HOME}/hidden"),
        (f"{HOME}/suspended", State.SUSPENDED, 0, ""),
        (f"{HOME}/retired", State.RETIRED, 3, ""),
        (f"{HOME}/nothing", None, None, None),
    ],
)
async def test_the_life_cycle_is_told_to_who_asks_and_to_nobody_else(
    served: Served, identifier: str, state: State | None, version: int | None, spelling: str | None
) -> None:
    for answer in await both(served, asked(identifier, life_cycle=True)):
        said = told(answer)
        if state is None:
            assert said is None
        else:
            assert said is not None
            assert parse_trailer(said)[:3] == (state, version, spelling)
    for answer in await both(served, asked(identifier)):
        assert told(answer) is None


async def test_answers_are_counted_by_transport(served: Served) -> None:
    await both(served, asked(WHOLE, "URI"))
    await both(served, asked(f"{HOME}/nothing", "URI"))
    for protocol in ("dns", "dns-tcp"):
        assert (served.resolved(protocol, "found"), served.resolved(protocol, "not_found")) == (1, 1)


async def test_only_so_many_addresses_are_told(served: Served) -> None:
    served.reader.put_record(f"{HOME}/many", *(Value(n, "URL", b"https://example.cn/%d" % n) for n in range(1, 100)))
    for answer in await both(served, asked(f"{HOME}/many", "URI")):
        assert [data.split()[0] for *_, data in records(answer)] == [str(n) for n in range(1, 17)]


async def test_an_alias_of_what_has_no_name_answers_itself(served: Served) -> None:
    nameless = f"{HOME}/{'器' * 60}"
    with pytest.raises(Exception, match="has no DNS name"):
        name_of(nameless, ZONE)
    served.reader.put_record(nameless, Value(1, "URL", b"https://example.cn/long"), aliases=(f"{HOME}/short",))
    for answer in await both(served, question(f"short.{BELOW}", "URI")):
        ((owner, kind, _, data),) = records(answer)
        assert (owner, kind, data) == (f"short.{BELOW}", "URI", '1 1 "https://example.cn/long"')
