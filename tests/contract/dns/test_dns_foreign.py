"""What others serve, as the listener tells of it: referrals, copies, and names that are theirs to deny."""

from collections.abc import Awaitable
from typing import Final

import dns.flags
import dns.rcode
import dns.rdatatype
import pytest

from proto.errors import Reason, Refusal
from proto.model.answer import Answer, Found, NotFound, Referral, Refused, Source
from proto.model.query import Query
from proto.model.value import Value
from proto.wire.handle.value import compose_value
from tests.contract.dns.conftest import Serve, both
from tests.support.dns import asked, authority, question, records


def referred(url: str) -> Referral:
    return Referral("88.118.1001/x", "88.118", (), url)


@pytest.mark.parametrize(
    ("url", "kind", "shown", "beside"),
    [
        ("https://example.cn/", "URI", [("URI", 5, '1 1 "https://example.cn/"')], []),
        ("https://example.cn/", "NAPTR", [("NAPTR", 5, '100 1 "u" "x-identifier:https" "!.*!https://example.cn/!" .')], []),
        ("https://example.cn/", "TXT", [], ["URI"]),
        ("", "URI", [], []),
    ],
)
async def test_a_referral_names_where_to_ask_and_is_nobodys_last_word(
    serve: Serve, url: str, kind: str, shown: list[tuple[str, int, str]], beside: list[str]
) -> None:
    served = await serve(lambda _: referred(url))
    for answer in await both(served, asked("88.118.1001/x", kind)):
        assert (answer.rcode(), bool(answer.flags & dns.flags.AA)) == (dns.rcode.NOERROR, False)
        assert [record[1:] for record in records(answer)] == shown
        assert ([dns.rdatatype.to_text(rrset.rdtype) for rrset in answer.additional], authority(answer)) == (beside, [])
        assert answer.extended_errors()[0].text == "prefix 88.118 is delegated"


@pytest.mark.parametrize(("source", "codes"), [(Source.CACHED, []), (Source.STALE, [3])])
async def test_a_copy_is_no_authoritative_answer_and_a_stale_one_says_its_age(
    serve: Serve, source: Source, codes: list[int]
) -> None:
    def resolve(query: Query) -> Answer:
        url = compose_value(Value(1, "URL", b"https://example.cn/"))
        return Found(query.identifier, "a/b", 1, (), "", "", 60, source, 75, values=(url,))

    served = await serve(resolve)
    for answer in await both(served, asked("88.118.1001/x", "URI")):
        assert not answer.flags & dns.flags.AA
        assert [(error.code, error.text) for error in answer.extended_errors()] == [(code, "75 s old") for code in codes]
        assert len(records(answer)) == 1


URL: Final = (compose_value(Value(1, "URL", b"https://example.cn/")),)
FOREIGN: Final = Found("0.NA/10.1000", "0.NA/10.1000", 1, (), "", "", 60, Source.CACHED, values=URL)


@pytest.mark.parametrize(
    ("answer", "rcode"),
    [
        (FOREIGN, dns.rcode.NOERROR),
        (NotFound("10.1000"), dns.rcode.NXDOMAIN),
        (Referral("10.1000", "10.1000", ()), dns.rcode.NOERROR),
        (Refused("10.1000", Refusal(Reason.NOT_HOMED, "it lives elsewhere")), dns.rcode.REFUSED),
    ],
    ids=["found", "not found", "referral", "refused"],
)
@pytest.mark.parametrize("is_late", [False, True])
async def test_names_between_a_prefix_that_others_serve_and_its_identifiers_are_theirs_to_deny(
    serve: Serve, answer: Answer, rcode: dns.rcode.Rcode, is_late: bool
) -> None:
    seen: list[str] = []

    async def later() -> Answer:
        return answer

    def resolve(query: Query) -> Answer | Awaitable[Answer]:
        seen.append(query.identifier)
        return later() if is_late else answer

    served = await serve(resolve)
    for kind in ("URI", "TXT", "A"):
        for told_of in await both(served, question("_.1000.10.id.internal.", kind)):
            assert (told_of.rcode(), records(told_of)) == (rcode, [])
    assert set(seen) == {"10.1000"}
