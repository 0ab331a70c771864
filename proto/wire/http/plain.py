"""Plain requests: a GET or HEAD that asks for a document and says nothing else, told from all others.

Nearly every request is one. It is told by a grammar far narrower than HTTP's (RFC 9112 2-5): what every parser reads in one
and the same way is plain; what one of them could read differently is not (a body announced, a field twice, white space where
it need not be, bytes that are not visible ASCII), and is left to a full parser. So no two readers of the same bytes can be
made to disagree on where a request ends, or on what it asks.

A client sends the same header block with every request: a block is read once, by httptools, and its verdict remembered.
"""

import re
from typing import Final

import httptools

from proto import compiled
from proto.errors import Refusal
from proto.frozen import frozen
from proto.wire.http import head
from proto.wire.http.target import decode_part, parse_target

# A plain head is short; one that is longer may still be a request.
MAX_LINE_BYTES: Final = 4_096
MAX_BLOCK_BYTES: Final = 4_096
MAX_FIELDS: Final = 32

# Blocks that are remembered, one for each kind of client: at most 2 MiB. When all places are taken they are given out anew.
BLOCKS_KEPT: Final = 512

_VERSION: Final = b" HTTP/1.1"
METHODS: Final = (b"GET ", b"HEAD ")
# RFC 3986's characters without those of a fragment; what browsers and curl send unescaped beside them is not plain.
_CHARACTERS: Final = rb"/[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*"
_TARGET: Final = re.compile(_CHARACTERS)
_LINE: Final = re.compile(rb"(?:GET|HEAD) (%b) HTTP/1\.1" % _CHARACTERS)
_FIELDS: Final = rb"(?:[A-Za-z0-9-]+: ?[!-~](?:[ -~]*[!-~])?\r\n)*"
_BLOCK: Final = re.compile(_FIELDS + rb"\r\n")
_BEGUN_BLOCK: Final = re.compile(_FIELDS + rb"(?:\r|[A-Za-z0-9-]+(?:: ?(?:[!-~][ -~]*\r?)?)?)?")

# Fields that announce a body, another protocol or a caller with rights, and those that belong to one hop alone.
_NOT_PLAIN: Final = frozenset((b"authorization", b"expect", b"http2-settings", b"keep-alive", b"te", b"trailer", b"upgrade"))
_NOT_PLAIN_BEGIN: Final = (b"content-", b"proxy-", b"sec-websocket-", b"transfer-")
_KEEP: Final = b"keep-alive"
_CLOSE: Final = b"close"

_PROBE_LINE: Final = b"GET / HTTP/1.1\r\n"


@frozen
class Block:
    """What the header fields of a plain request say, as far as an answer depends on it."""

    is_kept: bool
    """Whether the connection stays open."""
    if_none_match: str = ""
    request_id: str = ""
    traceparent: str = ""


_SILENT: Final = Block(is_kept=True)


def parse_line(line: bytes) -> str | None:
    """The target of a request line without its end; None if the line is not plain."""
    found = _LINE.fullmatch(line)
    return found[1].decode("ascii") if found and len(line) <= MAX_LINE_BYTES else None


@compiled.preferred
def parse_name(line: bytes, routes: tuple[bytes, ...]) -> tuple[int, str] | None:
    """Below which of `routes` a plain request line asks, by its place, and for what: the rest of its path, decoded once.

    None if the line is not plain, is below none of them, has a query (an empty one, too), or cannot be decoded.
    """
    raw = parse_line(line)
    target = parse_target(raw) if raw is not None and "?" not in raw else None
    if target is None:
        return None
    for place, route in enumerate(routes):
        path = route.decode()
        if target.path.startswith(path):
            try:
                return place, decode_part(target.path[len(path) :], "identifier")
            except Refusal:
                return None
    return None


def parse_block(block: bytes) -> Block | None:
    """Read a header block, from after the request line to the end of its empty line; None if it is not plain."""
    if len(block) > MAX_BLOCK_BYTES or not _BLOCK.fullmatch(block):
        return None
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(_PROBE_LINE + block)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    found = fields.found
    if not fields.is_complete or found is None or b"host" not in found or len(found) > MAX_FIELDS:
        return None
    if not _NOT_PLAIN.isdisjoint(found) or any(name.startswith(_NOT_PLAIN_BEGIN) for name in found):
        return None
    connection = found.get(b"connection", _KEEP).lower()
    if connection not in (_KEEP, _CLOSE):
        return None
    text = {name.decode("ascii"): value.decode("ascii") for name, value in found.items()}
    if not head.is_host(text["host"]):
        return None
    return Block(
        connection == _KEEP,
        text.get("if-none-match", ""),
        head.check_request_id(text.get("x-request-id", "")),
        head.check_traceparent(text.get("traceparent", "")),
    )


def may_become_plain(begun: bytes, routes: tuple[bytes, ...]) -> bool:
    """Whether an incomplete head is so far that of a plain request for something below one of `routes`."""
    line, end, block = begun.partition(b"\r\n")
    method = next((each for each in METHODS if line.startswith(each) or each.startswith(line)), None)
    if method is None or len(line) > MAX_LINE_BYTES or len(block) > MAX_BLOCK_BYTES:
        return False
    target, space, version = line[len(method) :].partition(b" ")
    if not any(target.startswith(route) or (not space and route.startswith(target)) for route in routes):
        return False
    if target and not _TARGET.fullmatch(target):
        return False
    if end:
        return space + version == _VERSION and _BEGUN_BLOCK.fullmatch(block) is not None
    return (_VERSION + b"\r").startswith(space + version)


class Blocks:
    """Verdicts on header blocks, remembered."""

    def __init__(self) -> None:
        self._verdicts: dict[bytes, Block | None] = {}
        self.silent: Final[set[bytes]] = set()
        """Of the blocks that are remembered, those that say nothing but that the connection stays."""

    def parse(self, block: bytes) -> Block | None:
        """As `parse_block`."""
        try:
            return self._verdicts[block]
        except KeyError:
            pass
        verdict = parse_block(block)
        # One that names its request does not come again, and a long one would make the memory a large one.
        if len(block) <= MAX_BLOCK_BYTES and (verdict is None or not (verdict.request_id or verdict.traceparent)):
            if len(self._verdicts) >= BLOCKS_KEPT:
                self._verdicts.clear()
                self.silent.clear()
            self._verdicts[block] = verdict
            if verdict == _SILENT:
                self.silent.add(block)
        return verdict


class _Fields:
    """What httptools calls while it reads: collects fields by their names in small letters."""

    def __init__(self) -> None:
        self.found: dict[bytes, bytes] | None = {}
        """None once a name came a second time."""
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if self.found is not None and name in self.found:
            self.found = None
        if self.found is not None:
            self.found[name] = value

    def on_message_complete(self) -> None:
        self.is_complete = True
