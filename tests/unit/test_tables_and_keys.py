"""Stored images of the small tables, key order, wake-up messages, cursors and API keys."""

from dataclasses import replace

import pytest

from proto import keys, tables
from proto.credentials import account_of_token, compose_token, digest_token, token_matches
from proto.errors import Reason, Refusal
from proto.model.account import Account, GroupGrant, Role
from proto.model.change import START, Head, Memory, Position, Table, parse_cursor
from proto.model.feed import Feed, FeedState, Letter
from proto.model.filing import Filing, FilingKind, FilingState, Step
from proto.model.identifier import SuffixRule
from proto.model.job import Job, JobState
from proto.model.prefix import Delegation, Prefix, PrefixState, Registrant
from proto.model.source import RowFault, RunCounts, Source, SourceState
from proto.packing import version_of
from proto.wake import MESSAGE_BYTES, Message, Signal, compose_message, parse_messages

TOKEN = compose_token("acme", "s_ec-ret")
ACCOUNT = Account("acme", Role.CITY, "", digest_token(TOKEN), (GroupGrant("R", "partners"),), True, 4, 10, 20)
PREFIX = Prefix("88.118.1001", "R", PrefixState.APPROVED, SuffixRule.EXACT, 2, 10, 20)
REGISTRANT = Registrant("91411000MA40XCDL1K", "许昌某变压器有限公司", PrefixState.APPROVED, 1, 10, 20)
JOB = Job(
    "j1", "import", "88.118.1001", "acme", "R", "产品.csv", b"\x01" * 32, "csv", "gb18030", True,
    JobState.RUNNING, 99, "r", 7, 1, 2,
    rows=5, file_offset=50, result_bytes=40, created=1, replaced=2, unchanged=1, refused=1, message="half way",
)  # fmt: skip

FEED = Feed("platform", "feeds", FeedState.PAUSED, Position(1, 2**40), 12, "it moves house", 9, 10, 20)
LETTER = Letter("platform", "record", "88.118.1001/变压器/1", Position(1, 7), 3, 4, "422: no", True, 2, 10)
FILING = Filing(
    FilingKind.REGISTRANT, "R", "R", FilingState.REJECTED, '{"code":"R"}',
    (Step(10, FilingState.DRAFT), Step(20, FilingState.REJECTED, "t-1", 2306, "资料不全")), 3, 5, 10, 20,
    (("address", "许昌市"), ("website", "https://x/")), "t-1", "s-1", "e-1", True,
)  # fmt: skip
SOURCE = Source(
    "erp", "acme", "R", SourceState.STOPPED, '{"after":7}', True, "0123456789abcdef", "the brake", "fedcba9876543210",
    RunCounts(9, 1, 2, 3, 4, 5, 6, 7), (RowFault("产品.csv, line 3", "空"),), 30, 20, 6, 10, 30,
)  # fmt: skip


def test_images_come_back_whole_with_their_version_in_the_head() -> None:
    assert tables.unpack_prefix(tables.pack_prefix(PREFIX)) == PREFIX
    delegated = replace(PREFIX, delegation=Delegation((b"one", b"two"), "https://node.example"))
    assert tables.unpack_prefix(tables.pack_prefix(delegated)) == delegated
    assert tables.unpack_registrant(tables.pack_registrant(REGISTRANT)) == REGISTRANT
    assert tables.unpack_account(tables.pack_account(ACCOUNT)) == ACCOUNT
    assert tables.unpack_job(tables.pack_job(JOB)) == JOB
    assert version_of(tables.pack_job(JOB)) == 7
    assert tables.unpack_feed(tables.pack_feed(FEED)) == FEED
    assert tables.unpack_letter(tables.pack_letter(LETTER)) == LETTER
    assert tables.unpack_filing(tables.pack_filing(FILING)) == FILING
    held = replace(FILING, is_held=True, approved_content='{"code":"R"}')
    assert tables.unpack_filing(tables.pack_filing(held)) == held
    assert tables.unpack_source(tables.pack_source(SOURCE)) == SOURCE
    assert FILING.key == "registrant/R"
    assert LETTER.key == "platform/record/88.118.1001/变压器/1"
    head = Head("n1", Position(2, 2**40), 1_700_000_000_000, b"\x07" * 32)
    assert tables.unpack_head(tables.pack_head(head)) == head
    memory = Memory(b"\x01" * 32, Position(2, 9), b"outcome", 1_700_000_000_000)
    assert tables.unpack_memory(tables.pack_memory(memory)) == memory


def test_log_keys_sort_as_positions_do() -> None:
    positions = [Position(1, 9), Position(1, 10), Position(1, 300), Position(2, 1), Position(2, 70_000)]
    assert sorted(positions, key=lambda place: keys.log_key(*place)) == positions
    assert [keys.position_in_log_key(keys.log_key(*place)) for place in positions] == positions


def test_every_table_has_a_space_of_its_own() -> None:
    found = [keys.row_key(table, "x") for table in Table]
    assert len(set(found)) == len(Table)
    assert all(keys.name_in_key(key) == "x" for key in found)


def test_a_prefix_ends_before_the_next_one() -> None:
    assert keys.prefix_end(b"ab") == b"ac"
    assert keys.prefix_end(b"a\xff") == b"b"
    day = keys.idempotency_bucket(19_000)
    assert day < keys.idempotency_key(19_000, "a", "k") < keys.prefix_end(day) <= keys.idempotency_bucket(19_001)


def test_cursors_are_opaque_and_checked() -> None:
    position = Position(3, 2**40)
    assert parse_cursor(position.to_cursor()) == position
    assert parse_cursor(START.to_cursor()) == START
    for wrong in ("", "AA", "1.5", position.to_cursor()[:-1], position.to_cursor() + "AAAA", "é", "x" * 1000):
        with pytest.raises(Refusal) as refused:
            parse_cursor(wrong)
        assert refused.value.reason is Reason.INVALID_ARGUMENT


def test_wake_messages_survive_any_split() -> None:
    sent = [Message(Signal.HEAD, Position(1, 5)), Message(Signal.APPLIED, Position(1, 2**50))]
    data = b"".join(compose_message(*message) for message in sent)
    for cut in range(len(data) + 1):
        first, rest = parse_messages(data[:cut])
        assert len(rest) == cut % MESSAGE_BYTES
        assert first + parse_messages(rest + data[cut:])[0] == sent


def test_a_token_is_checked_against_its_account_only() -> None:
    assert account_of_token(TOKEN) == "acme"
    assert token_matches(TOKEN, ACCOUNT)
    assert not token_matches(TOKEN + "x", ACCOUNT)
    assert not token_matches(TOKEN, replace(ACCOUNT, enabled=False))
    for wrong in ("", "bj_", "bj_acme", "bj__x", "xx_acme_s", "bj_acme_é", "bj_a_" + "x" * 300):
        assert account_of_token(wrong) is None
