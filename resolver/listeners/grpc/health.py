"""grpc.health.v1 of a listener, which is open only while it can answer: it serves until it begins to close."""

from collections.abc import Collection
from typing import Final

from grpc_health.v1 import health_pb2

from proto.convert import parse_message
from proto.errors import Reason, Refusal
from proto.wire.grpc.metadata import CallHead
from proto.wire.grpc.response import answer_with
from proto.wire.http2.response import Response
from resolver.listeners.grpc.limits import MAX_SMALL_QUESTION_BYTES
from resolver.listeners.grpc.streaming import Conversation

SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

# The server as a whole is asked for without a name.
_WHOLE: Final = ""


class Health:
    """Answers `Check`, and tells the watchers of `Watch` when it ends, whom it then lets go."""

    def __init__(self, services: Collection[str]) -> None:
        self._known = frozenset((_WHOLE, *services))
        self._watchers: set[Conversation] = set()
        self._has_ended = False

    def end(self) -> None:
        """It serves no longer."""
        self._has_ended = True
        for watcher in tuple(self._watchers):
            watcher.send(self._state())
            watcher.end()

    def check(self, _head: CallHead, raw: bytes, _request_id: str, _peer: str) -> Response:
        """`Check`. Raises `Refusal(NOT_FOUND)` for a service that is not here."""
        if self._asked(raw) not in self._known:
            raise Refusal(Reason.NOT_FOUND, "there is no such service here", "service")
        return answer_with(self._state())

    def watch(self, conversation: Conversation) -> "_Watch":
        """`Watch`."""
        return _Watch(self, conversation)

    def begin(self, watcher: Conversation, raw: bytes) -> None:
        """Tell a watcher how things stand, and from now on whenever that changes."""
        kind = health_pb2.HealthCheckResponse
        is_known = self._asked(raw) in self._known
        watcher.send(self._state() if is_known else kind(status=kind.SERVICE_UNKNOWN).SerializeToString())
        if self._has_ended:
            watcher.end()
        else:
            self._watchers.add(watcher)

    def leave(self, watcher: Conversation) -> None:
        self._watchers.discard(watcher)

    def _asked(self, raw: bytes) -> str:
        return parse_message(health_pb2.HealthCheckRequest, raw, MAX_SMALL_QUESTION_BYTES).service

    def _state(self) -> bytes:
        kind = health_pb2.HealthCheckResponse
        return kind(status=kind.NOT_SERVING if self._has_ended else kind.SERVING).SerializeToString()


class _Watch:
    """One call of `Watch`."""

    def __init__(self, health: Health, conversation: Conversation) -> None:
        self._health = health
        self._conversation = conversation
        self._has_asked = False

    def hear(self, message: bytes) -> None:
        if self._has_asked:
            raise Refusal(Reason.MALFORMED_MESSAGE, "a call of Watch has one message")
        self._has_asked = True
        self._health.begin(self._conversation, message)

    def hear_end(self) -> None:
        if not self._has_asked:
            raise Refusal(Reason.MALFORMED_MESSAGE, "the call ended without a message")

    def leave(self) -> None:
        self._health.leave(self._conversation)
