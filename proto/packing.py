"""Packed records: what is stored is what is sent.

A record's values are stored once, each in its Handle wire form, public ones first, behind a table of (index, offset,
audience, type length): an answer in the Handle protocol is a join of slices, and filters read only the table.

    format 1: head | spelling | registrant | template | aliases | groups | value table | values
    format 2: head (format, version) | normalised identifier of the record that this alias points to
    format 3: as format 1, of what another node said of its record; where format 1 has the times of creation and change in its
              head, it has what is told of the copy at one moment: age 4 | TTL 4 | milliseconds for which both are true 8

Formats 1 and 2 are stored. A copy is kept in memory, without spelling if its home did not tell it, and all of it is public:
with its age and TTLs written in (`show_copy`) it is composed as records of this node are.

Audience numbers: 0 public, 1 private, 2 + n the record's n-th group. Both formats begin as `proto.keys` says.
"""

import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Final

from proto import compiled
from proto.errors import Reason, Refusal
from proto.limits import MAX_RECORD_BYTES
from proto.model.record import Record, State
from proto.model.value import PRIVATE, PUBLIC, Value, type_filter
from proto.wire.handle.value import TTL_FIELD, TYPE_OFFSET, compose_value, parse_value, relative_ttl_s

RECORD_FORMAT: Final = 1
ALIAS_FORMAT: Final = 2
COPY_FORMAT: Final = 3

_VERSION: Final = struct.Struct(">BQ")
_HEAD: Final = struct.Struct(">BQBHHQQHHHBB")
_HEAD_BYTES: Final = _HEAD.size
_ALIAS_COUNT: Final = slice(36, 38)  # in _HEAD
_TIMES_AT: Final = 14  # in _HEAD
_TOLD: Final = struct.Struct(">IIQ")  # of a copy, in their place
_TTL: Final = struct.Struct(">BI")  # TTL_FIELD
_ENTRY: Final = struct.Struct(">IIBH")
_SIZE: Final = struct.Struct(">H")

PUBLIC_CLASS: Final = 0
PRIVATE_CLASS: Final = 1
FIRST_GROUP_CLASS: Final = 2
_PUBLIC_ONLY: Final = (PUBLIC_CLASS,)
_INDEX: Final = attrgetter("index")
_STATES: Final = tuple(State)

_OFFSET: Final = struct.Struct(">4xI3x")  # of an entry
_PLACES: Final = tuple(struct.Struct(">" + "4xIxH" * count) for count in range(32))

# Where values begin, of tables of up to so many entries at once: nearly every record has fewer.
_OFFSETS: Final = tuple(struct.Struct(">" + "4xI3x" * count) for count in range(32))


def version_of(packed: bytes) -> int:
    """The version in the head of any stored value."""
    return int.from_bytes(packed[1:9])


def pack_alias(target: str) -> bytes:
    """The pointer stored under an alias's key; `target` is the record's normalised identifier."""
    return _VERSION.pack(ALIAS_FORMAT, 1) + target.encode()


def alias_target(packed: bytes) -> str | None:
    """The normalised identifier that an alias pointer names, or None if `packed` is a record."""
    return packed[_VERSION.size :].decode() if packed[0] == ALIAS_FORMAT else None


def pack_record(record: Record, timestamp_s: int = 0) -> bytes:
    """Pack a record whose values have passed `check_values`; values whose timestamp is 0 are of `timestamp_s`.

    Raises `Refusal(RECORD_TOO_LARGE)` past `MAX_RECORD_BYTES`.
    """
    groups: dict[str, int] = {}
    public, hidden = [], []
    for value in sorted(record.values, key=_INDEX):
        if value.audience == PUBLIC:
            public.append((PUBLIC_CLASS, value))
        else:
            hidden.append((_class_of(value.audience, groups), value))
    classed = public + hidden
    spelling, registrant, template = record.identifier.encode(), record.registrant.encode(), record.template.encode()
    names = [spelling, registrant, template]
    for alias in record.aliases:
        raw = alias.encode()
        names += (_SIZE.pack(len(raw)), raw)
    for group in groups:
        names += (bytes((len(group),)), group.encode())
    head = _HEAD.pack(
        RECORD_FORMAT,
        record.version,
        record.state,
        len(classed),
        len(public),
        record.created_ms,
        record.changed_ms,
        len(spelling),
        len(registrant),
        len(template),
        len(record.aliases),
        len(groups),
    )
    front = b"".join((head, *names))
    offset = len(front) + _ENTRY.size * len(classed)
    table, bodies = [], []
    for audience, value in classed:
        body = compose_value(value, timestamp_s)
        table.append(_ENTRY.pack(value.index, offset, audience, len(value.type.encode())))
        bodies.append(body)
        offset += len(body)
    if offset > MAX_RECORD_BYTES:
        raise Refusal(Reason.RECORD_TOO_LARGE, f"the record is {offset} bytes; the limit is {MAX_RECORD_BYTES}", "values")
    return b"".join((front, *table, *bodies))


def pack_foreign(identifier: str, version: int, values: Sequence[bytes]) -> bytes:
    """What another node said of a record: its spelling, its version, and packed values that anybody may read."""
    spelling = identifier.encode()
    count = len(values)
    head = _HEAD.pack(COPY_FORMAT, version, State.ACTIVE, count, count, 0, 0, len(spelling), 0, 0, 0, 0)
    offset = len(head) + len(spelling) + _ENTRY.size * count
    table = []
    for value in values:
        index, kind_size = int.from_bytes(value[:4]), int.from_bytes(value[TYPE_OFFSET - 4 : TYPE_OFFSET])
        table.append(_ENTRY.pack(index, offset, PUBLIC_CLASS, kind_size))
        offset += len(value)
    return b"".join((head, spelling, *table, *values))


@compiled.preferred
def show_copy(packed: bytes, age_s: int, ttl_s: int, holds_ms: int, passed_s: int) -> bytes:
    """A packed copy as it is shown at a moment: `passed_s` after it came its values' TTLs are less by so much (those that end
    at a certain second stay), it is `age_s` old and holds for `ttl_s` more; in `holds_ms` milliseconds one of these changes.
    """
    shown = bytearray(packed)
    _TOLD.pack_into(shown, _TIMES_AT, age_s, ttl_s, holds_ms)
    if passed_s:
        for begin, _, _ in PackedRecord(packed).public_places:
            absolute, value_ttl_s = _TTL.unpack_from(packed, begin + TTL_FIELD.start)
            if not absolute:
                _TTL.pack_into(shown, begin + TTL_FIELD.start, 0, max(0, value_ttl_s - passed_s))
    return bytes(shown)


def aliases_of(packed: bytes) -> tuple[str, ...]:
    """The alias spellings in a packed record, none for an alias pointer: cheap where there are none, as nearly always."""
    if packed[0] != RECORD_FORMAT or not any(packed[_ALIAS_COUNT]):
        return ()
    return PackedRecord(packed).aliases


class PackedRecord:
    """Reads a packed record without unpacking it. The bytes come from our own store and are trusted."""

    __slots__ = (
        "_alias_count",
        "_aliases_start",
        "_group_count",
        "_registrant_start",
        "_template_start",
        "changed_ms",
        "created_ms",
        "public_count",
        "raw",
        "state",
        "value_count",
        "version",
    )  # fmt: skip

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        (
            _,
            self.version,
            state,
            self.value_count,
            self.public_count,
            self.created_ms,
            self.changed_ms,
            spelling,
            registrant,
            template,
            self._alias_count,
            self._group_count,
        ) = _HEAD.unpack_from(raw)
        self.state = _STATES[state]
        self._registrant_start = start = _HEAD_BYTES + spelling
        self._template_start = start = start + registrant
        self._aliases_start = start + template

    @property
    def is_copy(self) -> bool:
        """Whether this is what another node said."""
        return self.raw[0] == COPY_FORMAT

    @property
    def told(self) -> tuple[int, int, int]:
        """Of a copy as it is shown: its age and its TTL in seconds, and for how many milliseconds both are true."""
        age_s, ttl_s, holds_ms = _TOLD.unpack_from(self.raw, _TIMES_AT)
        return age_s, ttl_s, holds_ms

    @property
    def identifier(self) -> str:
        """The registered spelling."""
        return self.raw[_HEAD_BYTES : self._registrant_start].decode()

    @property
    def spelling(self) -> bytes:
        """`identifier` in UTF-8."""
        return self.raw[_HEAD_BYTES : self._registrant_start]

    @property
    def description(self) -> tuple[bytes, bytes]:
        """`registrant` and `template` in UTF-8."""
        raw, template = self.raw, self._template_start
        return raw[self._registrant_start : template], raw[template : self._aliases_start]

    @property
    def registrant(self) -> str:
        return self.raw[self._registrant_start : self._template_start].decode()

    @property
    def template(self) -> str:
        return self.raw[self._template_start : self._aliases_start].decode()

    @property
    def aliases(self) -> tuple[str, ...]:
        return self._names()[0] if self._alias_count else ()

    @property
    def groups(self) -> tuple[str, ...]:
        """The names behind audience numbers 2, 3, ..."""
        return self._names()[1]

    def select(
        self, indexes: Collection[int] = (), types: Collection[str] = (), classes: Collection[int] | None = _PUBLIC_ONLY
    ) -> tuple[tuple[bytes, ...], int]:
        """The packed values that match the filters and are in one of `classes`, and how many matched but were not.

        `classes` None reads everything.
        """
        if not indexes and not types and classes == _PUBLIC_ONLY:
            return self._public_values(), self.value_count - self.public_count
        raw, count, start = self.raw, self.value_count, self._table_start()
        chosen: list[bytes] = []
        hidden = 0
        is_filtered = bool(indexes or types)
        wanted, matches = frozenset(indexes), type_filter(types)
        entries = list(_ENTRY.iter_unpack(raw[start : start + count * _ENTRY.size]))
        for place, (index, offset, audience, type_size) in enumerate(entries):
            if is_filtered and index not in wanted:
                kind = raw[offset + TYPE_OFFSET : offset + TYPE_OFFSET + type_size]
                if not matches(kind.decode()):
                    continue
            if classes is None or audience in classes:
                end = entries[place + 1][1] if place + 1 < count else len(raw)
                chosen.append(raw[offset:end])
            else:
                hidden += 1
        return tuple(chosen), hidden

    def _public_values(self) -> tuple[bytes, ...]:
        """What nearly every question asks for: the public values stand first, end to end."""
        raw, count, start = self.raw, self.public_count, self._table_start()
        listed = min(count + 1, self.value_count)  # a value ends where the next one begins
        offsets: tuple[int, ...]
        if listed < len(_OFFSETS):
            offsets = _OFFSETS[listed].unpack_from(raw, start)
        else:
            offsets = tuple([entry[1] for entry in _ENTRY.iter_unpack(raw[start : start + listed * _ENTRY.size])])
        if count == self.value_count:
            offsets += (len(raw),)
        return tuple([raw[begin:end] for begin, end in pairwise(offsets)])

    @property
    def public_part(self) -> bytes:
        """The public values, end to end, as they are."""
        raw, count, start = self.raw, self.public_count, self._table_start()
        if not count:
            return b""
        begin = _OFFSET.unpack_from(raw, start)[0]
        if count == self.value_count:
            return raw[begin:]
        return raw[begin : _OFFSET.unpack_from(raw, start + count * _ENTRY.size)[0]]

    @property
    def public_places(self) -> Iterator[tuple[int, int, int]]:
        """Of each public value: where in `raw` it begins, the size of its type, and where it ends."""
        raw, count, start = self.raw, self.public_count, self._table_start()
        if count < len(_PLACES):
            entries = _PLACES[count].unpack_from(raw, start)
            begins, sizes = entries[::2], entries[1::2]
        else:
            table = [*_ENTRY.iter_unpack(raw[start : start + count * _ENTRY.size])]
            begins, sizes = tuple([entry[1] for entry in table]), tuple([entry[3] for entry in table])
        end = len(raw) if count == self.value_count else _OFFSET.unpack_from(raw, start + count * _ENTRY.size)[0]
        return zip(begins, sizes, (*begins[1:], end), strict=False)  # without values there is an end and no beginning

    def classes_for(self, groups: Iterable[str]) -> tuple[int, ...]:
        """The audience numbers open to a reader in these groups of the record's registrant."""
        named = self.groups
        return (PUBLIC_CLASS, *(FIRST_GROUP_CLASS + named.index(group) for group in groups if group in named))

    def unpack(self) -> Record:
        """The whole record, private values included."""
        aliases, groups, start = self._names()
        values: list[Value] = []
        for _, offset, audience, _ in _ENTRY.iter_unpack(self.raw[start : start + self.value_count * _ENTRY.size]):
            value, _ = parse_value(self.raw, offset, _audience_name(audience, groups))
            values.append(value)
        return Record(
            self.identifier,
            self.version,
            self.state,
            tuple(values),
            self.registrant,
            self.created_ms,
            self.changed_ms,
            self.template,
            aliases,
        )

    def _names(self) -> tuple[tuple[str, ...], tuple[str, ...], int]:
        raw, at = self.raw, self._aliases_start
        aliases, groups = [], []
        for _ in range(self._alias_count):
            (size,) = _SIZE.unpack_from(raw, at)
            aliases.append(raw[at + 2 : at + 2 + size].decode())
            at += 2 + size
        for _ in range(self._group_count):
            size = raw[at]
            groups.append(raw[at + 1 : at + 1 + size].decode())
            at += 1 + size
        return tuple(aliases), tuple(groups), at

    def _table_start(self) -> int:
        return self._names()[2] if self._alias_count or self._group_count else self._aliases_start


@compiled.preferred
def shows_all(raw: bytes, wants_private: bool) -> bool:
    """Whether what is stored is an active record with public values, and those are all that is asked for."""
    if raw[0] != RECORD_FORMAT:
        return False
    record = PackedRecord(raw)
    count = record.public_count
    return record.state is State.ACTIVE and count > 0 and (not wants_private or count == record.value_count)


@compiled.preferred
def has_absolute_ttl(raw: bytes) -> bool:
    """Whether a TTL of a packed record's public values ends at a certain second."""
    return any(raw[begin + TTL_FIELD.start] for begin, _, _ in PackedRecord(raw).public_places)


def least_ttl_s(values: Iterable[bytes], now_s: int, default: int) -> int:
    """The shortest TTL of packed values, in seconds from `now_s`; `default` if there are none."""
    # The values of a record mostly share one TTL.
    return min([relative_ttl_s(field, now_s) for field in {value[TTL_FIELD] for value in values}], default=default)


def _class_of(audience: str, groups: dict[str, int]) -> int:
    if audience == PUBLIC:
        return PUBLIC_CLASS
    if audience == PRIVATE:
        return PRIVATE_CLASS
    return groups.setdefault(audience, FIRST_GROUP_CLASS + len(groups))


def _audience_name(audience: int, groups: tuple[str, ...]) -> str:
    if audience == PUBLIC_CLASS:
        return PUBLIC
    if audience == PRIVATE_CLASS:
        return PRIVATE
    return groups[audience - FIRST_GROUP_CLASS]
