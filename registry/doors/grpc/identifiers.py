"""Identifiers over gRPC: register, update, retire, suspend, resume, get, list, and batches of any length."""

from typing import Final

from google.protobuf.message import Message

from proto.convert import parse_message, record_message
from proto.errors import Reason, Refusal
from proto.limits import MAX_BATCH_ROWS
from proto.model.change import Position
from proto.v1 import registry_pb2
from registry.doors.grpc.calls import MAX_REQUEST_BYTES, Call, Calls, Unary
from registry.doors.grpc.replies import batch_message, identifier_written, record_parts
from registry.doors.grpc.requests import (
    draft_from,
    expected_version,
    mode_from,
    patch_from,
    position_from,
    row_from,
)
from registry.service.context import Context
from registry.service.patch import Patch
from registry.service.plan import Draft, Outcome
from registry.service.registry import Registry

# A listing reads so many records at a time: at worst as many of the largest ones are in memory.
LIST_PAGE: Final = 100


class Identifiers:
    """The methods of `biaojie.v1.Registry` that concern identifiers."""

    def __init__(self, registry: Registry, calls: Calls) -> None:
        self._registry = registry
        self._calls = calls
        write = registry_pb2.IdentifierWrite
        self.unary: dict[str, Unary] = {
            "Register": Unary(registry_pb2.RegisterRequest, lambda request: draft_from(request.draft), self._register),
            "Update": Unary(registry_pb2.UpdateRequest, _read_update, self._update),
            "Retire": Unary(write, _as_it_is, self._retire),
            "Suspend": Unary(write, _as_it_is, self._suspend),
            "Resume": Unary(write, _as_it_is, self._resume),
            "GetIdentifier": Unary(registry_pb2.GetIdentifierRequest, _read_get, self._get),
        }
        self.streams = {"BatchRegister": self._batch_register, "ListIdentifiers": self._list}

    async def _register(self, context: Context, draft: Draft) -> Message:
        return identifier_written(await self._registry.register(context, draft))

    async def _update(self, context: Context, asked: tuple[str, Patch, int | None]) -> Message:
        return identifier_written(await self._registry.patch(context, *asked))

    async def _retire(self, context: Context, asked: registry_pb2.IdentifierWrite) -> Message:
        return identifier_written(await self._registry.retire(context, asked.identifier, expected_version(asked)))

    async def _suspend(self, context: Context, asked: registry_pb2.IdentifierWrite) -> Message:
        return identifier_written(await self._registry.suspend(context, asked.identifier, expected_version(asked)))

    async def _resume(self, context: Context, asked: registry_pb2.IdentifierWrite) -> Message:
        return identifier_written(await self._registry.resume(context, asked.identifier, expected_version(asked)))

    async def _get(self, context: Context, asked: tuple[str, Position]) -> Message:
        return record_message(await self._registry.read(context, *asked))

    async def _batch_register(self, call: Call) -> None:
        """One chunk after the other, each a change of its own; what was answered stays, whatever becomes of the rest."""
        first_row, chunk = 0, 0
        while (raw := await call.read_next()) is not None:
            request = parse_message(registry_pb2.BatchRegisterRequest, raw, MAX_REQUEST_BYTES)
            reply = await self._register_chunk(call, request, chunk, first_row)
            await call.write(reply)
            first_row += len(request.drafts)
            chunk += 1

    async def _register_chunk(
        self, call: Call, request: registry_pb2.BatchRegisterRequest, chunk: int, first_row: int
    ) -> registry_pb2.BatchRegisterResponse:
        if len(request.drafts) > MAX_BATCH_ROWS:
            raise Refusal(
                Reason.BATCH_TOO_LARGE, f"{len(request.drafts)} drafts in one chunk; the limit is {MAX_BATCH_ROWS}", "drafts"
            )
        key = call.head.idempotency_key
        context = call.context(request, f"{key}#{chunk}" if key else "")
        mode = mode_from(request.mode)
        try:
            written = await self._registry.register_batch(context, [row_from(draft) for draft in request.drafts], mode)
        except Refusal as refusal:
            if refusal.row is not None:
                refusal.row += first_row
            raise
        for outcome in written.outcomes:
            if outcome.outcome is Outcome.REFUSED and outcome.reason is not None:
                self._calls.count(outcome.reason)
        return batch_message(written, first_row)

    async def _list(self, call: Call) -> None:
        request = parse_message(registry_pb2.ListIdentifiersRequest, await call.read(), MAX_REQUEST_BYTES)
        after, left = request.after, request.limit
        while True:
            context = call.context(request, "")
            limit = min(LIST_PAGE, left) if request.limit else LIST_PAGE
            registrant = request.registrant or context.caller.registrant
            page = await self._registry.list_identifiers(context, registrant, request.prefix, after, limit)
            for part in record_parts(page.items, page.cursor):
                await call.offer(part)
            after, left = page.cursor, left - len(page.items)
            if not after or (request.limit and left <= 0):
                return


def _as_it_is(request: registry_pb2.IdentifierWrite) -> registry_pb2.IdentifierWrite:
    return request


def _read_update(request: registry_pb2.UpdateRequest) -> tuple[str, Patch, int | None]:
    return request.identifier, patch_from(request), expected_version(request)


def _read_get(request: registry_pb2.GetIdentifierRequest) -> tuple[str, Position]:
    return request.identifier, position_from(request.after)
