"""Identifiers as names below a zone, and back: every identifier that fits has one name, and no two have the same.

The prefix stands as DNS has it, its general end to the right, so that what is delegated of the one can be delegated of the
other. A separator follows, then the suffix; a name without separator is the identifier of the prefix itself:

    88.118.1001/s20-m-630    s20-m-630._.1001.118.88.id.example.cn
    88.118.1001              1001.118.88.id.example.cn
    88.118.1001/S20-M-630    _acp30bad5kr36c0._.1001.118.88.id.example.cn

DNS folds the letters of names, and resolvers on the way do change their case; identifiers need not fold. So a label means its
lower-case letters, whatever case it comes in, and stands for itself only where that is all there is: `a-z 0-9 -`, and `_` but
not in front. Any other text (capitals, Chinese, slashes, dots) is written as `_` and its UTF-8 in base32hex (RFC 4648 7, lower
case, unpadded). A suffix whose base32hex is longer than a label is cut: the first piece stands nearest to the separator, and
each piece but the last begins with `__`. Where suffixes fold, which is the rule, the readable name finds what was registered in
capitals: `S20-M-630._.1001.118.88.id.example.cn` asks for `88.118.1001/s20-m-630`, which is the same there.

Below a name lies `_record`, and `_record-1`, `_record-2`, ... where one message does not hold it: the values themselves.

What does not fit is refused: a label of a prefix past 63 octets (38, if it has to be encoded), a name past 255. Below
`id.example.cn` and the prefix above, suffixes fit up to 63 plain or some 130 other octets of UTF-8.
"""

import base64
import binascii
import re
from functools import lru_cache
from typing import Final, NamedTuple

from proto.errors import Reason, Refusal
from proto.model.identifier import fold_ascii
from proto.wire.dns.name import MAX_LABEL_BYTES, MAX_NAME_BYTES, Labels, name_bytes

SEPARATOR: Final = b"_"
_ENCODED: Final = b"_"
_CONTINUED: Final = b"__"
PLAIN: Final = re.compile(rb"[a-z0-9-][a-z0-9_-]{0,62}")
"""A label that stands for itself, in lower case."""

_RECORD: Final = re.compile(rb"_record(?:-([1-9][0-9]{0,2}))?")
# A node serves many identifiers of few prefixes. A name of very many labels takes 4 KB here, so all of them are 4 MB at most.
_PREFIXES_KEPT: Final = 1_024
# Base32hex comes in groups of eight characters for five octets.
_GROUP: Final = 8


class Named(NamedTuple):
    """A name of an identifier; `piece` is the number of the piece of its values that is asked for, None for itself."""

    identifier: str
    piece: int | None = None

    @property
    def is_prefix(self) -> bool:
        """Whether it is the name of a prefix, which has the names of its identifiers below it."""
        return "/" not in self.identifier and self.piece is None


class Interior(NamedTuple):
    """A name that is there only because names below it are: of a separator, or of a suffix that goes on."""

    prefix: str


def name_of(identifier: str, zone: Labels, piece: int | None = None) -> Labels:
    """The name of an identifier below `zone`, or of a piece of its values. Raises `Refusal(INVALID_IDENTIFIER)` if it has none.

    Whether the identifier is valid is not asked: that is for who answers. Undecodable octets (surrogates) go out as they are.
    """
    prefix, slash, suffix = identifier.partition("/")
    labels = [_prefix_label(label) for label in reversed(fold_ascii(prefix).split("."))]
    if slash:
        labels = [*_suffix_labels(_octets(suffix)), SEPARATOR, *labels]
    if piece is not None:
        labels = [record_label(piece), *labels]
    name = (*labels, *zone)
    if name_bytes(name) > MAX_NAME_BYTES:
        raise _no_name(f"its name has {name_bytes(name)} octets, and DNS has room for {MAX_NAME_BYTES}")
    return name


def read_name(labels: Labels) -> Named | Interior | None:
    """What a name is whose labels, in lower case, are these and then the zone's; None if no identifier has such a name.

    Raises `Refusal(INVALID_IDENTIFIER)` if what is encoded in it is no text.
    """
    at = _separator_at(labels)
    prefix, count = _read_prefix(labels[at + 1 :] if at >= 0 else labels)
    if not prefix:
        return None
    if at >= 0 and at + 1 + count == len(labels):
        return _read_below(prefix, labels[:at])
    rest = labels[: len(labels) - count]
    return _read_own(prefix, rest)


def _read_below(prefix: str, labels: Labels) -> Named | Interior | None:
    """What a name is whose labels in front of a prefix and the separator are these."""
    if len(labels) == 1 and PLAIN.fullmatch(labels[0]):
        return Named(f"{prefix}/{labels[0].decode()}")
    rest = list(labels)
    suffix = _read_suffix(rest)
    if suffix is None:
        return None if rest else Interior(prefix)
    return _read_own(f"{prefix}/{_text(suffix)}", tuple(rest))


def _read_own(identifier: str, labels: Labels) -> Named | None:
    """What a name is whose labels in front of an identifier's are these."""
    if not labels:
        return Named(identifier)
    asked = _RECORD.fullmatch(labels[0])
    return Named(identifier, int(asked[1] or 0)) if asked and len(labels) == 1 else None


def record_label(piece: int) -> bytes:
    """The label under which a piece of a record's values is asked for."""
    return b"_record-%d" % piece if piece else b"_record"


def _separator_at(labels: Labels) -> int:
    """The place of the last separator, -1 if there is none."""
    for at in range(len(labels) - 1, -1, -1):
        if labels[at] == SEPARATOR:
            return at
    return -1


@lru_cache(_PREFIXES_KEPT)
def _read_prefix(labels: Labels) -> tuple[str, int]:
    """The prefix that the last of these labels are, and how many they are; none is empty."""
    found: list[str] = []
    for label in reversed(labels):
        if found and _RECORD.fullmatch(label):
            break
        own = _read_label(label)
        if own is None or (not PLAIN.fullmatch(label) and set(b"./") & set(own)):
            return "", 0
        text = _text(own)
        if fold_ascii(text) != text:
            return "", 0
        found.append(text)
    return ".".join(found), len(found)


def _read_suffix(rest: list[bytes]) -> bytes | None:
    """Take the labels of a suffix off the end; None if they are not all there (then nothing is left), or are no suffix's."""
    pieces = []
    while rest and rest[-1].startswith(_CONTINUED):
        piece = rest.pop()
        if len(piece) != MAX_LABEL_BYTES:
            rest.append(piece)
            return None
        pieces.append(piece[len(_CONTINUED) :])
    if not rest:
        return None
    last = rest.pop()
    if not pieces:
        found = _read_label(last)
    else:
        found = _decode(b"".join((*pieces, last[len(_ENCODED) :]))) if last.startswith(_ENCODED) else None
    if found is None or _suffix_labels(found) != [last, *(_CONTINUED + piece for piece in reversed(pieces))]:
        rest.append(last)
        return None
    return found


def _read_label(label: bytes) -> bytes | None:
    """What a label stands for that is complete in itself; None if no text is written so."""
    if PLAIN.fullmatch(label):
        return label
    found = _decode(label[len(_ENCODED) :]) if label.startswith(_ENCODED) else None
    return None if found is None or PLAIN.fullmatch(found) else found


def _prefix_label(label: str) -> bytes:
    octets = _octets(label)
    if not octets:
        raise _no_name("an empty label of its prefix has no name")
    written = octets if PLAIN.fullmatch(octets) else _ENCODED + _encode(octets)
    if len(written) > MAX_LABEL_BYTES:
        raise _no_name(f"a label of its prefix has {len(written)} octets as a name, and DNS has room for {MAX_LABEL_BYTES}")
    return written


def _suffix_labels(octets: bytes) -> list[bytes]:
    """The labels of a suffix, the leftmost first."""
    if PLAIN.fullmatch(octets):
        return [octets]
    rest, labels = _encode(octets), []
    while len(rest) > MAX_LABEL_BYTES - len(_ENCODED):
        size = MAX_LABEL_BYTES - len(_CONTINUED)
        labels.append(_CONTINUED + rest[:size])
        rest = rest[size:]
    return [_ENCODED + rest, *reversed(labels)]


def _encode(octets: bytes) -> bytes:
    return base64.b32hexencode(octets).rstrip(b"=").lower()


def _decode(written: bytes) -> bytes | None:
    """The octets that are written so, and in no other way."""
    try:
        octets = base64.b32hexdecode(written.upper() + b"=" * (-len(written) % _GROUP))
    except binascii.Error:
        return None
    return octets if _encode(octets) == written else None


def _octets(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise Refusal(
            Reason.INVALID_IDENTIFIER, "not an identifier: its name encodes what is not UTF-8", "identifier"
        ) from None


def _no_name(why: str) -> Refusal:
    return Refusal(Reason.INVALID_IDENTIFIER, f"the identifier has no DNS name: {why}", "identifier")
