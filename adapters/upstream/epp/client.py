"""A session with the business management system: connect, greeting, login, then one command at a time.

Whatever goes wrong with it is `LinkDown`: the connection is closed, and whether the command in flight was carried out is not
known. That is no trouble: what is sent has been stored, and is sent again under the same transaction.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Final

from adapters.upstream.epp.core.commands import VERSION, Command, Login, Logout, compose_command
from adapters.upstream.epp.core.document import ENT, PREFIX, STATISTICS
from adapters.upstream.epp.core.frames import HEAD_BYTES, compose_frame, parse_head
from adapters.upstream.epp.core.malformed import Malformed
from adapters.upstream.epp.core.replies import Greeting, Response, parse_reply
from adapters.upstream.epp.core.verdict import closes_session, is_success
from adapters.upstream.epp.place import Place

# Saying goodbye is a courtesy.
BYE_TIMEOUT_S: Final = 2.0

NEEDED: Final = (ENT, PREFIX)
WANTED: Final = (*NEEDED, STATISTICS)


class LinkDown(Exception):
    """There is no session now; the sentence says why."""


class Session:
    """An open session. `objects` are the namespaces that both sides speak."""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.objects: tuple[str, ...] = ()
        self._place = place
        self._reader = reader
        self._writer = writer
        self._is_open = True

    @property
    def is_open(self) -> bool:
        """Whether it can be expected to answer: a server that has hung up in the meantime is noticed here."""
        return self._is_open and not self._reader.at_eof()

    async def ask(self, command: Command, transaction: str) -> Response:
        """What becomes of a command. Raises `LinkDown`, after which the session is over; `Malformed` if it cannot be said."""
        frame = compose_frame(compose_command(command, transaction))
        try:
            async with asyncio.timeout(self._place.answer_timeout_s):
                self._writer.write(frame)
                await self._writer.drain()
                reply = await self._read()
        except TimeoutError:
            raise self._down(f"no answer within {self._place.answer_timeout_s:g} s") from None
        except Malformed as malformed:
            raise self._down(f"an answer that cannot be read: {malformed}") from None
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError) as error:
            raise self._down(_sentence(error)) from None
        except asyncio.CancelledError:
            self.abort()
            raise
        if not isinstance(reply, Response):
            raise self._down("a greeting in place of an answer")
        if reply.transaction and reply.transaction != transaction:
            raise self._down(f"an answer to {reply.transaction}, not to {transaction}")
        if closes_session(reply.code):
            self.abort()
        return reply

    async def close(self, transaction: str) -> None:
        """Say goodbye, and hang up."""
        if self.is_open:
            with suppress(LinkDown, TimeoutError):
                async with asyncio.timeout(BYE_TIMEOUT_S):
                    await self.ask(Logout(), transaction)
        self.abort()

    def abort(self) -> None:
        """Hang up."""
        self._is_open = False
        self._writer.transport.abort()

    async def _log_in(self, transaction: str) -> None:
        try:
            async with asyncio.timeout(self._place.connect_timeout_s):
                greeting = await self._read()
        except TimeoutError:
            raise self._down("no greeting") from None
        except Malformed as malformed:
            raise self._down(f"a greeting that cannot be read: {malformed}") from None
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError) as error:
            raise self._down(_sentence(error)) from None
        except asyncio.CancelledError:
            self.abort()
            raise
        if not isinstance(greeting, Greeting):
            raise self._down("it does not greet")
        if VERSION not in greeting.versions:
            raise self._down(f"it speaks EPP {', '.join(greeting.versions)}, not {VERSION}")
        missing = [each for each in NEEDED if each not in greeting.objects]
        if missing:
            raise self._down(f"it does not know {', '.join(missing)}")
        self.objects = tuple(each for each in WANTED if each in greeting.objects)
        login = Login(self._place.client, self._place.password, self.objects)
        answer = await self.ask(login, transaction)
        if not is_success(answer.code):
            raise self._down(f"login refused: {answer.code} {answer.message}")

    async def _read(self) -> Greeting | Response:
        size = parse_head(await self._reader.readexactly(HEAD_BYTES))
        return parse_reply(await self._reader.readexactly(size))

    def _down(self, why: str) -> LinkDown:
        self.abort()
        return LinkDown(why)


async def open_session(place: Place, transaction: str) -> Session:
    """Connect, be greeted and log in. Raises `LinkDown`."""
    try:
        async with asyncio.timeout(place.connect_timeout_s):
            reader, writer = await asyncio.open_connection(
                place.host, place.port, ssl=place.tls, server_hostname=place.host if place.tls is not None else None
            )
    except TimeoutError:
        raise LinkDown("it does not let us connect in time") from None
    except (OSError, ssl.SSLError) as error:
        raise LinkDown(_sentence(error)) from None
    session = Session(place, reader, writer)
    await session._log_in(transaction)
    return session


def _sentence(error: Exception) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        return "it hung up in the middle of an answer" if error.partial else "it hung up"
    return str(error) or type(error).__name__
