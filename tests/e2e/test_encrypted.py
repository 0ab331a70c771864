"""A node with a certificate: stock clients and ours call its gRPC over TLS, and nobody does in clear."""

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc import aio

from proto.v1.resolver_pb2 import ResolveRequest
from proto.v1.resolver_pb2_grpc import ResolverStub
from tests.e2e.conftest import StartNode
from tests.support.certificates import make_certificate

pytestmark = pytest.mark.slow

SAMPLE = "88.118.1001/SAMPLE-1"
CALLS = 20


async def ask(address: str, authority: bytes = b"") -> list[int]:
    """The versions that many calls at a time are answered with, over TLS with a node that the authority vouches for."""
    credentials = grpc.ssl_channel_credentials(authority)
    async with aio.secure_channel(address, credentials) if authority else aio.insecure_channel(address) as channel:
        calls = (ResolverStub(channel).Resolve(ResolveRequest(identifier=SAMPLE), timeout=20) for _ in range(CALLS))
        return [answer.version for answer in await asyncio.gather(*calls)]


def test_grpc_is_spoken_over_tls_alone_once_there_is_a_certificate(start_node: StartNode, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    node = start_node(f"resolver.tls_cert={certificate}", f"resolver.tls_key={key}", sample=True)
    node.until_ready()
    address = f"localhost:{node.ports['resolver.grpc_port']}"
    assert asyncio.run(ask(address, certificate.read_bytes())) == [1] * CALLS
    with pytest.raises(aio.AioRpcError) as failed:
        asyncio.run(ask(address))
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    done = node.run("resolve", SAMPLE, "--via", "grpc", "--server", address, "--ca", str(certificate))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{SAMPLE}  (active, version 1)")
    assert node.resolve(SAMPLE).status == 200
