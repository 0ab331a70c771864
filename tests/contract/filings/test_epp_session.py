"""A session over TLS, and what hinders one."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.upstream.epp.client import LinkDown, open_session
from adapters.upstream.epp.core.commands import CheckPrefix, Poll
from adapters.upstream.epp.core.replies import PrefixData
from adapters.upstream.epp.fake import BusinessSystem
from adapters.upstream.epp.place import Place
from tests.support.filings import PASSWORD


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of `localhost` with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "localhost.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
async def secured(certificate: Path) -> AsyncIterator[BusinessSystem]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    opened = await BusinessSystem(PASSWORD).open(tls=context)
    yield opened
    await opened.close()


async def test_a_session_over_tls(secured: BusinessSystem, certificate: Path) -> None:
    tls = ssl.create_default_context(cafile=certificate)
    session = await open_session(Place("localhost", secured.port, "node-1", PASSWORD, tls), "t-1")
    assert len(session.objects) == 3
    answer = await session.ask(CheckPrefix("88.118", "88.118.1"), "t-2")
    assert (answer.code, answer.transaction, answer.data) == (1000, "t-2", PrefixData("88.118.1", is_free=True))
    await session.close("t-3")
    assert not session.is_open
    with pytest.raises(LinkDown):
        await session.ask(Poll(), "t-4")


async def test_a_certificate_that_nobody_vouches_for_is_not_talked_to(secured: BusinessSystem) -> None:
    with pytest.raises(LinkDown, match="certificate"):
        await open_session(Place("localhost", secured.port, "node-1", PASSWORD, ssl.create_default_context()), "t-1")
    assert secured.logins == 0


async def test_tls_is_not_spoken_to_who_does_not_speak_it(certificate: Path) -> None:
    plain = await BusinessSystem(PASSWORD).open()
    tls = ssl.create_default_context(cafile=certificate)
    with pytest.raises(LinkDown):
        await open_session(Place("localhost", plain.port, "node-1", PASSWORD, tls), "t-1")
    await plain.close()


async def test_a_peer_that_is_silent_or_not_there_is_left(tmp_path: Path) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(LinkDown, match="no greeting"):
        await open_session(Place("127.0.0.1", port, "node-1", PASSWORD, None, connect_timeout_s=0.1), "t-1")
    server.close()
    await server.wait_closed()
    with pytest.raises(LinkDown):
        await open_session(Place("127.0.0.1", port, "node-1", PASSWORD), "t-1")


async def test_a_peer_that_drips_is_left_in_time() -> None:
    """A greeting byte by byte, for ever: the whole of it has to come in time."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write((1_000).to_bytes(4))
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            pass  # it has hung up, as it should
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(LinkDown, match="no greeting"):
        await open_session(Place("127.0.0.1", port, "node-1", PASSWORD, None, connect_timeout_s=0.2), "t-1")
    server.close()
    await server.wait_closed()


async def test_a_session_that_the_server_ended_is_known_to_be_over() -> None:
    system = await BusinessSystem(PASSWORD).open()
    session = await open_session(Place("127.0.0.1", system.port, "node-1", PASSWORD), "t-1")
    await system.close()
    async with asyncio.timeout(30):
        while session.is_open:  # noqa: ASYNC110 # the end of a stream is told to nobody
            await asyncio.sleep(0.01)
