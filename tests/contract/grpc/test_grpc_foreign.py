"""Clients of HTTP/2 that know nothing of grpcio: they are answered as grpcio's own server answers them."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from proto.v1.resolver_pb2 import ResolveRequest, ResolveResponse
from proto.wire.grpc.message import compose_message
from tests.support.grpc_worker import RESOLVE, Worker
from tests.support.machine import need_program

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("server", ["own", "oracle"])]

FIELDS = ("-H", "content-type: application/grpc", "-H", "te: trailers")
NODE_CLIENT = Path(__file__).parents[2] / "support" / "node_client.mjs"


@pytest.fixture
def body(tmp_path: Path) -> Path:
    path = tmp_path / "body"
    path.write_bytes(compose_message(ResolveRequest(identifier="88.118.1/Pump").SerializeToString()))
    return path


async def run(command: str, package: str, *words: str) -> bytes:
    """What a program of the Debian package `package` writes."""
    process = await asyncio.create_subprocess_exec(
        need_program(command, package), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaints = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complaints.decode()
    return said


def read_answer(data: bytes) -> ResolveResponse:
    assert data[:5] == b"\0" + (len(data) - 5).to_bytes(4)
    return ResolveResponse.FromString(data[5:])


@pytest.mark.parametrize(("clients", "streams"), [(1, 1), (4, 32), (2, 128)])
async def test_h2load_succeeds_with_every_call(worker: Worker, body: Path, clients: int, streams: int) -> None:
    words = ("-n", "1000", "-c", str(clients), "-m", str(streams), "-d", str(body), *FIELDS)
    said = (await run("h2load", "nghttp2-client", *words, f"http://{worker.address}{RESOLVE}")).decode()
    assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert re.search(r"status codes: 1000 2xx", said)


async def test_nghttp_reads_headers_data_and_trailers(worker: Worker, body: Path) -> None:
    words = ("--verbose", "-H", ":method: POST", "-d", str(body), *FIELDS)
    said = (await run("nghttp", "nghttp2-client", *words, f"http://{worker.address}{RESOLVE}")).decode(errors="replace")
    assert ":status: 200" in said
    assert "grpc-status: 0" in said
    assert re.search(r"x-request-id: [0-9a-f]{32}", said)


async def test_curl_reads_an_answer_and_its_trailers(worker: Worker, body: Path, tmp_path: Path) -> None:
    heads, data = tmp_path / "heads", tmp_path / "data"
    words = ("-q", "-sS", "--noproxy", "*", "--http2-prior-knowledge", "-D", str(heads), "-o", str(data), *FIELDS)
    await run("curl", "curl", *words, "--data-binary", f"@{body}", f"http://{worker.address}{RESOLVE}")
    assert read_answer(data.read_bytes()).version == 4
    assert "grpc-status: 0" in heads.read_text()
    assert heads.read_text().startswith("HTTP/2 200")


async def test_node_s_http2_makes_many_calls_at_a_time(worker: Worker, body: Path) -> None:
    said = await run("node", "nodejs", str(NODE_CLIENT), f"http://{worker.address}", RESOLVE, str(body), "100")
    calls = json.loads(said)
    assert len(calls) == 100
    for call in calls:
        assert call["headers"][":status"] == 200
        assert call["headers"]["content-type"] == "application/grpc"
        assert call["trailers"]["grpc-status"] == "0"
        assert read_answer(bytes.fromhex(call["data"])).identifier == "88.118.1/Pump"
    assert len({call["trailers"]["x-request-id"] for call in calls}) == 100


async def test_nghttp_and_node_read_a_failure(worker: Worker, tmp_path: Path) -> None:
    body = tmp_path / "absent"
    body.write_bytes(compose_message(ResolveRequest(identifier="88.118.1/none").SerializeToString()))
    words = ("--verbose", "-H", ":method: POST", "-d", str(body), *FIELDS)
    said = (await run("nghttp", "nghttp2-client", *words, f"http://{worker.address}{RESOLVE}")).decode(errors="replace")
    assert "grpc-status: 5" in said
    assert "biaojie-reason: NOT_FOUND" in said
    (call,) = json.loads(await run("node", "nodejs", str(NODE_CLIENT), f"http://{worker.address}", RESOLVE, str(body), "1"))
    assert {**call["headers"], **call["trailers"]}["grpc-status"] == "5"
    assert call["data"] == ""


@pytest.mark.parametrize("size", [0, 1, 2_048, 65_536])
async def test_clients_keep_as_small_a_table_of_headers_as_they_like(worker: Worker, body: Path, size: int) -> None:
    told, url = f"--header-table-size={size}", f"http://{worker.address}{RESOLVE}"
    words = (told, "-d", str(body), *FIELDS, url)
    said = await run("h2load", "nghttp2-client", "-n", "100", "-c", "2", "-m", "8", *words)
    assert b"100 succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert b"grpc-status: 0" in await run("nghttp", "nghttp2-client", "-v", "-H", ":method: POST", *words)
    sizes = (str(size), "4096", "100", str(size), "0", "65536")
    said = await run("node", "nodejs", str(NODE_CLIENT), f"http://{worker.address}", RESOLVE, str(body), "3", *sizes)
    assert [call["trailers"]["grpc-status"] for call in json.loads(said)] == ["0"] * 3 * len(sizes)
