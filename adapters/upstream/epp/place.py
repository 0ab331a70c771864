"""Where filings go: configuration, known before anything of EPP is loaded."""

import ssl
from dataclasses import dataclass
from typing import Final

# Networks between machines answer within a second, or not at all.
CONNECT_TIMEOUT_S: Final = 10.0
# A command waits for a database on the other side, perhaps a busy one.
ANSWER_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the business management system is, and who we are to it. `tls` is None for a plain connection."""

    host: str
    port: int
    client: str
    password: str
    tls: ssl.SSLContext | None = None
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    answer_timeout_s: float = ANSWER_TIMEOUT_S
