"""The request id in force: what a listener or door accepted or made for the request that this context works for.

Edges set it, logs read it; what is written takes it from its own arguments. Empty outside of any request.
"""

from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
