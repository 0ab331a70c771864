"""From an identifier to its answer, over as many servers as it takes: a conversation without its sockets. Pure.

A walk is a generator: it yields what to ask whom (`Ask`), is sent what came back (`Response`) or thrown why nothing did
(`Failed`), and returns what it came to (`Finding`). So it can be driven by sockets, by recordings and by tests alike.

The order of things (RFC 3650 4, RFC 3652 3.2; Handle.Net's client): where the prefix is known to live, its site is asked. Where
it is not, the root is asked for the identifier itself, because a root that is a recursive node, or the home, answers at once
and any other refers. Only when the root has nothing, or nothing to do with it, does the walk ask for the prefix (`0.NA/P`,
longest first) and go where its HS_SITE, HS_SERV or, for a derived prefix, HS_SITE.PREFIX and HS_SERV.PREFIX lead.

Everything that leads on comes from others and may lead astray: no question is put to the same servers twice, after
`MAX_QUESTIONS` a walk ends, and who may not be asked (`reach`) is passed over.
"""

from collections.abc import Generator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from proto.errors import Refusal
from proto.model.answer import Source
from proto.model.identifier import Identifier, ancestors, parse_identifier
from proto.model.record import State
from proto.packing import least_ttl_s
from proto.wire.handle import codes
from proto.wire.handle.codes import ResponseCode
from proto.wire.handle.exchange import REFERRALS, Question, Response
from proto.wire.handle.typed import SiteInfo
from resolver.upstream.copies import Kind, public_of
from resolver.upstream.failure import Failed, Why
from resolver.upstream.reach import Reach
from resolver.upstream.sites import (
    HS_ALIAS,
    HS_NA_DELEGATE,
    HS_SERV,
    HS_SERV_PREFIX,
    HS_SITE,
    HS_SITE_6,
    HS_SITE_PREFIX,
    Endpoint,
    endpoints_of,
    sites_in,
    text_in,
)

# Three levels of nodes, a service identifier at each, and every label of a deep prefix: twice that.
MAX_QUESTIONS: Final = 24

# Where a prefix lives changes by the month; a longer TTL would outlive a move, a shorter one costs a question each time.
MAX_PLACE_TTL_S: Final = 3_600

_FLAGS: Final = codes.PUBLIC_ONLY | codes.CACHE_CERTIFY | codes.LIFE_CYCLE
_HOME_TYPES: Final = (HS_SITE, HS_SITE_6, HS_SERV, HS_ALIAS)
_DERIVED_SITES: Final = (HS_SITE_PREFIX, HS_NA_DELEGATE)
_DERIVED_TYPES: Final = (*_HOME_TYPES, *_DERIVED_SITES, HS_SERV_PREFIX)

# What a server says when it could answer another time, or another server could now.
SERVER_FAULTS: Final = frozenset(
    (
        ResponseCode.ERROR, ResponseCode.TOO_BUSY, ResponseCode.PROTOCOL_ERROR, ResponseCode.OPERATION_NOT_SUPPORTED,
        ResponseCode.SERVER_READ_ONLY, ResponseCode.OUT_OF_DATE_SITE,
    )
)  # fmt: skip
_UNREADABLE: Final = frozenset(
    (ResponseCode.AUTHENTICATION_NEEDED, ResponseCode.INVALID_ADMIN, ResponseCode.INSUFFICIENT_PERMISSION)
)


class Standing(IntEnum):
    """What is known of a place."""

    SITE = 0
    ROOT = 1
    NOWHERE = 2
    DELEGATED = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prefix lives: the sites of its home as others' records tell, the root (whose endpoints are configuration),
    nowhere, or the sites that the operator has delegated it to. TTL in seconds."""

    standing: Standing = Standing.SITE
    sites: tuple[SiteInfo, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    ttl_s: int = MAX_PLACE_TTL_S

    def endpoints_for(self, identifier: str) -> tuple[Endpoint, ...]:
        """Who may be asked about an identifier, in order."""
        return self.endpoints or endpoints_of(self.sites, identifier)


NOWHERE: Final = Place(Standing.NOWHERE)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question that any one of `endpoints` may answer; the first that does is enough."""

    endpoints: tuple[Endpoint, ...]
    question: Question


@dataclass(frozen=True, slots=True)
class Finding:
    """What a walk came to; `values` packed, public ones alone. `age_s` and `was_stale` are those of the node that answered."""

    kind: Kind
    identifier: str = ""
    version: int = 0
    values: tuple[bytes, ...] = ()
    alias: str = ""
    age_s: int = 0
    was_stale: bool = False


Steps = Generator[Ask, Response, Finding]


class Walk:
    """The walk for one identifier. `start` is where its prefix is known to live, `root` the upstream; one of them there is.

    `trace` gets a line for everything it does; when it has ended, `learned` is where the prefix lives, if that is new.
    """

    def __init__(
        self,
        name: Identifier,
        root: Place | None,
        start: Place | None,
        hops: int,
        now_s: int,
        reach: Reach,
        trace: list[str],
    ) -> None:
        self.learned: Place | None = None
        self.trace = trace
        self._name = name
        self._root = root
        self._start = start
        self._hops = hops
        self._now_s = now_s
        self._reach = reach
        # What was asked, and how that failed, if it did.
        self._asked: dict[tuple[tuple[Endpoint, ...], str, tuple[str, ...]], Failed | None] = {}

    def run(self) -> Steps:
        """The steps. Raises `Failed` when it cannot go on."""
        if self._start is not None:
            if self._start.standing is Standing.NOWHERE:
                return Finding(Kind.NOT_HOMED)
            finding = yield from self._from_start(self._start)
            if finding is not None:
                return finding
        return (yield from self._from_root(self._root or NOWHERE))

    def _from_start(self, start: Place) -> Generator[Ask, Response, Finding | None]:
        """Ask where the prefix was; None if it lives there no more and the root may know better."""
        try:
            finding, place = yield from self._resolve_at(start, self._name.text)
        except Failed:
            if self._root is None or start == self._root:
                raise
            return None
        if finding.kind is Kind.NOT_HOMED and self._root is not None:
            return None
        if place is not start:
            self._learn(place)
        return finding

    def _from_root(self, root: Place) -> Steps:
        finding, place = yield from self._resolve_at(root, self._name.text)
        if finding.kind not in (Kind.NOT_FOUND, Kind.NOT_HOMED) or place is not root:
            self._learn(place)
            return finding
        home = yield from self._seek(self._name.homing_prefix)
        if home is None:
            self._learn(root if finding.kind is Kind.NOT_FOUND else NOWHERE)
            return finding
        found, place = yield from self._resolve_at(home, self._name.text)
        self._learn(place)
        return found

    def _resolve_at(self, place: Place, text: str) -> Generator[Ask, Response, tuple[Finding, Place]]:
        response, place = yield from self._settle(place, text)
        return _finding_of(response), place

    def _seek(self, prefix: str) -> Generator[Ask, Response, Place | None]:
        """Where what the prefix homes lives, as the records of it and of what it derives from say."""
        for name in ancestors(prefix):
            is_derived = name != prefix
            if self._name.names_prefix and not is_derived:
                continue  # that is the very record that is looked for
            values = yield from self._record_of_prefix(name, is_derived)
            if not values:
                continue
            if is_derived:
                place = yield from self._place_in(values, HS_SERV_PREFIX, *_DERIVED_SITES)
                if place is not None:
                    return place if self._name.names_prefix else (yield from self._derived(place, prefix))
            place = yield from self._place_in(values, HS_SERV, HS_SITE, HS_SITE_6)
            if place is not None:
                return place
        return None

    def _derived(self, holder: Place, prefix: str) -> Generator[Ask, Response, Place | None]:
        """The home of a derived prefix whose record is at `holder`; `holder` itself if it keeps no record of it."""
        try:
            values = yield from self._values_at(holder, f"0.NA/{prefix}", _HOME_TYPES)
        except Failed as failed:
            if failed.why is not Why.LOOP:
                raise
            # A referral has led there already, and there was none; what it knows of the identifier itself it was not asked yet.
            return holder
        return (yield from self._place_in(values, HS_SERV, HS_SITE, HS_SITE_6)) or holder

    def _record_of_prefix(self, name: str, is_derived: bool) -> Generator[Ask, Response, tuple[bytes, ...]]:
        types = _DERIVED_TYPES if is_derived else _HOME_TYPES
        values = yield from self._values_at(self._root or NOWHERE, f"0.NA/{name}", types)
        alias = text_in(values, HS_ALIAS)
        while alias:
            _parse(alias)
            self.trace.append(f"0.NA/{name}: an alias of {alias}")
            values = yield from self._values_at(self._root or NOWHERE, alias, types)
            alias = text_in(values, HS_ALIAS)
        return values

    def _values_at(self, place: Place, text: str, types: tuple[str, ...]) -> Generator[Ask, Response, tuple[bytes, ...]]:
        response, _ = yield from self._settle(place, text, types)
        return response.values if response.code == ResponseCode.SUCCESS else ()

    def _place_in(self, values: tuple[bytes, ...], service: str, *sites: str) -> Generator[Ask, Response, Place | None]:
        """The place that sites among `values`, or a service identifier, name."""
        found = sites_in(values, *sites)
        if found:
            return Place(sites=found, ttl_s=self._ttl_of(values))
        name = text_in(values, service)
        return (yield from self._place_of_service(name, is_derived=service == HS_SERV_PREFIX)) if name else None

    def _place_of_service(self, text: str, *, is_derived: bool = False) -> Generator[Ask, Response, Place | None]:
        """The sites in the record of a service identifier, wherever that record lives; those for derived prefixes first, if it
        is about one."""
        name = _parse(text)
        self.trace.append(f"service {text}")
        types = (*_DERIVED_SITES, HS_SITE, HS_SITE_6) if is_derived else (HS_SITE, HS_SITE_6)
        values = yield from self._values_at(self._root or NOWHERE, text, types)
        if not values:
            home = yield from self._seek(name.homing_prefix)
            if home is not None:
                values = yield from self._values_at(home, text, types)
        found = (sites_in(values, *_DERIVED_SITES) if is_derived else ()) or sites_in(values)
        return Place(sites=found, ttl_s=self._ttl_of(values)) if found else None

    def _settle(self, place: Place, text: str, types: tuple[str, ...] = ()) -> Generator[Ask, Response, tuple[Response, Place]]:
        """Ask, and follow referrals until somebody says something else."""
        while True:
            response = yield from self._ask(place, text, types)
            if response.code not in REFERRALS:
                return response, place
            where: Place | None = None
            if response.values:
                where = yield from self._place_in(response.values, HS_SERV, HS_SITE, HS_SITE_6, *_DERIVED_SITES)
                if where is None:
                    where = yield from self._place_in(response.values, HS_SERV_PREFIX)
            elif response.service:
                where = yield from self._place_of_service(response.service)
            if where is None:
                raise Failed(Why.MALFORMED, f"a referral for {text} that names nobody")
            self.trace.append(f"{text}: referred to another site")
            place = where

    def _ask(self, place: Place, text: str, types: tuple[str, ...]) -> Generator[Ask, Response, Response]:
        endpoints = place.endpoints_for(text)
        if not endpoints:
            raise Failed(Why.UNREACHABLE, f"nobody can be asked about {text}: no server of its site answers over TCP")
        if place.standing is Standing.SITE:
            endpoints = self._reached(endpoints, text)
        key = (endpoints, text, types)
        if key in self._asked:
            # Who failed where the prefix was known to live is not asked again if the root refers there, too.
            raise self._asked[key] or Failed(Why.LOOP, f"referrals for {text} go round in a circle")
        if len(self._asked) >= MAX_QUESTIONS:
            raise Failed(Why.LOOP, f"{MAX_QUESTIONS} questions have not led to {self._name.text}")
        self._asked[key] = None
        flags = _FLAGS | (codes.RECURSIVE if place.standing is Standing.ROOT else 0)
        try:
            response = yield Ask(endpoints, Question(text, (), types, flags, self._hops))
        except Failed as failed:
            self._asked[key] = failed
            raise
        self.trace.append(f"{text} at {endpoints[0]}: {_name_of(response.code)}")
        return response

    def _reached(self, endpoints: tuple[Endpoint, ...], text: str) -> tuple[Endpoint, ...]:
        """Those of the servers that others have named which may be asked. Raises `Failed` if there are none."""
        barred = {endpoint: why for endpoint in endpoints if (why := self._reach.bar(endpoint))}
        told = [f"{endpoint} ({why})" for endpoint, why in barred.items()]
        if len(barred) == len(endpoints):
            raise Failed(Why.FORBIDDEN, f"{text} is said to be at {', '.join(told)}, where this node asks nobody")
        self.trace += [f"{text} at {each}: not asked" for each in told]
        return tuple(endpoint for endpoint in endpoints if endpoint not in barred)

    def _learn(self, place: Place) -> None:
        # The record of a prefix lives where that prefix's parent does: it says nothing about the prefix itself.
        if not self._name.names_prefix:
            self.learned = place

    def _ttl_of(self, values: tuple[bytes, ...]) -> int:
        return min(MAX_PLACE_TTL_S, least_ttl_s(values, self._now_s, MAX_PLACE_TTL_S))


def _parse(text: str) -> Identifier:
    """An identifier that somebody else wrote. Raises `Failed`."""
    try:
        return parse_identifier(text)
    except Refusal as refusal:
        raise Failed(Why.MALFORMED, f"a referral to {text[:64]!r}: {refusal.detail}") from None


def _finding_of(response: Response) -> Finding:
    """What a response that is no referral comes to. Raises `Failed`."""
    told, code = response.told, response.code
    age_s, was_stale = (told.age_s, told.source is Source.STALE) if told else (0, False)
    if code == ResponseCode.SUCCESS:
        values = public_of(response.values)
        kind = Kind.FOUND if values else Kind.NO_VALUES
        identifier, version = (told.identifier, told.version) if told else ("", 0)
        return Finding(kind, identifier, version, values, text_in(values, HS_ALIAS), age_s, was_stale)
    if code in (ResponseCode.IDENTIFIER_NOT_FOUND, ResponseCode.INVALID_IDENTIFIER):
        is_retired = told is not None and told.state is State.RETIRED
        return Finding(Kind.RETIRED if is_retired else Kind.NOT_FOUND, version=told.version if told else 0, age_s=age_s)
    if code == ResponseCode.VALUES_NOT_FOUND:
        if told is not None and told.state is State.SUSPENDED:
            return Finding(Kind.SUSPENDED, age_s=age_s)
        identifier, version = (told.identifier, told.version) if told else ("", 0)
        return Finding(Kind.NO_VALUES, identifier, version, age_s=age_s)
    if code in _UNREADABLE:
        # Only public values were asked for: there are none.
        return Finding(Kind.NO_VALUES)
    if code == ResponseCode.NOT_RESPONSIBLE:
        return Finding(Kind.NOT_HOMED)
    if code == ResponseCode.RECURSION_TOO_HIGH:
        raise Failed(Why.LOOP, "the question has passed too many nodes")
    raise Failed(Why.REFUSED, f"{_name_of(code)}: {response.message or 'no reason given'}")


def _name_of(code: int) -> str:
    try:
        return ResponseCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"response code {code}"
