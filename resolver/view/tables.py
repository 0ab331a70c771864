"""The small tables: some are asked for with every query, and so all are held in memory."""

from typing import Any, Final, NamedTuple

from proto.errors import Refusal
from proto.model.account import Account
from proto.model.change import Table
from proto.model.identifier import parse_identifier
from proto.model.prefix import Prefix, normalise
from proto.tables import unpack_account, unpack_prefix

SMALL_TABLES: Final = (
    Table.PREFIX, Table.REGISTRANT, Table.ACCOUNT, Table.JOB, Table.FEED, Table.LETTER, Table.FILING, Table.SOURCE,
    Table.RESOLUTIONS, Table.NOTICE,
)  # fmt: skip


class TableRow(NamedTuple):
    """A row of a small table: its stored image (empty: deleted), and what that says where it is asked for often."""

    table: Table
    name: str
    image: bytes
    unpacked: Prefix | Account | None


def read_row(table: Table, name: str, image: bytes) -> TableRow:
    """Unpack what has to be: the costly part of `Tables.put`."""
    unpacked: Prefix | Account | None = None
    if image and table is Table.PREFIX:
        unpacked = unpack_prefix(image)
    elif image and table is Table.ACCOUNT:
        unpacked = unpack_account(image)
    return TableRow(table, name, image, unpacked)


class Tables:
    """The images of every small table by name, and what is asked for often in its unpacked form."""

    def __init__(self) -> None:
        self._images: dict[Table, dict[str, bytes]] = {table: {} for table in SMALL_TABLES}
        self._prefixes: dict[str, Prefix] = {}
        self._accounts: dict[str, Account] = {}
        self._unpacked: dict[Table, dict[str, Any]] = {Table.PREFIX: self._prefixes, Table.ACCOUNT: self._accounts}

    def put(self, row: TableRow) -> None:
        """Show a row; one with an empty image is deleted."""
        table, name, image, unpacked = row
        images = self._images[table]
        if image:
            images[name] = image
        else:
            images.pop(name, None)
        shown = self._unpacked.get(table)
        if shown is not None and unpacked is not None:
            shown[name] = unpacked
        elif shown is not None:
            shown.pop(name, None)

    def image(self, table: Table, name: str) -> bytes | None:
        """The image of one row."""
        return self._images[table].get(name)

    def images(self, table: Table) -> dict[str, bytes]:
        """A copy of all images of a table, by name."""
        return dict(self._images[table])

    def prefix(self, name: str) -> Prefix | None:
        return self._prefixes.get(name)

    def account(self, name: str) -> Account | None:
        return self._accounts.get(name)

    def homing(self, name: str) -> Prefix | None:
        """The longest prefix that `name` is, or derives from by labels."""
        prefixes = self._prefixes
        while (found := prefixes.get(name)) is None:
            name, dot, _ = name.rpartition(".")
            if not dot:
                return None
        return found

    def normalise(self, spelling: str) -> str | None:
        """The string under which the identifier of this spelling is stored; None if nobody could ask for it."""
        try:
            identifier = parse_identifier(spelling)
        except Refusal:
            return None
        return normalise(identifier, self.homing(identifier.homing_prefix))
