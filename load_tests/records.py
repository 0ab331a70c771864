"""The records that load tests register and ask for: product rows of about 430 bytes under one prefix, numbered from 0."""

import json
from collections.abc import Iterator
from typing import Final

from proto.model.change import Row, Table
from proto.model.record import Record, State
from proto.model.value import Value
from proto.packing import pack_record
from proto.ports import Command
from proto.stream import compose_payload

PREFIX: Final = "88.118.1001"
REGISTRANT: Final = "91411000MA40XCDL1K"
# As many as a command may hold is more than a door sends; this is what an import sends.
ROWS_OF_A_COMMAND: Final = 1_000
# Senders wait in queues of their own, as accounts do.
ACCOUNTS: Final = 8
MARK: Final = b"https://example.cn/product/"
_MADE_MS: Final = 1_700_000_000_000


def name_of(number: int) -> str:
    """The identifier of a record; all of them are of the same length."""
    return f"{PREFIX}/p{number:09}"


def mark_of(number: int) -> bytes:
    """What every rendering of a record contains, and no other record's does (but as the beginning of a longer one)."""
    return MARK + b"%d" % number


def row_of(number: int) -> Row:
    values = (
        Value(1, "URL", mark_of(number), timestamp=1),
        Value(2, "TITLE", f"S13-M-{number % 1000}/10 油浸式配电变压器".encode(), timestamp=1),
        Value(3, "META", json.dumps({"额定容量": number, "额定电压": "10 kV", "联结组": "Dyn11"}).encode() * 3, timestamp=1),
    )
    identifier = name_of(number)
    image = pack_record(Record(identifier, 1, State.ACTIVE, values, REGISTRANT, _MADE_MS, _MADE_MS))
    return Row(Table.RECORD, identifier, image, version=1)


def commands(first: int, count: int, rows: int = ROWS_OF_A_COMMAND) -> Iterator[Command]:
    """Commands of `rows` rows each that register the records from `first` on; their payloads are packed."""
    for start in range(first, first + count, rows):
        images = [row_of(number) for number in range(start, min(start + rows, first + count))]
        account = f"account-{start // rows % ACCOUNTS}"
        yield Command(account, f"bench-{start}", images, payload=compose_payload(images))
