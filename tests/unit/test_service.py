"""The service: what each question comes to, for each kind of caller."""

import pytest

from proto.errors import Reason, Refusal
from proto.model.account import ANONYMOUS, Caller, GroupGrant, Role
from proto.model.answer import Answer, Found, NotFound, RecordAnswer, Refused, Retired, Suspended, ValuesNotFound
from proto.model.identifier import SuffixRule
from proto.model.prefix import PrefixState
from proto.model.query import Query
from proto.model.record import State
from proto.model.value import PRIVATE, PUBLIC, Value, derive_permissions
from proto.wire.handle.value import parse_value
from resolver.service import Service
from tests.support.reader import NOW_MS, DictReader, StoppedClock

OWNER = "91411000MA40XCDL1K"
OPERATOR = Caller("root", Role.OPERATOR)
REGISTRANT = Caller("maker", Role.REGISTRANT, OWNER)
OTHER = Caller("other", Role.REGISTRANT, "91411000MA40XCDL2K")
CITY = Caller("city", Role.CITY, groups=(GroupGrant(OWNER, "city"),))


def value(index: int, kind: str = "URL", audience: str = PUBLIC, ttl: int = 3600, absolute: bool = False) -> Value:
    permissions = derive_permissions(0b1110, audience)
    return Value(index, kind, f"{kind} {index}".encode(), ttl, absolute, 0, permissions, (), audience)


@pytest.fixture
def reader() -> DictReader:
    reader = DictReader()
    reader.put_prefix("88.118")
    reader.put_prefix("88.118.1", registrant=OWNER)
    reader.put_prefix("88.118.9", PrefixState.SUSPENDED)
    reader.put_prefix("88.118.7", PrefixState.DRAFT)
    reader.put_prefix("88.118.5", suffix_rule=SuffixRule.EXACT)
    reader.put_record(
        "88.118.1/Transformer-油-1",
        value(1),
        value(2, "TITLE", ttl=60),
        value(3, "HS_SITE.6"),
        value(800, "PRICE", "city"),
        value(801, "PRICE", "grid"),
        value(900, "NOTE", PRIVATE),
        registrant=OWNER,
        aliases=("88.118.5/Code-1", "88.118.1/OLD-1"),
        version=7,
    )
    return reader


def ask(reader: DictReader, identifier: str, caller: Caller = ANONYMOUS, **options: object) -> Answer:
    query = Query(identifier, "http", caller=caller)
    for name, option in options.items():
        setattr(query, name, option)
    return Service(reader, StoppedClock()).resolve(query)


def indexes(answer: Answer) -> list[int]:
    assert isinstance(answer, Found)
    return [parse_value(packed)[0].index for packed in answer.values]


IDENTIFIER = "88.118.1/Transformer-油-1"


def test_a_record_is_found_with_its_public_values_and_all_that_describes_it(reader: DictReader) -> None:
    answer = ask(reader, "88.118.1/transformer-油-1")
    assert isinstance(answer, Found)
    assert indexes(answer) == [1, 2, 3]
    assert (answer.asked, answer.identifier, answer.version, answer.registrant) == (
        "88.118.1/transformer-油-1",
        IDENTIFIER,
        7,
        OWNER,
    )
    assert (answer.ttl_s, answer.source, answer.age_s) == (60, "authoritative", 0)
    assert answer.echo == "88.118.1/transformer-油-1"


def test_suffixes_compare_by_their_prefixs_rule(reader: DictReader) -> None:
    reader.put_record("88.118.5/Exact", value(1))
    assert indexes(ask(reader, "88.118.5/Exact")) == [1]
    assert isinstance(ask(reader, "88.118.5/EXACT"), NotFound)
    assert isinstance(ask(reader, "88.118.1/Transformer-油-2"), NotFound)


def test_the_identifier_of_a_prefix_is_answered_where_the_prefix_is_homed(reader: DictReader) -> None:
    reader.put_record("0.NA/88.118.5", value(1))
    for spelling in ("0.NA/88.118.5", "0.na/88.118.5", "88.118.5"):
        answer = ask(reader, spelling)
        assert indexes(answer) == [1]
        assert isinstance(answer, Found)
        assert answer.echo == spelling
    assert isinstance(ask(reader, "0.NA/88.118.1"), NotFound)
    assert isinstance(ask(reader, "0.NA/88.118.9"), Suspended)


@pytest.mark.parametrize("identifier", ["10.1000/1", "88/1", "88.11/1", "0.NA/10.1000", "0.NA/0.NA", "10.1000"])
def test_what_is_homed_nowhere_here_is_refused(reader: DictReader, identifier: str) -> None:
    with pytest.raises(Refusal) as caught:
        ask(reader, identifier)
    assert caught.value.reason is Reason.NOT_HOMED


def test_states_of_prefixes(reader: DictReader) -> None:
    reader.put_record("88.118.9/x", value(1))
    assert ask(reader, "88.118.9/x", OPERATOR) == Suspended("88.118.9/x", "prefix")
    assert ask(reader, "88.118.9/unknown") == Suspended("88.118.9/unknown", "prefix")
    assert ask(reader, "88.118.7/x") == NotFound("88.118.7/x")


def test_every_question_is_judged_by_the_prefixes_of_its_moment(reader: DictReader) -> None:
    reader.put_record("88.118.3/Nut", value(1))
    assert indexes(ask(reader, "88.118.3/NUT")) == [1]
    reader.put_prefix("88.118.3", suffix_rule=SuffixRule.EXACT)
    reader.put_record("88.118.3/Nut", value(2))
    assert isinstance(ask(reader, "88.118.3/NUT"), NotFound)
    assert indexes(ask(reader, "88.118.3/Nut")) == [2]
    reader.put_prefix("88.118.3", PrefixState.SUSPENDED, SuffixRule.EXACT)
    assert ask(reader, "88.118.3/Nut") == Suspended("88.118.3/Nut", "prefix")
    with pytest.raises(Refusal):
        ask(reader, "88.200.1/x")
    reader.put_prefix("88.200")
    assert isinstance(ask(reader, "88.200.1/x"), NotFound)


def test_states_of_records(reader: DictReader) -> None:
    reader.put_record("88.118.1/s", value(1), state=State.SUSPENDED, version=2)
    reader.put_record("88.118.1/r", state=State.RETIRED, version=3)
    assert ask(reader, "88.118.1/s", OPERATOR) == Suspended("88.118.1/s", "identifier")
    assert ask(reader, "88.118.1/r", OPERATOR) == Retired("88.118.1/r", 3)


def test_an_alias_answers_with_the_records_own_identifier(reader: DictReader) -> None:
    for alias in ("88.118.5/Code-1", "88.118.1/old-1"):
        answer = ask(reader, alias)
        assert indexes(answer) == [1, 2, 3]
        assert isinstance(answer, Found)
        assert (answer.asked, answer.echo, answer.via_alias) == (alias, IDENTIFIER, True)
    assert isinstance(ask(reader, "88.118.5/CODE-1"), NotFound)


def test_a_pointer_that_the_record_does_not_list_back_leads_nowhere(reader: DictReader) -> None:
    reader.put_pointer("88.118.1/forged", IDENTIFIER)
    reader.put_pointer("88.118.1/dangling", "88.118.1/nothing")
    reader.put_pointer("88.118.1/chained", "88.118.1/OLD-1")
    for alias in ("88.118.1/forged", "88.118.1/dangling", "88.118.1/chained"):
        assert ask(reader, alias) == NotFound(alias)


def test_an_alias_shows_nothing_of_a_suspended_prefix(reader: DictReader) -> None:
    reader.put_record("88.118.9/x", value(1), aliases=("88.118.1/of-suspended",))
    assert ask(reader, "88.118.1/of-suspended") == Suspended("88.118.1/of-suspended", "prefix")


@pytest.mark.parametrize(
    ("caller", "wanted"),
    [
        (ANONYMOUS, [1, 2, 3]),
        (OPERATOR, [1, 2, 3, 800, 801, 900]),
        (REGISTRANT, [1, 2, 3, 800, 801, 900]),
        (OTHER, [1, 2, 3]),
        (CITY, [1, 2, 3, 800]),
        (Caller("partner", Role.REGISTRANT, "other", (GroupGrant(OWNER, "grid"), GroupGrant(OWNER, "none"))), [1, 2, 3, 801]),
        (Caller("partner", Role.CITY, groups=(GroupGrant("somebody else", "grid"),)), [1, 2, 3]),
        (Caller("nobody's", Role.REGISTRANT, ""), [1, 2, 3]),
    ],
)
def test_each_caller_reads_its_own_classes(reader: DictReader, caller: Caller, wanted: list[int]) -> None:
    assert indexes(ask(reader, IDENTIFIER, caller)) == wanted


def test_a_registrant_without_a_code_owns_nothing_of_the_nodes_own_records(reader: DictReader) -> None:
    reader.put_record("88.118/node", value(1), value(2, "NOTE", PRIVATE))
    assert indexes(ask(reader, "88.118/node", Caller("odd", Role.REGISTRANT, ""))) == [1]


@pytest.mark.parametrize(
    ("selected", "types", "wanted"),
    [
        ((2,), (), [2]),
        ((), ("url",), [1]),
        ((3,), ("TITLE",), [2, 3]),
        ((), ("HS_SITE.",), [3]),
        ((), ("hs_site",), []),
        ((900,), (), []),
        ((4242,), ("NONE",), []),
    ],
)
def test_filters_select_by_index_or_type(
    reader: DictReader, selected: tuple[int, ...], types: tuple[str, ...], wanted: list[int]
) -> None:
    answer = ask(reader, IDENTIFIER, indexes=selected, types=types)
    if wanted:
        assert indexes(answer) == wanted
    else:
        assert isinstance(answer, ValuesNotFound)
        assert (answer.version, answer.ttl_s) == (7, 0)


def test_a_record_without_readable_values_has_no_values_to_be_found(reader: DictReader) -> None:
    reader.put_record("88.118.1/hidden", value(1, audience=PRIVATE), registrant=OWNER)
    reader.put_record("88.118.1/empty", registrant=OWNER)
    assert isinstance(ask(reader, "88.118.1/hidden"), ValuesNotFound)
    assert isinstance(ask(reader, "88.118.1/empty"), ValuesNotFound)
    assert indexes(ask(reader, "88.118.1/hidden", REGISTRANT)) == [1]


def test_who_insists_on_what_it_may_not_read_is_refused(reader: DictReader) -> None:
    anonymous = ask(reader, IDENTIFIER, wants_private=True)
    assert isinstance(anonymous, Refused)
    assert anonymous.refusal.reason is Reason.UNAUTHENTICATED
    other = ask(reader, IDENTIFIER, OTHER, wants_private=True)
    assert isinstance(other, Refused)
    assert other.refusal.reason is Reason.PERMISSION_DENIED
    assert indexes(ask(reader, IDENTIFIER, wants_private=True, indexes=(1,))) == [1]
    assert len(indexes(ask(reader, IDENTIFIER, REGISTRANT, wants_private=True))) == 6


def test_the_ttl_is_the_least_of_the_values_shown_and_an_absolute_one_runs_down(reader: DictReader) -> None:
    until = NOW_MS // 1000 + 42
    reader.put_record("88.118.1/t", value(1), value(2, "TITLE", ttl=until, absolute=True), value(3, audience=PRIVATE, ttl=1))
    reader.put_record("88.118.1/past", value(1, ttl=5, absolute=True))
    found, past = ask(reader, "88.118.1/t"), ask(reader, "88.118.1/past")
    assert isinstance(found, RecordAnswer)
    assert isinstance(past, RecordAnswer)
    assert (found.ttl_s, past.ttl_s) == (42, 0)


def test_a_trace_names_everything_that_decided(reader: DictReader) -> None:
    lines: list[str] = []
    ask(reader, "88.118.1/OLD-1", CITY, explain=lines, types=("PRICE",))
    assert lines == [
        "prefix matched: 88.118.1, approved, suffixes fold_ascii",
        "alias: 88.118.1/old-1 points to 88.118.1/transformer-油-1",
        f"record {IDENTIFIER}: version 7, active",
        "caller: account city (city) reads public values and those of its groups",
        "filters: type PRICE; 1 values selected",
    ]


def test_malformed_identifiers_are_refused_by_name(reader: DictReader) -> None:
    for text in ("", "/", "88.118.1/", "88..1/x", "88.118.1/\x00", "88.118.1/e\u0301"):
        with pytest.raises(Refusal) as caught:
            ask(reader, text)
        assert caught.value.reason is Reason.INVALID_IDENTIFIER
