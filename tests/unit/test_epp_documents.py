"""EPP documents: every command and reply both ways, and all that is refused before it can do harm."""

import pytest

from adapters.upstream.epp.core.commands import Command, Hello, compose_command, parse_command
from adapters.upstream.epp.core.document import ENT, EPP, parse_document
from adapters.upstream.epp.core.malformed import Malformed
from adapters.upstream.epp.core.objects import Enterprise
from adapters.upstream.epp.core.replies import Audit, Greeting, Response, compose_greeting, compose_response, parse_reply
from tests.support.epp import COMMANDS, REPLIES


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_comes_back_as_it_went(command: Command) -> None:
    raw = compose_command(command, "bj-1")
    assert parse_command(raw) == (command, "" if isinstance(command, Hello) else "bj-1")


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_comes_back_as_it_went(reply: Greeting | Response) -> None:
    raw = compose_greeting(reply) if isinstance(reply, Greeting) else compose_response(reply)
    assert parse_reply(raw) == reply


def epp(inside: str, head: str = "") -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>{head}<epp xmlns="{EPP}">{inside}</epp>'.encode()


RESULT = '<result code="1000"><msg>ok</msg></result>'
NAMES = "<trID><clTRID>abc</clTRID><svTRID>s-1</svTRID></trID>"


def test_what_others_add_to_an_answer_is_passed_over() -> None:
    raw = epp(
        '<response><result code="2306"><msg lang="zh">不行</msg><value><x xmlns="urn:x">1</x></value><extValue><value/>'
        '<reason>why</reason></extValue></result><msgQ count="3" id="m 1"><qDate>2026-11-25T00:00:00Z</qDate><msg>新</msg>'
        "</msgQ>"
        '<resData><d:infData xmlns:d="urn:d"><d:x/></d:infData></resData><extension><e xmlns="urn:e"/></extension>'
        f"<!-- note --><?pi?>{NAMES}</response>"
    )
    reply = parse_reply(raw)
    assert isinstance(reply, Response)
    assert (reply.code, reply.message, reply.data) == (2306, "不行", None)
    assert reply.queue is not None
    assert (reply.queue.count, reply.queue.message) == (3, "m 1")


def test_a_greeting_with_a_policy_and_extensions_is_read() -> None:
    raw = epp(
        "<greeting><svID>x</svID><svDate>2026-11-25T00:00:00.0Z</svDate><svcMenu><version>1.0</version><lang>en</lang>"
        f"<objURI>{ENT}</objURI><svcExtension><extURI>urn:e</extURI></svcExtension></svcMenu>"
        "<dcp><access><all/></access><statement><purpose><admin/></purpose></statement></dcp></greeting>"
    )
    reply = parse_reply(raw)
    assert isinstance(reply, Greeting)
    assert reply.objects == (ENT,)


ENTITIES = '<!DOCTYPE epp [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE epp [<!ENTITY x SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x01\x02",
        b"epp",
        b"<epp/>",
        epp(""),
        epp("<hello/><hello/>"),
        epp("<greeting/>"),
        epp("<command><logout/></command>"),
        epp("<command><logout/><clTRID>a</clTRID></command>"),
        epp(f"<response>{RESULT}</response>"),
        epp(f'<response><result code="1"><msg>x</msg></result>{NAMES}</response>'),
        epp(f'<response><result code="ok"><msg>x</msg></result>{NAMES}</response>'),
        epp(f"<response>{NAMES}{RESULT}</response>"),
        epp(f"<response>{RESULT}{NAMES}</response>")[:-3],
        epp(f"<response>{RESULT}{NAMES}</response>") + b"<x/>",
        epp("<hello/>", ENTITIES),
        epp(f"<response>{RESULT.replace('ok', '&b;')}{NAMES}</response>", ENTITIES),
        epp(f"<response>{RESULT.replace('ok', '&x;')}{NAMES}</response>", OUTSIDE),
        epp("<hello/>", '<!DOCTYPE epp SYSTEM "http://127.0.0.1:1/x.dtd">'),
        epp(f"<response>{RESULT.replace('ok', '&undefined;')}{NAMES}</response>"),
        epp("<hello/>").decode().encode("utf-16"),
        epp("<hello/>").replace(b"hello", b"h\xc3\x28llo"),
        epp("<hello>" + "<a>" * 5_000 + "</a>" * 5_000 + "</hello>"),
        epp(f'<command><create><e:create xmlns:e="{ENT}"/></create><clTRID>abc</clTRID></command>'),
        epp('<command><create><e:create xmlns:e="urn:other"/></create><clTRID>abc</clTRID></command>'),
    ],
)
def test_what_is_no_epp_is_refused(raw: bytes) -> None:
    for parse in (parse_command, parse_reply):
        with pytest.raises(Malformed):
            parse(raw)


def test_an_encoding_that_is_only_claimed_does_not_hide_a_document_type() -> None:
    raw = epp("<hello/>", ENTITIES).decode().replace("UTF-8", "UTF-16")
    with pytest.raises(Malformed):
        parse_document(raw.encode("utf-16-le"))
    assert parse_command(epp("<hello/>").replace(b"UTF-8", b"GB18030")) == (Hello(), "")


def test_a_command_is_no_reply_and_the_other_way_round() -> None:
    with pytest.raises(Malformed):
        parse_reply(compose_command(COMMANDS["poll"], "bj-1"))
    with pytest.raises(Malformed):
        parse_command(compose_response(Response(1000, "ok", "t-1", "s-1")))


def test_text_that_xml_cannot_have_is_refused_when_it_is_written() -> None:
    with pytest.raises(Malformed):
        compose_command(Enterprise("88.118", "3", "R-1", "a\x00b"), "bj-1")


def test_base64_that_is_none_is_refused() -> None:
    raw = compose_command(COMMANDS["create enterprise with everything"], "bj-1")
    assert b"iVBORwD/" in raw
    with pytest.raises(Malformed):
        parse_command(raw.replace(b"iVBORwD/", b"iVBORwD!"))


@pytest.mark.parametrize(
    ("state", "result", "approved"),
    [("1", "1", True), ("1", "0", False), ("2", "1", False), ("1", "2", False), ("", "", False)],
)
def test_only_a_normal_yes_is_a_yes(state: str, result: str, approved: bool) -> None:
    assert Audit("t", "s", "e", "", state, result, "").is_approved is approved
