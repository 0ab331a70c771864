"""What tests of both gRPC edges share: how a call failed, raw calls, and waiting for what others do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import grpc
import pytest
from grpc import aio

from proto.v1 import model_pb2
from proto.wire.grpc.metadata import parse_failure

POLL_S = 0.01


async def failure_of(call: Awaitable[object]) -> tuple[grpc.StatusCode, model_pb2.Failure]:
    """The status and the failure in the trailing metadata of a call that must fail."""
    with pytest.raises(aio.AioRpcError) as failed:
        await call
    return read_failure(failed.value)


def read_failure(error: aio.AioRpcError) -> tuple[grpc.StatusCode, model_pb2.Failure]:
    trailing = pairs(error.trailing_metadata())
    failure = parse_failure(trailing.items())
    assert failure is not None, error
    assert trailing["biaojie-reason"] == failure.reason
    assert failure.code == error.code().value[0]
    assert failure.detail == error.details()
    return error.code(), failure


def pairs(metadata: Iterable[tuple[str, str | bytes]]) -> dict[str, str | bytes]:
    return dict(tuple(metadata))


def bearer(token: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Metadata with a key, and more."""
    return (("authorization", f"Bearer {token}"), *more)


def call_raw(channel: aio.Channel, path: str, message: bytes, metadata: tuple[tuple[str, str], ...] = ()) -> Awaitable[bytes]:
    """A call of any path with any bytes."""
    method: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    return method(message, metadata=metadata)


def call_without_message(channel: aio.Channel, path: str, metadata: tuple[tuple[str, str], ...] = ()) -> Awaitable[bytes]:
    """A call that ends before its message."""
    method: aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(path)
    return method(iter(()), metadata=metadata)


def call_that_sends_nothing(channel: aio.Channel, path: str, metadata: tuple[tuple[str, str], ...] = ()) -> Awaitable[bytes]:
    """A call whose message never comes."""

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    method: aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(path)
    return method(never(), metadata=metadata)


async def until(holds: Callable[[], bool], timeout_s: float = 5) -> None:
    """Poll until something holds."""
    for _ in range(int(timeout_s / POLL_S)):
        if holds():
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError("it never held")


class Proxy:
    """A TCP relay to a server that passes what clients send in pieces of `piece` bytes and cuts them off after `limit`."""

    def __init__(self, port: int, piece: int = 65_536, limit: int | None = None) -> None:
        self._target = port
        self._piece = piece
        self._limit = limit
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.passed = 0

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Cut all connections off."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, to_writer]
        back = asyncio.create_task(self._copy(to_reader, writer))
        await self._forward(reader, to_writer)
        back.cancel()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(self._piece):
                if self._limit is not None and self.passed + len(data) > self._limit:
                    writer.write(data[: self._limit - self.passed])
                    await writer.drain()
                    self.cut()
                    return
                self.passed += len(data)
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(0)
        except OSError:
            self.cut()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            self.cut()
