"""What a method whose call has several messages sees of it, and is asked for."""

from typing import Protocol


class Conversation(Protocol):
    """The listener's end of one call. What is said after its end goes nowhere."""

    def send(self, message: bytes) -> None:
        """Say something."""

    def end(self) -> None:
        """End the call, which succeeded."""


class Speaker(Protocol):
    """The method's end of one call. Whatever raises a `Refusal` ends the call with it."""

    def hear(self, message: bytes) -> None:
        """The client says something. Raises `Refusal`."""

    def hear_end(self) -> None:
        """The client has said all. Raises `Refusal`."""

    def leave(self) -> None:
        """The call is over, for whatever reason."""
