"""Filing, as it goes on for years: look what is due, tell it, listen for what became of it.

    registry: draft what is due → submit (stored) → EPP: create → answer (stored)
    EPP: poll → registry: answer (stored) → EPP: acknowledge

Nothing is remembered here that would be missed. A filing found submitted is sent again under its transaction, because nobody
knows whether it was sent; a message is acknowledged only after what it says is stored, and storing it again changes nothing.
So a kill at any point costs a repetition. While the upstream is away the registry goes on drafting: weeks later all is there.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from random import random
from typing import Any, Final

from adapters.registry_api import NotTaken, Unreachable
from adapters.upstream.epp.client import LinkDown, Session, open_session
from adapters.upstream.epp.core.commands import Acknowledge, Poll, Telling
from adapters.upstream.epp.core.document import STATISTICS
from adapters.upstream.epp.core.malformed import Malformed
from adapters.upstream.epp.core.papers import ToldPapers, hide_in
from adapters.upstream.epp.core.replies import Audit, EntityData, Response
from adapters.upstream.epp.core.retry import RetryPolicy
from adapters.upstream.epp.core.settle import Outcome, Part, find, settle
from adapters.upstream.epp.core.verdict import MESSAGE, NO_MESSAGES, Verdict, ends_login, is_success, verdict_of
from adapters.upstream.epp.mapping import check_of, create_of, update_of
from adapters.upstream.epp.place import Place
from adapters.upstream.epp.registry_client import RegistryClient, StoredFiling
from adapters.upstream.epp.telling import Document, audit_of, contradicts, is_about, settled_of, told_of, unsaid_of
from proto.errors import Reason
from proto.metrics import Metrics

log = logging.getLogger(__name__)

# How soon a new registrant or prefix is told. Every look costs the registry a millisecond.
LOOK_S: Final = 1.0
# How often the upstream is asked for messages. Audits take people hours; servers do not like to be asked more often.
POLL_S: Final = 60.0
# How often it is asked whether a day is over.
REPORT_S: Final = 60.0
# After a failure of the link, and of one filing while others are taken. An outage of weeks is met by a connection now and then.
LINK_RETRY: Final = RetryPolicy(1.0, 300.0)
FILING_RETRY: Final = RetryPolicy(5.0, 3_600.0)
REGISTRY_RETRY: Final = RetryPolicy(0.1, 5.0)

# In this order: a prefix needs its registrant's id.
KINDS: Final = ("registrant", "prefix", "statistics")

# Messages in a row, before what is due gets its turn again.
MAX_MESSAGES: Final = 100

# Why the registry would refuse whatever is asked: nothing can go on.
_SHUT_OUT: Final = frozenset({Reason.UNAUTHENTICATED, Reason.PERMISSION_DENIED})


class Filings:
    """The filings of a node whose own prefix is `home`. `announce` is told once the registry lets us work."""

    def __init__(
        self,
        home: str,
        place: Place,
        client: RegistryClient,
        metrics: Metrics,
        announce: Callable[[bool], None],
        *,
        look_s: float = LOOK_S,
        poll_s: float = POLL_S,
        retries: tuple[RetryPolicy, RetryPolicy] = (LINK_RETRY, FILING_RETRY),
    ) -> None:
        self._home = home
        self._place = place
        self._client = client
        self._metrics = metrics
        self._announce = announce
        self._look_s, self._poll_s = look_s, poll_s
        self._link_retry, self._filing_retry = retries
        self._session: Session | None = None
        self._link_failures = 0
        self._not_before = 0.0
        self._polled = float("-inf")
        self._report_at = float("-inf")
        self._failures: dict[str, tuple[int, float]] = {}
        self._fresh: set[str] = set()
        self._states: Mapping[str, int] = {}
        self._due_count = 0
        self._takes_figures = True
        """Whether the upstream takes figures of days, as far as it was asked."""
        self.hindrance = ""
        """Why nothing is told at the moment, for people; empty if all is well."""

    async def run(self) -> None:
        """Go on until cancelled. Raises `NotTaken` if the registry does not let this account work."""
        is_ready, attempt = False, 0
        while True:
            try:
                told = await self._look()
                if not is_ready:
                    is_ready = True
                    self._announce(True)
                told += await self._work()
                attempt = 0
            except Unreachable as unreachable:
                attempt += 1
                if attempt == 1:
                    log.warning("the registry cannot be reached", extra={"why": str(unreachable)})
                await asyncio.sleep(REGISTRY_RETRY.delay_s(attempt, random()))  # noqa: S311 # jitter
                continue
            except NotTaken as not_taken:
                if not_taken.reason in _SHUT_OUT:
                    raise
                told = 0
                if self.hindrance != str(not_taken):
                    self.hindrance = str(not_taken)
                    log.error("the registry does not take a step", extra={"why": str(not_taken)})
            if not told:
                await asyncio.sleep(self._look_s)

    async def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close(_new_transaction())

    def describe(self) -> Mapping[str, Any]:
        """How filing stands, in a sentence."""
        link = "connected" if self._session is not None and self._session.is_open else "not connected"
        waiting = ", ".join(f"{count} {state}" for state, count in self._states.items() if count)
        return {"filing": f"{link}; {waiting or 'nothing filed'}{f'; {self.hindrance}' if self.hindrance else ''}"}

    async def _look(self) -> int:
        """Draft what is due, and count. Returns how many were drafted.

        The figures of a day are drafted whether or not anybody takes them: the operator reads them, and an upstream that
        begins to take them is told what it has missed.
        """
        days = await self._report()
        drafted = await self._client.draft(self._home)
        self._states = drafted.states
        self._due_count = drafted.subjects.due + (drafted.days.due if self._takes_figures else 0)
        for state, count in drafted.states.items():
            self._metrics.filings.labels(state).set(count)
        waiting = [drafted.subjects, *([drafted.days] if self._takes_figures else [])]
        since = min((each.since for each in waiting if each.since is not None), default=None)
        age = (datetime.now(UTC) - since).total_seconds() if since is not None else 0.0
        self._metrics.filing_waiting_seconds.set(max(0.0, age))
        return len(drafted.names) + days

    async def _report(self) -> int:
        """Have the figures of the next day that is over drafted. Returns how many days were."""
        if time.monotonic() < self._report_at:
            return 0
        try:
            drafted = (await self._client.report()).names
        except NotTaken as not_taken:
            if not_taken.reason in _SHUT_OUT:
                raise
            log.error("the figures of a day cannot be told", extra={"why": str(not_taken)})
            drafted = ()
        if not drafted:
            self._report_at = time.monotonic() + REPORT_S
        return len(drafted)

    async def _work(self) -> int:
        """Tell and listen as far as the upstream lets us. Returns how many filings came a step further."""
        if time.monotonic() < self._not_before:
            return 0
        told = 0
        try:
            session = await self._open()
            if self._due_count:
                async for filing in self._due(session):
                    told += await self._tell(session, filing)
            if time.monotonic() - self._polled >= self._poll_s:
                told += await self._listen(session)
        except LinkDown as down:
            self._fail_link(str(down))
            return 0
        if not self._failures:
            self.hindrance = ""
        return told

    async def _open(self) -> Session:
        if self._session is None or not self._session.is_open:
            self._session = None
            self._session = await open_session(self._place, _new_transaction())
            self._takes_figures = STATISTICS in self._session.objects
            self._polled = float("-inf")
            log.info("filing is connected", extra={"host": self._place.host, "port": self._place.port})
        return self._session

    async def _due(self, session: Session) -> AsyncIterator[StoredFiling]:
        """What can be told, registrants before their prefixes."""
        for kind in KINDS:
            after = ""
            while kind != "statistics" or STATISTICS in session.objects:
                page, after = await self._client.due(kind, after)
                for filing in page:
                    yield filing
                if not after:
                    break

    async def _tell(self, session: Session, filing: StoredFiling) -> int:
        """One step of one filing: 1 if it came a step further. Raises `LinkDown`."""
        if filing.state == "draft":
            self._failures.pop(filing.key, None)  # whatever failed before was another transaction
        if time.monotonic() < self._failures.get(filing.key, (0, 0.0))[1]:
            return 0
        entity, papers = await self._entity_for(filing), await self._papers_for(filing)
        if entity is None or papers is None:
            return 0
        if not session.is_open:
            raise LinkDown("it hung up")
        try:
            if filing.state == "draft":
                filing = await self._client.submit(filing, _new_transaction())
                self._fresh.add(filing.transaction)
            document = await self._send(session, filing, entity, papers)
        except Malformed as malformed:
            document = unsaid_of(str(malformed))
        except LinkDown:
            self._fail(filing.key)
            raise
        except NotTaken as not_taken:
            if not_taken.reason in _SHUT_OUT:
                raise
            return 0  # somebody else was at it: the next look shows how it is now
        self._link_failures = 0
        if document is None:
            self._metrics.filing_answers.labels("failed").inc()
            self._fail(filing.key)
            return 0
        return await self._store(filing, document)

    async def _store(self, filing: StoredFiling, document: Document) -> int:
        """Have what the upstream answered stored: 1 if it is."""
        self._metrics.filing_answers.labels("held" if document["state"] == "draft" else document["state"]).inc()
        try:
            await self._client.answer(filing, document)
        except NotTaken as not_taken:
            if not_taken.reason in _SHUT_OUT:
                raise
            log.error("the registry does not take an answer", extra={"filing": filing.key, "why": str(not_taken)})
            self._fail(filing.key)
            return 0
        self._fresh.discard(filing.transaction)
        self._failures.pop(filing.key, None)
        return 1

    async def _entity_for(self, filing: StoredFiling) -> str | None:
        """The upstream's id that a command needs, empty if it needs none; None if its time has not come."""
        if filing.kind != "prefix":
            return filing.entity
        registrant = await self._client.filing("registrant", filing.registrant)
        return registrant.entity if registrant is not None and registrant.is_known and registrant.entity else None

    async def _papers_for(self, filing: StoredFiling) -> ToldPapers | None:
        """The papers that a filing names; None if they cannot be had, which does not pass by itself."""
        name = f"{filing.key}, papers"
        if time.monotonic() < self._failures.get(name, (0, 0.0))[1]:
            return None
        try:
            papers = await self._client.papers(filing)
        except NotTaken as not_taken:
            if not_taken.reason in _SHUT_OUT:
                raise
            self.hindrance = f"{name}: {not_taken}"
            log.error("papers cannot be told", extra={"filing": filing.key, "why": str(not_taken)})
            self._fail(name)
            return None
        self._failures.pop(name, None)
        return papers

    async def _send(self, session: Session, filing: StoredFiling, entity: str, papers: ToldPapers) -> Document | None:
        """Tell a filing; what the registry is told of the answer, None if it is to be told again. Raises `LinkDown`."""
        content, user, part = filing.content, self._place.client, self._part_in(filing)
        command: Telling
        if filing.is_update:
            command = update_of(filing.kind, content, filing.approved_content, self._home, entity, user, papers)
        else:
            command = create_of(filing.kind, content, self._home, entity, papers)
        self._fresh.discard(filing.transaction)
        response = hide_in(await session.ask(command, filing.transaction), papers)
        verdict = verdict_of(response.code)
        if verdict is Verdict.FAILED:
            if ends_login(response.code):
                session.abort()
            self.hindrance = f"{filing.key}: {response.code} {response.message}"
            return None
        if verdict is Verdict.EXISTS and not filing.is_update:
            if part is not Part.THIS:
                self._fresh.add(filing.transaction)  # it has done nothing, whatever becomes of the next question
            return await self._settle_existing(session, filing, part, command, response)
        if contradicts(filing, response):
            self.hindrance = f"{filing.key}: {response.code}, with data about something else"
            return None
        return told_of(filing, response)

    def _part_in(self, filing: StoredFiling) -> Part:
        """What we may have to do with the thing, if it turns out to exist."""
        if filing.transaction not in self._fresh:
            return Part.THIS
        return Part.NONE if filing.submissions <= 1 else Part.EARLIER

    async def _settle_existing(
        self, session: Session, filing: StoredFiling, part: Part, command: Telling, response: Response
    ) -> Document | None:
        """What the registry is told of a thing that exists (`core.settle`). Raises `LinkDown`."""
        check = check_of(filing.kind, filing.content, self._home, self._place.client)
        answer = await session.ask(check, _new_transaction())
        finding = find(filing.kind, filing.name, command, answer)
        outcome = settle(part, finding) if finding is not None else Outcome.LATER
        if finding is None or outcome is Outcome.LATER:
            self.hindrance = f"{filing.key}: {response.code}, and asked about it {answer.code} {answer.message}"
            return None
        entity = answer.data.entity if isinstance(answer.data, EntityData) else ""
        return settled_of(filing, response, finding, outcome, entity)

    async def _listen(self, session: Session) -> int:
        """Take messages out of the queue, oldest first. Raises `LinkDown`."""
        taken = ""
        for count in range(MAX_MESSAGES):
            response = await session.ask(Poll(), _new_transaction())
            self._link_failures = 0
            if response.code == NO_MESSAGES or (response.code != MESSAGE and is_success(response.code)):
                self._polled = time.monotonic()
                return count
            if response.code != MESSAGE or response.queue is None:
                session.abort()
                raise LinkDown(f"poll refused: {response.code} {response.message}")
            if response.queue.message == taken:
                log.error("a message stays in the queue although it is acknowledged", extra={"message_id": taken})
                self._polled = time.monotonic()
                return count
            if isinstance(response.data, Audit):
                await self._settle(response.data, response.code)
            else:
                self._metrics.filing_answers.labels("unknown").inc()
                log.warning("a message that is no audit", extra={"said": response.message})
            answer = await session.ask(Acknowledge(response.queue.message), _new_transaction())
            if not is_success(answer.code):
                session.abort()
                raise LinkDown(f"acknowledgement refused: {answer.code} {answer.message}")
            taken = response.queue.message
        return MAX_MESSAGES

    async def _settle(self, audit: Audit, code: int) -> None:
        """Store what an audit came to. What it cannot be about is said in the log; it would come up for ever otherwise."""
        facts = {"transaction": audit.transaction, "result": audit.result, "said": audit.message}
        filing = await self._client.find(audit.transaction)
        if filing is None:
            self._metrics.filing_answers.labels("unknown").inc()
            log.error("an audit of a filing that is not here", extra={**facts, "entity": audit.entity, "prefix": audit.prefix})
            return
        audit = hide_in(audit, await self._papers_for(filing))
        facts["said"] = audit.message
        if not is_about(audit, filing):
            self._metrics.filing_answers.labels("unknown").inc()
            log.error("an audit of our transaction, about something else", extra={**facts, "filing": filing.key})
            return
        document = audit_of(audit, code)
        try:
            after = await self._client.answer(filing, document)
        except NotTaken as not_taken:
            if not_taken.reason in _SHUT_OUT:
                raise
            self._metrics.filing_answers.labels("unknown").inc()
            log.error("an audit that contradicts what is stored", extra={**facts, "why": str(not_taken)})
            return
        if after.version != filing.version:
            self._metrics.filing_answers.labels(document["state"]).inc()
        self._fresh.discard(filing.transaction)
        self._failures.pop(filing.key, None)

    def _fail_link(self, why: str) -> None:
        if self._session is not None:
            self._session.abort()
            self._session = None
        self._link_failures += 1
        if self._link_failures == 1:
            log.warning("the upstream cannot be told", extra={"why": why})
        delay_s = self._link_retry.delay_s(self._link_failures, random())  # noqa: S311 # jitter
        self._not_before = time.monotonic() + delay_s
        self.hindrance = f"{why}; attempt {self._link_failures + 1} after {delay_s:.1f} s"

    def _fail(self, name: str) -> None:
        """Others go first next time."""
        count, _ = self._failures.get(name, (0, 0.0))
        self._failures[name] = (count + 1, time.monotonic() + self._filing_retry.delay_s(count + 1, random()))  # noqa: S311 # jitter


def _new_transaction() -> str:
    """A name that no transaction ever had: 96 random bits."""
    return f"bj-{secrets.token_hex(12)}"
