"""Papers of registrants: given, changed, shown to who files them, and erased.

    seal → file, synced → the registrant's row names its reference → the file before it is removed

The row is what counts: a kill before it leaves a file that nobody names, a kill after it one that nobody names any more, and
both go at the next start. What is erased is a file that is removed; the rows and the change log never held more than a name
made of random bits. Giving the same again changes nothing, so that no idempotency key is needed, and none is kept: it would be
kept with a digest of the papers.
"""

import base64
import binascii
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from proto.errors import Reason, Refusal
from proto.model.account import Caller
from proto.model.change import Table
from proto.model.papers import (
    MAX_ID_TYPE_DIGITS,
    MAX_PAPER_TEXT_BYTES,
    MAX_PICTURE_BYTES,
    PICTURES,
    Contact,
    LegalPerson,
    Paper,
    Papers,
    picture_type,
)
from proto.model.prefix import Registrant
from proto.ports import RecordReader
from proto.tables import pack_registrant, unpack_registrant
from registry.policy.rules import Action, enter, require
from registry.service.context import Context
from registry.service.execute import Executor, Written
from registry.service.imports.threads import in_thread
from registry.service.listing import plan_nothing, plan_row
from registry.service.paper_files import PaperFiles, new_reference
from registry.service.plan import Plan, check_version
from registry.service.registrants import find_registrant, parse_code
from registry.service.sealing import Seals, Unopened

Given = Mapping[Paper, Contact | LegalPerson | bytes | None]
"""What papers become; None: erased. What is not named stays as it is."""

log = logging.getLogger(__name__)

_KINDS: Final = ", ".join(PICTURES)

# With these nothing was written for certain. After others somebody may name a file that was kept: the next start knows.
_UNWRITTEN: Final = frozenset({Reason.VERSION_CONFLICT, Reason.NOT_FOUND})


class PaperDesk:
    """Papers over one view and one committer. Without `seals` or `files` none are taken, and none are opened."""

    def __init__(self, executor: Executor, files: PaperFiles | None, seals: Seals | None) -> None:
        self._executor = executor
        self._files = files
        self._seals = seals

    async def change(self, context: Context, code: str, given: Given, expected_version: int | None = None) -> Written:
        """Give or erase papers.

        Raises `Refusal`: PERMISSION_DENIED, INVALID_ARGUMENT, VALUE_TOO_LARGE, NOT_FOUND, VERSION_CONFLICT, STORAGE_FULL, and
        INVALID_STATE if papers are given to a node without a key.
        """
        caller, reader = context.caller, self._executor.reader
        require(caller, Action.ADMINISTER_PAPERS, code)
        kept = parse_code(code)
        for paper, what in given.items():
            if what is not None:
                check_paper(paper, what)
        await self._executor.catch_up()
        before = find_registrant(reader, kept)
        check_version(before.version, expected_version)
        fresh = {paper: what for paper, what in given.items() if what is None or not await self._has(before, paper, what)}
        references = {paper: await self._keep(kept, paper, what) for paper, what in fresh.items()}
        replaced: set[str] = set()

        def make_plan(now_ms: int) -> Plan:
            plan, gone = plan_papers(reader, caller, kept, references, expected_version, now_ms)
            replaced.clear()
            replaced.update(gone)
            return plan

        try:
            written = await self._executor.execute(replace(context, idempotency_key="", body_digest=b""), make_plan)
        except Refusal as refusal:
            if refusal.reason in _UNWRITTEN and self._files is not None:
                await in_thread(self._files.remove, [reference for reference in references.values() if reference])
            raise
        if self._files is not None:
            await in_thread(self._files.remove, replaced)
        return written

    async def show(self, context: Context, code: str) -> tuple[Registrant, Papers]:
        """The papers of a registrant, opened.

        Raises `Refusal`: UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND, INVALID_STATE without the key or if one does not open.
        """
        enter(context.caller, Action.READ_PAPERS)
        kept = parse_code(code)
        require(context.caller, Action.READ_PAPERS, kept)
        await self._executor.catch_up()
        registrant = find_registrant(self._executor.reader, kept)
        papers = Papers()
        for name, reference in registrant.papers:
            try:
                what = await self._open(kept, Paper(name), reference)
            except Unopened as unopened:
                # No failure of the store: it will not pass, and all other papers are as good as ever.
                raise Refusal(Reason.INVALID_STATE, f"it does not open: {unopened}", name) from None
            papers = papers.put(Paper(name), what) if what is not None else papers
        if registrant.papers:
            facts = {"registrant": kept, "account": context.caller.account, "request_id": context.request_id}
            log.info("papers were read", extra=facts)
        return registrant, papers

    async def tidy(self) -> None:
        """At the start, before anything is written: remove files that nobody names, and seal anew what a former key sealed."""
        if self._files is None:
            return
        await self._executor.catch_up()
        images = self._executor.reader.images(Table.REGISTRANT).values()
        named = [(each.code, paper, reference) for each in map(unpack_registrant, images) for paper, reference in each.papers]
        swept = await in_thread(self._files.sweep, {reference for *_, reference in named})
        if swept:
            log.info("papers that nobody names were removed", extra={"files": swept})
        if self._seals is not None:
            renewed = [await in_thread(_reseal, self._files, self._seals, each) for each in named]
            if any(renewed):
                log.info("papers were sealed anew with the present key", extra={"files": sum(renewed)})
        elif named:
            log.warning("there are sealed papers, and no node.seal_key to open them", extra={"files": len(named)})

    async def _has(self, registrant: Registrant, paper: Paper, what: Contact | LegalPerson | bytes) -> bool:
        """Whether this is what is kept already. A paper that does not open is to be replaced."""
        reference = dict(registrant.papers).get(paper)
        if reference is None:
            return False
        try:
            return await self._open(registrant.code, paper, reference) == what
        except Unopened:
            return False

    async def _keep(self, code: str, paper: Paper, what: Contact | LegalPerson | bytes | None) -> str:
        """Keep a paper; its reference, empty for one that is to be erased."""
        if what is None:
            return ""
        files, seals = self._ready()
        reference = new_reference()
        await in_thread(files.write, reference, seals.seal(compose_paper(what), code, paper, reference))
        return reference

    async def _open(self, code: str, paper: Paper, reference: str) -> Contact | LegalPerson | bytes | None:
        """A kept paper; None if it was erased since. Raises `Unopened`, and `Refusal(INVALID_STATE)` without a key."""
        files, seals = self._ready()
        sealed = await in_thread(files.read, reference)
        if sealed is None:
            await self._executor.catch_up()
            if (paper, reference) not in find_registrant(self._executor.reader, code).papers:
                return None
            raise Unopened("the file that it is kept in is missing")
        return parse_paper(paper, seals.open(sealed, code, paper, reference))

    def _ready(self) -> tuple[PaperFiles, Seals]:
        if self._files is None or self._seals is None:
            why = "papers are kept sealed only, and this node has no key to seal with: set node.seal_key"
            raise Refusal(Reason.INVALID_STATE, why, "papers")
        return self._files, self._seals


def _reseal(files: PaperFiles, seals: Seals, named: tuple[str, str, str]) -> bool:
    """Seal a paper anew if it was sealed with a former key; whether it was. One that does not open stays as it is."""
    sealed = files.read(named[-1])
    if sealed is None or seals.is_current(sealed):
        return False
    try:
        files.write(named[-1], seals.seal(seals.open(sealed, *named), *named))
    except (Unopened, Refusal) as failure:
        log.error("a paper cannot be sealed anew", extra={"registrant": named[0], "paper": named[1], "why": str(failure)})
        return False
    return True


def plan_papers(
    reader: RecordReader, caller: Caller, code: str, references: Mapping[Paper, str], expected_version: int | None, now_ms: int
) -> tuple[Plan, frozenset[str]]:
    """A registrant with other references of its papers (empty: none), and the references that nobody names then.

    Raises `Refusal`: PERMISSION_DENIED, NOT_FOUND, VERSION_CONFLICT.
    """
    require(caller, Action.ADMINISTER_PAPERS, code)
    before = find_registrant(reader, code)
    check_version(before.version, expected_version)
    had = dict(before.papers)
    named = had | {paper.value: reference for paper, reference in references.items()}
    has = {name: reference for name, reference in named.items() if reference}
    if has == had:
        return plan_nothing(code, pack_registrant(before), before.version, before.state), frozenset()
    after = replace(
        before,
        papers=tuple(sorted(has.items())),
        version=before.version + 1,
        changed_ms=max(now_ms, before.changed_ms),
    )
    plan = plan_row(Table.REGISTRANT, code, pack_registrant(after), after.version, after.state, before.state)
    return plan, frozenset(had.values()) - frozenset(has.values())


def check_paper(paper: Paper, what: Contact | LegalPerson | bytes) -> None:
    """Raise `Refusal` (INVALID_ARGUMENT, VALUE_TOO_LARGE) unless it can be filed. What is wrong is named, and not repeated."""
    if isinstance(what, bytes):
        _check_picture(what, paper)
        return
    for name, text in asdict(what).items():
        if isinstance(text, str):
            _check_text(text, f"{paper}.{name}")
    if isinstance(what, Contact):
        if what == Contact():
            raise Refusal(Reason.INVALID_ARGUMENT, "a name, an address or a number is wanted", paper)
        return
    for name in ("name", "id_number"):
        if not getattr(what, name):
            raise Refusal(Reason.INVALID_ARGUMENT, "it is missing", f"{paper}.{name}")
    number = what.id_type
    if not (number.isascii() and number.isdecimal() and len(number) <= MAX_ID_TYPE_DIGITS):
        raise Refusal(Reason.INVALID_ARGUMENT, "the upstream's number of a kind of document is wanted", f"{paper}.id_type")
    if what.picture:
        _check_picture(what.picture, f"{paper}.picture")


def _check_text(text: str, field: str) -> None:
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_PAPER_TEXT_BYTES or not text.isprintable() or text != text.strip():
        raise Refusal(Reason.INVALID_ARGUMENT, f"at most {MAX_PAPER_TEXT_BYTES} bytes of printable text are wanted", field)


def _check_picture(picture: bytes, field: str) -> None:
    if len(picture) > MAX_PICTURE_BYTES:
        raise Refusal(Reason.VALUE_TOO_LARGE, f"a picture has at most {MAX_PICTURE_BYTES} bytes", field)
    if not picture_type(picture):
        raise Refusal(Reason.INVALID_ARGUMENT, f"the upstream takes pictures of these kinds: {_KINDS}", field)


def compose_paper(what: Contact | LegalPerson | bytes) -> bytes:
    """A paper as it is sealed: a picture is itself, anything else JSON."""
    if isinstance(what, bytes):
        return what
    document: dict[str, Any] = asdict(what)
    if isinstance(what, LegalPerson):
        document["picture"] = base64.b64encode(what.picture).decode()
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def parse_paper(paper: Paper, data: bytes) -> Contact | LegalPerson | bytes:
    """A paper as `compose_paper` composed it. Raises `Unopened` if it is of another making."""
    if paper is Paper.LICENCE:
        return data
    try:
        document = json.loads(data)
        if paper is Paper.CONTACT:
            return Contact(**document)
        return LegalPerson(**{**document, "picture": base64.b64decode(document["picture"], validate=True)})
    except (ValueError, TypeError, KeyError, binascii.Error):
        raise Unopened("what is in it is not what this version keeps there") from None
