"""A stand-in for the national node's business management system: EPP with an auditor, and bad manners on request.

It does what filing asks of the real one: it takes enterprises, prefixes and figures, answers 1001, has them audited, keeps the
outcome in a queue until that is acknowledged, and deals with each transaction once; or, if it `forgets`, it knows no
transaction again, and says of what it has that it exists. What is being audited is not updated meanwhile. With a journal it is
durable: what it answered is there after it was killed. A second port (HTTP) is for who watches it: `GET /state` tells what it
holds, `POST /auditor` with `{"hold": true, "rejects": [names]}` instructs the auditor, `POST /misbehave` with a list of
`Misbehaviour` says how it meets the next greetings and commands. `biaojie filing stand-in` runs one.
"""

import asyncio
import json
import os
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from adapters.upstream.epp.core.commands import (
    LANGUAGE,
    VERSION,
    Acknowledge,
    CheckEnterprise,
    CheckPrefix,
    CheckReport,
    Command,
    Hello,
    Login,
    Logout,
    Poll,
    Telling,
    UpdateEnterprise,
    UpdatePrefix,
    parse_command,
)
from adapters.upstream.epp.core.document import ENT, PREFIX, STATISTICS
from adapters.upstream.epp.core.frames import FrameReader, compose_frame
from adapters.upstream.epp.core.malformed import Malformed
from adapters.upstream.epp.core.objects import DayReport, Enterprise, PrefixFigures, PrefixGrant
from adapters.upstream.epp.core.replies import (
    EntityData,
    Greeting,
    PrefixData,
    Queue,
    Response,
    compose_greeting,
    compose_response,
)
from adapters.upstream.epp.core.verdict import BYE, EXISTS, MESSAGE, MISSING, NO_MESSAGES, NOT_YOURS, OK
from adapters.upstream.epp.fake_books import (
    AT_GREETING,
    OURS,
    UNDONE,
    Books,
    Misbehaviour,
    is_held,
    is_in_audit,
    no_to_papers,
    plain,
)

SERVER: Final = "business management system (stand-in)"
_READ_BYTES: Final = 64 * 1024

_SYNTAX_ERROR: Final = 2001
_USE_ERROR: Final = 2002
_AUTHENTICATION_ERROR: Final = 2200
_NOT_NOW: Final = 2304
_FAILED: Final = 2400

_BOMB: Final = b"""<?xml version="1.0"?><!DOCTYPE epp [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><greeting><svID>&c;</svID></greeting></epp>"""
_STRANGE: Final = (
    b"""<?xml version="1.0"?><epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><greeting><svID>x</svID></greeting></epp>"""
)


class BusinessSystem:
    """The system. `password` is what a login must say; empty: anything will do."""

    def __init__(self, password: str = "", journal: Path | None = None, *, holds: bool = False, forgets: bool = False) -> None:
        self.books = Books()
        self.holds = holds
        """Whether the auditor lies down and decides nothing."""
        self.forgets = forgets
        """Whether it knows no transaction again."""
        self.rejects, self.sentence = set[str](), "资料不符"
        self.objects: tuple[str, ...] = (ENT, PREFIX, STATISTICS)
        """The namespaces that it says it knows."""
        self.misbehaviours: deque[Misbehaviour] = deque()
        self.commands = 0
        self.repeats = 0
        """Commands whose transaction had been answered before."""
        self.logins = 0
        self.port = 0
        self.control_port = 0
        self._password = password
        self._journal = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600) if journal is not None else None
        self._server: asyncio.Server | None = None
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        if journal is not None:
            self._recover(journal)

    async def open(self, port: int = 0, control_port: int | None = None, tls: ssl.SSLContext | None = None) -> "BusinessSystem":
        """Serve on loopback; a `control_port` (0: any) opens the port for who watches."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        if control_port is not None:
            await self._open_control(control_port)
        self.audit()
        return self

    async def close(self) -> None:
        """Be gone: connections are cut, and refused from now on."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        self._server = self._runner = None

    def audit(self) -> None:
        """Let the auditor see to what waits, unless it holds."""
        if self.holds:
            return
        for transaction, taken in list(self.books.audits.items()):
            is_bad = taken["name"] in self.rejects
            result, message = ("0", self.sentence) if is_bad else ("1", "审核通过")
            self._write({"do": "audit", "transaction": transaction, "result": result, "message": message})

    def state(self) -> dict[str, Any]:
        """What it holds, for who watches."""
        books = self.books
        return {
            "enterprises": books.enterprises,
            "prefixes": books.prefixes,
            "reports": books.reports,
            "waiting": len(books.audits),
            "messages": len(books.messages),
            "commands": self.commands,
            "repeats": self.repeats,
            "logins": self.logins,
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            with suppress(OSError, Malformed):
                await self._converse(reader, writer)
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._greet(writer):
            return
        frames, client = FrameReader(), Client()
        while not client.is_done and (data := await reader.read(_READ_BYTES)):
            for document in frames.take(data):
                await self._answer(document, client, writer)
                if client.is_done:
                    break

    async def _greet(self, writer: asyncio.StreamWriter) -> bool:
        versions, objects = (VERSION,), self.objects
        how = self._misbehaviour(at_greeting=True)
        match how:
            case Misbehaviour.NO_GREETING:
                await asyncio.Event().wait()
            case Misbehaviour.STRANGE_GREETING | Misbehaviour.BOMB:
                writer.write(compose_frame(_BOMB if how is Misbehaviour.BOMB else _STRANGE))
                await writer.drain()
                return False
            case Misbehaviour.OTHER_OBJECTS:
                objects = (PREFIX, STATISTICS, "urn:ietf:params:xml:ns:domain-1.0")
            case Misbehaviour.OTHER_VERSION:
                versions = ("2.0",)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        writer.write(compose_frame(compose_greeting(Greeting(SERVER, now, versions, (LANGUAGE, "zh"), objects))))
        await writer.drain()
        return True

    async def _answer(self, document: bytes, client: "Client", writer: asyncio.StreamWriter) -> None:
        self.commands += 1
        try:
            command, transaction = parse_command(document)
        except Malformed as malformed:
            writer.write(compose_frame(compose_response(Response(_SYNTAX_ERROR, str(malformed), "", self._name()))))
            await writer.drain()
            return
        if isinstance(command, Hello):
            await self._greet(writer)
            return
        how = None if isinstance(command, Login | Logout) else self._misbehaviour(at_greeting=False)
        if how in UNDONE:
            response = Response(int(how) if how.isdecimal() else _FAILED, "故障", transaction, self._name())
        else:
            response = self._carry_out(command, transaction, client)
        client.is_done = isinstance(command, Logout)
        await self._reply(response, how, client, writer)

    async def _reply(
        self, response: Response, how: Misbehaviour | None, client: "Client", writer: asyncio.StreamWriter
    ) -> None:
        frame = compose_frame(compose_response(response))
        client.is_done = client.is_done or how in (Misbehaviour.CLOSE, Misbehaviour.DROP, Misbehaviour.HALF, Misbehaviour.SHUT)
        match how:
            case Misbehaviour.HANG:
                await asyncio.Event().wait()
            case Misbehaviour.CLOSE | Misbehaviour.DROP:
                return
            case Misbehaviour.HALF:
                frame = frame[: len(frame) // 2]
            case Misbehaviour.LIE:
                frame = (100_000_000).to_bytes(4) + frame
            case Misbehaviour.BABBLE:
                frame = compose_frame(b"<epp><what")
            case Misbehaviour.OTHER:
                other = Response(OK, "好", "another-transaction", response.server_transaction)
                frame = compose_frame(compose_response(other))
            case Misbehaviour.UNKNOWN_SUCCESS:
                strange = Response(int(how), "不明", response.transaction, response.server_transaction)
                frame = compose_frame(compose_response(strange))
        writer.write(frame)
        await writer.drain()
        if how is Misbehaviour.HALF:
            writer.write_eof()

    def _carry_out(self, command: Command, transaction: str, client: "Client") -> Response:
        if isinstance(command, Login):
            return self._log_in(command, transaction, client)
        if not client.is_known:
            return Response(_USE_ERROR, "未登录", transaction, self._name())
        if transaction in self.books.answers:
            self.repeats += 1
            if not self.forgets:
                return self.books.answers[transaction]
        match command:
            case Logout():
                return Response(BYE, "再见", transaction, self._name())
            case Poll():
                return self._poll(transaction)
            case Acknowledge():
                self._write({"do": "acknowledge", "message": command.message})
                left = Queue(len(self.books.messages), command.message)
                return Response(OK, "好", transaction, self._name(), queue=left)
            case CheckEnterprise():
                entry = self.books.enterprises.get(command.code, {"entity": ""})
                return Response(OK, "好", transaction, self._name(), EntityData(entry["entity"], is_check=True))
            case CheckPrefix():
                free = not is_held(self.books.prefixes, command.prefix)
                return Response(OK, "好", transaction, self._name(), PrefixData(command.prefix, free))
            case CheckReport():
                return self._check_report(command, transaction)
            case Enterprise() | UpdateEnterprise() | PrefixGrant() | UpdatePrefix() | DayReport():
                return self._take(command, transaction)
        return Response(_SYNTAX_ERROR, "不明", transaction, self._name())

    def _log_in(self, login: Login, transaction: str, client: "Client") -> Response:
        self.logins += 1
        client.is_known = not self._password or login.password == self._password
        code, said = (OK, "欢迎") if client.is_known else (_AUTHENTICATION_ERROR, "密码不符")
        return Response(code, said, transaction, self._name())

    def _poll(self, transaction: str) -> Response:
        if not self.books.messages:
            return Response(NO_MESSAGES, "无消息", transaction, self._name())
        message, audit = next(iter(self.books.messages.items()))
        queue = Queue(len(self.books.messages), message)
        return Response(MESSAGE, "审核结果", transaction, self._name(), audit, queue)

    def _check_report(self, check: CheckReport, transaction: str) -> Response:
        there = self.books.reports.get(check.day)
        if there is None:
            return Response(MISSING, "无此统计", transaction, self._name())
        figures = tuple(PrefixFigures(name, *counts) for name, counts in sorted(there["content"].items()))
        return Response(OK, "好", transaction, self._name(), DayReport(check.home, check.day, figures))

    def _take(self, command: Telling, transaction: str) -> Response:
        books, entity = self.books, ""
        content: object = None
        match command:
            case Enterprise():
                what, name, content = "enterprise", command.code, command
                entity = books.enterprises.get(name, {}).get("entity", f"ent-{len(books.enterprises) + 1}")
                no = self._no_to_create(books.enterprises, name, "企业已存在")
            case UpdateEnterprise():
                what, name, entity, content = "enterprise", books.code_of(command.entity), command.entity, command.enterprise
                no = self._no_to_update(books.enterprises, name, OURS)
            case PrefixGrant():
                what, name, entity = "prefix", command.prefix, command.entity
                no = self._no_to_create(books.prefixes, name, "前缀已存在") or self._no_to_entity(entity)
            case UpdatePrefix(grant=grant):
                what, name, entity = "prefix", grant.prefix, grant.entity
                no = self._no_to_entity(entity) or self._no_to_update(books.prefixes, name, entity)
            case DayReport():
                what, name = "report", command.day
                content = {each.prefix: [each.registered, each.active, each.added, each.resolved] for each in command.figures}
                no = (EXISTS, "统计已存在") if name in books.reports else None
        if (no := no or no_to_papers(content)) is not None:
            return Response(*no, transaction, self._name())
        self._write({
            "do": "take", "what": what, "name": name, "entity": entity, "transaction": transaction,
            "server_transaction": self._name(), "is_update": isinstance(command, UpdateEnterprise | UpdatePrefix),
            "content": plain(content),
        })  # fmt: skip
        answer = books.answers[transaction]
        self.audit()
        return answer

    def _no_to_create(self, entries: Mapping[str, Mapping[str, Any]], name: str, why: str) -> tuple[int, str] | None:
        return (EXISTS, why) if is_held(entries, name) else None

    def _no_to_entity(self, entity: str) -> tuple[int, str] | None:
        return None if self.books.code_of(entity) else (MISSING, "企业不存在")

    def _no_to_update(self, entries: Mapping[str, Mapping[str, Any]], name: str, holder: str) -> tuple[int, str] | None:
        """`holder` is whose a thing must be: an enterprise is of who reported it, a prefix of an enterprise."""
        if name not in entries:
            return MISSING, "不存在"
        if holder not in (entries[name].get("reporter"), entries[name]["entity"]):
            return NOT_YOURS, "无权修改"
        return (_NOT_NOW, "审核中") if is_in_audit(self.books, name) else None

    def _misbehaviour(self, *, at_greeting: bool) -> Misbehaviour | None:
        if self.misbehaviours and (self.misbehaviours[0] in AT_GREETING) is at_greeting:
            return self.misbehaviours.popleft()
        return None

    def _name(self) -> str:
        return f"s-{os.urandom(8).hex()}"

    def _write(self, event: Mapping[str, Any]) -> None:
        """Nothing is answered before it is durable."""
        if self._journal is not None:
            os.write(self._journal, json.dumps(event).encode() + b"\n")
            os.fdatasync(self._journal)
        self.books.apply(event)

    def _recover(self, journal: Path) -> None:
        """What was answered is whole; a torn last line was not, and is cut off."""
        raw = journal.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        os.truncate(journal, len(whole))
        for line in whole.splitlines():
            self.books.apply(json.loads(line))

    async def _open_control(self, port: int) -> None:
        application = web.Application()
        application.add_routes([
            web.get("/state", self._tell_state),
            web.post("/auditor", self._instruct),
            web.post("/misbehave", self._misbehave),
        ])  # fmt: skip
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True).start()
        self.control_port = self._runner.addresses[0][1]

    async def _tell_state(self, _: web.Request) -> web.Response:
        return web.json_response(self.state())

    async def _instruct(self, request: web.Request) -> web.Response:
        document = await request.json()
        self.holds = bool(document.get("hold", False))
        self.rejects = set(document.get("rejects", ()))
        self.audit()
        return web.Response()

    async def _misbehave(self, request: web.Request) -> web.Response:
        self.misbehaviours.extend(Misbehaviour(each) for each in await request.json())
        return web.Response()


@dataclass(slots=True)
class Client:
    """One connection."""

    is_known: bool = False
    is_done: bool = False


async def serve(system: BusinessSystem, port: int, control_port: int) -> None:
    """Run a stand-in until cancelled."""
    await system.open(port, control_port)
    print(f"a stand-in of the business management system takes filings at 127.0.0.1:{system.port}", flush=True)
    print(f"and tells what it holds at http://127.0.0.1:{system.control_port}/state", flush=True)
    await asyncio.Event().wait()
